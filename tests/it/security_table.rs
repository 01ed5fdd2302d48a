//! docs/SECURITY.md says which test shows what. Here it is shown that there are these tests, and that no requirement is
//! left out: a row names tests, or says what is missing, or that it does not apply.
//!
//! A test is named as pytest does, `file::name`: a function of Rust or Python, or the title of a test of the page.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

const DOCUMENT: &str = "docs/SECURITY.md";
/// What a row without a test begins with.
const WITHOUT: [&str; 3] = ["not covered: ", "documented: ", "does not apply: "];

/// A row of a table whose last column is called "Tests".
#[derive(Debug)]
struct Row {
    section: String,
    requirements: Vec<String>,
    tests: String,
}

#[test]
fn every_row_names_tests_that_exist_or_says_what_is_missing() {
    let rows = rows(&fs_err::read_to_string(repository().join(DOCUMENT)).unwrap());
    let mut problems = Vec::new();
    let mut n_tests = 0;
    for row in &rows {
        match tests_of(row) {
            Ok(tests) => {
                n_tests += tests.len();
                problems.extend(
                    tests
                        .iter()
                        .filter_map(|test| check(&repository(), test).err())
                        .map(|problem| format!("{:?}: {problem}", row.requirements)),
                );
            }
            Err(problem) => problems.push(format!("{:?}: {problem}", row.requirements)),
        }
    }
    assert!(problems.is_empty(), "{DOCUMENT}:\n{}", problems.join("\n"));
    assert!(n_tests > 100, "only {n_tests} tests are named");
}

#[test]
fn every_requirement_has_one_row() {
    let rows = rows(&fs_err::read_to_string(repository().join(DOCUMENT)).unwrap());
    let numbers = |section: &str| {
        let rows = rows.iter().filter(|row| row.section.contains(section));
        let mut numbers: Vec<String> = rows.flat_map(|row| row.requirements.clone()).collect();
        numbers.sort();
        numbers
    };
    let expected = |numbers: &mut dyn Iterator<Item = String>| {
        let mut numbers: Vec<String> = numbers.collect();
        numbers.sort();
        numbers
    };
    let asvs = fs_err::read_to_string(kura_tests::fixture("asvs-5.0-l2.txt")).unwrap();
    assert_eq!(
        numbers("ASVS"),
        expected(&mut asvs.lines().map(str::to_owned))
    );
    let llm = expected(&mut (1..=10).map(|n| format!("LLM{n:02}")));
    assert_eq!(numbers("LLM"), llm);
    let rag = expected(&mut (1..=14).map(|n| n.to_string()));
    assert_eq!(numbers("RAG"), rag);
}

#[test]
fn a_row_that_names_no_test_or_one_that_does_not_exist_is_found() {
    let text = "## A\n\n| Requirement | Here | Tests |\n| --- | --- | --- |\n\
        | 1.1, 1.2 | a | `tests/it/security_table.rs::every_requirement_has_one_row` |\n\
        | 1.3 | b | `tests/it/security_table.rs::no_such_test` |\n\
        | 1.4 | c | `tests/it/security_table.rs::check`, `tests/it/no_such_file.rs::x` |\n\
        | 1.5 | d | not covered: nobody has looked |\n\
        | 1.6 | e | soon |\n| 1.7 | f | |\n| 1.8 | g | does not apply: |\n\
        | 1.9 | h | documented: [there](NOWHERE.md) |\n\
        ## B\n\n| Other | table |\n| --- | --- |\n| 2.1 | x |\n";
    let rows = rows(text);
    assert_eq!(rows.len(), 8);
    assert_eq!(rows[0].requirements, ["1.1", "1.2"]);
    let sound = |row: &Row| {
        let tests = tests_of(row);
        tests.map(|tests| tests.iter().all(|test| check(&repository(), test).is_ok()))
    };
    assert_eq!(sound(&rows[0]), Ok(true));
    assert_eq!(sound(&rows[1]), Ok(false));
    assert_eq!(sound(&rows[2]), Ok(false));
    assert_eq!(sound(&rows[3]), Ok(true));
    for row in &rows[4..] {
        assert!(sound(row).is_err(), "{row:?}");
    }
}

/// Returns the tests that a row names; none if it says why there are none.
fn tests_of(row: &Row) -> Result<Vec<&str>, String> {
    let tests: Vec<&str> = row
        .tests
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|name| name.contains("::"))
        .collect();
    let is_said = WITHOUT.iter().any(|said| {
        row.tests
            .strip_prefix(said)
            .is_some_and(|why| !why.trim().is_empty())
    });
    if let Some(said) = row.tests.strip_prefix("documented: ") {
        // `[name](FILE#place)`, beside this document.
        let links = said.split("](").skip(1);
        let files = links.filter_map(|link| link.split([')', '#']).next());
        let is_there =
            |file: &str| repository().join("docs").join(file).is_file() || file.is_empty();
        let files: Vec<&str> = files.collect();
        if files.is_empty() || !files.iter().all(|file| is_there(file)) {
            return Err(format!("`{said}` leads to no document"));
        }
    }
    if tests.is_empty() && !is_said {
        return Err(format!(
            "`{}` names no test and begins with none of {WITHOUT:?}",
            row.tests
        ));
    }
    Ok(tests)
}

/// Fails unless there is such a test, and it is run.
fn check(repository: &Path, test: &str) -> Result<(), String> {
    let (file, name) = test.split_once("::").ok_or("no `::`")?;
    let text = fs_err::read_to_string(repository.join(file)).map_err(|error| error.to_string())?;
    let exists = match file.rsplit_once('.').map(|(_, ending)| ending) {
        Some("rs") => has_rust_test(&text, name) && is_compiled(repository, file),
        Some("py") => name.starts_with("test_") && text.contains(&format!("def {name}(")),
        Some("mjs" | "ts" | "tsx") => ["test(", "it(", "step("].iter().any(|call| {
            ['"', '\'', '`']
                .iter()
                .any(|quote| text.contains(&format!("{call}{quote}{name}{quote}")))
        }),
        _ => return Err(format!("`{file}` is no file of tests")),
    };
    if exists {
        Ok(())
    } else {
        Err(format!("there is no test `{name}` in {file}"))
    }
}

/// Returns whether a function of this name is a test: between it and the item before stands `#[test]` or its like.
fn has_rust_test(text: &str, name: &str) -> bool {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_function = |line: &str| {
        let line = line.strip_prefix("async ").unwrap_or(line);
        line.strip_prefix("fn ")
            .and_then(|rest| rest.strip_prefix(name))
            .is_some_and(|rest| rest.starts_with('('))
    };
    let place = lines.iter().position(|line| is_function(line));
    place.is_some_and(|place| {
        let before = lines[..place].iter().rev();
        let mut attributes = before.take_while(|line| !line.is_empty() && **line != "}");
        attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
    })
}

/// Returns whether a file of the integration tests belongs to their program.
fn is_compiled(repository: &Path, file: &str) -> bool {
    let Some(module) = file.strip_prefix("tests/it/") else {
        return true;
    };
    let first = module.split(['/', '.']).next().unwrap_or_default();
    let main = fs_err::read_to_string(repository.join("tests/it/main.rs")).unwrap();
    main.lines().any(|line| line == format!("mod {first};"))
}

/// Reads the rows of all tables whose last column is called "Tests", with the heading that they stand under.
fn rows(text: &str) -> Vec<Row> {
    let (mut rows, mut section, mut is_ours) = (Vec::new(), String::new(), false);
    for line in text.lines() {
        if let Some(heading) = line.strip_prefix("## ") {
            heading.clone_into(&mut section);
        }
        let cells: Vec<&str> = line
            .strip_prefix('|')
            .and_then(|line| line.strip_suffix('|'))
            .map(|line| line.split('|').map(str::trim).collect())
            .unwrap_or_default();
        let [first, .., last] = cells[..] else {
            is_ours = false;
            continue;
        };
        if last == "Tests" {
            is_ours = true;
        } else if is_ours && !first.starts_with("---") {
            rows.push(Row {
                section: section.clone(),
                requirements: first.split(", ").map(str::to_owned).collect(),
                tests: last.to_owned(),
            });
        }
    }
    rows
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .to_owned()
}

/// How much of the tables is covered, for people.
#[test]
fn the_document_says_how_many_rows_are_not_covered() {
    let text = fs_err::read_to_string(repository().join(DOCUMENT)).unwrap();
    let mut counts: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for row in rows(&text) {
        let kind = WITHOUT.iter().find(|said| row.tests.starts_with(**said));
        let kind = kind.map_or("tested", |said| said.trim_end_matches(": "));
        let names = row.requirements.iter();
        let names = names.map(|name| format!("{} {name}", row.section));
        counts.entry(kind).or_default().extend(names);
    }
    let n = |kind: &str| counts.get(kind).map_or(0, BTreeSet::len);
    let sentence = format!(
        "Of {} requirements {} have tests, {} ask for documentation that is there, {} are not covered, and {} do not apply.",
        counts.values().map(BTreeSet::len).sum::<usize>(),
        n("tested"),
        n("documented"),
        n("not covered"),
        n("does not apply")
    );
    assert!(
        text.contains(&sentence),
        "{DOCUMENT} should say: {sentence}"
    );
}

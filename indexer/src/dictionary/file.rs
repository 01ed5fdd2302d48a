//! A dictionary's file: CSV, because those who know a company's words keep them in a spreadsheet, one term per row.

use super::{Entry, plain};
use crate::analyze::analyze;
use crate::error::{Error, Result};
use crate::extract::decode;
use std::collections::HashMap;

/// Columns by name, in any order. Only the first must be there.
const COLUMNS: [&str; 4] = ["term", "reading", "synonyms", "abbreviations"];

/// A file without terms.
pub(super) const EMPTY: &str = "term,reading,synonyms,abbreviations\n";

/// Between several values in one cell.
const SEPARATORS: [char; 2] = [';', '；'];

/// Most rows, so that a dictionary cannot take the memory from the index.
const MAX_ENTRIES: usize = 20_000;

/// Longest form in characters; what is longer is a sentence.
const MAX_FORM_CHARS: usize = 100;

/// Problems told at once; one mistake in a file tends to repeat in every row.
const MAX_PROBLEMS: usize = 20;

/// Reads the entries of a file.
pub(super) fn parse(bytes: &[u8]) -> Result<Vec<Entry>> {
    let (text, damaged) = decode(bytes);
    if damaged {
        let problem = "the file is no text in a known encoding; save it as CSV in UTF-8";
        return Err(invalid(vec![problem.to_owned()]));
    }
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .comment(Some(b'#'))
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let columns = columns(&mut reader)?;
    let (mut entries, mut problems) = (Vec::new(), Vec::new());
    let mut lines_by_term: HashMap<String, u64> = HashMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                problems.push(format!("line {line}: {error}"));
                break;
            }
        };
        let line = record.position().map_or(0, csv::Position::line);
        match entry(&record, &columns) {
            Ok(None) => {}
            Ok(Some(entry)) => {
                if let Some(first) = lines_by_term.insert(plain(&entry.term), line) {
                    problems.push(format!(
                        "line {line}: `{}` is the term of line {first} already; put all its forms there",
                        entry.term
                    ));
                }
                entries.push(entry);
            }
            Err(problem) => problems.push(format!("line {line}: {problem}")),
        }
        if entries.len() > MAX_ENTRIES {
            problems.push(format!(
                "line {line}: a dictionary has at most {MAX_ENTRIES} terms"
            ));
            break;
        }
    }
    if problems.is_empty() {
        return Ok(entries);
    }
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    problems.truncate(MAX_PROBLEMS);
    if more > 0 {
        problems.push(format!("and {more} more"));
    }
    Err(invalid(problems))
}

/// Returns which column of the file each of [`COLUMNS`] is.
fn columns(reader: &mut csv::Reader<&[u8]>) -> Result<[Option<usize>; 4]> {
    let wanted = COLUMNS.join(", ");
    let header = reader
        .headers()
        .map_err(|error| invalid(vec![format!("line 1: {error}")]))?;
    let names: Vec<String> = header.iter().map(plain).collect();
    if let Some(unknown) = names.iter().find(|name| !COLUMNS.contains(&name.as_str())) {
        let problem = format!(
            "line 1: unknown column `{unknown}`; the first line names the columns: {wanted}"
        );
        return Err(invalid(vec![problem]));
    }
    let columns = COLUMNS.map(|column| names.iter().position(|name| name == column));
    if columns[0].is_none() {
        let problem = format!(
            "line 1: the column `term` is missing; the first line names the columns: {wanted}"
        );
        return Err(invalid(vec![problem]));
    }
    Ok(columns)
}

/// Returns the entry of a row; `None` if the row is empty.
fn entry(
    record: &csv::StringRecord,
    columns: &[Option<usize>; 4],
) -> std::result::Result<Option<Entry>, String> {
    if record.iter().all(str::is_empty) {
        return Ok(None);
    }
    let last = columns.iter().flatten().max().copied().unwrap_or(0);
    if let Some(extra) = record.iter().skip(last + 1).find(|cell| !cell.is_empty()) {
        return Err(format!(
            "`{extra}` is in no column; put several values in one cell with `;` between them"
        ));
    }
    let cell = |column: usize| columns[column].and_then(|at| record.get(at)).unwrap_or("");
    let term = cell(0);
    if term.is_empty() {
        return Err("the term is empty".to_owned());
    }
    check(term)?;
    let values = |column: usize| -> std::result::Result<Vec<String>, String> {
        let values = cell(column).split(SEPARATORS).map(str::trim);
        values
            .filter(|value| !value.is_empty())
            .map(|value| check(value).map(|()| value.to_owned()))
            .collect()
    };
    Ok(Some(Entry {
        term: term.to_owned(),
        readings: values(1)?,
        synonyms: values(2)?,
        abbreviations: values(3)?,
    }))
}

/// Fails if a form cannot be sought, or would be found nearly everywhere.
fn check(form: &str) -> std::result::Result<(), String> {
    let n_chars = form.chars().count();
    if n_chars > MAX_FORM_CHARS {
        return Err(format!(
            "`{}…` has {n_chars} characters; at most {MAX_FORM_CHARS} are a term",
            form.chars().take(20).collect::<String>()
        ));
    }
    let words = analyze(form).words;
    if words.is_empty() {
        return Err(format!("`{form}` has no letter or digit to look for"));
    }
    if words.iter().all(|word| word.stop) {
        return Err(format!(
            "`{form}` is a function word; it would change nearly every query"
        ));
    }
    Ok(())
}

fn invalid(problems: Vec<String>) -> Error {
    Error::InvalidDictionary { problems }
}

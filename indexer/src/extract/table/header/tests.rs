use super::*;
use proptest::prelude::*;

/// A row in which `<` goes on with the cell to the left, `^` with that above.
fn row(above: Option<&Row>, cells: &str) -> Row {
    let mut row = Row::default();
    for cell in cells.split('|').map(str::trim) {
        match cell {
            "<" => row.push_left(),
            "^" => row.push_above(above, 1),
            text => row.push(text, 1),
        }
    }
    row
}

fn rows(lines: &[&str]) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::new();
    for line in lines {
        let next = row(rows.last(), line);
        rows.push(next);
    }
    rows
}

/// The names of the columns, and where the body begins.
fn header(lines: &[&str], merges: bool) -> (String, usize) {
    let parts = Parts::of(&rows(lines), merges);
    (parts.names.join(" | "), parts.body)
}

fn said(names: &str, body: usize) -> (String, usize) {
    (names.to_owned(), body)
}

#[test]
fn names_of_groups_are_joined_with_those_they_are_told_apart_by() {
    let merged = [
        " | H1 | < | H2 | <",
        " | Sales | Cost | Sales | Cost",
        "Kobe | a | b | c | d",
    ];
    assert_eq!(
        header(&merged, true),
        said(" | H1 · Sales | H1 · Cost | H2 · Sales | H2 · Cost", 2)
    );
    let years = ["Item | Sales | <", "^ | 2022 | 2023", "Pen | 1 | 2"];
    assert_eq!(
        header(&years, true),
        said("Item | Sales · 2022 | Sales · 2023", 2)
    );
    // Names in both rows need figures below.
    let both = ["Item | Sales | <", "CHF | gross | net", "Pen | 1 | 2"];
    assert_eq!(
        header(&both, true),
        said("Item · CHF | Sales · gross | Sales · net", 2)
    );
    let three = [
        "All | < | < | <",
        "A | < | B | <",
        "a | b | c | d",
        "1 | 2 | 3 | 4",
        "5 | 6 | 7 | 8",
    ];
    let parts = Parts::of(&rows(&three), true);
    assert_eq!(parts.titles, [(0, "All".to_owned())]);
    assert_eq!(parts.names, ["A · a", "A · b", "B · c", "B · d"]);
}

#[test]
fn rows_of_the_body_are_not_eaten() {
    let one = |lines: &[&str], names: &str| {
        for merges in [true, false] {
            assert_eq!(header(lines, merges), said(names, 1), "{lines:?}");
        }
    };
    one(
        &["Name | City", "Sato | Kobe", "Mori | Oita"],
        "Name | City",
    );
    one(&["Name | City", "Sato | Kobe", "Mori | 3"], "Name | City");
    one(&["Item | 2022 | 2023", "Pen | 1 | 2"], "Item | 2022 | 2023");
    one(&["1 | 2 | 3", "4 | 5 | 6"], "1 | 2 | 3");
    one(
        &["Name | | Note", "Pen | x | y", "Rod | 3 | 4"],
        "Name |  | Note",
    );
    one(&[" | Count", "Pen | 3", "Rod | 4"], " | Count");
    // A cell of the body may cover columns, too, and a header columns that stay one.
    one(
        &["Item | Price | <", "Pen | red | ", "Rod | blue | x"],
        "Item | Price | Price",
    );
    one(
        &["Item | Price | <", "Pen | a | b", "Rod | c | d"],
        "Item | Price | Price",
    );
    one(&["A | < | B", "x | y | z", "u | v | w"], "A | A | B");
    // Without a row below it there would be no body.
    one(&["x | A | <", " | a | b"], "x | A | A");
}

#[test]
fn groups_that_are_not_merged_are_spread() {
    let first = [
        " | 2023 | | 2022 | ",
        " | Sales | Cost | Sales | Cost",
        "Kobe | 1 | 2 | 3 | 4",
    ];
    let names = " | 2023 · Sales | 2023 · Cost | 2022 · Sales | 2022 · Cost";
    assert_eq!(header(&first, false), said(names, 2));
    let last = [
        "CHF | | 2023 | | 2022",
        " | Sales | Cost | Sales | Cost",
        "Kobe | 1 | 2 | 3 | 4",
    ];
    let names = "CHF | 2023 · Sales | 2023 · Cost | 2022 · Sales | 2022 · Cost";
    assert_eq!(header(&last, false), said(names, 2));
    let one = [
        "CHF | | | 2023",
        " | Sales | Tax | Cost",
        "",
        "Kobe | 1 | 2 | –",
    ];
    let names = "CHF | 2023 · Sales | 2023 · Tax | 2023 · Cost";
    assert_eq!(header(&one, false), said(names, 2));
    let named = [
        " | | Q1 | | Q2 | ",
        "Name | No | in | out | in | out",
        "Kobe | 7 | 1 | 2 | 3 | 4",
    ];
    let names = "Name | No | Q1 · in | Q1 · out | Q2 · in | Q2 · out";
    assert_eq!(header(&named, false), said(names, 2));
    // A group beyond the names below it is the name of its own column.
    let beyond = [
        " | Plan | | | Remark",
        "Site | in | out",
        "Kobe | 1 | 2 | | 3",
    ];
    let names = "Site | Plan · in | Plan · out | Plan | Remark";
    assert_eq!(header(&beyond, false), said(names, 2));
    // Words below are no figures, and names in the middle of nothing say nothing.
    let words = [" | A | | B | ", " | a | b | c | d", "Kobe | k | l | m | n"];
    assert_eq!(header(&words, false).1, 1);
    let amid = [
        "x | | A | | B | ",
        " | a | b | c | d | e",
        "Kobe | 1 | 2 | 3 | 4 | 5",
    ];
    assert_eq!(header(&amid, false).1, 1);
}

#[test]
fn what_the_format_says_decides() {
    let mut table = rows(&["Item | Price", "unit | yen", "Pen | red", "Rod | blue"]);
    for row in &mut table[..2] {
        row.is_header = true;
    }
    let parts = Parts::of(&table, true);
    assert_eq!(
        (parts.names, parts.body),
        (vec!["Item · unit".to_owned(), "Price · yen".to_owned()], 2)
    );
    // A table is not all header.
    for row in &mut table {
        row.is_header = true;
    }
    assert_eq!(Parts::of(&table, true).body, 1);
    // The only row that is called a header is no title.
    let mut table = rows(&["Action | <", "Swim | fast"]);
    table[0].is_header = true;
    assert_eq!(Parts::of(&table, true).names, ["Action", "Action"]);
    // Above the header that a sheet declares is what is no part of the table.
    let mut table = rows(&[
        "As of | May",
        "",
        " | H1 | ",
        "Item | in | out",
        "Pen | 1 | 2",
    ]);
    table[3].is_header = true;
    let parts = Parts::of(&table, false);
    assert_eq!(parts.titles, [(0, "As of May".to_owned())]);
    assert_eq!(parts.names, ["Item", "H1 · in", "H1 · out"]);
    assert_eq!((parts.header, parts.body), (2, 4));
}

#[test]
fn titles_stand_above_the_header() {
    let parts = Parts::of(
        &rows(&[
            "Cups | | ",
            "since 1900 | | ",
            "Team | City | Cups",
            "Sox | Kobe | 3",
        ]),
        false,
    );
    assert_eq!(
        parts.titles,
        [(0, "Cups".to_owned()), (1, "since 1900".to_owned())]
    );
    assert_eq!(
        (parts.names.join(","), parts.body),
        ("Team,City,Cups".to_owned(), 3)
    );
    // Where titles are merged, a cell alone is a name.
    assert_eq!(header(&["Item | ", "Pen | red"], true), said("Item | ", 1));
    let centered = Parts::of(
        &rows(&[" | Cups | ", "Team | City | Cups", "Sox | Kobe | Oita"]),
        false,
    );
    assert_eq!(centered.titles, [(0, "Cups".to_owned())]);
    // A list is no table with many titles.
    assert!(
        Parts::of(
            &rows(&["a | ", "b | ", "c | ", "d | ", "e | ", "f | g"]),
            false
        )
        .titles
        .is_empty()
    );
    assert!(Parts::of(&rows(&["a", "b"]), false).titles.is_empty());
}

#[test]
fn the_fields_of_a_form_and_a_title_with_its_unit_stand_above_the_names() {
    let lines = [
        "Report",
        "Date: | 2026-01-05",
        "By: | Mori",
        "Area | Q1 | Q2",
        "Kobe | 1 | 2",
    ];
    let parts = Parts::of(&rows(&lines), false);
    let titles = ["Report", "Date: 2026-01-05", "By: Mori"];
    assert_eq!(
        parts.titles,
        [0, 1, 2].map(|at| (at, titles[at].to_owned()))
    );
    assert_eq!(parts.names, ["Area", "Q1", "Q2"]);
    let unit = [
        "Costs | | | in yen",
        "Team | Fare | Rent | Sum",
        "Sales | 1 | 2 | 3",
    ];
    let parts = Parts::of(&rows(&unit), false);
    assert_eq!(parts.titles, [(0, "Costs in yen".to_owned())]);
    assert_eq!(parts.names, ["Team", "Fare", "Rent", "Sum"]);
    // Names of groups are none, and neither are fields without a table.
    let groups = [
        "Sum | 2023 | | 2022 | ",
        "Team | in | out | in | out",
        "Sales | 1 | 2 | 3 | 4",
    ];
    let names = "Sum · Team | 2023 · in | 2023 · out | 2022 · in | 2022 · out";
    assert_eq!(header(&groups, false), said(names, 2));
    assert_eq!(header(&["Date: | May", "By: | Mori"], false).1, 1);
}

#[test]
fn units_below_names_are_part_of_the_header() {
    let short = [
        "Item | Weight | Price",
        " | kg | EUR",
        "Pen | 0.1 | 2",
        "Rod | 1.5 | 20",
    ];
    assert_eq!(
        header(&short, false),
        said("Item | Weight · kg | Price · EUR", 2)
    );
    let bracketed = [
        "Item | Weight | Price",
        "(name) | (kg) | (EUR)",
        "Pen | 0.1 | 2",
    ];
    let names = "Item · (name) | Weight · (kg) | Price · (EUR)";
    assert_eq!(header(&bracketed, true), said(names, 2));
    // A row without a label that has words where the next one has words is one.
    let row = ["Task | Owner | Hours", " | Mori | ", "Plan | Sato | 3"];
    assert_eq!(header(&row, false).1, 1);
}

#[test]
fn numbers_below_a_group_are_names_where_the_name_of_the_rows_reaches_down() {
    let weeks = ["Task | Week | < | <", "^ | 1 | 2 | 3", "Plan | x | | "];
    assert_eq!(
        header(&weeks, false),
        said("Task | Week · 1 | Week · 2 | Week · 3", 2)
    );
    let row = [
        "Task | Week | < | <",
        "Plan | 1 | 2 | 3",
        "Test | 4 | 5 | 6",
    ];
    assert_eq!(header(&row, false).1, 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However odd a table is, its parts lie within it, and all of its cells are said somewhere.
    #[test]
    fn nothing_that_a_table_says_is_lost(
        lines in prop::collection::vec(
            (prop::collection::vec((0..9_usize, 0..4_usize), 0..7), prop::bool::weighted(0.2)),
            0..9,
        ),
        merges in any::<bool>(),
    ) {
        let mut rows: Vec<Row> = Vec::new();
        let mut said = Vec::new();
        for (at, (cells, is_header)) in lines.iter().enumerate() {
            let mut row = Row::new(*is_header);
            for (column, &(kind, width)) in cells.iter().enumerate() {
                let text = match kind {
                    0 => String::new(),
                    1 | 2 => format!("{}.5", 100 + at * 10 + column),
                    3 => format!("({at}x{column})"),
                    4 => format!("{at}x{column}:"),
                    _ => format!("{at}x{column}"),
                };
                match kind {
                    7 => row.push_left(),
                    8 => row.push_above(rows.last(), width),
                    _ => {
                        row.push(text.as_str(), width);
                        said.push(text);
                    }
                }
            }
            rows.push(row);
        }
        let parts = Parts::of(&rows, merges);
        prop_assert!(parts.header <= parts.body && parts.body <= rows.len());
        prop_assert!(parts.titles.iter().all(|(row, _)| *row < parts.body.max(1)));
        let body = rows[parts.body..].iter().map(Row::texts).collect();
        let mut text = match crate::extract::table::render(Some(parts.names), body) {
            crate::extract::table::Rendered::Table(table) => table,
            crate::extract::table::Rendered::Column(cells) => cells.join("\n"),
        };
        text.extend(parts.titles.into_iter().map(|(_, title)| title));
        for word in said {
            prop_assert!(text.contains(&word), "{word} is not in {text}");
        }
    }
}

#[test]
fn below_a_title_may_be_no_names() {
    let items = [
        "Part I | < | <",
        "Item 1. | Business | 4",
        "Item 2. | Risks | 9",
        "Part II | < | <",
        "Item 3. | Law | 12",
    ];
    assert_eq!(header(&items, true), said(" |  | ", 1));
    let named = ["Part I | < | <", "Item | 1 | 2", "Pen | 3 | 4"];
    assert_eq!(header(&named, true), said("Item | 1 | 2", 2));
}

#[test]
fn cells_are_told_apart_by_what_they_hold() {
    let figures = [
        "7",
        "1,234.5",
        "-3 %",
        "(12)",
        "¥1,200",
        "12.345.678",
        "10:30",
        "1950.5",
    ];
    let times = ["2023", "2022/23", "2022-2023", "2023-06-30", "30.06.2023"];
    let texts = ["", "Q1", "H1 2023", "2nd", "nil", "A-1", "1.", "2)"];
    for text in figures {
        assert_eq!(kind_of(text), Kind::Figure, "{text}");
    }
    for text in times {
        assert_eq!(kind_of(text), Kind::Time, "{text}");
    }
    for text in texts {
        assert_eq!(kind_of(text), Kind::Text, "{text}");
    }
    for text in [" — ", "n/a", "N.A."] {
        assert_eq!(kind_of(text), Kind::Nil, "{text}");
    }
}

#[test]
fn long_texts_and_high_headers_are_bounded() {
    let long = "x".repeat(5000);
    let mut wide = Row::default();
    wide.push(long.as_str(), 3);
    wide.push("x", 1);
    let below = row(Some(&wide), "a | b | c | d");
    let names = Parts::of(&[wide, below.clone(), below], true).names;
    assert!(names.iter().map(String::len).sum::<usize>() < 5100);
    let mut many: Vec<Row> = (0..100).map(|_| row(None, "a | b")).collect();
    for row in &mut many[..99] {
        row.is_header = true;
    }
    assert_eq!(Parts::of(&many, true).body, MAX_HEADER_ROWS);
    assert_eq!(Parts::of(&[], true), Parts::default());
    assert_eq!(Parts::of(&rows(&["", " | "]), false), Parts::default());
}

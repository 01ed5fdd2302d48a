mod heads;
mod rows;

use super::super::Space;
use super::*;

fn line(y: f64, cells: &[(&str, f64, f64)]) -> Line {
    Line {
        cells: cells
            .iter()
            .map(|&(text, left, right)| Cell {
                text: text.to_owned(),
                left,
                right,
                ..Cell::default()
            })
            .collect(),
        y,
        size: 10.0,
        turn: 0,
    }
}

#[test]
fn aligned_cells_are_a_table_whatever_order_they_are_drawn_in() {
    let lines = vec![
        line(80.0, &[("Prices", 50.0, 90.0)]),
        line(100.0, &[("item", 50.0, 80.0)]),
        line(115.0, &[("pen", 50.0, 70.0)]),
        line(130.0, &[("paper", 50.0, 85.0)]),
        line(100.0, &[("price", 150.0, 180.0)]),
        line(115.0, &[("100", 160.0, 180.0)]),
        line(130.0, &[("2,000", 150.0, 180.0)]),
        line(190.0, &[("All prices are without tax.", 50.0, 180.0)]),
    ];
    let (tables, rest) = tables(lines, &[]);
    assert_eq!(tables.len(), 1, "{tables:?}");
    assert_eq!(
        tables[0].rows,
        [["item", "price"], ["pen", "100"], ["paper", "2,000"]]
    );
    let rest: Vec<String> = rest.iter().map(Line::text).collect();
    assert_eq!(rest, ["Prices", "All prices are without tax."]);
}

#[test]
fn borders_join_the_lines_of_a_cell() {
    let lines = vec![
        line(100.0, &[("item", 50.0, 80.0), ("note", 150.0, 180.0)]),
        line(115.0, &[("pen", 50.0, 70.0), ("blue or", 150.0, 190.0)]),
        line(127.0, &[("black", 150.0, 180.0)]),
        line(142.0, &[("ink", 50.0, 70.0), ("red", 150.0, 180.0)]),
    ];
    let rule = |y: f64| Rule {
        from: (45.0, y),
        to: (200.0, y),
    };
    let (tables, rest) = tables(lines, &[rule(104.0), rule(131.0)]);
    assert!(rest.is_empty());
    assert_eq!(
        tables[0].rows,
        [["item", "note"], ["pen", "blue or black"], ["ink", "red"]]
    );
}

#[test]
fn rows_between_two_borders_stay_rows() {
    let row = |y: f64, item: &str| {
        line(
            y,
            &[(item, 50.0, 80.0), ("1", 150.0, 160.0), ("2", 200.0, 210.0)],
        )
    };
    let lines = vec![
        line(
            100.0,
            &[
                ("item", 50.0, 80.0),
                ("first", 150.0, 180.0),
                ("then", 200.0, 220.0),
            ],
        ),
        row(112.0, "pen"),
        row(124.0, "ink"),
        line(136.0, &[("of all kinds", 50.0, 110.0)]),
        row(148.0, "cap"),
    ];
    let rule = |y: f64| Rule {
        from: (45.0, y),
        to: (230.0, y),
    };
    let (tables, _) = tables(lines, &[rule(103.0), rule(139.0)]);
    assert_eq!(
        tables[0].rows,
        [
            ["item", "first", "then"],
            ["pen", "1", "2"],
            ["ink of all kinds", "1", "2"],
            ["cap", "1", "2"]
        ]
    );
}

#[test]
fn a_vertical_rule_parts_columns_however_near_their_texts_are() {
    let lines = vec![
        line(
            100.0,
            &[("a long name", 50.0, 100.0), ("another name", 100.5, 160.0)],
        ),
        line(112.0, &[("x", 50.0, 56.0), ("y", 125.0, 130.0)]),
        line(124.0, &[("z", 50.0, 56.0), ("w", 125.0, 130.0)]),
    ];
    let rule = Rule {
        from: (100.2, 90.0),
        to: (100.2, 130.0),
    };
    let (tables, _) = tables(lines, &[rule]);
    assert_eq!(
        tables[0].rows,
        [["a long name", "another name"], ["x", "y"], ["z", "w"]]
    );
}

#[test]
fn a_header_over_several_columns_names_each() {
    let row = |y: f64| {
        line(
            y,
            &[("a", 50.0, 60.0), ("1", 110.0, 116.0), ("2", 160.0, 166.0)],
        )
    };
    let lines = vec![
        line(
            88.0,
            &[("item", 50.0, 70.0), ("price in yen", 105.0, 170.0)],
        ),
        line(100.0, &[("new", 108.0, 120.0), ("used", 158.0, 170.0)]),
        row(112.0),
        row(124.0),
        row(136.0),
    ];
    let (tables, _) = tables(lines, &[]);
    assert_eq!(
        tables[0].rows[0],
        ["item", "price in yen new", "price in yen used"]
    );
    assert_eq!(tables[0].rows[1], ["a", "1", "2"]);
}

#[test]
fn a_page_header_far_above_is_no_row() {
    let row = |y: f64| line(y, &[("pens", 50.0, 80.0), ("12", 150.0, 160.0)]);
    let lines = vec![
        line(60.0, &[("Report", 50.0, 90.0), ("5", 150.0, 155.0)]),
        row(100.0),
        row(112.0),
        row(124.0),
    ];
    let (tables, rest) = tables(lines, &[]);
    assert_eq!((tables[0].rows.len(), rest.len()), (3, 1));
}

#[test]
fn the_wrapped_cells_of_a_header_are_joined() {
    let joined = |rows: &[[&str; 3]]| {
        let row = |texts: &[&str; 3]| GridRow {
            texts: texts.map(str::to_owned).to_vec(),
            ..GridRow::default()
        };
        header::join(rows.iter().map(row).collect())
    };
    let wrapped = [
        ["Kind of", "", "Time to"],
        ["item", "Price", "deliver"],
        ["pen", "1", "2 days"],
    ];
    let whole = [
        ["Kind of item", "Price", "Time to deliver"],
        ["pen", "1", "2 days"],
    ];
    assert_eq!(joined(&wrapped), whole);
    let plain = [
        ["item", "color", "price"],
        ["pen", "blue", ""],
        ["ink", "red", "2"],
    ];
    assert_eq!(joined(&plain), plain);
}

#[test]
fn columns_of_prose_are_no_table() {
    let long = "words that fill the whole column here";
    let lines: Vec<Line> = (0..6)
        .map(|row| {
            let y = 100.0 + 12.0 * f64::from(row);
            line(y, &[(long, 50.0, 290.0), (long, 310.0, 550.0)])
        })
        .collect();
    let (tables, rest) = tables(lines, &[]);
    assert!(tables.is_empty());
    assert_eq!(rest.len(), 6);
}

#[test]
fn the_first_amounts_end_a_header() {
    let rows = [
        ["", "Name", "Duties", "Paid"],
        ["", "", "", "(yen)"],
        ["", "Smith", "clerk", "1,000"],
        ["", "Jones", "cook", "2,000"],
        ["A1", "Bank", "fees of 3 days", "3"],
    ];
    let row = |texts: &[&str; 4]| GridRow {
        texts: texts.map(str::to_owned).to_vec(),
        ..GridRow::default()
    };
    let rows = header::join(rows.iter().map(row).collect());
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[0], ["", "Name", "Duties", "Paid (yen)"]);
}

#[test]
fn a_subtitle_above_the_only_rule_is_no_part_of_the_row_before() {
    let lines = vec![
        line(88.0, &[("item", 50.0, 80.0), ("yen", 150.0, 170.0)]),
        line(100.0, &[("apples", 50.0, 85.0), ("100", 150.0, 170.0)]),
        line(112.0, &[("Vegetables", 50.0, 95.0)]),
        line(124.0, &[("carrots", 50.0, 90.0), ("80", 150.0, 165.0)]),
        line(136.0, &[("total", 50.0, 80.0), ("180", 150.0, 170.0)]),
    ];
    let rule = Rule {
        from: (45.0, 127.0),
        to: (180.0, 127.0),
    };
    let (tables, _) = tables(lines, &[rule]);
    assert_eq!(tables[0].rows[1], ["apples", "100"]);
    assert_eq!(tables[0].rows[2], ["Vegetables", ""]);
}

fn row_of(y: f64, first: (&str, f64, f64), figures: [&str; 2]) -> Line {
    line(
        y,
        &[
            first,
            (figures[0], 150.0, 170.0),
            (figures[1], 200.0, 220.0),
        ],
    )
}

fn horizontal(left: f64, right: f64, y: f64) -> Rule {
    Rule {
        from: (left, y),
        to: (right, y),
    }
}

fn vertical(x: f64, top: f64, bottom: f64) -> Rule {
    Rule {
        from: (x, top),
        to: (x, bottom),
    }
}

#[test]
fn a_header_that_reaches_into_the_column_before_it_names_only_its_own() {
    let row = |y: f64, what: &str, right: f64| {
        line(
            y,
            &[
                ("1", 20.0, 26.0),
                (what, 50.0, right),
                ("900.00", 190.0, 220.0),
            ],
        )
    };
    let lines = vec![
        line(
            88.0,
            &[
                ("No.", 20.0, 35.0),
                ("Description", 60.0, 110.0),
                ("Amount ($)", 172.0, 218.0),
            ],
        ),
        row(100.0, "pens", 70.0),
        row(112.0, "paper of all sizes for the two offices", 180.0),
        row(124.0, "ink", 65.0),
    ];
    let (tables, _) = tables(lines, &[]);
    assert_eq!(tables[0].rows[0], ["No.", "Description", "Amount ($)"]);
    assert_eq!(tables[0].rows[1], ["1", "pens", "900.00"]);
}

#[test]
fn rules_around_a_header_of_two_lines_tell_its_columns() {
    let row = |y: f64| row_of(y, ("pen", 50.0, 70.0), ["3/4", "3/6"]);
    let lines = vec![
        line(
            80.0,
            &[("Item", 50.0, 70.0), ("Period of service", 152.0, 218.0)],
        ),
        line(88.0, &[("dates", 169.0, 200.5)]),
        line(100.0, &[("start", 150.0, 168.0), ("end", 202.0, 216.0)]),
        row(112.0),
        row(124.0),
        row(136.0),
    ];
    let rules = [
        vertical(140.0, 70.0, 104.0),
        vertical(230.0, 70.0, 104.0),
        vertical(185.0, 90.0, 104.0),
        horizontal(45.0, 230.0, 104.0),
    ];
    let (tables, _) = tables(lines, &rules);
    assert_eq!(
        tables[0].rows[0],
        [
            "Item",
            "Period of service dates start",
            "Period of service dates end"
        ]
    );
}

#[test]
fn a_rule_below_a_line_above_the_table_tells_which_columns_it_names() {
    let lines = vec![
        line(80.0, &[("12 weeks", 165.0, 200.0)]),
        row_of(96.0, ("Millions", 50.0, 85.0), ["2022", "2021"]),
        row_of(108.0, ("Sales", 50.0, 75.0), ["5,344", "4,941"]),
        row_of(120.0, ("Profit", 50.0, 75.0), ["1,751", "1,693"]),
    ];
    let (tables, rest) = tables(lines, &[horizontal(145.0, 225.0, 83.0)]);
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(
        tables[0].rows[0],
        ["Millions", "12 weeks 2022", "12 weeks 2021"]
    );
}

#[test]
fn names_with_a_wide_space_between_them_are_parted_at_their_columns() {
    let row = |y: f64| row_of(y, ("A1", 50.0, 60.0), ["7", "8"]);
    let mut header = line(
        88.0,
        &[("Product code Shelf", 50.0, 172.0), ("Left", 200.0, 218.0)],
    );
    let space = |at: usize, left: f64, right: f64| Space { at, left, right };
    header.cells[0].spaces = vec![space(7, 92.0, 95.0), space(12, 130.0, 142.0)];
    let lines = vec![header, row(100.0), row(112.0), row(124.0)];
    let (tables, _) = tables(lines, &[]);
    assert_eq!(tables[0].rows[0], ["Product code", "Shelf", "Left"]);
}

#[test]
fn a_header_over_several_columns_does_not_end_its_table() {
    let row = |y: f64, name: &str, right: f64| {
        line(
            y,
            &[
                ("Name", 50.0, 80.0),
                ("Smith", 110.0, 140.0),
                (name, 180.0, right),
                ("2022", 240.0, 260.0),
            ],
        )
    };
    let lines = vec![
        line(
            88.0,
            &[("Customer", 75.0, 115.0), ("Vehicle", 215.0, 250.0)],
        ),
        row(100.0, "Year", 200.0),
        row(112.0, "Make", 202.0),
        row(124.0, "Model", 206.0),
        row(136.0, "Kilometers", 222.0),
        row(148.0, "Color", 204.0),
    ];
    let (tables, rest) = tables(lines, &[]);
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!((tables.len(), tables[0].rows.len()), (1, 6));
}

#[test]
fn a_title_between_two_tables_and_what_stands_apart_below_are_rows_of_neither() {
    let lines = vec![
        row_of(100.0, ("Smith", 50.0, 80.0), ["Year", "2022"]),
        row_of(112.0, ("Jones", 50.0, 80.0), ["Make", "Jeep"]),
        row_of(124.0, ("Osaka", 50.0, 80.0), ["Doors", "5"]),
        line(136.0, &[("Estimate", 163.0, 198.0)]),
        row_of(148.0, ("Work", 50.0, 75.0), ["Hours", "Cost"]),
        row_of(160.0, ("Paint", 50.0, 75.0), ["2", "300"]),
        row_of(172.0, ("Total", 50.0, 75.0), ["2", "300"]),
        line(198.0, &[("Note", 50.0, 70.0)]),
        line(198.0, &[("The bumper was scratched", 90.0, 210.0)]),
    ];
    let (tables, rest) = tables(lines, &[]);
    let n_rows: Vec<usize> = tables.iter().map(|table| table.rows.len()).collect();
    assert_eq!(n_rows, [3, 3]);
    assert_eq!(tables[1].rows[0], ["Work", "Hours", "Cost"]);
    let rest: Vec<String> = rest.iter().map(Line::text).collect();
    assert_eq!(rest, ["Estimate", "Note The bumper was scratched"]);
}

#[test]
fn a_label_without_figures_between_rows_is_a_row() {
    let lines = vec![
        row_of(100.0, ("Work", 50.0, 75.0), ["Hours", "Cost"]),
        row_of(112.0, ("Paint", 50.0, 75.0), ["2", "300"]),
        row_of(124.0, ("Mechanics", 50.0, 95.0), ["-", "-"]),
        line(136.0, &[("Supplies", 50.0, 85.0)]),
        row_of(148.0, ("Oil", 50.0, 65.0), ["1", "30"]),
        line(160.0, &[("Tax", 50.0, 65.0), ("33", 200.0, 210.0)]),
        row_of(172.0, ("Total", 50.0, 75.0), ["3", "363"]),
    ];
    let rules = [104.0, 164.0].map(|y| horizontal(45.0, 225.0, y));
    let (tables, _) = tables(lines, &rules);
    let labels: Vec<&str> = tables[0].rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(
        labels,
        [
            "Work",
            "Paint",
            "Mechanics",
            "Supplies",
            "Oil",
            "Tax",
            "Total"
        ]
    );
}

#[test]
fn a_row_between_other_vertical_rules_begins_another_table() {
    let boxed = |y: f64, texts: [&str; 3], lefts: [f64; 3]| {
        let cells = texts
            .iter()
            .zip(lefts)
            .map(|(text, left)| (*text, left, left + 30.0));
        let cells: Vec<(&str, f64, f64)> = cells.collect();
        let edges: Vec<Rule> = lefts
            .iter()
            .flat_map(|left| [left - 4.0, left + 36.0])
            .map(|x| vertical(x, y - 9.0, y + 3.0))
            .collect();
        (line(y, &cells), edges)
    };
    let mut rows: Vec<(Line, Vec<Rule>)> = Vec::new();
    for (y, texts) in [
        (100.0, ["item", "kind", "price"]),
        (112.0, ["pen", "blue", "100"]),
        (124.0, ["ink", "red", "200"]),
    ] {
        rows.push(boxed(y, texts, [50.0, 150.0, 250.0]));
    }
    for (y, texts) in [
        (148.0, ["claim", "date", "state"]),
        (160.0, ["7", "May 3", "open"]),
        (172.0, ["8", "May 4", "open"]),
    ] {
        rows.push(boxed(y, texts, [70.0, 120.0, 210.0]));
    }
    let (lines, rules): (Vec<Line>, Vec<Vec<Rule>>) = rows.into_iter().unzip();
    let (tables, _) = tables(lines, &rules.concat());
    let headers: Vec<&Vec<String>> = tables.iter().map(|table| &table.rows[0]).collect();
    assert_eq!(
        headers,
        [&["item", "kind", "price"], &["claim", "date", "state"]]
    );
}

#[test]
fn a_row_of_units_is_part_of_the_header() {
    let rows = [
        ["Item", "Weight", "Price"],
        ["", "(kg)", "(yen)"],
        ["pen", "0.1", "100"],
    ];
    let row = |texts: &[&str; 3]| GridRow {
        texts: texts.map(str::to_owned).to_vec(),
        ..GridRow::default()
    };
    let rows = header::join(rows.iter().map(row).collect());
    assert_eq!(rows[0], ["Item", "Weight (kg)", "Price (yen)"]);
}

#[test]
fn a_line_above_what_is_no_table_is_looked_at_once() {
    let lines = vec![
        line(80.0, &[("12 weeks", 165.0, 200.0)]),
        row_of(96.0, ("Sales", 50.0, 75.0), ["5", "4"]),
        line(108.0, &[("of pens", 50.0, 80.0)]),
        line(120.0, &[("and ink", 50.0, 80.0)]),
        row_of(132.0, ("Profit", 50.0, 75.0), ["1", "2"]),
    ];
    let (tables, rest) = tables(lines, &[horizontal(145.0, 225.0, 83.0)]);
    assert!(tables.is_empty(), "{tables:?}");
    assert_eq!(rest.len(), 5);
}

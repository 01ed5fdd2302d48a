use super::*;

fn line(y: f64, cells: &[(&str, f64, f64)]) -> Line {
    Line {
        cells: cells
            .iter()
            .map(|&(text, left, right)| Cell {
                text: text.to_owned(),
                left,
                right,
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
            band: 0,
            wide: Vec::new(),
            texts: texts.map(str::to_owned).to_vec(),
        };
        join_header(rows.iter().map(row).collect())
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
        band: 0,
        wide: Vec::new(),
        texts: texts.map(str::to_owned).to_vec(),
    };
    let rows = join_header(rows.iter().map(row).collect());
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

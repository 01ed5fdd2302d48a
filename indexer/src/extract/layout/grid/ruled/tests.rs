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

fn horizontal(y: f64, left: f64, right: f64) -> Rule {
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

/// All rules of a grid.
fn grid(xs: &[f64], ys: &[f64]) -> Vec<Rule> {
    let (left, right) = (xs[0], xs[xs.len() - 1]);
    let (top, bottom) = (ys[0], ys[ys.len() - 1]);
    let level = ys.iter().map(|&y| horizontal(y, left, right));
    level
        .chain(xs.iter().map(|&x| vertical(x, top, bottom)))
        .collect()
}

fn only(lines: Vec<Line>, rules: &[Rule]) -> (Table, Vec<String>) {
    let (mut tables, rest) = tables(lines, rules);
    assert_eq!(tables.len(), 1, "{tables:?}");
    let rest = rest.lines.iter().map(Line::text).collect();
    (tables.remove(0), rest)
}

#[test]
fn a_row_is_what_lies_between_two_rules() {
    let rules = grid(&[40.0, 120.0, 300.0], &[90.0, 110.0, 160.0, 200.0]);
    let lines = vec![
        line(80.0, &[("Table 1", 40.0, 80.0)]),
        line(105.0, &[("Name", 45.0, 70.0), ("What it is", 125.0, 170.0)]),
        line(122.0, &[("It says what", 125.0, 190.0)]),
        line(
            134.0,
            &[("USAGE", 45.0, 80.0), ("may be used:", 125.0, 190.0)],
        ),
        line(146.0, &[("- by all", 135.0, 190.0)]),
        line(158.0, &[("- by none", 135.0, 190.0)]),
        line(172.0, &[("TYPE", 45.0, 80.0), ("The type.", 125.0, 190.0)]),
        line(184.0, &[("- a user", 135.0, 190.0)]),
        line(196.0, &[("- a group", 135.0, 190.0)]),
        line(215.0, &[("Text below.", 40.0, 100.0)]),
    ];
    let (table, rest) = only(lines, &rules);
    assert_eq!(
        table.rows,
        [
            ["Name", "What it is"],
            ["USAGE", "It says what may be used: - by all - by none"],
            ["TYPE", "The type. - a user - a group"]
        ]
    );
    assert_eq!(rest, ["Table 1", "Text below."]);
}

#[test]
fn a_header_written_upwards_names_its_columns_and_an_empty_one_stays() {
    let rules = grid(&[40.0, 200.0, 230.0, 260.0], &[50.0, 120.0, 140.0, 160.0]);
    // Upwards, the line goes along the page's height from below: see `Line`.
    let upright = |text: &str, x: f64| Line {
        turn: 1,
        ..line(x, &[(text, -115.0, -60.0)])
    };
    let row = |y: f64, what: &str| line(y, &[(what, 45.0, 90.0), ("X", 242.0, 248.0)]);
    let lines = vec![
        line(62.0, &[("Action", 45.0, 80.0)]),
        upright("READER", 219.0),
        upright("ADMIN", 249.0),
        row(134.0, "drop"),
        row(154.0, "grant"),
    ];
    let (table, rest) = only(lines, &rules);
    assert_eq!(
        table.rows,
        [
            ["Action", "READER", "ADMIN"],
            ["drop", "", "X"],
            ["grant", "", "X"]
        ]
    );
    assert!(rest.is_empty());
}

#[test]
fn columns_run_as_the_text_does() {
    let rules = grid(&[40.0, 150.0, 300.0], &[90.0, 110.0, 140.0]);
    let lines = vec![
        line(
            105.0,
            &[("12.10.1403", 60.0, 110.0), ("تاریخ پذیرش", 220.0, 290.0)],
        ),
        line(
            122.0,
            &[("بر اساس", 60.0, 110.0), ("نحوه تعیین قیمت", 200.0, 290.0)],
        ),
        line(134.0, &[("پایه", 260.0, 290.0)]),
    ];
    let (table, _) = only(lines, &rules);
    assert_eq!(
        table.rows,
        [
            ["تاریخ پذیرش", "12.10.1403"],
            ["نحوه تعیین قیمت پایه", "بر اساس"]
        ]
    );
}

#[test]
fn a_cell_over_several_columns_says_the_same_in_each_and_one_over_all_is_said_once() {
    let mut rules = grid(&[40.0, 120.0, 200.0, 280.0], &[90.0, 110.0]);
    // The second row has two columns, the third one, the fourth all three.
    rules.extend([130.0, 150.0, 170.0].map(|y| horizontal(y, 40.0, 280.0)));
    rules.extend([40.0, 280.0].map(|x| vertical(x, 110.0, 170.0)));
    rules.extend([vertical(120.0, 110.0, 130.0)]);
    rules.extend([120.0, 200.0].map(|x| vertical(x, 150.0, 170.0)));
    let lines = vec![
        line(
            105.0,
            &[("2028", 150.0, 170.0), ("Notes 2034", 220.0, 260.0)],
        ),
        line(
            125.0,
            &[("Issuer", 45.0, 80.0), ("The company", 170.0, 230.0)],
        ),
        line(145.0, &[("Terms", 45.0, 80.0)]),
        line(
            165.0,
            &[
                ("Price", 45.0, 70.0),
                ("99", 150.0, 160.0),
                ("98", 230.0, 240.0),
            ],
        ),
    ];
    let (table, _) = only(lines, &rules);
    assert_eq!(
        table.rows,
        [
            ["", "2028", "Notes 2034"],
            ["Issuer", "The company", "The company"],
            ["Terms", "", ""],
            ["Price", "99", "98"]
        ]
    );
}

#[test]
fn titles_and_the_fields_of_a_form_above_the_first_full_row_are_no_header() {
    let mut rules = grid(&[40.0, 120.0, 200.0, 280.0], &[130.0, 150.0, 170.0, 190.0]);
    rules.extend([90.0, 110.0].map(|y| horizontal(y, 40.0, 280.0)));
    rules.extend([40.0, 280.0].map(|x| vertical(x, 90.0, 130.0)));
    rules.push(vertical(120.0, 110.0, 130.0));
    let row = |y: f64, a: &str, b: &str, c: &str| {
        line(y, &[(a, 45.0, 100.0), (b, 125.0, 180.0), (c, 205.0, 270.0)])
    };
    let lines = vec![
        line(105.0, &[("School: North", 45.0, 100.0)]),
        line(
            125.0,
            &[("Grade: 3", 45.0, 90.0), ("Classes: 2", 125.0, 180.0)],
        ),
        row(145.0, "Teacher", "Room", "Pupils"),
        row(165.0, "Ito", "12", "30"),
        row(185.0, "Abe", "14", "28"),
    ];
    let (table, _) = only(lines, &rules);
    assert_eq!(table.titles, ["School: North", "Grade: 3 Classes: 2"]);
    assert_eq!(table.rows[0], ["Teacher", "Room", "Pupils"]);
    assert_eq!(table.rows.len(), 3);
}

#[test]
fn names_over_several_columns_are_part_of_the_header() {
    let mut rules = grid(&[40.0, 120.0, 200.0, 280.0], &[130.0, 150.0, 170.0]);
    rules.push(horizontal(90.0, 40.0, 280.0));
    rules.push(horizontal(110.0, 120.0, 280.0));
    rules.extend([40.0, 120.0, 280.0].map(|x| vertical(x, 90.0, 130.0)));
    rules.push(vertical(200.0, 110.0, 130.0));
    let lines = vec![
        line(105.0, &[("Item", 45.0, 70.0), ("Price", 185.0, 215.0)]),
        line(125.0, &[("new", 150.0, 170.0), ("used", 230.0, 250.0)]),
        line(
            145.0,
            &[
                ("pen", 45.0, 70.0),
                ("2", 150.0, 156.0),
                ("1", 230.0, 236.0),
            ],
        ),
        line(
            165.0,
            &[
                ("ink", 45.0, 70.0),
                ("4", 150.0, 156.0),
                ("3", 230.0, 236.0),
            ],
        ),
    ];
    let (table, _) = only(lines, &rules);
    assert_eq!(
        table.rows,
        [
            ["Item", "Price new", "Price used"],
            ["pen", "2", "1"],
            ["ink", "4", "3"]
        ]
    );
}

#[test]
fn a_label_beside_several_rows_stands_in_each() {
    let mut rules = grid(&[40.0, 120.0, 200.0], &[90.0, 110.0, 150.0]);
    rules.push(horizontal(130.0, 120.0, 200.0));
    let lines = vec![
        line(105.0, &[("Kind", 45.0, 70.0), ("Item", 125.0, 150.0)]),
        line(125.0, &[("tools", 45.0, 70.0), ("saw", 125.0, 150.0)]),
        line(145.0, &[("axe", 125.0, 150.0)]),
    ];
    let (table, _) = only(lines, &rules);
    assert_eq!(
        table.rows,
        [["Kind", "Item"], ["tools", "saw"], ["tools", "axe"]]
    );
}

#[test]
fn pieces_of_borders_boxes_to_tick_and_underlines_do_not_mislead() {
    let mut rules = Vec::new();
    for y in [90.0, 110.0, 130.0, 150.0] {
        // Each cell's own border, within its margins.
        rules.extend([(46.0, 114.0), (121.5, 195.0)].map(|(a, b)| horizontal(y, a, b)));
    }
    for (top, bottom) in [(90.0, 110.0), (110.0, 130.0), (130.0, 150.0)] {
        rules.extend([40.0, 120.0, 200.0].map(|x| vertical(x, top, bottom)));
    }
    // A box to tick that hangs at a border, and a link over the whole cell.
    rules.extend([111.0, 121.0].map(|y| horizontal(y, 150.0, 160.0)));
    rules.extend([150.0, 160.0].map(|x| vertical(x, 111.0, 121.0)));
    rules.push(horizontal(141.5, 123.0, 197.0));
    let lines = vec![
        line(105.0, &[("Question", 45.0, 90.0), ("Answer", 125.0, 160.0)]),
        line(121.0, &[("Standard?", 45.0, 90.0), ("yes", 165.0, 180.0)]),
        line(
            140.0,
            &[("Where", 45.0, 90.0), ("in the law of", 123.0, 197.0)],
        ),
        line(149.0, &[("1992", 125.0, 145.0)]),
    ];
    let (table, _) = only(lines, &rules);
    assert_eq!(
        table.rows,
        [
            ["Question", "Answer"],
            ["Standard?", "yes"],
            ["Where", "in the law of 1992"]
        ]
    );
}

#[test]
fn a_header_without_rows_below_it_is_a_table() {
    let mut rules = grid(&[40.0, 120.0, 200.0], &[90.0, 110.0]);
    rules.push(horizontal(130.0, 40.0, 200.0));
    rules.extend([40.0, 200.0].map(|x| vertical(x, 110.0, 130.0)));
    let lines = vec![
        line(105.0, &[("Claim", 45.0, 80.0), ("Status", 125.0, 160.0)]),
        line(125.0, &[("No results", 45.0, 100.0)]),
    ];
    let (table, _) = only(lines, &rules);
    assert_eq!(table.rows, [["Claim", "Status"], ["No results", ""]]);
}

#[test]
fn rules_around_several_rows_at_once_tell_no_cells() {
    let xs = [40.0, 120.0, 200.0];
    let rows: Vec<Line> = (0..4)
        .map(|row| {
            let y = 125.0 + 12.0 * f64::from(row);
            line(y, &[("pen", 45.0, 70.0), ("12", 150.0, 160.0)])
        })
        .collect();
    let mut lines = vec![line(
        105.0,
        &[("Item", 45.0, 70.0), ("Price", 125.0, 160.0)],
    )];
    lines.extend(rows);
    // Columns with rules, and a box around what is below the header.
    let mut boxed = grid(&xs, &[90.0, 110.0]);
    boxed.push(horizontal(170.0, 40.0, 200.0));
    boxed.extend([40.0, 200.0].map(|x| vertical(x, 110.0, 170.0)));
    for rules in [grid(&xs, &[90.0, 110.0, 170.0]), boxed] {
        let (tables, rest) = tables(lines.clone(), &rules);
        assert!(tables.is_empty(), "{tables:?}");
        assert_eq!((rest.lines.len(), rest.rules.len()), (5, rules.len()));
    }
}

#[test]
fn boxes_that_lines_connect_are_no_table() {
    let mut rules = grid(&[40.0, 100.0], &[90.0, 110.0]);
    rules.extend(grid(&[140.0, 200.0], &[90.0, 110.0]));
    rules.extend(grid(&[140.0, 200.0], &[150.0, 170.0]));
    rules.push(horizontal(100.0, 100.0, 140.0));
    rules.push(vertical(170.0, 110.0, 150.0));
    let lines = vec![
        line(103.0, &[("Start", 45.0, 80.0), ("Check", 145.0, 180.0)]),
        line(163.0, &[("End", 145.0, 180.0)]),
    ];
    let (tables, rest) = tables(lines, &rules);
    assert!(tables.is_empty(), "{tables:?}");
    assert_eq!(rest.lines.len(), 2);
}

#[test]
fn a_text_that_runs_over_a_rule_is_parted_at_its_space() {
    let rules = grid(&[40.0, 120.0, 200.0], &[90.0, 110.0, 130.0]);
    let mut both = line(105.0, &[("Name Price", 45.0, 160.0)]);
    both.cells[0].spaces = vec![crate::extract::layout::Space {
        at: 4,
        left: 70.0,
        right: 130.0,
    }];
    let lines = vec![
        both,
        line(125.0, &[("pen", 45.0, 60.0), ("12", 130.0, 140.0)]),
    ];
    let (table, _) = only(lines, &rules);
    assert_eq!(table.rows, [["Name", "Price"], ["pen", "12"]]);
}

#[test]
fn figures_beside_most_lines_of_a_box_are_rows_of_a_table_without_rules() {
    let rules = grid(&[40.0, 120.0, 200.0, 280.0], &[90.0, 105.0, 170.0, 185.0]);
    let figures = |y: f64, label: &str, first: &str, second: &str| {
        let mut cells = vec![(label, 45.0, 80.0), (second, 205.0, 220.0)];
        if !first.is_empty() {
            cells.insert(1, (first, 125.0, 140.0));
        }
        line(y, &cells)
    };
    let lines = vec![
        line(
            102.0,
            &[
                ("Country", 45.0, 80.0),
                ("Fund", 125.0, 150.0),
                ("Total", 205.0, 230.0),
            ],
        ),
        figures(118.0, "Malta", "2.3", "5.5"),
        figures(130.0, "Poland", "22", "55"),
        figures(142.0, "Latvia", "1.5", "3.9"),
        figures(154.0, "Slovakia", "4", "10"),
        figures(166.0, "Assistance", "", "0.87"),
        figures(182.0, "TOTAL", "29.8", "75.27"),
    ];
    let (tables, rest) = tables(lines, &rules);
    assert!(tables.is_empty(), "{tables:?}");
    assert_eq!(rest.rules.len(), rules.len());
}

#[test]
fn an_open_corner_above_two_columns_of_labels_is_part_of_the_header() {
    let xs = [40.0, 80.0, 140.0, 200.0, 260.0];
    let mut rules = grid(&xs, &[110.0, 130.0, 150.0]);
    rules.push(horizontal(90.0, 140.0, 260.0));
    rules.extend(xs[2..].iter().map(|&x| vertical(x, 90.0, 110.0)));
    let row = |y: f64, year: &str, who: &str, figures: [&str; 2]| {
        line(
            y,
            &[
                (year, 45.0, 65.0),
                (who, 85.0, 110.0),
                (figures[0], 150.0, 170.0),
                (figures[1], 210.0, 230.0),
            ],
        )
    };
    let lines = vec![
        line(105.0, &[("Farms", 150.0, 175.0), ("Trade", 210.0, 235.0)]),
        row(125.0, "1991", "Men", ["11.0", "40.7"]),
        row(145.0, "1996", "Women", ["6.6", "16.0"]),
    ];
    let (table, rest) = only(lines, &rules);
    assert!(rest.is_empty() && table.titles.is_empty());
    assert_eq!(table.rows[0], ["", "", "Farms", "Trade"]);
    assert_eq!(table.rows[1], ["1991", "Men", "11.0", "40.7"]);
}

#[test]
fn years_and_ages_below_names_over_several_columns_are_names() {
    for (first, second, n_rows) in [("2022", "2023", 2), ("Total", "15-24", 2), ("12", "3.5", 3)] {
        let mut rules = grid(&[40.0, 120.0, 180.0, 240.0], &[110.0, 130.0, 150.0]);
        rules.push(horizontal(90.0, 40.0, 240.0));
        rules.extend([40.0, 120.0, 240.0].map(|x| vertical(x, 90.0, 110.0)));
        let lines = vec![
            line(105.0, &[("Finland", 160.0, 200.0)]),
            line(
                125.0,
                &[
                    ("Year", 45.0, 65.0),
                    (first, 130.0, 150.0),
                    (second, 190.0, 210.0),
                ],
            ),
            line(
                145.0,
                &[
                    ("1995", 45.0, 65.0),
                    ("15.1", 130.0, 150.0),
                    ("29.7", 190.0, 210.0),
                ],
            ),
        ];
        let (table, _) = only(lines, &rules);
        assert_eq!(table.rows.len(), n_rows, "{first}");
        if n_rows == 2 {
            let names = [first, second].map(|name| format!("Finland {name}"));
            assert_eq!(table.rows[0], ["Year", &names[0], &names[1]]);
        }
    }
}

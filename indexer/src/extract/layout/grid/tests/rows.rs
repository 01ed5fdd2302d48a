//! Headers, sections, and rows of several lines, without rules around them.

use super::*;

#[test]
fn two_rows_of_three_columns_are_a_table() {
    let lines = vec![
        line(80.0, &[("Securities of the company:", 20.0, 120.0)]),
        line(
            100.0,
            &[
                ("Class", 60.0, 90.0),
                ("Symbol", 150.0, 190.0),
                ("Exchange", 250.0, 300.0),
            ],
        ),
        line(
            111.0,
            &[
                ("Common", 55.0, 95.0),
                ("ABC", 160.0, 180.0),
                ("Tokyo", 262.0, 288.0),
            ],
        ),
        line(130.0, &[("Tick the box below.", 20.0, 120.0)]),
    ];
    let (tables, rest) = tables(lines, &[]);
    assert_eq!(
        tables[0].rows,
        [["Class", "Symbol", "Exchange"], ["Common", "ABC", "Tokyo"]]
    );
    assert_eq!(rest.len(), 2);
}

#[test]
fn the_second_line_of_a_name_below_its_rule_is_part_of_the_header() {
    let lines = vec![
        line(
            88.0,
            &[("12 weeks", 150.0, 185.0), ("12 weeks", 200.0, 235.0)],
        ),
        line(97.0, &[("adjusted*", 200.0, 236.0)]),
        row_of(106.0, ("Japan", 50.0, 75.0), ["9.3%", "6.5%"]),
        row_of(118.0, ("Canada", 50.0, 80.0), ["2.4%", "8.3%"]),
        row_of(130.0, ("Others", 50.0, 80.0), ["-3.1%", "9.1%"]),
    ];
    let rules = [
        horizontal(145.0, 190.0, 90.0),
        horizontal(195.0, 240.0, 90.0),
    ];
    let (tables, _) = tables(lines, &rules);
    assert_eq!(tables[0].rows[0], ["", "12 weeks", "12 weeks adjusted*"]);
    assert_eq!(tables[0].rows[1], ["Japan", "9.3%", "6.5%"]);
}

#[test]
fn a_section_above_the_first_row_is_no_part_of_the_header() {
    let dates = line(
        88.0,
        &[("May 2022", 150.0, 180.0), ("May 2021", 200.0, 230.0)],
    );
    let rows = [
        line(98.0, &[("ASSETS", 90.0, 120.0)]),
        line(108.0, &[("CURRENT ASSETS", 50.0, 120.0)]),
        row_of(118.0, ("Cash", 60.0, 80.0), ["10,856", "10,203"]),
        row_of(128.0, ("Stocks", 60.0, 90.0), ["817", "846"]),
        row_of(138.0, ("Total", 70.0, 90.0), ["11,673", "11,049"]),
    ];
    let rules = [
        horizontal(145.0, 185.0, 90.0),
        horizontal(195.0, 235.0, 90.0),
    ];
    for rules in [&rules[..], &[]] {
        let lines = std::iter::once(dates.clone()).chain(rows.clone()).collect();
        let (tables, _) = tables(lines, rules);
        assert_eq!(tables[0].rows[0], ["", "May 2022", "May 2021"]);
        assert_eq!(tables[0].rows[1], ["ASSETS", "", ""]);
        assert_eq!(tables[0].rows[2], ["CURRENT ASSETS", "", ""]);
    }
}

#[test]
fn an_underlined_label_below_the_names_is_part_of_the_header() {
    let lines = vec![
        line(
            88.0,
            &[("Amount 2028", 150.0, 195.0), ("Amount 2034", 200.0, 245.0)],
        ),
        line(99.0, &[("Underwriter", 50.0, 95.0)]),
        row_of(110.0, ("First Bank", 50.0, 90.0), ["90,000", "15,000"]),
        row_of(121.0, ("Second Bank", 50.0, 95.0), ["70,000", "11,900"]),
    ];
    let rules = [
        horizontal(150.0, 195.0, 90.0),
        horizontal(200.0, 245.0, 90.0),
        horizontal(50.0, 95.0, 101.0),
    ];
    let (tables, _) = tables(lines, &rules);
    assert_eq!(
        tables[0].rows[0],
        ["Underwriter", "Amount 2028", "Amount 2034"]
    );
}

#[test]
fn a_currency_sign_is_no_column() {
    let lines = vec![
        line(88.0, &[("2022", 150.0, 170.0), ("2021", 200.0, 220.0)]),
        line(
            100.0,
            &[
                ("Sales", 50.0, 75.0),
                ("$", 130.0, 134.0),
                ("5,344", 150.0, 170.0),
                ("$", 182.0, 186.0),
                ("4,941", 200.0, 220.0),
            ],
        ),
        row_of(112.0, ("Fees", 50.0, 75.0), ["100", "94"]),
        row_of(124.0, ("Costs", 50.0, 75.0), ["(34)", "(39)"]),
    ];
    let (tables, _) = tables(lines, &[]);
    assert_eq!(tables[0].rows[1], ["Sales", "$ 5,344", "$ 4,941"]);
    assert_eq!(tables[0].rows[3], ["Costs", "(34)", "(39)"]);
}

#[test]
fn lines_without_a_label_close_below_a_row_go_on_with_it() {
    let row = |y: f64, no: &str, what: &str| line(y, &[(no, 20.0, 32.0), (what, 90.0, 240.0)]);
    let rest = |y: f64, what: &str| line(y, &[(what, 90.0, 238.0)]);
    let lines = vec![
        line(
            100.0,
            &[("Exhibit", 20.0, 60.0), ("Description", 90.0, 140.0)],
        ),
        row(113.0, "1.1", "Agreement of May 23 by and among"),
        rest(123.0, "the company and the banks"),
        rest(133.0, "named therein"),
        row(149.0, "4.1", "Form of notes due 2028"),
        row(164.0, "5.1", "Opinion of the lawyers on the"),
        rest(174.0, "notes and the agreement"),
        line(210.0, &[("Signed by the company.", 20.0, 120.0)]),
    ];
    // Links are underlined.
    let rules = [114.5, 124.5, 134.5].map(|y| horizontal(90.0, 235.0, y));
    let (tables, rest) = tables(lines, &rules);
    assert_eq!(
        tables[0].rows,
        [
            ["Exhibit", "Description"],
            [
                "1.1",
                "Agreement of May 23 by and among the company and the banks named therein"
            ],
            ["4.1", "Form of notes due 2028"],
            [
                "5.1",
                "Opinion of the lawyers on the notes and the agreement"
            ]
        ]
    );
    assert_eq!(rest.len(), 1);
}

#[test]
fn a_label_of_two_lines_has_its_figures_beside_the_second() {
    let lines = vec![
        row_of(88.0, ("Equity", 50.0, 80.0), ["2022", "2021"]),
        line(100.0, &[("Shares, 100,000 authorized and", 50.0, 142.0)]),
        row_of(110.0, ("outstanding", 50.0, 90.0), ["2", "2"]),
        row_of(122.0, ("Earnings", 50.0, 85.0), ["16,412", "15,585"]),
    ];
    let (tables, _) = tables(lines, &[]);
    assert_eq!(
        tables[0].rows[1],
        ["Shares, 100,000 authorized and outstanding", "2", "2"]
    );
    assert_eq!(tables[0].rows.len(), 3);
}

#[test]
fn the_fields_of_a_form_above_the_names_are_no_header() {
    let row = |y: f64, who: &str| row_of(y, (who, 50.0, 80.0), ["12", "30"]);
    let lines = vec![
        line(
            76.0,
            &[
                ("Grade: 3", 50.0, 85.0),
                ("Classes:", 150.0, 180.0),
                ("2", 200.0, 205.0),
            ],
        ),
        line(88.0, &[("Classroom information", 50.0, 130.0)]),
        row_of(100.0, ("Teacher", 50.0, 80.0), ["Room", "Pupils"]),
        row(112.0, "Ito"),
        row(124.0, "Abe"),
    ];
    let (tables, _) = tables(lines, &[]);
    assert_eq!(
        tables[0].titles,
        ["Grade: 3 Classes: 2", "Classroom information"]
    );
    assert_eq!(tables[0].rows[0], ["Teacher", "Room", "Pupils"]);
}

#[test]
fn a_listing_is_no_table() {
    let row = |y: f64, word: &str, rest: &str| line(y, &[(word, 50.0, 85.0), (rest, 100.0, 160.0)]);
    let lines = vec![
        row(100.0, "SELECT", "user_name,"),
        line(112.0, &[("user_type,", 100.0, 150.0)]),
        row(124.0, "FROM", "users"),
        row(136.0, "ORDER", "BY user_name;"),
    ];
    let (tables, rest) = tables(lines, &[]);
    assert!(tables.is_empty(), "{tables:?}");
    assert_eq!(rest.len(), 4);
}

#[test]
fn the_time_for_a_long_table_does_not_grow_with_its_square() {
    let lines = |n: u32| -> Vec<Line> {
        let line = |row: u32| {
            let y = 100.0 + 12.0 * f64::from(row);
            row_of(y, ("pens", 50.0, 75.0), ["12", "7"])
        };
        (0..n).map(line).collect()
    };
    let once = |n: u32| {
        let start = std::time::Instant::now();
        let (tables, _) = tables(lines(n), &[]);
        assert_eq!(tables[0].rows.len(), n as usize);
        start.elapsed().as_secs_f64()
    };
    // The quickest of several runs is the one that other work of the machine disturbed least.
    let seconds = |n: u32| (0..5).map(|_| once(n)).fold(f64::MAX, f64::min);
    let (short, long) = (seconds(500), seconds(5_000));
    // Ten times the rows: with the square it would be a hundred times the time.
    assert!(long < short * 40.0, "{short} s and {long} s");
}

//! Headers of several lines, and figures that tell them from rows.

use super::*;

/// A cell whose words are apart by these stretches.
fn spaced(text: &str, left: f64, right: f64, spaces: &[(f64, f64)]) -> Cell {
    let ats = text.match_indices(' ').map(|(at, _)| at);
    let spaces = ats
        .zip(spaces)
        .map(|(at, &(left, right))| Space { at, left, right });
    Cell {
        text: text.to_owned(),
        left,
        right,
        spaces: spaces.collect(),
    }
}

#[test]
fn amounts_close_to_each_other_are_those_of_several_columns() {
    let row = |y: f64, label: &str, amounts: &str| {
        let mut line = line(y, &[(label, 50.0, 80.0)]);
        line.cells
            .push(spaced(amounts, 120.0, 210.0, &[(160.0, 165.0)]));
        line
    };
    let lines = vec![
        line(
            88.0,
            &[
                ("State", 50.0, 75.0),
                ("2003", 130.0, 160.0),
                ("2004", 180.0, 210.0),
            ],
        ),
        row(100.0, "Maine", "2,753,438 2,799,250"),
        row(112.0, "Ohio", "1,085,670 1,003,528"),
        row(124.0, "Utah", "3,001,337 3,039,015"),
    ];
    let (tables, _) = tables(lines, &[]);
    assert_eq!(tables[0].rows[0], ["State", "2003", "2004"]);
    assert_eq!(tables[0].rows[1], ["Maine", "2,753,438", "2,799,250"]);
    // The thousands of one number may be apart, too.
    let one = vec![spaced("1 234,50", 120.0, 160.0, &[(125.0, 129.0)])];
    assert_eq!(signs::joined(one.clone()), one);
}

#[test]
fn a_row_of_figures_and_dashes_ends_a_header() {
    let texts = |texts: [&str; 5]| GridRow {
        texts: texts.map(str::to_owned).to_vec(),
        ..GridRow::default()
    };
    let mut groups = texts(["", "2007", "2007", "2006", "2006"]);
    groups.wide = vec![1..3, 3..5];
    let rows = vec![
        groups,
        texts(["Country", "n", "% Pos", "n", "% Pos"]),
        texts(["Estonia", "-", "-", "42", "-"]),
        texts(["Germany", "35", "0", "43", "0"]),
    ];
    let joined = header::join(rows);
    assert_eq!(
        joined[0],
        ["Country", "2007 n", "2007 % Pos", "2006 n", "2006 % Pos"]
    );
    assert_eq!(joined[1][0], "Estonia");
}

#[test]
fn names_that_stand_on_a_rule_are_the_header_however_many_lines_they_have() {
    let lines = vec![
        line(70.0, &[("Combined", 203.0, 245.0)]),
        line(
            80.0,
            &[
                ("Share of the", 145.0, 190.0),
                ("schools and", 200.0, 248.0),
            ],
        ),
        line(
            90.0,
            &[
                ("States", 50.0, 80.0),
                ("population", 145.0, 190.0),
                ("students", 202.0, 246.0),
            ],
        ),
        line(
            100.0,
            &[
                ("taking part", 50.0, 95.0),
                ("covered", 150.0, 185.0),
                ("2003–04", 204.0, 244.0),
            ],
        ),
        row_of(114.0, ("Alberta", 50.0, 85.0), ["100", "94"]),
        row_of(126.0, ("Ontario", 50.0, 85.0), ["97", "95"]),
    ];
    let rules = [horizontal(50.0, 250.0, 103.0)];
    let (on_rule, rest) = tables(lines.clone(), &rules);
    assert!(rest.is_empty(), "{rest:?}");
    assert_eq!(
        on_rule[0].rows[0],
        [
            "States taking part",
            "Share of the population covered",
            "Combined schools and students 2003–04"
        ]
    );
    assert_eq!(on_rule[0].rows.len(), 3);
    // Without the rule, the second label may be that of a row.
    let (tables, _) = tables(lines, &[]);
    assert_eq!(tables[0].rows[0][0], "");
}

#[test]
fn a_rule_in_pieces_below_a_line_above_the_table_is_one() {
    let lines = vec![
        line(76.0, &[("Spent", 170.0, 200.0)]),
        line(
            88.0,
            &[
                ("Year", 50.0, 75.0),
                ("Total", 145.0, 185.0),
                ("Per pupil", 200.0, 240.0),
            ],
        ),
        line(99.0, &[("Actual", 50.0, 80.0)]),
        row_of(110.0, ("1996", 50.0, 70.0), ["375.9", "8,242"]),
        row_of(122.0, ("1997", 50.0, 70.0), ["390.2", "8,460"]),
    ];
    let rules = [
        horizontal(140.0, 192.0, 79.0),
        horizontal(192.5, 245.0, 79.0),
        horizontal(50.0, 245.0, 91.0),
    ];
    let (tables, _) = tables(lines, &rules);
    assert_eq!(
        tables[0].rows[0],
        ["Year", "Spent Total", "Spent Per pupil"]
    );
    assert_eq!(tables[0].rows[1], ["Actual", "", ""]);
}

#[test]
fn figures_at_half_the_height_of_a_label_are_beside_it() {
    let label = |y: f64, text: &str| line(y, &[(text, 50.0, 95.0)]);
    let figures = |y: f64| line(y, &[("426", 160.0, 170.0), ("365", 210.0, 220.0)]);
    let lines = vec![
        row_of(88.0, ("Totals", 50.0, 80.0), ["2007", "2008"]),
        label(103.0, "Matters"),
        figures(109.0),
        label(115.0, "received"),
        row_of(130.0, ("Charged", 50.0, 85.0), ["290", "259"]),
        row_of(145.0, ("Closed", 50.0, 80.0), ["217", "197"]),
    ];
    let (tables, _) = tables(lines, &[]);
    assert_eq!(tables[0].rows[1], ["Matters received", "426", "365"]);
    assert_eq!(tables[0].rows.len(), 4);
}

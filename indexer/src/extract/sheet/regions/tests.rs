use super::*;
use proptest::prelude::*;

/// Rows of a sheet from row 0 and column 0 on.
fn sheet(lines: &[&str]) -> Rows {
    let row = |line: &&str| -> Cells {
        let cells = (0..).zip(line.split('|').map(str::trim));
        cells
            .filter(|(_, cell)| !cell.is_empty())
            .map(|(column, cell)| (column, cell.to_owned()))
            .collect()
    };
    let rows = (0..).zip(lines.iter().map(row));
    rows.filter(|(_, row)| !row.is_empty()).collect()
}

/// The first row of each region and the texts of the region's rows.
fn parted(lines: &[&str]) -> Vec<(u32, Vec<String>)> {
    let texts = |row: &Cells| {
        let cells: Vec<&str> = row.values().map(String::as_str).collect();
        cells.join(" ")
    };
    of(sheet(lines))
        .iter()
        .map(|region| (region.top, region.rows.iter().map(texts).collect()))
        .collect()
}

fn said(top: u32, rows: &[&str]) -> (u32, Vec<String>) {
    (top, rows.iter().map(|row| (*row).to_owned()).collect())
}

#[test]
fn a_table_that_begins_beside_the_rows_of_another_is_one_of_its_own() {
    let lines = [
        "Item | Price | | ",
        "Pen | 5 | | Rates",
        "Ink | 6 | | Tax | Fee",
        "Cap | 7 | | 1 | 2",
        "Rod | 8 | | 3 | 4",
        " | | | 5 | 6",
    ];
    let left = said(0, &["Item Price", "Pen 5", "Ink 6", "Cap 7", "Rod 8"]);
    let right = said(1, &["Rates", "Tax Fee", "1 2", "3 4", "5 6"]);
    assert_eq!(parted(&lines), [left, right]);
    // Without a title it stays where it is, and names its columns.
    let lines = [
        "Item | Price | | ",
        "Pen | 5 | | ",
        "Ink | 6 | | Tax | Fee",
        "Cap | 7 | | 1 | 2",
    ];
    let regions = of(sheet(&lines));
    let amid = Amid {
        row: 2,
        columns: 3..u32::MAX,
    };
    assert_eq!((regions.len(), &regions[0].amid[..]), (1, &[amid][..]));
    // One that begins where the other has ended.
    let lines = [
        "Item | Price",
        "Pen | 5",
        " | | | Tax | Fee",
        " | | | 1 | 2",
    ];
    assert_eq!(
        parted(&lines),
        [
            said(0, &["Item Price", "Pen 5"]),
            said(2, &["Tax Fee", "1 2"])
        ]
    );
}

#[test]
fn titles_side_by_side_are_those_of_two_tables() {
    let lines = [
        "Sales | | | Costs",
        "Item | Jan | | Item | Jan",
        "Pen | 1 | | Rent | 7",
    ];
    assert_eq!(
        parted(&lines),
        [
            said(0, &["Sales", "Item Jan", "Pen 1"]),
            said(0, &["Costs", "Item Jan", "Rent 7"])
        ]
    );
}

#[test]
fn empty_columns_that_make_room_part_nothing() {
    for lines in [
        // The right side has no names of its rows.
        &[
            "CHF | | | 2023",
            "Item | in | | Sales | Cost",
            "Kobe | 1 | | 2 | 3",
        ][..],
        // Remarks.
        &[
            "Item | Price | | ",
            "Pen | 5 | | late",
            "Ink | 6 | | ok | Mori",
            "Cap | 7 | | ok | Ito",
        ],
        // Names below the rows, of all columns.
        &[
            "Item | 2023 | | 2022",
            "Pen | 1 | | 2",
            "Kind | plan | | real",
            "Rent | 3 | | 4",
        ],
    ] {
        assert_eq!(parted(lines).len(), 1, "{lines:?}");
    }
}

#[test]
fn a_title_and_names_below_figures_begin_another_table() {
    let lines = [
        "Item | Cost",
        "Pen | 5",
        "Staff",
        "Name | Hours",
        "Mori | 40",
        "Sato | 35",
    ];
    assert_eq!(
        parted(&lines),
        [
            said(0, &["Item Cost", "Pen 5"]),
            said(2, &["Staff", "Name Hours", "Mori 40", "Sato 35"])
        ]
    );
    let sections = ["Item | Cost", "Cash | 5", "Debt", "Bank | n/a", "Loan | 4"];
    assert_eq!(parted(&sections).len(), 1);
}

#[test]
fn a_lone_row_after_a_gap_goes_on_with_the_rows_like_it() {
    let lines = [
        "Name | City",
        "Mori | Kobe",
        "Sato | Oita",
        "",
        "Ito | Nara",
    ];
    assert_eq!(
        parted(&lines),
        [said(
            0,
            &["Name City", "Mori Kobe", "Sato Oita", "", "Ito Nara"]
        )]
    );
    let others = [
        "Name | City",
        "Mori | Kobe",
        "",
        "Room | Floor",
        "A | upper",
    ];
    assert_eq!(parted(&others).len(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// However a sheet is parted, each of its cells is in one region, and in its row.
    #[test]
    fn no_cell_is_lost_or_moved(
        cells in prop::collection::vec(
            (0..14_u32, 0..9_u32, prop::sample::select(vec!["7", "1.5", "Name", "n/a", "2023", "a: ", "–"])),
            0..50,
        )
    ) {
        let mut rows = Rows::new();
        for (row, column, text) in cells {
            rows.entry(row).or_default().insert(column, text.to_owned());
        }
        let mut found = Rows::new();
        let mut n_found = 0;
        for region in of(rows.clone()) {
            for (at, row) in (region.top..).zip(region.rows) {
                n_found += row.len();
                if !row.is_empty() {
                    found.entry(at).or_default().extend(row);
                }
            }
        }
        prop_assert_eq!(n_found, rows.values().map(Cells::len).sum::<usize>());
        prop_assert_eq!(found, rows);
    }
}

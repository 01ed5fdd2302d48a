//! Tables that go on at the top of the next page, where they have no header of their own.

use super::grid::{self, Table};
use super::{Item, Line};

/// Longest line that may stand between a table and the end of a page, such as the page's number.
const MAX_LABEL_CHARS: usize = 20;

/// Most such lines.
const MAX_LABELS: usize = 2;

/// Most lines above the rows of a table that head its first rows.
const MAX_SUBTITLES: usize = 4;

/// How far a column may be from where it was on the page before.
const TOLERANCE: f64 = 4.0;

/// Lines further apart than so many letter heights are not of one table.
const MAX_GAP: f64 = 2.5;

/// Gives tables that go on from the page before the header they began with.
pub(super) fn join(pages: &mut [Vec<Item>]) {
    for at in 1..pages.len() {
        let (before, after) = pages.split_at_mut(at);
        if let (Some(before), Some(items)) = (before.last(), after.first_mut())
            && let Some(table) = last_table(before)
            && let Some(place) = place_of_rest(items, table)
        {
            go_on(items, place, &table.rows[0]);
        }
    }
}

/// Returns the table with which a page ends.
fn last_table(items: &[Item]) -> Option<&Table> {
    let is_label = |item: &&Item| match item {
        Item::Line(line) => line.text().chars().count() <= MAX_LABEL_CHARS,
        Item::Table(_) => false,
    };
    let n_labels = items.iter().rev().take_while(is_label).count();
    match items.iter().rev().nth(n_labels)? {
        Item::Table(table) if n_labels <= MAX_LABELS => Some(table),
        Item::Table(_) | Item::Line(_) => None,
    }
}

/// Returns where on a page a table goes on that was begun on the page before: it is the first thing there but for titles
/// of its first rows, has the same columns, and no names of its own for them.
fn place_of_rest(items: &[Item], begun: &Table) -> Option<usize> {
    let place = items
        .iter()
        .take(MAX_SUBTITLES + MAX_LABELS + 1)
        .position(|item| matches!(item, Item::Table(_)))?;
    let Item::Table(table) = &items[place] else {
        return None;
    };
    let has_same_columns = table.columns.len() == begun.columns.len()
        && table
            .columns
            .iter()
            .zip(&begun.columns)
            .all(|(one, other)| grid::are_aligned(*one, *other, TOLERANCE));
    let n_labels = place - n_subtitles(&items[..place], table);
    let are_labels = items[..n_labels].iter().all(|item| match item {
        Item::Line(line) => line.text().chars().count() <= MAX_LABEL_CHARS,
        Item::Table(_) => false,
    });
    let n_names = begun.rows[0]
        .iter()
        .skip(1)
        .filter(|name| name.chars().any(char::is_alphabetic));
    let has_names = n_names.count() * 2 >= begun.rows[0].len().saturating_sub(1);
    (has_same_columns
        && has_names
        && n_labels <= MAX_LABELS
        && are_labels
        && !names_columns(table, begun))
    .then_some(place)
}

/// Returns how many lines close above a table stand over it, one below the other.
fn n_subtitles(above: &[Item], table: &Table) -> usize {
    let mut below = table.top;
    let mut n = 0;
    for item in above.iter().rev() {
        let Item::Line(line) = item else { break };
        let is_inside = line.left() >= table.left - TOLERANCE && line.right() <= table.right;
        if line.cells.len() > 1
            || !is_inside
            || !(0.0..line.size * MAX_GAP).contains(&(below - line.y))
        {
            break;
        }
        below = line.y - line.size * 0.7;
        n += 1;
    }
    n
}

/// Whether the first row of a table is a header: the one with which the other table began, or names above figures.
fn names_columns(table: &Table, begun: &Table) -> bool {
    let [first, rows @ ..] = &table.rows[..] else {
        return true;
    };
    if Some(first) == begun.rows.first() {
        return true;
    }
    let has_figures = (1..first.len()).any(|column| {
        let texts = rows.iter().filter_map(|row| row.get(column));
        let (mut n, mut n_figures) = (0, 0);
        for text in texts.filter(|text| !text.is_empty()) {
            n += 1;
            n_figures += usize::from(grid::is_figure(text));
        }
        n_figures * 2 > n
    });
    let is_named = first
        .iter()
        .skip(1)
        .all(|text| !text.is_empty() && !text.chars().any(|c| c.is_ascii_digit()));
    has_figures && is_named
}

/// Puts a header above a table's rows, and what heads these among them.
fn go_on(items: &mut Vec<Item>, place: usize, header: &[String]) {
    let Item::Table(table) = &items[place] else {
        return;
    };
    let n_subtitles = n_subtitles(&items[..place], table);
    let subtitles: Vec<Item> = items.drain(place - n_subtitles..place).collect();
    let Some(Item::Table(table)) = items.get_mut(place - n_subtitles) else {
        return;
    };
    let mut heads: Vec<String> = subtitles
        .iter()
        .filter_map(|item| match item {
            Item::Line(line) => Some(Line::text(line)),
            Item::Table(_) => None,
        })
        .collect();
    heads.append(&mut table.titles);
    let as_row = |head: String| {
        let mut row = vec![String::new(); header.len()];
        row[0] = head;
        row
    };
    let above = std::iter::once(header.to_vec()).chain(heads.into_iter().map(as_row));
    table.rows.splice(0..0, above);
}

#[cfg(test)]
mod tests {
    use super::super::Cell;
    use super::*;

    fn line(text: &str, y: f64) -> Item {
        Item::Line(Line {
            cells: vec![Cell {
                text: text.to_owned(),
                left: 50.0,
                right: 100.0,
                ..Cell::default()
            }],
            y,
            size: 10.0,
            turn: 0,
        })
    }

    fn table(rows: &[[&str; 3]], columns: [(f64, f64); 3]) -> Item {
        let row = |row: &[&str; 3]| row.map(str::to_owned).to_vec();
        Item::Table(Table {
            rows: rows.iter().map(row).collect(),
            columns: columns.to_vec(),
            top: 100.0,
            bottom: 200.0,
            left: 50.0,
            right: 300.0,
            ..Table::default()
        })
    }

    const HEADER: [&str; 3] = ["Underwriter", "Notes due 2028", "Notes due 2034"];
    const ROWS: [[&str; 3]; 2] = [["First Bank", "900", "1,530"], ["Total", "5,000", "8,500"]];
    const COLUMNS: [(f64, f64); 3] = [(50.0, 120.0), (160.0, 200.0), (240.0, 300.0)];

    fn begun() -> Vec<Item> {
        let rows = [HEADER, ["Big Bank", "90", "153"]];
        vec![table(&rows, COLUMNS), line("S1-1", 700.0)]
    }

    /// Returns the rows of the table on the second page, and how many items there are beside it.
    fn rows(begun: Vec<Item>, items: Vec<Item>) -> (Vec<Vec<String>>, usize) {
        let mut pages = [begun, items];
        join(&mut pages);
        let n_others = pages[1].len() - 1;
        let tables = pages[1].iter().find_map(|item| match item {
            Item::Table(table) => Some(table.rows.clone()),
            Item::Line(_) => None,
        });
        (tables.unwrap(), n_others)
    }

    #[test]
    fn a_table_that_goes_on_has_the_header_it_began_with() {
        // Its figures are narrower, but end where those above do.
        let columns = [(50.0, 90.0), (172.0, 200.0), (250.0, 300.0)];
        let (rows, _) = rows(begun(), vec![table(&ROWS, columns)]);
        assert_eq!(rows[0], HEADER);
        assert_eq!(rows[1..], ROWS);
    }

    #[test]
    fn what_heads_its_first_rows_becomes_rows() {
        let items = vec![
            line("12", 30.0),
            line("LIABILITIES", 80.0),
            line("CURRENT", 91.0),
            table(&ROWS, COLUMNS),
        ];
        let (rows, n_others) = rows(begun(), items);
        assert_eq!(rows[0], HEADER);
        assert_eq!(rows[1], ["LIABILITIES", "", ""]);
        assert_eq!(rows[2], ["CURRENT", "", ""]);
        assert_eq!((rows.len(), n_others), (5, 1));
    }

    #[test]
    fn another_table_keeps_its_own_header() {
        let named = [["Bank", "Amount", "Share"], ROWS[0], ROWS[1]];
        let elsewhere = [(50.0, 90.0), (110.0, 140.0), (220.0, 260.0)];
        let text = "A paragraph that ends the page between the two tables.";
        let again = [HEADER, ROWS[0], ROWS[1]];
        let mut interrupted = begun();
        interrupted.push(line(text, 720.0));
        for (begun, items, first) in [
            (begun(), vec![table(&named, COLUMNS)], named[0]),
            (begun(), vec![table(&again, COLUMNS)], HEADER),
            (begun(), vec![table(&ROWS, elsewhere)], ROWS[0]),
            (
                begun(),
                vec![line(text, 60.0), table(&ROWS, COLUMNS)],
                ROWS[0],
            ),
            (interrupted, vec![table(&ROWS, COLUMNS)], ROWS[0]),
        ] {
            let (rows, _) = rows(begun, items);
            assert_eq!(rows[0], first);
            assert!(rows[1..].iter().all(|row| *row != HEADER));
        }
    }
}

//! Sheets that show two pages beside each other, as scans of an open book and brochures for the screen do. Each half is
//! laid out for itself: no row of a table runs from one page of a book into the other.

use super::{Cell, Line, Page, Rule};

/// A sheet's text is wider than high by this factor.
const MIN_RATIO: f64 = 1.2;

/// The gutter's width in heights of letters.
const MIN_GUTTER: f64 = 4.0;

/// Characters of a line of prose, and how many such lines each half has.
const MIN_PROSE_CHARS: usize = 40;
const MIN_PROSE_LINES: usize = 3;

/// Returns the two halves of a sheet with a gutter, from left to right, else the page as it is.
pub(super) fn halves(page: Page) -> Vec<Page> {
    let Some(gutter) = gutter(&page.lines) else {
        return vec![page];
    };
    let halves = [(f64::MIN, gutter), (gutter, f64::MAX)];
    let half = |(from, to)| Page {
        number: page.number,
        lines: page
            .lines
            .iter()
            .filter_map(|line| line_within(line, from, to))
            .collect(),
        rules: page
            .rules
            .iter()
            .filter_map(|rule| rule_within(rule, from, to))
            .collect(),
        is_unordered: page.is_unordered,
    };
    halves.map(half).into()
}

/// Returns where the sheet is folded: the middle of its text, if that is a wide gap which nothing crosses and both sides
/// have prose, as the halves of a table do not.
fn gutter(lines: &[Line]) -> Option<f64> {
    let fold_of =
        |value: fn(&Line) -> f64, pick: fn(f64, f64) -> f64| lines.iter().map(value).reduce(pick);
    let (left, right) = (
        fold_of(Line::left, f64::min)?,
        fold_of(Line::right, f64::max)?,
    );
    let (top, bottom) = (
        fold_of(|line| line.y, f64::min)?,
        fold_of(|line| line.y, f64::max)?,
    );
    let middle = f64::midpoint(left, right);
    if right - left < (bottom - top) * MIN_RATIO || lines.iter().any(|line| line.turn != 0) {
        return None;
    }
    let (mut sides, mut start, mut end) = ([0, 0], left, right);
    for line in lines {
        // Lines drawn row by row run through both pages; their cells do not.
        for cell in &line.cells {
            let side = usize::from(cell.left > middle);
            if side == 0 {
                start = start.max(cell.right);
            } else {
                end = end.min(cell.left);
            }
            sides[side] += usize::from(cell.text.chars().count() >= MIN_PROSE_CHARS);
        }
    }
    let mut sizes: Vec<f64> = lines.iter().map(|line| line.size).collect();
    sizes.sort_by(f64::total_cmp);
    let size = sizes[sizes.len() / 2];
    let is_open = start < middle && end > middle && end - start >= size * MIN_GUTTER;
    (is_open && sides.iter().all(|&n| n >= MIN_PROSE_LINES)).then_some(middle)
}

/// Returns the cells of a line that lie in a half; a line drawn row by row runs through both.
fn line_within(line: &Line, from: f64, to: f64) -> Option<Line> {
    let is_inside = |cell: &&Cell| cell.left >= from && cell.right <= to;
    let cells: Vec<Cell> = line.cells.iter().filter(is_inside).cloned().collect();
    (!cells.is_empty()).then(|| Line {
        cells,
        ..line.clone()
    })
}

/// Returns the part of a rule that lies in a half.
fn rule_within(rule: &Rule, from: f64, to: f64) -> Option<Rule> {
    let part = Rule {
        from: (rule.from.0.max(from), rule.from.1),
        to: (rule.to.0.min(to), rule.to.1),
    };
    (part.from.0 <= part.to.0).then_some(part)
}

#[cfg(test)]
mod tests {
    use super::super::{Item, items};
    use super::*;

    const PROSE: &str = "They conduct or organize training sessions for all lawyers";

    fn line(y: f64, cells: &[(&str, f64, f64)]) -> Line {
        let cell = |&(text, left, right): &(&str, f64, f64)| Cell {
            text: text.to_owned(),
            left,
            right,
            ..Cell::default()
        };
        Line {
            cells: cells.iter().map(cell).collect(),
            y,
            size: 10.0,
            turn: 0,
        }
    }

    /// A sheet with prose on both pages, answers to tick on the left one and a table beside them on the right one.
    fn sheet() -> Page {
        let mut lines: Vec<Line> = [100.0, 115.0, 130.0]
            .iter()
            .map(|&y| line(y, &[(PROSE, 50.0, 350.0), (PROSE, 500.0, 800.0)]))
            .collect();
        let rows = [("Groups", "State"), ("Women", "yes"), ("The elderly", "no")];
        for (at, (name, value)) in rows.into_iter().enumerate() {
            let y = 200.0 + 20.0 * f64::from(u32::try_from(at).unwrap());
            lines.push(line(y, &[("Yes, at this level", 50.0, 140.0)]));
            lines.push(line(y, &[(name, 500.0, 560.0), (value, 700.0, 730.0)]));
        }
        Page {
            lines,
            ..Page::default()
        }
    }

    fn tables(page: Page) -> Vec<Vec<Vec<String>>> {
        let tables = halves(page)
            .into_iter()
            .flat_map(items)
            .filter_map(|item| match item {
                Item::Table(table) => Some(table.rows),
                Item::Line(_) => None,
            });
        tables.collect()
    }

    #[test]
    fn rows_of_one_page_do_not_run_into_the_other() {
        assert_eq!(
            tables(sheet()),
            [[["Groups", "State"], ["Women", "yes"], ["The elderly", "no"]]]
        );
    }

    #[test]
    fn the_left_page_is_read_first() {
        let texts: Vec<String> = halves(sheet())
            .into_iter()
            .flat_map(items)
            .map(|item| match item {
                Item::Line(line) => line.text(),
                Item::Table(_) => "table".to_owned(),
            })
            .collect();
        let answer = "Yes, at this level";
        let expected = [
            PROSE, PROSE, PROSE, answer, answer, answer, PROSE, PROSE, PROSE, "table",
        ];
        assert_eq!(texts, expected);
    }

    #[test]
    fn a_title_over_both_sides_or_figures_on_one_make_no_spread() {
        let mut titled = sheet();
        titled
            .lines
            .push(line(80.0, &[("What all columns are about", 300.0, 600.0)]));
        assert!(gutter(&titled.lines).is_none());
        let mut rows = sheet().lines;
        for line in &mut rows {
            for cell in line.cells.iter_mut().filter(|cell| cell.left > 400.0) {
                "1,200".clone_into(&mut cell.text);
            }
        }
        assert!(gutter(&rows).is_none());
        assert!(gutter(&sheet().lines).is_some());
        assert!(gutter(&[]).is_none());
    }
}

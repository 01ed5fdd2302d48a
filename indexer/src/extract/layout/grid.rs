//! Tables: rows of cells that stand under each other with empty columns between them.

use super::{Cell, Line, Rule};
use std::ops::Range;

/// Fewest rows of a table.
const MIN_ROWS: usize = 3;

/// Mean characters of a cell above which aligned text is taken for columns of prose.
const MAX_CELL_CHARS: usize = 40;

/// Most lines of a header's cell.
const MAX_HEADER_ROWS: usize = 6;

/// Most rows at the top of a table whose cells may stand over several columns.
const MAX_ROWS_ABOVE: usize = 3;

/// Rows further apart than so many letter heights are not of one table.
const MAX_ROW_GAP: f64 = 3.2;

/// How far a letter may reach over a ruling line.
const OVERHANG: f64 = 2.0;

/// A table and its place.
#[derive(Debug, PartialEq)]
pub(super) struct Table {
    pub(super) rows: Vec<Vec<String>>,
    pub(super) top: f64,
    pub(super) left: f64,
    pub(super) right: f64,
}

/// All cells of about the same base line.
#[derive(Debug, Default)]
struct Row {
    cells: Vec<Cell>,
    /// The lines they come from.
    lines: Vec<usize>,
    y: f64,
    size: f64,
    /// Where vertical rules run through it.
    rules: Vec<f64>,
}

/// Takes the tables out of a page's lines; returns them from top to bottom, and the other lines as they were.
pub(super) fn tables(lines: Vec<Line>, rules: &[Rule]) -> (Vec<Table>, Vec<Line>) {
    let rows = rows(&lines, rules);
    let mut tables = Vec::new();
    let mut taken = vec![false; lines.len()];
    let mut start = 0;
    while start < rows.len() {
        let end = run_end(&rows, start);
        match Table::of(&rows[start..end], rules) {
            Some(table) => {
                for &line in rows[start..end].iter().flat_map(|row| &row.lines) {
                    taken[line] = true;
                }
                tables.push(table);
                start = end;
            }
            None => start += 1,
        }
    }
    let mut taken = taken.into_iter();
    let rest = lines
        .into_iter()
        .filter(|_| !taken.next().unwrap_or(false))
        .collect();
    (tables, rest)
}

fn rows(lines: &[Line], rules: &[Rule]) -> Vec<Row> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by(|&a, &b| lines[a].y.total_cmp(&lines[b].y));
    let mut rows: Vec<Row> = Vec::new();
    for at in order {
        let line = &lines[at];
        let is_same = rows
            .last()
            .is_some_and(|row| (line.y - row.y).abs() <= row.size.min(line.size) * 0.4);
        if !is_same {
            rows.push(Row {
                y: line.y,
                size: line.size,
                ..Row::default()
            });
        }
        if let Some(row) = rows.last_mut() {
            row.cells.extend(line.cells.iter().cloned());
            row.lines.push(at);
            row.size = row.size.max(line.size);
        }
    }
    for row in &mut rows {
        row.cells.sort_by(|a, b| a.left.total_cmp(&b.left));
        let crosses = |rule: &&Rule| {
            rule.is_vertical() && rule.from.1 < row.y && rule.to.1 > row.y - row.size * 0.5
        };
        row.rules = rules
            .iter()
            .filter(crosses)
            .map(|rule| rule.from.0)
            .collect();
    }
    rows
}

/// Returns the end of the rows from `start` that have cells beside each other. A single row of one cell between such
/// rows, such as a subtitle or a wrapped cell, belongs to them if it leaves their columns apart.
fn run_end(rows: &[Row], start: usize) -> usize {
    if rows[start].cells.len() < 2 {
        return start + 1;
    }
    let mut end = start + 1;
    let mut n_columns = columns(&rows[start..end]).len();
    while end < rows.len() {
        let row = &rows[end];
        let before = &rows[end - 1];
        if row.y - before.y > row.size.max(before.size) * MAX_ROW_GAP {
            break;
        }
        let next = columns(&rows[start..=end]).len();
        let is_narrow = row.cells.len() >= 2 || {
            let follows = rows
                .get(end + 1)
                .is_some_and(|after| after.cells.len() >= 2);
            follows || row.y - before.y <= row.size * 1.6
        };
        if next < 2 || next < n_columns.min(3) || !is_narrow {
            break;
        }
        n_columns = next;
        end += 1;
    }
    // What follows the last row of several cells is text below the table.
    while end > start + 1 && rows[end - 1].cells.len() < 2 {
        end -= 1;
    }
    end
}

/// Returns the columns' left and right edges: stretches that cells cover, with nothing or a rule between them.
fn columns(rows: &[Row]) -> Vec<(f64, f64)> {
    let mut spans: Vec<(f64, f64)> = rows
        .iter()
        .flat_map(|row| &row.cells)
        .map(|cell| (cell.left, cell.right.max(cell.left)))
        .collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut rules: Vec<f64> = rows.iter().flat_map(|row| &row.rules).copied().collect();
    rules.sort_by(f64::total_cmp);
    let is_ruled = |from: f64, to: f64| {
        let next = rules.partition_point(|rule| *rule < from - OVERHANG);
        to >= from - OVERHANG && rules.get(next).is_some_and(|rule| *rule <= to + OVERHANG)
    };
    let mut columns: Vec<(f64, f64)> = Vec::new();
    for (left, right) in spans {
        match columns.last_mut() {
            Some(last) if left <= last.1 + 1.0 && !is_ruled(last.1, left) => {
                last.1 = last.1.max(right);
            }
            Some(_) | None => columns.push((left, right)),
        }
    }
    columns
}

/// A row of a table in the making.
struct GridRow {
    /// How many borders are above it.
    band: usize,
    /// The columns that cells over several of them stand over.
    wide: Vec<Range<usize>>,
    texts: Vec<String>,
}

impl GridRow {
    /// Whether it only has cells under those of a row above it that stand over several columns.
    fn tells_apart(&self, above: &Self) -> bool {
        let mut filled = (0..self.texts.len()).filter(|column| !self.texts[*column].is_empty());
        filled.all(|column| above.wide.iter().any(|wide| wide.contains(&column)))
    }
}

impl Table {
    fn of(rows: &[Row], rules: &[Rule]) -> Option<Self> {
        let (n_above, columns) = columns_below_header(rows)?;
        let n_full = rows.iter().filter(|row| row.cells.len() >= 2).count();
        if rows.len() < MIN_ROWS || columns.len() < 2 || n_full * 2 < rows.len() {
            return None;
        }
        let cells: Vec<&Cell> = rows.iter().flat_map(|row| &row.cells).collect();
        let n_chars: usize = cells.iter().map(|cell| cell.text.chars().count()).sum();
        let is_prose = n_chars > cells.len() * MAX_CELL_CHARS
            || (columns.len() == 2 && is_justified(rows, &columns));
        // A list: only markers stand in the first column.
        let is_list = columns.len() == 2
            && rows
                .iter()
                .all(|row| row.cells.len() < 2 || row.cells[0].text.chars().count() <= 3);
        if is_prose || is_list {
            return None;
        }
        let (left, right) = (columns.first()?.0, columns.last()?.1);
        let top = rows.first()?.y - rows.first()?.size;
        let bottom = rows.last()?.y;
        let borders = borders(rules, (left, right), (top, bottom));
        let spacing = Spacing::of(rows, &borders);
        let mut grid: Vec<GridRow> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let band = borders
                .iter()
                .filter(|&&y| y < row.y - row.size * 0.3)
                .count();
            let reach = |cell: &Cell| {
                if at < n_above {
                    reach(&columns, cell)
                } else {
                    1
                }
            };
            let places: Vec<Range<usize>> = row
                .cells
                .iter()
                .map(|cell| place(&columns, cell)..place(&columns, cell) + reach(cell))
                .collect();
            let above = grid.last().filter(|above| above.band == band);
            let goes_on = above.is_some_and(|above| match band {
                0 if !borders.is_empty() => {
                    let is_header = !above.texts.iter().any(|text| is_figure(text));
                    is_header
                        && at < MAX_HEADER_ROWS
                        && is_part(&places, columns.len())
                        && !row.has_amount()
                }
                _ => {
                    borders.len() >= 2
                        && (is_rest(&places, &above.texts)
                            || (spacing.is_tight(rows, at) && is_wrap(&columns, rows, at)))
                }
            });
            if !goes_on {
                grid.push(GridRow {
                    band,
                    wide: Vec::new(),
                    texts: vec![String::new(); columns.len()],
                });
            }
            let Some(last) = grid.last_mut() else {
                continue;
            };
            for (cell, places) in row.cells.iter().zip(places) {
                if places.len() > 1 {
                    last.wide.push(places.clone());
                }
                for text in &mut last.texts[places] {
                    if !text.is_empty() {
                        text.push(' ');
                    }
                    text.push_str(&cell.text);
                }
            }
        }
        let rows = join_header(grid);
        (rows.len() >= 2).then_some(Self {
            rows,
            top,
            left,
            right,
        })
    }
}

/// Returns the columns of a table and how many rows at its top were left out to find them: a header over several columns
/// hides the gaps between them.
fn columns_below_header(rows: &[Row]) -> Option<(usize, Vec<(f64, f64)>)> {
    let n_most = MAX_ROWS_ABOVE.min(rows.len().saturating_sub(MIN_ROWS));
    let found = (0..=n_most)
        .rev()
        .map(|n_above| (n_above, columns(&rows[n_above..])));
    // Of equals the last one, which leaves out least.
    found.max_by_key(|(_, columns)| columns.len())
}

/// Returns how many columns a header's cell stands over.
fn reach(columns: &[(f64, f64)], cell: &Cell) -> usize {
    let first = place(columns, cell);
    let over = columns[first + 1..].iter();
    1 + over
        .take_while(|(left, _)| *left + OVERHANG < cell.right)
        .count()
}

/// Returns the column that a cell begins in.
fn place(columns: &[(f64, f64)], cell: &Cell) -> usize {
    let begin = cell.left + OVERHANG.min((cell.right - cell.left).max(0.0) / 2.0);
    let column = columns.iter().position(|&(_, right)| begin <= right);
    column.unwrap_or(columns.len() - 1)
}

/// Whether a line fills at most half of the columns, as the further lines of a header do.
fn is_part(places: &[Range<usize>], n_columns: usize) -> bool {
    places.len() * 2 <= n_columns
}

/// Whether a line only adds to cells of the row above it, and to few of them: the rest of what did not fit on one line.
fn is_rest(places: &[Range<usize>], above: &[String]) -> bool {
    let n_above = above.iter().filter(|text| !text.is_empty()).count();
    let adds = places.iter().all(|place| !above[place.start].is_empty());
    adds && places.len() * 2 <= n_above
}

/// Whether each cell of a line stands under one that fills its column: text that goes on.
fn is_wrap(columns: &[(f64, f64)], rows: &[Row], at: usize) -> bool {
    let above = at
        .checked_sub(1)
        .map_or(&[][..], |above| &rows[above].cells);
    rows[at].cells.iter().all(|cell| {
        let column = place(columns, cell);
        let (left, right) = columns[column];
        let above = above.iter().find(|above| place(columns, above) == column);
        above.is_some_and(|above| {
            above.right - above.left >= (right - left) * 0.6
                && !(is_figure(&above.text) && is_figure(&cell.text))
        })
    })
}

/// Whether a text is a number, an amount or a date: digits, and no letters.
fn is_figure(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_digit()) && !text.chars().any(char::is_alphabetic)
}

/// Whether a text is a figure that names no column, as a year or a number of a note does.
fn is_amount(text: &str) -> bool {
    is_figure(text) && (text.contains(['.', ',']) || text.len() > 4)
}

impl Row {
    fn has_amount(&self) -> bool {
        self.cells.iter().any(|cell| is_amount(&cell.text))
    }
}

/// How far apart the lines of a table stand, where every row has borders of its own.
struct Spacing {
    /// The smallest way from a line to the next across a border.
    across: Option<f64>,
}

impl Spacing {
    fn of(rows: &[Row], borders: &[f64]) -> Self {
        let is_boxed = (borders.len() + 1) * 3 >= rows.len();
        let crossing = rows.windows(2).filter(|pair| {
            let (above, below) = (pair[0].y, pair[1].y);
            borders
                .iter()
                .any(|&border| (above..below).contains(&border))
        });
        let across = crossing.map(|pair| pair[1].y - pair[0].y).reduce(f64::min);
        Self {
            across: across.filter(|_| is_boxed),
        }
    }

    /// Whether a line stands nearer to the one above it than lines with a border between them.
    fn is_tight(&self, rows: &[Row], at: usize) -> bool {
        let above = at.checked_sub(1).map(|above| rows[at].y - rows[above].y);
        above
            .zip(self.across)
            .is_some_and(|(step, across)| step < across * 0.9)
    }
}

/// Joins the rows of a header whose cells are wrapped: those above the first row with figures, if only the
/// last of them has all its cells.
fn join_header(mut rows: Vec<GridRow>) -> Vec<Vec<String>> {
    let has_figures = |row: &GridRow| {
        let (mut n, mut n_figures) = (0, 0);
        for cell in row.texts.iter().skip(1).filter(|cell| !cell.is_empty()) {
            n += 1;
            n_figures += usize::from(cell.chars().any(|c| c.is_ascii_digit()));
        }
        n_figures > 0 && n_figures * 2 >= n || row.texts.iter().any(|cell| is_amount(cell))
    };
    let n_plain = rows.iter().position(has_figures).unwrap_or(0);
    // A row that only tells apart what stands under one name, be it by figures such as years, is part of the header.
    let n_told_apart = rows
        .windows(2)
        .take_while(|pair| pair[1].tells_apart(&pair[0]))
        .count();
    let n = n_plain.max(if n_told_apart > 0 {
        n_told_apart + 1
    } else {
        0
    });
    let is_full =
        |row: &GridRow| row.wide.is_empty() && row.texts.iter().all(|cell| !cell.is_empty());
    if (2..=MAX_HEADER_ROWS.min(rows.len())).contains(&n) && !rows[..n - 1].iter().any(is_full) {
        let further: Vec<GridRow> = rows.drain(1..n).collect();
        for row in further {
            for (cell, more) in rows[0].texts.iter_mut().zip(row.texts) {
                if !cell.is_empty() && !more.is_empty() {
                    cell.push(' ');
                }
                cell.push_str(&more);
            }
        }
    }
    rows.into_iter().map(|row| row.texts).collect()
}

/// Whether the cells of the first column are mostly as wide as it is and of several words: lines of text.
fn is_justified(rows: &[Row], columns: &[(f64, f64)]) -> bool {
    columns.iter().all(|&(left, right)| {
        let inside = rows
            .iter()
            .flat_map(|row| &row.cells)
            .filter(|cell| cell.left >= left - 0.5 && cell.right <= right + 0.5);
        let (mut n, mut n_full) = (0, 0);
        for cell in inside {
            n += 1;
            let is_full = cell.right - cell.left >= (right - left) * 0.8;
            n_full += usize::from(is_full && cell.text.split_whitespace().count() >= 4);
        }
        n_full * 2 > n
    })
}

/// Returns the heights of the horizontal rules within a table that run through most of it.
fn borders(rules: &[Rule], (left, right): (f64, f64), (top, bottom): (f64, f64)) -> Vec<f64> {
    // A border may be drawn cell by cell: pieces of one height count together.
    let mut pieces: Vec<(f64, f64)> = rules
        .iter()
        .filter(|rule| rule.is_horizontal() && rule.from.1 > top && rule.from.1 < bottom)
        .map(|rule| {
            let width = rule.to.0.min(right) - rule.from.0.max(left);
            (rule.from.1, width.max(0.0))
        })
        .collect();
    pieces.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut borders: Vec<(f64, f64)> = Vec::new();
    for (y, width) in pieces {
        match borders.last_mut() {
            Some(last) if y - last.0 < 2.5 => last.1 += width,
            Some(_) | None => borders.push((y, width)),
        }
    }
    borders
        .into_iter()
        .filter(|(_, width)| *width >= (right - left) * 0.6)
        .map(|(y, _)| y)
        .collect()
}

#[cfg(test)]
mod tests;

//! Tables: rows of cells that stand under each other with empty columns between them.

mod columns;
mod header;
pub(super) mod ruled;
mod run;
mod signs;

use super::{Cell, Line, Rule, bidi};
pub(super) use columns::are_aligned;
use columns::place;
use std::ops::Range;

/// Fewest rows of a table.
const MIN_ROWS: usize = 3;

/// Fewest columns of a table of fewer rows.
const MIN_COLUMNS_OF_PAIR: usize = 3;

/// Mean characters of a cell above which aligned text is taken for columns of prose.
const MAX_CELL_CHARS: usize = 40;

/// Most lines of a header's cell.
const MAX_HEADER_ROWS: usize = 6;

/// Longest name of several columns, in bytes.
const MAX_NAME: usize = 400;

/// How far a letter may reach over a ruling line.
const OVERHANG: f64 = 2.0;

/// A table and its place.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Table {
    /// The first one is the header.
    pub(super) rows: Vec<Vec<String>>,
    /// What stands in rows of its own above the header.
    pub(super) titles: Vec<String>,
    /// The edges of the columns.
    pub(super) columns: Vec<(f64, f64)>,
    pub(super) top: f64,
    pub(super) bottom: f64,
    pub(super) left: f64,
    pub(super) right: f64,
}

/// All cells of about the same base line.
#[derive(Debug, Clone, Default)]
struct Row {
    cells: Vec<Cell>,
    /// The lines they come from.
    lines: Vec<usize>,
    y: f64,
    size: f64,
    /// Where vertical rules run through it, from left to right.
    rules: Vec<f64>,
}

/// Takes the tables out of a page's lines; returns them from top to bottom, and the other lines as they were.
pub(super) fn tables(mut lines: Vec<Line>, rules: &[Rule]) -> (Vec<Table>, Vec<Line>) {
    let mut rows = rows(&lines, rules);
    let mut tables: Vec<Table> = Vec::new();
    let mut taken = vec![false; lines.len()];
    let mut start = 0;
    while start < rows.len() {
        let end = run::end(&rows, start);
        if is_listing(&rows[start..end]) {
            start = end;
            continue;
        }
        let mut begin = start;
        while let Some(above) = begin
            .checked_sub(1)
            .filter(|_| start - begin < columns::MAX_ROWS_ABOVE)
            && !rows[above].lines.iter().any(|&line| taken[line])
            && let Some(cells) = header::above(&rows[above], &rows[begin..end], rules)
        {
            rows[above].cells = cells;
            begin = above;
        }
        match Table::of(&rows[begin..end], rules) {
            Some(table) => {
                for &line in rows[begin..end].iter().flat_map(|row| &row.lines) {
                    taken[line] = true;
                }
                tables.push(table);
                start = end;
            }
            None => {
                if let (Some(table), Some(above)) = (tables.last(), start.checked_sub(1))
                    && is_below(table, &rows[above], &rows[start])
                    && rows[above].lines.iter().all(|&line| taken[line])
                {
                    join_lines(&mut lines, &rows[start], &mut taken);
                }
                // What is no table over so many rows is none without the first of them either.
                start = (start + 1).max(end.saturating_sub(2 * run::WINDOW));
            }
        }
    }
    let mut taken = taken.into_iter();
    let rest = lines
        .into_iter()
        .filter(|_| !taken.next().unwrap_or(false))
        .collect();
    (tables, rest)
}

/// Whether a row stands close below a table's last row, no wider than the table.
fn is_below(table: &Table, last: &Row, row: &Row) -> bool {
    let is_inside = |cell: &Cell| cell.left >= table.left - OVERHANG && cell.right <= table.right;
    row.y - last.y <= row.size.max(last.size) * run::MAX_ROW_GAP && row.cells.iter().all(is_inside)
}

/// Makes one line of a row: a name and what it says may be drawn one long after the other.
fn join_lines(lines: &mut [Line], row: &Row, taken: &mut [bool]) {
    let left = |line: &&usize| lines[**line].left();
    let Some(&first) = row.lines.iter().min_by(|a, b| left(a).total_cmp(&left(b))) else {
        return;
    };
    for &line in &row.lines {
        taken[line] = line != first;
    }
    lines[first].cells.clone_from(&row.cells);
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
        row.cells = signs::joined(std::mem::take(&mut row.cells));
        let crosses = |rule: &&Rule| {
            rule.is_vertical() && rule.from.1 < row.y && rule.to.1 > row.y - row.size * 0.5
        };
        row.rules = rules
            .iter()
            .filter(crosses)
            .map(|rule| rule.from.0)
            .collect();
        row.rules.sort_by(f64::total_cmp);
    }
    rows
}

/// A row of a table in the making.
#[derive(Debug, Default)]
struct GridRow {
    /// How many borders are above it.
    band: usize,
    /// The columns that cells over several of them stand over.
    wide: Vec<Range<usize>>,
    texts: Vec<String>,
    /// Where its first cell begins.
    left: f64,
    /// Whether a rule runs between it and the row above.
    is_ruled_off: bool,
    /// Whether its first cell is underlined.
    is_underlined: bool,
}

impl GridRow {
    /// Adds a cell's text to each column it stands over; a long one is no name and not repeated.
    fn add(&mut self, cell: &Cell, places: Range<usize>) {
        let n_columns = if cell.text.len() > MAX_NAME {
            1
        } else {
            places.len()
        };
        let places = places.start..places.start + n_columns;
        if places.len() > 1 {
            self.wide.push(places.clone());
        }
        for text in &mut self.texts[places] {
            if !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&cell.text);
        }
    }

    /// Whether it only has cells under those of a row above it that stand over several columns, save a label before
    /// years.
    fn tells_apart(&self, above: &Self) -> bool {
        let is_under = |column: usize| above.wide.iter().any(|wide| wide.contains(&column));
        let has_years = || {
            let mut beside = self.texts.iter().skip(1).filter(|text| !text.is_empty());
            beside.clone().count() > 0 && beside.all(|text| is_year(text))
        };
        let mut filled = (0..self.texts.len()).filter(|column| !self.texts[*column].is_empty());
        filled.all(|column| is_under(column) || (column == 0 && has_years()))
    }

    fn has_figure(&self) -> bool {
        self.texts.iter().any(|text| is_figure(text))
    }
}

impl Table {
    fn of(rows: &[Row], rules: &[Rule]) -> Option<Self> {
        let (n_above, columns) = columns::below_header(rows, MIN_ROWS)?;
        let columns = columns::shared(columns, rows);
        if !is_tabular(rows, &columns) {
            return None;
        }
        let joined = run::with_labels(rows, &columns);
        let rows = &joined[..];
        let (left, right) = (columns.first()?.0, columns.last()?.1);
        let (first, last) = (rows.first()?, rows.last()?);
        let borders = borders(rules, (left, right), (first.y, last.y), rows);
        let spacing = Spacing::of(rows, &columns, &borders);
        let mut grid: Vec<GridRow> = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let band = borders
                .iter()
                .filter(|&&y| y < row.y - row.size * 0.3)
                .count();
            let cells = if at < n_above {
                columns::parted(&columns, row)
            } else {
                row.cells.clone()
            };
            let places: Vec<Range<usize>> = (0..cells.len())
                .map(|cell| {
                    if at < n_above {
                        columns::span(&columns, row, &cells, cell, rules)
                    } else {
                        let column = place(&columns, &cells[cell]);
                        column..column + 1
                    }
                })
                .collect();
            let is_header = at < MAX_HEADER_ROWS && !grid.iter().any(GridRow::has_figure);
            let above = grid.last().filter(|above| above.band == band);
            let goes_on = above.is_some_and(|above| match band {
                0 if !borders.is_empty() => {
                    let heads =
                        places.iter().all(|place| place.start == 0) && above.texts[0].is_empty();
                    let is_ruled_off = heads && row.is_ruled_off(&rows[at - 1], rules);
                    let is_wrapped = is_part(&places, columns.len()) && !row.has_amount();
                    is_header && is_wrapped && !is_ruled_off
                }
                _ => {
                    let adds = is_rest(&cells, &places, &above.texts);
                    let is_rest =
                        adds && !(names_itself(&cells, &places) && spacing.is_usual(rows, at));
                    let is_wrapped = adds
                        && !row.has_amount()
                        && places.iter().all(|place| place.start > 0)
                        && spacing.is_close(rows, at);
                    let is_boxed = borders.len() >= 2
                        && (is_rest || (spacing.is_tight(rows, at) && is_wrap(&columns, rows, at)));
                    let width = columns[0].1 - columns[0].0;
                    is_boxed || is_wrapped || goes_on_below(&above.texts, rows, at, width)
                }
            });
            if !goes_on {
                let above = at.checked_sub(1).map(|above| &rows[above]);
                grid.push(GridRow {
                    band,
                    texts: vec![String::new(); columns.len()],
                    left: row.cells[0].left,
                    is_ruled_off: above.is_some_and(|above| row.is_ruled_off(above, rules)),
                    is_underlined: row.is_underlined(rules),
                    wide: Vec::new(),
                });
            }
            if let Some(last) = grid.last_mut() {
                for (cell, places) in cells.iter().zip(places) {
                    last.add(cell, places);
                }
            }
        }
        let mut rows = header::join(grid);
        let titles = header::titles(&mut rows);
        let mut columns = columns;
        let letters = rows.iter().flatten().map(String::as_str);
        if bidi::is_right_to_left(&letters.collect::<String>()) {
            rows.iter_mut().for_each(|row| row.reverse());
            columns.reverse();
        }
        (rows.len() >= 2).then_some(Self {
            rows,
            titles,
            columns,
            // Where the lines are set close, the one above is not further up than its letters.
            top: first.y - first.size * 0.7,
            bottom: last.y,
            left,
            right,
        })
    }
}

/// Whether rows that have cells beside each other are those of a table, not of prose in columns or of a list.
fn is_tabular(rows: &[Row], columns: &[(f64, f64)]) -> bool {
    let n_full = rows.iter().filter(|row| row.cells.len() >= 2).count();
    let is_high = rows.len() >= MIN_ROWS || is_pair(rows);
    if !is_high || columns.len() < 2 || n_full * 2 < rows.len() {
        return false;
    }
    let cells: Vec<&Cell> = rows.iter().flat_map(|row| &row.cells).collect();
    let n_chars: usize = cells.iter().map(|cell| cell.text.chars().count()).sum();
    let is_prose = n_chars > cells.len() * MAX_CELL_CHARS
        || (columns.len() == 2 && is_justified(rows, columns));
    // A list: only markers stand in the first column.
    let is_list = columns.len() == 2
        && rows
            .iter()
            .all(|row| row.cells.len() < 2 || row.cells[0].text.chars().count() <= 3);
    !is_prose && !is_list
}

/// Whether most rows end as the lines of a program do.
fn is_listing(rows: &[Row]) -> bool {
    let is_code = |row: &&Row| {
        let last = row.cells.last();
        last.is_some_and(|cell| cell.text.ends_with([',', ';', '{', '}', '(']))
    };
    rows.len() >= MIN_ROWS && rows.iter().filter(is_code).count() * 2 >= rows.len()
}

/// Whether two rows close to each other have the same three columns or more: a header and the only row below it.
fn is_pair(rows: &[Row]) -> bool {
    let [above, below] = rows else {
        return false;
    };
    let size = above.size.max(below.size);
    above.cells.len() >= MIN_COLUMNS_OF_PAIR
        && above.cells.len() == below.cells.len()
        && below.y - above.y <= size * 2.2
        && !above.cells.iter().any(|cell| is_figure(&cell.text))
        && above.cells.iter().zip(&below.cells).all(|(one, other)| {
            columns::are_aligned((one.left, one.right), (other.left, other.right), size * 0.3)
        })
}

/// Whether a line fills at most half of the columns, as the further lines of a header do.
fn is_part(places: &[Range<usize>], n_columns: usize) -> bool {
    places.len() * 2 <= n_columns
}

/// Whether a line only adds to cells of the row above it, and to few of them, and adds no figure to a figure: the rest
/// of what did not fit on one line.
fn is_rest(cells: &[Cell], places: &[Range<usize>], above: &[String]) -> bool {
    let n_above = above.iter().filter(|text| !text.is_empty()).count();
    let adds = cells.iter().zip(places).all(|(cell, place)| {
        let above = &above[place.start];
        !(above.is_empty() || is_figure(above) && is_figure(&cell.text))
    });
    adds && places.len() * 2 <= n_above
}

/// Whether a line has the rest of a label that stands alone close above it, as wide as the column.
fn goes_on_below(texts: &[String], rows: &[Row], at: usize, width: f64) -> bool {
    let ([label, others @ ..], Some(above)) = (texts, at.checked_sub(1)) else {
        return false;
    };
    let cell = &rows[above].cells[0];
    !label.is_empty()
        && others.iter().all(String::is_empty)
        && cell.right - cell.left >= width * 0.75
        && rows[at].y - rows[above].y <= rows[at].size * 1.6
        && rows[at].cells.len() >= 2
        && rows[at].cells[0].text.starts_with(char::is_lowercase)
}

/// Whether a line has a label that does not read as the rest of the one above.
fn names_itself(cells: &[Cell], places: &[Range<usize>]) -> bool {
    let label = cells.iter().zip(places).find(|(_, place)| place.start == 0);
    label.is_some_and(|(label, _)| !label.text.starts_with(char::is_lowercase))
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
pub(super) fn is_figure(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_digit()) && !text.chars().any(char::is_alphabetic)
}

fn is_year(text: &str) -> bool {
    text.len() == 4 && text.parse().is_ok_and(|year| (1900..2100).contains(&year))
}

impl Row {
    /// Whether a rule runs between this row and the one above.
    fn is_ruled_off(&self, above: &Self, rules: &[Rule]) -> bool {
        let between = above.y - above.size * 0.2..self.y - self.size * 0.3;
        let (left, right) = (
            above.cells[0].left.min(self.cells[0].left),
            above
                .cells
                .iter()
                .map(|cell| cell.right)
                .fold(0.0, f64::max),
        );
        rules.iter().any(|rule| {
            rule.is_horizontal()
                && between.contains(&rule.from.1)
                && rule.to.0 - rule.from.0 >= self.size * 2.0
                && rule.from.0 < right
                && rule.to.0 > left
        })
    }

    /// Whether the first cell is underlined.
    fn is_underlined(&self, rules: &[Rule]) -> bool {
        let first = Line {
            cells: self.cells[..1].to_vec(),
            y: self.y,
            size: self.size,
            turn: 0,
        };
        rules
            .iter()
            .any(|rule| rule.is_underline(std::slice::from_ref(&first)))
    }
}

/// Whether a text is a figure that names no column, as a year or a number of a note does.
fn is_amount(text: &str) -> bool {
    is_figure(text) && (text.contains(['.', ',']) || text.len() > 4) && !header::is_period(text)
}

impl Row {
    fn has_amount(&self) -> bool {
        self.cells.iter().any(|cell| is_amount(&cell.text))
    }
}

/// How far apart the lines of a table stand.
struct Spacing {
    /// The smallest way from a line to the next across a border, where every row has borders of its own.
    across: Option<f64>,
    /// The smallest way between lines that both have a label and something beside it.
    labeled: Option<f64>,
    /// The smallest way from any line to one that has a label and something beside it.
    next: Option<f64>,
}

impl Spacing {
    fn of(rows: &[Row], columns: &[(f64, f64)], borders: &[f64]) -> Self {
        let smallest = |is_counted: &dyn Fn(&Row, &Row) -> bool| {
            let pairs = rows
                .windows(2)
                .filter(|pair| is_counted(&pair[0], &pair[1]));
            pairs.map(|pair| pair[1].y - pair[0].y).reduce(f64::min)
        };
        let is_boxed = (borders.len() + 1) * 3 >= rows.len();
        let crosses = |above: &Row, below: &Row| {
            let at = borders.partition_point(|border| *border < above.y);
            borders.get(at).is_some_and(|border| *border < below.y)
        };
        let is_labeled = |row: &Row| {
            row.cells.len() >= 2 && row.cells.iter().any(|cell| place(columns, cell) == 0)
        };
        Self {
            across: smallest(&crosses).filter(|_| is_boxed),
            labeled: smallest(&|above, below| is_labeled(above) && is_labeled(below)),
            next: smallest(&|_, below| is_labeled(below)),
        }
    }

    /// Whether a line is nearer to the one above it than rows with labels are to what is above them.
    fn is_close(&self, rows: &[Row], at: usize) -> bool {
        let above = at.checked_sub(1).map(|above| rows[at].y - rows[above].y);
        above
            .zip(self.next)
            .is_some_and(|(step, next)| step < next * 0.9)
    }

    /// Whether a line is as far below the one above it as rows with labels are from each other.
    fn is_usual(&self, rows: &[Row], at: usize) -> bool {
        let above = at.checked_sub(1).map(|above| rows[at].y - rows[above].y);
        above
            .zip(self.labeled)
            .is_some_and(|(step, labeled)| step > labeled * 0.9)
    }

    /// Whether a line stands nearer to the one above it than lines with a border between them.
    fn is_tight(&self, rows: &[Row], at: usize) -> bool {
        let above = at.checked_sub(1).map(|above| rows[at].y - rows[above].y);
        above
            .zip(self.across)
            .is_some_and(|(step, across)| step < across * 0.9)
    }
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

/// Returns the heights of the horizontal rules within a table that run through most of it and underline nothing.
fn borders(
    rules: &[Rule],
    (left, right): (f64, f64),
    (top, bottom): (f64, f64),
    rows: &[Row],
) -> Vec<f64> {
    let underlines = |rule: &Rule, row: &Row| {
        let below = (rule.from.1 - row.y) / row.size;
        (-0.1..0.3).contains(&below)
            && row.cells.iter().any(|cell| {
                rule.from.0 >= cell.left - OVERHANG && rule.to.0 <= cell.right + OVERHANG
            })
    };
    // A border may be drawn cell by cell: pieces of one height count together.
    let mut pieces: Vec<(f64, f64, f64)> = rules
        .iter()
        .filter(|rule| rule.is_horizontal() && rule.from.1 > top && rule.from.1 < bottom)
        .filter(|rule| {
            // The row just above a rule.
            let below = rows.partition_point(|row| row.y < rule.from.1 + row.size * 0.1);
            !rows[..below]
                .last()
                .is_some_and(|row| underlines(rule, row))
        })
        .map(|rule| (rule.from.1, rule.from.0.max(left), rule.to.0.min(right)))
        .collect();
    pieces.sort_by(|a, b| a.0.total_cmp(&b.0));
    pieces
        .chunk_by_mut(|above, below| below.0 - above.0 < 2.5)
        .filter_map(|pieces| {
            let y = pieces[0].0;
            pieces.sort_by(|a, b| a.1.total_cmp(&b.1));
            // Twice drawn is drawn once.
            let (mut width, mut end) = (0.0, left);
            for &mut (_, from, to) in pieces {
                width += (to - from.max(end)).max(0.0);
                end = end.max(to);
            }
            (width >= (right - left) * 0.6).then_some(y)
        })
        .collect()
}

#[cfg(test)]
mod tests;

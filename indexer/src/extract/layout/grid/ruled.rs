//! Tables drawn as cells: what lies between rules is one cell, in whatever direction it is written.

mod borders;

use super::super::{Cell, Line, Rule, bidi};
use super::{MAX_NAME, OVERHANG, Table, is_figure, is_year};
use crate::extract::clean;
use borders::{Sets, between, connected, drawn, is_side_of_box, snapped};
use std::collections::HashMap;
use std::ops::Range;

/// A rule that reaches this far beyond the last one across it closes a cell of its own.
const MIN_ROOM: f64 = 6.0;

/// Lines of one cell are not further apart than so many letter heights.
const MAX_LEADING: f64 = 1.6;

/// Most of the smallest cells of a table; a drawing has more.
const MAX_CELLS: usize = 10_000;

/// Mean length of the cells, in bytes, above which they are the parts of a page.
const MAX_MEAN: usize = 600;

/// Most rows of titles above a header.
const MAX_TITLES: usize = 6;

/// What a page has besides tables drawn as cells.
#[derive(Debug, Default)]
pub(in crate::extract::layout) struct Rest {
    pub(in crate::extract::layout) lines: Vec<Line>,
    pub(in crate::extract::layout) rules: Vec<Rule>,
}

/// Takes the tables that are drawn as cells out of a page.
pub(in crate::extract::layout) fn tables(lines: Vec<Line>, rules: &[Rule]) -> (Vec<Table>, Rest) {
    let is_border = |rule: &&Rule| !rule.is_underline(&lines) && !is_side_of_box(rule, rules);
    let (borders, others): (Vec<&Rule>, Vec<&Rule>) = rules.iter().partition(is_border);
    let borders: Vec<Rule> = borders.into_iter().copied().collect();
    let mut rest = Rest {
        lines,
        rules: others.into_iter().copied().collect(),
    };
    let mut tables = Vec::new();
    for drawn in connected(&borders) {
        let found = Lattice::of(&drawn).and_then(|lattice| lattice.filled(&rest.lines));
        match found {
            Some((table, lines)) => {
                tables.push(table);
                rest.lines = lines;
            }
            None => rest.rules.extend(drawn),
        }
    }
    (tables, rest)
}

/// A cell between rules, with the rows and columns it takes up.
#[derive(Debug, Clone)]
struct Room {
    rows: Range<usize>,
    columns: Range<usize>,
    pieces: Vec<Piece>,
    text: String,
}

/// Text within a room.
#[derive(Debug, Clone)]
struct Piece {
    cell: Cell,
    /// As in [`Line`].
    y: f64,
    size: f64,
    turn: u8,
}

/// Rooms side by side between rules.
#[derive(Debug)]
struct Lattice {
    /// Places of the vertical rules.
    xs: Vec<f64>,
    /// Places of the horizontal rules.
    ys: Vec<f64>,
    rooms: Vec<Room>,
    /// The room of each of the smallest cells, row by row.
    room_of: Vec<usize>,
}

impl Lattice {
    /// Finds the rooms between rules that touch each other; `None` if they are not those of a grid.
    fn of(rules: &[Rule]) -> Option<Self> {
        let (vertical, horizontal): (Vec<&Rule>, Vec<&Rule>) =
            rules.iter().partition(|rule| rule.is_vertical());
        let along = |from: f64, to: f64, places: Vec<f64>| {
            let mut places = snapped(places);
            // A side without a rule of its own ends with those that lead to it.
            if places.first().is_some_and(|first| first - from > MIN_ROOM) {
                places.insert(0, from);
            }
            if places.last().is_some_and(|last| to - last > MIN_ROOM) {
                places.push(to);
            }
            places
        };
        let left = horizontal.iter().map(|r| r.from.0).fold(f64::MAX, f64::min);
        let right = horizontal.iter().map(|r| r.to.0).fold(f64::MIN, f64::max);
        let top = vertical.iter().map(|r| r.from.1).fold(f64::MAX, f64::min);
        let bottom = vertical.iter().map(|r| r.to.1).fold(f64::MIN, f64::max);
        let xs = along(left, right, vertical.iter().map(|r| r.from.0).collect());
        let ys = along(top, bottom, horizontal.iter().map(|r| r.from.1).collect());
        let (n_rows, n_columns) = (ys.len().saturating_sub(1), xs.len().saturating_sub(1));
        if n_rows < 2 || n_columns < 2 || n_rows * n_columns > MAX_CELLS {
            return None;
        }
        let sides = vertical.iter().map(|r| (r.from.0, r.from.1, r.to.1));
        let beside = drawn(sides, &xs, &ys);
        let sides = horizontal.iter().map(|r| (r.from.1, r.from.0, r.to.0));
        let below = drawn(sides, &ys, &xs);
        let mut sets = Sets::new(n_rows * n_columns);
        for row in 0..n_rows {
            for column in 0..n_columns {
                let at = row * n_columns + column;
                if column + 1 < n_columns && !beside[(column + 1) * n_rows + row] {
                    sets.join(at, at + 1);
                }
                if row + 1 < n_rows && !below[(row + 1) * n_columns + column] {
                    sets.join(at, at + n_columns);
                }
            }
        }
        let mut rooms: Vec<Room> = Vec::new();
        let mut number: HashMap<usize, usize> = HashMap::new();
        let mut sizes: Vec<usize> = Vec::new();
        let mut room_of = Vec::with_capacity(n_rows * n_columns);
        for at in 0..n_rows * n_columns {
            let (row, column) = (at / n_columns, at % n_columns);
            let room = *number.entry(sets.root(at)).or_insert(rooms.len());
            room_of.push(room);
            if room == rooms.len() {
                rooms.push(Room {
                    rows: row..row + 1,
                    columns: column..column + 1,
                    pieces: Vec::new(),
                    text: String::new(),
                });
                sizes.push(0);
            }
            let one = &mut rooms[room];
            one.rows = one.rows.start..one.rows.end.max(row + 1);
            one.columns = one.columns.start.min(column)..one.columns.end.max(column + 1);
            sizes[room] += 1;
        }
        // What is drawn around other rooms, or between boxes that lines connect, is no cell.
        let are_cells = rooms
            .iter()
            .zip(sizes)
            .all(|(room, size)| room.rows.len() * room.columns.len() == size);
        are_cells.then_some(Self {
            xs,
            ys,
            rooms,
            room_of,
        })
    }

    /// Returns the table with the text that stands in it, and the lines without it; `None` if its rooms are not the cells
    /// of a table.
    fn filled(mut self, lines: &[Line]) -> Option<(Table, Vec<Line>)> {
        let mut changed: HashMap<usize, Line> = HashMap::new();
        let (mut n_pieces, mut n_across) = (0, 0);
        for (at, line) in lines.iter().enumerate() {
            for (number, cell) in line.cells.iter().enumerate() {
                let (parts, is_across) = self.parted(line, cell);
                if parts.is_empty() {
                    if let Some(outside) = changed.get_mut(&at) {
                        outside.cells.push(cell.clone());
                    }
                    continue;
                }
                changed.entry(at).or_insert_with(|| Line {
                    cells: line.cells[..number].to_vec(),
                    ..*line
                });
                n_pieces += 1;
                n_across += usize::from(is_across);
                for (room, cell) in parts {
                    self.rooms[room].pieces.push(Piece {
                        cell,
                        y: line.y,
                        size: line.size,
                        turn: line.turn,
                    });
                }
            }
        }
        if n_across * 5 > n_pieces || self.has_open_rows() {
            return None;
        }
        for room in &mut self.rooms {
            room.text = text_of(&room.pieces);
        }
        let table = self.into_table()?;
        let outside =
            |(at, line): (usize, &Line)| changed.remove(&at).unwrap_or_else(|| line.clone());
        let mut rest: Vec<Line> = lines.iter().enumerate().map(outside).collect();
        rest.retain(|line| !line.cells.is_empty());
        Some((table, rest))
    }

    /// Returns the rooms in which a part of a line stands and what of it stands there, none if it is not in the table;
    /// and whether it runs over a rule.
    fn parted(&self, line: &Line, cell: &Cell) -> (Vec<(usize, Cell)>, bool) {
        let (x, y) = on_page(line, f64::midpoint(cell.left, cell.right));
        let (Some(row), Some(column)) = (between(&self.ys, y), between(&self.xs, x)) else {
            return (Vec::new(), false);
        };
        let n_columns = self.xs.len() - 1;
        let room = |column: usize| self.room_of[row * n_columns + column];
        let mut parts = Vec::new();
        let (mut at, mut left, mut is_across) = (0, cell.left, false);
        if line.turn == 0 {
            for column in 1..n_columns {
                let x = self.xs[column];
                let is_over = x > left + OVERHANG && x < cell.right - OVERHANG;
                if !is_over || room(column - 1) == room(column) {
                    continue;
                }
                let space = cell.spaces.iter().find(|space| {
                    space.at > at && space.left <= x + OVERHANG && space.right >= x - OVERHANG
                });
                let Some(space) = space else {
                    is_across = true;
                    continue;
                };
                parts.push((
                    room(column - 1),
                    part(&cell.text, at..space.at, left, space.left),
                ));
                (at, left) = (space.at, space.right);
            }
        }
        let column = if parts.is_empty() {
            column
        } else {
            between(&self.xs, f64::midpoint(left, cell.right)).unwrap_or(column)
        };
        let last = part(&cell.text, at..cell.text.len(), left, cell.right);
        parts.push((room(column), last));
        (parts, is_across)
    }

    /// Whether rules are drawn around several rows at once: lines that stand beside each other in one room, or figures
    /// below each other, each beside an entry.
    fn has_open_rows(&self) -> bool {
        let has_columns = |room: &Room| {
            let mut heights: Vec<f64> = Vec::new();
            let mut n_beside = 0;
            for piece in room.pieces.iter().filter(|piece| piece.turn == 0) {
                let is_beside = heights
                    .iter()
                    .any(|y| (y - piece.y).abs() < piece.size * 0.3);
                n_beside += usize::from(is_beside);
                heights.push(piece.y);
            }
            room.columns.len() > 1 && n_beside >= 3
        };
        let n_rows = self.ys.len() - 1;
        let is_filled = |row: &usize| {
            let here = |room: &Room| room.rows.start == *row && !room.pieces.is_empty();
            self.rooms.iter().any(here)
        };
        let is_alone = (0..n_rows).filter(is_filled).count() <= 2;
        (0..n_rows).any(|row| self.is_open(row, is_alone)) || self.rooms.iter().any(has_columns)
    }

    /// Whether a row has several rows in it: as many lines in each cell, at the same heights, if these are figures or
    /// many, or figures beside most of many lines; in the only row below a header also fewer lines beside those of its
    /// first cell, or between them.
    fn is_open(&self, row: usize, is_alone: bool) -> bool {
        let heights = |room: &Room| {
            let mut heights: Vec<f64> = room.pieces.iter().map(|piece| piece.y).collect();
            heights.sort_by(f64::total_cmp);
            heights.dedup_by(|a, b| (*a - *b).abs() < 1.0);
            heights
        };
        let filled: Vec<&Room> = self
            .rooms
            .iter()
            .filter(|room| room.rows == (row..row + 1) && !room.pieces.is_empty())
            .collect();
        let [first, others @ ..] = &filled[..] else {
            return false;
        };
        if filled
            .iter()
            .any(|room| room.pieces.iter().any(|piece| piece.turn != 0))
        {
            return false;
        }
        let size = first.pieces[0].size;
        let key = heights(first);
        let others_at: Vec<Vec<f64>> = others.iter().map(|room| heights(room)).collect();
        let has = |some: &[f64], y: f64| some.iter().any(|one| (one - y).abs() < size * 0.3);
        let are_beside = others_at.iter().flatten().all(|&y| has(&key, y));
        let is_level = are_beside && others_at.iter().all(|at| at.len() == key.len());
        let are_figures = |room: &Room| {
            let mut texts = room.pieces.iter().map(|piece| &piece.cell.text);
            texts.all(|text| is_figure(text) && !text.ends_with('-'))
        };
        let has_figures = others.iter().any(|room| are_figures(room));
        let n_most = others_at.iter().map(Vec::len).max().unwrap_or(0);
        if key.len() < 2 || n_most < 2 {
            return false;
        }
        let are_spaced = key
            .windows(2)
            .all(|pair| pair[1] - pair[0] > size * MAX_LEADING);
        let has_most = are_beside
            && key.len() >= 4
            && others
                .iter()
                .zip(&others_at)
                .all(|(room, at)| are_figures(room) && at.len() * 2 >= key.len());
        let are_rows = is_level && (key.len() >= 4 || has_figures) || has_most;
        let are_alone = is_alone && row > 0 && (are_beside || are_spaced);
        are_rows || are_alone
    }

    fn into_table(self) -> Option<Table> {
        let n_filled = self.rooms.iter().filter(|r| !r.text.is_empty()).count();
        // Rows and columns that hold nothing of their own, such as the room between the two lines of a double rule.
        let begins = |row: &usize| {
            let here = |room: &Room| room.rows.start == *row && !room.text.is_empty();
            self.rooms.iter().any(here)
        };
        let rows: Vec<usize> = (0..self.ys.len() - 1).filter(begins).collect();
        let begins = |column: &usize| {
            let here = |room: &Room| room.columns.start == *column && !room.text.is_empty();
            self.rooms.iter().any(here)
        };
        let mut columns: Vec<usize> = (0..self.xs.len() - 1).filter(begins).collect();
        if n_filled < 3 || rows.len() < 2 || columns.len() < 2 {
            return None;
        }
        let rows: Vec<Vec<&Room>> = rows
            .iter()
            .map(|&row| {
                let room = |column: &usize| self.room_of[row * (self.xs.len() - 1) + column];
                let mut rooms: Vec<usize> = columns.iter().map(room).collect();
                rooms.dedup();
                rooms.into_iter().map(|room| &self.rooms[room]).collect()
            })
            .collect();
        let n_cells: usize = rows.iter().map(Vec::len).sum();
        let is_named = rows[0].iter().all(|room| !room.text.is_empty());
        if n_filled * 6 < n_cells && !is_named {
            return None;
        }
        let letters: String = self.rooms.iter().map(|room| room.text.as_str()).collect();
        if bidi::is_right_to_left(&letters) {
            columns.reverse();
        }
        let n_bytes: usize = self.rooms.iter().map(|room| room.text.len()).sum();
        let header = header(&rows, columns.len());
        let is_long = |room: &&Room| room.text.len() > MAX_NAME;
        if rows[..header.end].iter().flatten().any(is_long) || n_bytes > n_filled * MAX_MEAN {
            return None;
        }
        let joined = |column: usize| {
            let mut texts: Vec<&str> = Vec::new();
            let mut last: Option<&Room> = None;
            for row in &rows[header.clone()] {
                let room = row.iter().find(|room| room.columns.contains(&column));
                if let Some(room) = room.copied()
                    && last.is_none_or(|last| !std::ptr::eq(last, room))
                {
                    texts.push(&room.text);
                    last = Some(room);
                }
            }
            texts.retain(|text| !text.is_empty());
            texts.join(" ")
        };
        let mut grid = vec![columns.iter().map(|&column| joined(column)).collect()];
        grid.extend(rows[header.end..].iter().enumerate().map(|(at, row)| {
            let above = (header.end + at).checked_sub(1).map(|above| &rows[above]);
            texts(row, above.filter(|_| at > 0), &columns)
        }));
        let titles = rows[..header.start].iter().map(|row| {
            let texts: Vec<&str> = row.iter().map(|room| room.text.as_str()).collect();
            texts.join(" ")
        });
        Some(Table {
            rows: grid,
            titles: titles.collect(),
            top: self.ys[0],
            bottom: *self.ys.last()?,
            left: self.xs[0],
            right: *self.xs.last()?,
            columns: columns
                .iter()
                .map(|&column| (self.xs[column], self.xs[column + 1]))
                .collect(),
        })
    }
}

/// Returns the texts of a row: a cell over several columns says the same in each, one over all of them is said once, and
/// so is a long one that began in a row above.
fn texts(row: &[&Room], above: Option<&Vec<&Room>>, columns: &[usize]) -> Vec<String> {
    let text = |(at, column): (usize, &usize)| {
        let room = row.iter().find(|room| room.columns.contains(column))?;
        let is_first = |at: usize| at == 0 || !room.columns.contains(&columns[at - 1]);
        let n_over = columns.iter().filter(|c| room.columns.contains(c)).count();
        let is_long = room.text.len() > MAX_NAME;
        let is_again = above.is_some_and(|above| above.iter().any(|one| std::ptr::eq(*one, *room)));
        let is_left_out = (n_over == columns.len() || is_long) && !is_first(at);
        (!(is_left_out || is_long && is_again)).then(|| room.text.clone())
    };
    columns
        .iter()
        .enumerate()
        .map(|one| text(one).unwrap_or_default())
        .collect()
}

/// Returns which rows are the header: the first that has a cell for each column, with those above it that name several of
/// its columns; what stands above is titles.
fn header(rows: &[Vec<&Room>], n_columns: usize) -> Range<usize> {
    let n_filled = |row: &[&Room]| row.iter().filter(|room| !room.text.is_empty()).count();
    // The corner above the names of the rows may be one empty room.
    let has_all = |row: &[&Room]| {
        let is_corner = |room: &&Room| room.text.is_empty() && room.columns.len() > 1;
        let is_cornered = row.first().is_some_and(is_corner) || row.last().is_some_and(is_corner);
        row.len() == n_columns || (is_cornered && n_filled(row) + 1 == row.len() && are_single(row))
    };
    let full = rows
        .iter()
        .take(MAX_TITLES + 1)
        .position(|row| has_all(row) && n_filled(row) >= 2);
    let Some(full) = full.filter(|full| full + 1 < rows.len() || *full == 0) else {
        return 0..1;
    };
    let is_form = |row: &[&Room]| row.iter().any(|room| room.text.contains([':', '：']));
    let names_several = |row: &[&Room]| {
        row.len() >= 2
            && !is_form(row)
            && !row.iter().any(|room| is_figure(&room.text))
            && row
                .iter()
                .any(|room| room.columns.len() > 1 && !room.text.is_empty())
    };
    let first = (0..full)
        .rev()
        .take_while(|&row| names_several(&rows[row]))
        .last();
    let has_figures = rows[full]
        .iter()
        .any(|room| is_figure(&room.text) && !is_span(&room.text));
    match first {
        Some(first) if has_figures => first..full,
        Some(first) => first..full + 1,
        None => full..full + 1,
    }
}

/// Whether a figure may name a column: a year, or a span such as that of an age.
fn is_span(text: &str) -> bool {
    let text = text.strip_suffix('+').unwrap_or(text);
    let mut ends = text.split(['-', '–']).map(str::trim);
    let is_end =
        |end: &str| (1..=4).contains(&end.len()) && end.bytes().all(|b| b.is_ascii_digit());
    is_year(text) || (text.contains(['-', '–']) && ends.clone().count() == 2 && ends.all(is_end))
}

/// Whether rooms with text stand over one column each.
fn are_single(row: &[&Room]) -> bool {
    row.iter()
        .all(|room| room.text.is_empty() || room.columns.len() == 1)
}

/// Returns the middle of the letters at a place along a line, as seen on the page.
fn on_page(line: &Line, along: f64) -> (f64, f64) {
    let across = line.y - line.size * 0.35;
    match line.turn {
        0 => (along, across),
        1 => (across, -along),
        2 => (-along, -across),
        _ => (-across, along),
    }
}

fn part(text: &str, range: Range<usize>, left: f64, right: f64) -> Cell {
    Cell {
        text: text.get(range).unwrap_or_default().trim().to_owned(),
        left,
        right,
        spaces: Vec::new(),
    }
}

/// Returns the text of a room, line by line.
fn text_of(pieces: &[Piece]) -> String {
    let mut pieces: Vec<&Piece> = pieces.iter().collect();
    let letters: String = pieces
        .iter()
        .map(|piece| piece.cell.text.as_str())
        .collect();
    let is_right_to_left = bidi::is_right_to_left(&letters);
    pieces.sort_by(|a, b| a.turn.cmp(&b.turn).then(a.y.total_cmp(&b.y)));
    let mut lines: Vec<Vec<&Piece>> = Vec::new();
    for piece in pieces {
        let is_beside = lines
            .last()
            .and_then(|line| line.first())
            .is_some_and(|first| {
                first.turn == piece.turn
                    && (piece.y - first.y).abs() <= piece.size.min(first.size) * 0.5
            });
        match lines.last_mut() {
            Some(line) if is_beside => line.push(piece),
            Some(_) | None => lines.push(vec![piece]),
        }
    }
    let lines: Vec<String> = lines
        .into_iter()
        .map(|mut line| {
            line.sort_by(|a, b| a.cell.left.total_cmp(&b.cell.left));
            if is_right_to_left {
                line.reverse();
            }
            let texts: Vec<&str> = line.iter().map(|piece| piece.cell.text.as_str()).collect();
            texts.join(" ")
        })
        .collect();
    clean::join_lines(lines.iter().map(String::as_str))
}

#[cfg(test)]
mod tests;

//! Where a table's columns are, and which of them a cell stands over.

use super::super::{Cell, Rule, Space};
use super::{OVERHANG, Row};
use std::ops::Range;

/// Most rows at the top of a table whose cells may stand over several columns.
pub(super) const MAX_ROWS_ABOVE: usize = 3;

/// Pieces of a rule are no further apart.
const MAX_SEAM: f64 = 1.0;

/// A space of so many letter heights between two columns parts a header's cell.
const WIDE_SPACE: f64 = 0.7;

/// Returns the columns' left and right edges: stretches that cells cover, with nothing or a rule between them.
pub(super) fn columns(rows: &[Row]) -> Vec<(f64, f64)> {
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

/// Returns the columns but those in which nothing stands beside anything, such as that of a title in the middle.
pub(super) fn shared(mut columns: Vec<(f64, f64)>, rows: &[Row]) -> Vec<(f64, f64)> {
    let beside = rows.iter().filter(|row| row.cells.len() > 1);
    let mut lefts: Vec<f64> = beside
        .flat_map(|row| &row.cells)
        .map(|cell| cell.left)
        .collect();
    lefts.sort_by(f64::total_cmp);
    columns.retain(|&(left, right)| {
        let first = lefts.partition_point(|one| *one < left - OVERHANG);
        lefts.get(first).is_some_and(|one| *one <= right)
    });
    columns
}

/// Whether two stretches begin, end or have their middle at the same place.
pub(in crate::extract::layout) fn are_aligned(
    one: (f64, f64),
    other: (f64, f64),
    tolerance: f64,
) -> bool {
    let near = |a: f64, b: f64| (a - b).abs() <= tolerance;
    near(one.0, other.0) || near(one.1, other.1) || near(one.0 + one.1, other.0 + other.1)
}

/// Returns the columns of a table and how many rows at its top were left out to find them: a header over several columns
/// hides the gaps between them. At least `n_below` rows are not left out.
pub(super) fn below_header(rows: &[Row], n_below: usize) -> Option<(usize, Vec<(f64, f64)>)> {
    let n_most = MAX_ROWS_ABOVE.min(rows.len().saturating_sub(n_below));
    let found = (0..=n_most)
        .rev()
        .map(|n_above| (n_above, columns(&rows[n_above..])));
    // Of equals the last one, which leaves out least.
    found.max_by_key(|(_, columns)| columns.len())
}

/// Parts the cells of a header that run through several columns where a wide space stands between two of these.
pub(super) fn parted(columns: &[(f64, f64)], row: &Row) -> Vec<Cell> {
    let mut cells = Vec::with_capacity(row.cells.len());
    for cell in &row.cells {
        let mut ends: Vec<Space> = columns
            .windows(2)
            .filter_map(|gap| widest(&cell.spaces, gap[0].1, gap[1].0))
            .filter(|space| space.width() >= row.size * WIDE_SPACE)
            .collect();
        ends.dedup();
        let (mut at, mut left) = (0, cell.left);
        let mut push = |to: usize, right: f64, next: f64| {
            let text = cell.text.get(at..to).unwrap_or_default();
            cells.push(Cell {
                text: text.trim().to_owned(),
                left,
                right,
                spaces: Vec::new(),
            });
            (at, left) = (to, next);
        };
        for end in ends {
            push(end.at, end.left, end.right);
        }
        push(cell.text.len(), cell.right, cell.right);
    }
    cells
}

/// Returns the widest of the spaces that lie at least partly between two places.
fn widest(spaces: &[Space], from: f64, to: f64) -> Option<Space> {
    let first = spaces.partition_point(|space| space.right <= from);
    let within = spaces[first..].iter().take_while(|space| space.left < to);
    within
        .max_by(|a, b| a.width().total_cmp(&b.width()))
        .copied()
}

/// Returns the columns that one of a header's cells stands over: all between the lines drawn around it, if it is alone there,
/// else those that it reaches over.
pub(super) fn span(
    columns: &[(f64, f64)],
    row: &Row,
    cells: &[Cell],
    at: usize,
    rules: &[Rule],
) -> Range<usize> {
    let cell = &cells[at];
    let rooms = [
        row.room_between_rules(cell),
        row.room_above_rule(cell, rules),
    ];
    let drawn = rooms.into_iter().flatten().find_map(|(left, right)| {
        let range = within(columns, left, right)?;
        let first = cells.partition_point(|other| other.right <= left + OVERHANG);
        let inside = cells[first..]
            .iter()
            .take_while(|other| other.left < right - OVERHANG);
        let is_alone = inside.take(2).count() == 1;
        is_alone.then_some(range)
    });
    drawn.unwrap_or_else(|| reach(columns, cell))
}

/// Returns the columns whose middle is between two lines, if there are any and not all: lines around a whole table say
/// nothing of one cell.
pub(super) fn within(columns: &[(f64, f64)], left: f64, right: f64) -> Option<Range<usize>> {
    let middle = |column: &(f64, f64)| f64::midpoint(column.0, column.1);
    let first = columns.partition_point(|column| middle(column) <= left);
    let end = columns.partition_point(|column| middle(column) < right);
    let range = first..end.max(first);
    (!range.is_empty() && range.len() < columns.len()).then_some(range)
}

/// Returns the columns that a cell reaches over; one at its end of which it covers next to nothing is none of them.
fn reach(columns: &[(f64, f64)], cell: &Cell) -> Range<usize> {
    let first = place(columns, cell);
    let n_more = columns[first + 1..]
        .iter()
        .take_while(|(left, _)| *left + OVERHANG < cell.right)
        .count();
    let (mut first, mut last) = (first, first + n_more);
    let is_touched = |column: usize| {
        let (left, right) = columns[column];
        let shared = right.min(cell.right) - left.max(cell.left);
        shared < (right - left).min(cell.right - cell.left) * 0.25
    };
    if first < last && is_touched(first) {
        first += 1;
    }
    if first < last && is_touched(last) {
        last -= 1;
    }
    first..last + 1
}

/// Returns the column that a cell begins in.
pub(super) fn place(columns: &[(f64, f64)], cell: &Cell) -> usize {
    let begin = cell.left + OVERHANG.min((cell.right - cell.left).max(0.0) / 2.0);
    let column = columns.partition_point(|&(_, right)| right < begin);
    let column = column.min(columns.len() - 1);
    // What stands between two columns belongs to the nearer one.
    let before = column
        .checked_sub(1)
        .map(|before| cell.left - columns[before].1);
    match before {
        Some(gap) if cell.right < columns[column].0 && gap < columns[column].0 - cell.right => {
            column - 1
        }
        Some(_) | None => column,
    }
}

impl Row {
    /// Returns the room between the vertical rules beside a cell.
    fn room_between_rules(&self, cell: &Cell) -> Option<(f64, f64)> {
        let before = self.rules.iter().filter(|x| **x <= cell.left + OVERHANG);
        let after = self.rules.iter().filter(|x| **x >= cell.right - OVERHANG);
        let left = before.copied().fold(f64::NEG_INFINITY, f64::max);
        let right = after.copied().fold(f64::INFINITY, f64::min);
        (left.is_finite() || right.is_finite()).then_some((left, right))
    }

    /// Returns the ends of the shortest rule close below a cell that is at least as wide as it, else of one that is drawn in
    /// pieces.
    pub(super) fn room_above_rule(&self, cell: &Cell, rules: &[Rule]) -> Option<(f64, f64)> {
        let is_below = |rule: &&Rule| {
            rule.is_horizontal()
                && (self.y - self.size * 0.2..self.y + self.size).contains(&rule.from.1)
        };
        let mut below: Vec<&Rule> = rules.iter().filter(is_below).collect();
        let is_as_wide =
            |ends: &(f64, f64)| ends.0 <= cell.left + OVERHANG && ends.1 >= cell.right - OVERHANG;
        let whole = below
            .iter()
            .map(|rule| (rule.from.0, rule.to.0))
            .filter(is_as_wide);
        let whole = whole.min_by(|a, b| (a.1 - a.0).total_cmp(&(b.1 - b.0)));
        if whole.is_some() {
            return whole;
        }
        let height = |rule: &Rule| (rule.from.1 / MAX_SEAM).round();
        below.sort_by(|a, b| {
            let level = height(a).total_cmp(&height(b));
            level.then(a.from.0.total_cmp(&b.from.0))
        });
        let joined = below.chunk_by(|one, next| {
            (one.from.1 - next.from.1).abs() <= MAX_SEAM && next.from.0 - one.to.0 <= MAX_SEAM
        });
        joined
            .map(|pieces| {
                let right = pieces
                    .iter()
                    .map(|piece| piece.to.0)
                    .fold(f64::MIN, f64::max);
                (pieces[0].from.0, right)
            })
            .find(is_as_wide)
    }
}

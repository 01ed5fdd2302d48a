//! Reading order: columns from left to right, each from top to bottom.

use super::Line;

/// Fewest lines on each side of a gap between columns.
const MIN_COLUMN_LINES: usize = 3;

/// Mean characters of a line's parts from which they are lines of columns, not cells.
const MIN_PROSE_CHARS: usize = 20;

/// Share of pairs of lines drawn upwards from which a page's drawing order is no reading order.
const MAX_UPWARDS: f64 = 0.12;

/// Returns the lines in reading order: as they are drawn where that makes sense, else by their places.
pub(super) fn sorted(lines: Vec<Line>, is_unordered: bool) -> Vec<Line> {
    let parts = columns_of_prose(&lines);
    let is_parted = parts.is_some();
    let lines = parts.unwrap_or(lines);
    if !is_unordered && !is_parted && is_drawn_in_order(&lines) {
        return lines;
    }
    let mut order = Vec::with_capacity(lines.len());
    cut(&lines, (0..lines.len()).collect(), &mut order);
    let mut lines: Vec<Option<Line>> = lines.into_iter().map(Some).collect();
    order.iter().filter_map(|&at| lines[at].take()).collect()
}

/// Parts the lines that run through the columns of a page drawn row by row; `None` if there are no such columns.
fn columns_of_prose(lines: &[Line]) -> Option<Vec<Line>> {
    let wide = || lines.iter().filter(|line| line.cells.len() > 1);
    let n_cells: usize = wide().map(|line| line.cells.len()).sum();
    let n_chars: usize = wide().map(|line| line.text().chars().count()).sum();
    if wide().count() < MIN_COLUMN_LINES || n_chars < n_cells * MIN_PROSE_CHARS {
        return None;
    }
    let parts: Vec<Line> = lines
        .iter()
        .flat_map(|line| {
            line.cells.iter().map(|cell| Line {
                cells: vec![cell.clone()],
                y: line.y,
                size: line.size,
                turn: line.turn,
            })
        })
        .collect();
    column_gap(&parts, &(0..parts.len()).collect::<Vec<_>>()).map(|_| parts)
}

/// Whether the next line drawn is seldom above the one before while it stands in the same column.
fn is_drawn_in_order(lines: &[Line]) -> bool {
    let n_upwards = lines
        .windows(2)
        .filter(|pair| {
            let (one, next) = (&pair[0], &pair[1]);
            next.y < one.y - one.size * 0.5
                && next.left() < one.right()
                && next.right() > one.left()
        })
        .count();
    n_upwards as f64 <= (lines.len() as f64 * MAX_UPWARDS).max(2.0)
}

/// Orders some lines: if a gap parts most of them into columns, lines across the gap part the columns into bands, and a
/// band is read column by column; else from top to bottom.
fn cut(lines: &[Line], mut some: Vec<usize>, order: &mut Vec<usize>) {
    some.sort_by(|&a, &b| {
        let (a, b) = (&lines[a], &lines[b]);
        a.y.total_cmp(&b.y).then(a.left().total_cmp(&b.left()))
    });
    let Some(gap) = column_gap(lines, &some) else {
        order.extend(rows(lines, &some));
        return;
    };
    let (mut left, mut right) = (Vec::new(), Vec::new());
    for at in some {
        let line = &lines[at];
        if line.right() <= gap {
            left.push(at);
        } else if line.left() >= gap {
            right.push(at);
        } else {
            cut(lines, std::mem::take(&mut left), order);
            cut(lines, std::mem::take(&mut right), order);
            order.push(at);
        }
    }
    cut(lines, left, order);
    cut(lines, right, order);
}

/// Lines of about the same height are one row, read from left to right.
fn rows(lines: &[Line], some: &[usize]) -> Vec<usize> {
    let mut out: Vec<usize> = Vec::with_capacity(some.len());
    let mut row: Vec<usize> = Vec::new();
    let mut flush = |row: &mut Vec<usize>| {
        row.sort_by(|&a, &b| lines[a].left().total_cmp(&lines[b].left()));
        out.append(row);
    };
    for &at in some {
        let is_same = row.first().is_some_and(|&first| {
            (lines[at].y - lines[first].y).abs() <= lines[first].size.min(lines[at].size) * 0.5
        });
        if !is_same {
            flush(&mut row);
        }
        row.push(at);
    }
    flush(&mut row);
    out
}

/// Returns the middle of the gap that few lines cross, with enough lines beside each other on both sides.
fn column_gap(lines: &[Line], some: &[usize]) -> Option<f64> {
    if some.len() < 2 * MIN_COLUMN_LINES {
        return None;
    }
    let mut best: Option<(usize, f64, f64)> = None;
    let mut edges: Vec<f64> = some.iter().map(|&at| lines[at].right()).collect();
    edges.sort_by(f64::total_cmp);
    edges.dedup_by(|a, b| (*a - *b).abs() < 1.0);
    for edge in edges {
        let beyond = some
            .iter()
            .map(|&at| lines[at].left())
            .filter(|&left| left >= edge - 0.5);
        let Some(next) = beyond.min_by(f64::total_cmp) else {
            continue;
        };
        let middle = f64::midpoint(edge, next);
        let mut n_across = 0;
        let (mut left, mut right) = (Span::default(), Span::default());
        for &at in some {
            let line = &lines[at];
            if line.right() <= middle {
                left.add(line);
            } else if line.left() >= middle {
                right.add(line);
            } else {
                n_across += 1;
            }
        }
        let size = lines[some[0]].size;
        let are_columns = left.n >= MIN_COLUMN_LINES
            && right.n >= MIN_COLUMN_LINES
            && n_across * 5 <= some.len()
            && next - edge >= size * 0.8
            && left.shared(&right) >= 0.3 * left.height().max(right.height());
        let width = next - edge;
        if are_columns
            && best.is_none_or(|(fewest, widest, _)| (n_across, -width) < (fewest, -widest))
        {
            best = Some((n_across, width, middle));
        }
    }
    best.map(|(_, _, middle)| middle)
}

/// From the highest to the lowest of some lines.
struct Span {
    n: usize,
    top: f64,
    bottom: f64,
}

impl Default for Span {
    fn default() -> Self {
        Self {
            n: 0,
            top: f64::MAX,
            bottom: f64::MIN,
        }
    }
}

impl Span {
    fn add(&mut self, line: &Line) {
        self.n += 1;
        self.top = self.top.min(line.y - line.size);
        self.bottom = self.bottom.max(line.y);
    }

    fn height(&self) -> f64 {
        self.bottom - self.top
    }

    fn shared(&self, other: &Self) -> f64 {
        self.bottom.min(other.bottom) - self.top.max(other.top)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Cell;
    use super::*;

    fn line(text: &str, left: f64, right: f64, y: f64) -> Line {
        Line {
            cells: vec![Cell {
                text: text.to_owned(),
                left,
                right,
                ..Cell::default()
            }],
            y,
            size: 10.0,
            turn: 0,
        }
    }

    #[test]
    fn columns_are_read_one_after_the_other_between_what_spans_them() {
        let mut lines = vec![line("title", 50.0, 550.0, 50.0)];
        for row in 0..4 {
            let y = 80.0 + 12.0 * f64::from(row);
            lines.push(line(&format!("r{row}"), 310.0, 540.0, y));
            lines.push(line(&format!("l{row}"), 50.0, 290.0, y));
        }
        lines.push(line("foot", 50.0, 550.0, 200.0));
        lines.reverse();
        let got: Vec<String> = sorted(lines, true).iter().map(Line::text).collect();
        assert_eq!(
            got,
            [
                "title", "l0", "l1", "l2", "l3", "r0", "r1", "r2", "r3", "foot"
            ]
        );
    }

    #[test]
    fn a_sound_drawing_order_is_kept() {
        let lines = vec![
            line("left 1", 50.0, 290.0, 100.0),
            line("left 2", 50.0, 290.0, 112.0),
            line("right 1", 310.0, 540.0, 100.0),
            line("right 2", 310.0, 540.0, 112.0),
        ];
        assert_eq!(sorted(lines.clone(), false), lines);
    }

    #[test]
    fn pieces_of_a_row_are_read_from_left_to_right() {
        let lines = vec![
            line("b", 200.0, 250.0, 99.0),
            line("a", 50.0, 100.0, 100.0),
            line("c", 50.0, 100.0, 115.0),
        ];
        let got: Vec<String> = sorted(lines, true).iter().map(Line::text).collect();
        assert_eq!(got, ["a", "b", "c"]);
    }
}

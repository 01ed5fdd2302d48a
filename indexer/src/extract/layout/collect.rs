//! Characters as they are drawn → lines of cells.

use super::{Cell, Line, Rule, Space, bidi};
use crate::extract::clean;

/// A gap of this many letter heights parts two cells.
const CELL_GAP: f64 = 1.5;

/// Letters of no more than this share of their line's height that follow it closely may stand above or below it.
const MARK_SIZE: f64 = 0.85;

/// A character with its place: see [`Line`] for the frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Glyph<'a> {
    pub(crate) text: &'a str,
    pub(crate) x: f64,
    pub(crate) y: f64,
    /// Way to the next character.
    pub(crate) advance: f64,
    pub(crate) size: f64,
    pub(crate) turn: u8,
}

/// Gathers the lines of a page in the order they are drawn.
#[derive(Debug, Default)]
pub(crate) struct Collector {
    runs: Vec<Run>,
    /// Where the next character is expected, in the direction of writing.
    pen: Option<Pen>,
}

#[derive(Debug, Clone, Copy)]
struct Pen {
    x: f64,
    y: f64,
    turn: u8,
}

#[derive(Debug, Clone)]
struct Run {
    atoms: Vec<Atom>,
    y: f64,
    size: f64,
    turn: u8,
    is_right_to_left: bool,
}

#[derive(Debug, Clone)]
struct Atom {
    text: String,
    left: f64,
    right: f64,
    /// Whether it is a small figure above the base line, such as the number of a note.
    is_raised: bool,
}

impl Atom {
    fn is_blank(&self) -> bool {
        self.text.chars().all(char::is_whitespace)
    }
}

impl Collector {
    /// Takes the next character that is drawn.
    pub(crate) fn put(&mut self, glyph: Glyph<'_>) {
        let Glyph {
            text,
            x,
            y,
            advance,
            size,
            turn,
        } = glyph;
        let is_sound = [x, y, advance, size].iter().all(|value| value.is_finite());
        if text.is_empty() || !is_sound {
            return;
        }
        let is_right_to_left = bidi::is_right_to_left(text);
        let is_blank = text.chars().all(char::is_whitespace);
        let is_mark = !is_blank && self.is_mark(&glyph);
        let is_level = self
            .pen
            .is_some_and(|pen| pen.turn == turn && (y - pen.y).abs() <= size * 0.5)
            || is_mark;
        let goes_right = is_level && self.pen.is_some_and(|pen| x >= pen.x - size * 0.6);
        let goes_left = is_level
            && self.runs.last().is_some_and(|run| {
                let (before, neutral) =
                    (run.is_right_to_left, !text.chars().any(char::is_alphabetic));
                let first = run
                    .atoms
                    .iter()
                    .map(|atom| atom.left)
                    .fold(f64::MAX, f64::min);
                (is_right_to_left || (before && neutral)) && x < first + size * 0.3
            });
        let is_raised = is_mark
            && text.chars().all(|c| c.is_ascii_digit())
            && self.pen.is_some_and(|pen| y < pen.y - size * 0.15);
        let atom = Atom {
            text: text.to_owned(),
            left: x,
            right: x + advance,
            is_raised,
        };
        if let Some(run) = self.runs.last_mut()
            && (goes_right || goes_left)
        {
            run.atoms.push(atom);
            run.is_right_to_left |= is_right_to_left;
            if !is_blank {
                run.size = run.size.max(size);
            }
        } else if is_blank {
            return;
        } else {
            self.runs.push(Run {
                atoms: vec![atom],
                y,
                size,
                turn,
                is_right_to_left,
            });
        }
        // After a mark the line goes on where it was.
        let level = self.pen.filter(|_| is_mark).map_or(y, |pen| pen.y);
        self.pen = Some(Pen {
            x: x + advance,
            y: level,
            turn,
        });
    }

    /// Whether a letter is a small one close behind the line under way, above or below its base line.
    fn is_mark(&self, glyph: &Glyph<'_>) -> bool {
        let (Some(pen), Some(run)) = (self.pen, self.runs.last()) else {
            return false;
        };
        pen.turn == glyph.turn
            && glyph.size <= run.size * MARK_SIZE
            && (glyph.y - pen.y).abs() <= run.size * 0.5
            && (glyph.x - pen.x).abs() <= run.size * 0.3
    }

    /// Returns the lines; a vertical ruling line parts cells however near they are.
    pub(crate) fn lines(self, rules: &[Rule]) -> Vec<Line> {
        let mut lines: Vec<Line> = Vec::new();
        for run in self.runs {
            let line = run.into_line(rules);
            let is_again = lines.last().is_some_and(|last| {
                // Text drawn twice, a little apart, to look bold.
                (last.y - line.y).abs() < line.size * 0.2
                    && (last.left() - line.left()).abs() < line.size * 0.2
                    && last.text() == line.text()
            });
            if !is_again && !line.cells.is_empty() {
                lines.push(line);
            }
        }
        lines
    }
}

impl Run {
    fn into_line(mut self, rules: &[Rule]) -> Line {
        if self.is_right_to_left {
            self.atoms.sort_by(|a, b| a.left.total_cmp(&b.left));
        }
        let crosses = |from: f64, to: f64| {
            self.turn == 0
                && rules.iter().any(|rule| {
                    rule.is_vertical()
                        && rule.from.0 > from - 0.5
                        && rule.from.0 < to + 0.5
                        && rule.from.1 < self.y
                        && rule.to.1 > self.y - self.size * 0.5
                })
        };
        let mut cells: Vec<Vec<&Atom>> = Vec::new();
        let mut last: Option<&Atom> = None;
        for atom in self.atoms.iter().filter(|atom| !atom.is_blank()) {
            let is_new = last.is_none_or(|last| {
                let gap = atom.left - last.right;
                gap > self.size * CELL_GAP || (gap > 0.0 && crosses(last.right, atom.left))
            });
            if is_new {
                cells.push(Vec::new());
            }
            if let Some(cell) = cells.last_mut() {
                cell.push(atom);
            }
            last = Some(atom);
        }
        let blanks: Vec<&Atom> = self.atoms.iter().filter(|atom| atom.is_blank()).collect();
        let cells: Vec<Cell> = cells
            .into_iter()
            .map(|atoms| self.cell(&atoms, &blanks))
            .collect();
        Line {
            cells,
            y: self.y,
            size: self.size,
            turn: self.turn,
        }
    }

    fn cell(&self, atoms: &[&Atom], blanks: &[&Atom]) -> Cell {
        let mut parts: Vec<&str> = Vec::new();
        let mut spaces: Vec<Space> = Vec::new();
        let mut n_bytes = 0;
        let mut last: Option<&Atom> = None;
        for &atom in atoms {
            if let Some(last) = last {
                let gap = atom.left - last.right;
                let is_apart = gap > self.size * 0.15
                    && !(last.text.ends_with(clean::is_cjk) && gap < self.size * 0.6);
                let has_blank = blanks.iter().any(|blank| {
                    blank.left > last.left - self.size * 0.05
                        && blank.left < atom.left + self.size * 0.05
                });
                // The number of a note is no part of the word or figure before it.
                let is_note = atom.is_raised && !last.is_raised;
                if is_apart || has_blank || is_note {
                    parts.push(" ");
                    spaces.push(Space {
                        at: n_bytes,
                        left: last.right,
                        right: atom.left,
                    });
                    n_bytes += 1;
                }
            }
            parts.push(&atom.text);
            n_bytes += atom.text.len();
            last = Some(atom);
        }
        let text = if self.is_right_to_left {
            // Its words have other places in the text than on the line.
            spaces.clear();
            bidi::logical(&parts)
        } else {
            parts.concat()
        };
        Cell {
            text,
            left: atoms.first().map_or(0.0, |atom| atom.left),
            right: atoms.iter().map(|atom| atom.right).fold(f64::MIN, f64::max),
            spaces,
        }
    }
}

/// The direction of writing in quarter turns, y growing upwards: 0 to the right, 1 up, 2 to the left, 3 down.
pub(crate) fn quarter_turn(dx: f64, dy: f64) -> u8 {
    if dx.abs() >= dy.abs() {
        if dx >= 0.0 { 0 } else { 2 }
    } else if dy > 0.0 {
        1
    } else {
        3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(collector: &mut Collector, text: &str, x: f64) {
        let advance = if text == " " { 3.0 } else { 5.0 };
        collector.put(Glyph {
            text,
            x,
            y: 100.0,
            advance,
            size: 10.0,
            turn: 0,
        });
    }

    fn cells(collector: Collector, rules: &[Rule]) -> Vec<Vec<String>> {
        let lines = collector.lines(rules);
        let texts = |line: &Line| line.cells.iter().map(|cell| cell.text.clone()).collect();
        lines.iter().map(texts).collect()
    }

    #[test]
    fn gaps_are_spaces_and_wide_ones_part_cells() {
        let mut collector = Collector::default();
        for (text, x) in [
            ("a", 0.0),
            ("b", 5.0),
            ("c", 13.0),
            (" ", 18.0),
            ("d", 21.0),
            ("e", 60.0),
        ] {
            put(&mut collector, text, x);
        }
        assert_eq!(cells(collector, &[]), [["ab c d", "e"]]);
    }

    #[test]
    fn the_number_of_a_note_does_not_part_its_line() {
        let mut collector = Collector::default();
        for (text, x, y, size) in [
            ("M", 0.0, 100.0, 10.0),
            ("1", 5.0, 96.0, 6.0),
            ("2", 8.0, 96.0, 6.0),
            ("N", 14.0, 100.0, 10.0),
        ] {
            let advance = size / 2.0;
            collector.put(Glyph {
                text,
                x,
                y,
                advance,
                size,
                turn: 0,
            });
        }
        assert_eq!(cells(collector, &[]), [["M 12 N"]]);
    }

    #[test]
    fn a_ruling_line_parts_cells() {
        let mut collector = Collector::default();
        put(&mut collector, "a", 0.0);
        put(&mut collector, "b", 9.0);
        let rule = Rule {
            from: (7.0, 50.0),
            to: (7.0, 150.0),
        };
        assert_eq!(cells(collector, &[rule]), [["a", "b"]]);
    }

    #[test]
    fn right_to_left_text_is_put_into_logical_order_however_it_is_drawn() {
        // "אבג 12" as one sees it: 12 at the left.
        let seen = [
            ("1", 0.0),
            ("2", 5.0),
            (" ", 10.0),
            ("ג", 13.0),
            ("ב", 18.0),
            ("א", 23.0),
        ];
        let mut from_left = Collector::default();
        for (text, x) in seen {
            put(&mut from_left, text, x);
        }
        let mut from_right = Collector::default();
        for (text, x) in [seen[5], seen[4], seen[3], seen[2]] {
            put(&mut from_right, text, x);
        }
        assert_eq!(cells(from_left, &[]), [["אבג 12"]]);
        assert_eq!(cells(from_right, &[]), [["אבג"]]);
    }
}

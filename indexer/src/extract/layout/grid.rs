//! Tables: rows of cells that stand under each other with empty columns between them.

use super::{Cell, Line, Rule};

/// Fewest rows of a table.
const MIN_ROWS: usize = 3;

/// Mean characters of a cell above which aligned text is taken for columns of prose.
const MAX_CELL_CHARS: usize = 40;

/// Most lines of a header's cell.
const MAX_HEADER_ROWS: usize = 6;

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
}

/// Takes the tables out of a page's lines; returns them from top to bottom, and the other lines as they were.
pub(super) fn tables(lines: Vec<Line>, rules: &[Rule]) -> (Vec<Table>, Vec<Line>) {
    let rows = rows(&lines);
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

fn rows(lines: &[Line]) -> Vec<Row> {
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
        if row.y - before.y > (row.size.max(before.size) * 4.0) {
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

/// Returns the columns' left and right edges: stretches that cells cover, with nothing between them.
fn columns(rows: &[Row]) -> Vec<(f64, f64)> {
    let mut spans: Vec<(f64, f64)> = rows
        .iter()
        .flat_map(|row| &row.cells)
        .map(|cell| (cell.left, cell.right.max(cell.left)))
        .collect();
    spans.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut columns: Vec<(f64, f64)> = Vec::new();
    for (left, right) in spans {
        match columns.last_mut() {
            Some(last) if left <= last.1 + 1.0 => last.1 = last.1.max(right),
            Some(_) | None => columns.push((left, right)),
        }
    }
    columns
}

impl Table {
    fn of(rows: &[Row], rules: &[Rule]) -> Option<Self> {
        let columns = columns(rows);
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
        let mut grid: Vec<(usize, Vec<String>)> = Vec::new();
        for row in rows {
            let band = borders
                .iter()
                .filter(|&&y| y < row.y - row.size * 0.3)
                .count();
            let goes_on = borders.len() >= 2 && grid.last().is_some_and(|(last, _)| *last == band);
            if !goes_on {
                grid.push((band, vec![String::new(); columns.len()]));
            }
            let Some((_, texts)) = grid.last_mut() else {
                continue;
            };
            for cell in &row.cells {
                let column = columns
                    .iter()
                    .position(|&(_, right)| cell.left <= right)
                    .unwrap_or(columns.len() - 1);
                if !texts[column].is_empty() {
                    texts[column].push(' ');
                }
                texts[column].push_str(&cell.text);
            }
        }
        let rows = join_header(grid.into_iter().map(|(_, texts)| texts).collect());
        (rows.len() >= 2).then_some(Self {
            rows,
            top,
            left,
            right,
        })
    }
}

/// Joins the rows of a header whose cells are wrapped: those above the first row with figures, if only the
/// last of them has all its cells.
fn join_header(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    let has_figures = |row: &Vec<String>| {
        let (mut n, mut n_figures) = (0, 0);
        for cell in row.iter().skip(1).filter(|cell| !cell.is_empty()) {
            n += 1;
            n_figures += usize::from(cell.chars().any(|c| c.is_ascii_digit()));
        }
        n_figures > 0 && n_figures * 2 >= n
    };
    let n = rows.iter().position(has_figures).unwrap_or(0);
    let is_full = |row: &Vec<String>| row.iter().all(|cell| !cell.is_empty());
    if !(2..=MAX_HEADER_ROWS).contains(&n) || rows[..n - 1].iter().any(is_full) {
        return rows;
    }
    let body = rows.split_off(n);
    let mut header = rows.remove(0);
    for row in rows {
        for (cell, more) in header.iter_mut().zip(row) {
            if !cell.is_empty() && !more.is_empty() {
                cell.push(' ');
            }
            cell.push_str(&more);
        }
    }
    std::iter::once(header).chain(body).collect()
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
mod tests {
    use super::*;

    fn line(y: f64, cells: &[(&str, f64, f64)]) -> Line {
        Line {
            cells: cells
                .iter()
                .map(|&(text, left, right)| Cell {
                    text: text.to_owned(),
                    left,
                    right,
                })
                .collect(),
            y,
            size: 10.0,
            turn: 0,
        }
    }

    #[test]
    fn aligned_cells_are_a_table_whatever_order_they_are_drawn_in() {
        let lines = vec![
            line(80.0, &[("Prices", 50.0, 90.0)]),
            line(100.0, &[("item", 50.0, 80.0)]),
            line(115.0, &[("pen", 50.0, 70.0)]),
            line(130.0, &[("paper", 50.0, 85.0)]),
            line(100.0, &[("price", 150.0, 180.0)]),
            line(115.0, &[("100", 160.0, 180.0)]),
            line(130.0, &[("2,000", 150.0, 180.0)]),
            line(190.0, &[("All prices are without tax.", 50.0, 180.0)]),
        ];
        let (tables, rest) = tables(lines, &[]);
        assert_eq!(tables.len(), 1, "{tables:?}");
        assert_eq!(
            tables[0].rows,
            [["item", "price"], ["pen", "100"], ["paper", "2,000"]]
        );
        let rest: Vec<String> = rest.iter().map(Line::text).collect();
        assert_eq!(rest, ["Prices", "All prices are without tax."]);
    }

    #[test]
    fn borders_join_the_lines_of_a_cell() {
        let lines = vec![
            line(100.0, &[("item", 50.0, 80.0), ("note", 150.0, 180.0)]),
            line(115.0, &[("pen", 50.0, 70.0), ("blue or", 150.0, 190.0)]),
            line(127.0, &[("black", 150.0, 180.0)]),
            line(142.0, &[("ink", 50.0, 70.0), ("red", 150.0, 180.0)]),
        ];
        let rule = |y: f64| Rule {
            from: (45.0, y),
            to: (200.0, y),
        };
        let (tables, rest) = tables(lines, &[rule(104.0), rule(131.0)]);
        assert!(rest.is_empty());
        assert_eq!(
            tables[0].rows,
            [["item", "note"], ["pen", "blue or black"], ["ink", "red"]]
        );
    }

    #[test]
    fn the_wrapped_cells_of_a_header_are_joined() {
        let rows = |rows: &[[&str; 3]]| -> Vec<Vec<String>> {
            rows.iter()
                .map(|row| row.iter().map(|&cell| cell.to_owned()).collect())
                .collect()
        };
        assert_eq!(
            join_header(rows(&[
                ["Kind of", "", "Time to"],
                ["item", "Price", "deliver"],
                ["pen", "1", "2 days"]
            ])),
            rows(&[
                ["Kind of item", "Price", "Time to deliver"],
                ["pen", "1", "2 days"]
            ])
        );
        let plain = rows(&[
            ["item", "color", "price"],
            ["pen", "blue", ""],
            ["ink", "red", "2"],
        ]);
        assert_eq!(join_header(plain.clone()), plain);
    }

    #[test]
    fn columns_of_prose_are_no_table() {
        let long = "words that fill the whole column here";
        let lines: Vec<Line> = (0..6)
            .map(|row| {
                let y = 100.0 + 12.0 * f64::from(row);
                line(y, &[(long, 50.0, 290.0), (long, 310.0, 550.0)])
            })
            .collect();
        let (tables, rest) = tables(lines, &[]);
        assert!(tables.is_empty());
        assert_eq!(rest.len(), 6);
    }
}

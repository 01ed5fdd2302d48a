//! Tables of binary PowerPoint files.
//!
//! The format has no cells. A table is a group of shapes that says so in a property (`tableProperties`, [MS-ODRAW]): each
//! cell is a text box at its place, each border a line. `office_oxide` makes tables of complete grids only, so those with
//! merged cells are put together here, and take the place of the paragraphs that their texts would be.

use crate::extract::table::Row;
use office_oxide::cfb::CfbReader;
use std::io::Cursor;
use std::ops::Range;

/// Record types of [MS-PPT] and [MS-ODRAW].
const GROUP: u16 = 0xF003;
const SHAPE: u16 = 0xF004;
const PROPERTIES: [u16; 3] = [0xF00B, 0xF121, 0xF122];
const CHILD_ANCHOR: u16 = 0xF00F;
const TEXT_BOX: u16 = 0xF00D;
const TEXT_CHARS: u16 = 0x0FA0;
const TEXT_BYTES: u16 = 0x0FA8;
const TABLE_PROPERTIES: u16 = 0x039F;

/// Groups within each other deeper than this are not looked into.
const MAX_DEPTH: u8 = 16;
const MAX_TABLES: usize = 500;
const MAX_CELLS: usize = 10_000;
/// Edges so close are one; a slide is 5,760 units wide.
const JITTER: i32 = 4;

/// A table of a slide.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SlideTable {
    /// The lines of its cells in the order of the file, empty ones left out.
    pub(super) lines: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// Returns the tables of a presentation; none when it cannot be read, which is for the reader of its text to say.
pub(super) fn find(bytes: &[u8]) -> Vec<SlideTable> {
    let file = CfbReader::new(Cursor::new(bytes));
    let stream = file.and_then(|mut file| file.open_stream("PowerPoint Document"));
    stream.map_or_else(|_| Vec::new(), |stream| in_stream(&stream))
}

/// Returns the tables of a presentation's stream.
pub(crate) fn in_stream(stream: &[u8]) -> Vec<SlideTable> {
    let mut tables = Vec::new();
    search(stream, 0, &mut tables);
    tables
}

fn search(data: &[u8], depth: u8, tables: &mut Vec<SlideTable>) {
    for record in records(data).filter(|record| record.is_container) {
        if tables.len() >= MAX_TABLES || depth >= MAX_DEPTH {
            return;
        }
        match (record.kind == GROUP).then(|| table(record.body)).flatten() {
            Some(table) => tables.push(table),
            None => search(record.body, depth + 1, tables),
        }
    }
}

struct Record<'a> {
    kind: u16,
    is_container: bool,
    /// Of a property table the number of properties.
    instance: u16,
    body: &'a [u8],
}

fn records(mut data: &[u8]) -> impl Iterator<Item = Record<'_>> {
    std::iter::from_fn(move || {
        let (header, rest) = data.split_first_chunk::<8>()?;
        let [a, b, c, d, length @ ..] = *header;
        let (version, length) = (u16::from_le_bytes([a, b]), u32::from_le_bytes(length));
        let (body, rest) = rest
            .split_at_checked(length as usize)
            .unwrap_or((rest, &[]));
        data = rest;
        Some(Record {
            kind: u16::from_le_bytes([c, d]),
            is_container: version & 0xF == 0xF,
            instance: version >> 4,
            body,
        })
    })
}

/// Returns the table that a group is, if it says that it is one and its cells do not overlap.
fn table(group: &[u8]) -> Option<SlideTable> {
    let mut shapes = records(group).filter(|record| record.kind == SHAPE);
    // The first stands for the group.
    is_table(shapes.next()?.body).then_some(())?;
    let boxes: Vec<TextBox> = shapes.filter_map(|shape| text_box(shape.body)).collect();
    let columns = distinct(boxes.iter().map(|cell| cell.left).collect());
    let rows = distinct(boxes.iter().map(|cell| cell.top).collect());
    if columns.len() * rows.len() > MAX_CELLS {
        return None;
    }
    let across = |cell: &TextBox| covered(&columns, cell.left, cell.right);
    let down = |cell: &TextBox| covered(&rows, cell.top, cell.bottom);
    // Which cell covers each place.
    let mut grid: Vec<Vec<Option<usize>>> = vec![vec![None; columns.len()]; rows.len()];
    for (index, cell) in boxes.iter().enumerate() {
        for row in down(cell) {
            for column in across(cell) {
                if grid[row][column].replace(index).is_some() {
                    return None;
                }
            }
        }
    }
    // Below a cell over several columns another row tells these apart, so that what it says of several holds for each.
    let is_wide = |row: &usize| {
        let mut cells = boxes.iter().filter(|cell| down(cell).contains(row));
        cells.any(|cell| across(cell).len() > 1)
    };
    let n_naming = 1 + (0..rows.len()).take_while(is_wide).count();
    let mut laid_out: Vec<Row> = Vec::with_capacity(rows.len());
    for (at, places) in grid.iter().enumerate() {
        // The file does not say what its header is: the first row, as in PowerPoint's own styles.
        let mut row = Row::new(at == 0);
        for (column, place) in places.iter().enumerate() {
            match place.and_then(|index| boxes.get(index)) {
                None => row.push("", 1),
                Some(cell) if at > 0 && at < n_naming => row.push(cell.text.as_str(), 1),
                Some(cell) if across(cell).start < column => row.push_left(),
                Some(cell) if down(cell).start < at => row.push_above(laid_out.last(), 1),
                Some(cell) => row.push(cell.text.as_str(), 1),
            }
        }
        laid_out.push(row);
    }
    Some(SlideTable {
        lines: boxes.iter().flat_map(|cell| lines(&cell.text)).collect(),
        rows: laid_out,
    })
}

/// Whether the shape that stands for a group says that the group is a table.
fn is_table(shape: &[u8]) -> bool {
    let tables = records(shape).filter(|record| PROPERTIES.contains(&record.kind));
    let properties =
        tables.flat_map(|table| table.body.chunks_exact(6).take(table.instance.into()));
    properties
        .filter_map(|property| property.first_chunk::<6>())
        .any(|&[a, b, flags, ..]| {
            u16::from_le_bytes([a, b]) & 0x3FFF == TABLE_PROPERTIES && flags & 1 == 1
        })
}

/// A shape with room for text.
struct TextBox {
    left: i32,
    top: i32,
    right: i32,
    bottom: i32,
    text: String,
}

/// Returns a cell; `None` for a border, which is a line.
fn text_box(shape: &[u8]) -> Option<TextBox> {
    let anchor = records(shape).find(|record| record.kind == CHILD_ANCHOR)?;
    let mut edges = anchor.body.chunks_exact(4).map(|edge| {
        edge.first_chunk::<4>()
            .map_or(0, |edge| i32::from_le_bytes(*edge))
    });
    let [left, top, right, bottom] = [edges.next()?, edges.next()?, edges.next()?, edges.next()?];
    let is_area = |from: i32, to: i32| i64::from(to) - i64::from(from) > i64::from(JITTER);
    (is_area(left, right) && is_area(top, bottom)).then(|| TextBox {
        left,
        top,
        right,
        bottom,
        text: text(shape),
    })
}

fn text(shape: &[u8]) -> String {
    let Some(text_box) = records(shape).find(|record| record.kind == TEXT_BOX) else {
        return String::new();
    };
    let text: String = records(text_box.body)
        .filter_map(|record| {
            let units: Vec<u16> = match record.kind {
                TEXT_BYTES => record.body.iter().map(|byte| u16::from(*byte)).collect(),
                TEXT_CHARS => record
                    .body
                    .chunks_exact(2)
                    .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
                    .collect(),
                _ => return None,
            };
            Some(String::from_utf16_lossy(&units))
        })
        .collect();
    lines(&text).collect::<Vec<_>>().join("\n")
}

/// Returns the lines of a text that have anything on them, trimmed.
pub(super) fn lines(text: &str) -> impl Iterator<Item = String> {
    // A paragraph ends with a return, a line within it with a vertical tab.
    let lines = text
        .split(['\r', '\n', '\u{B}'])
        .map(|line| line.trim().to_owned());
    lines.filter(|line| !line.is_empty())
}

/// Returns the different values, ascending, without those that lie within [`JITTER`] of the one before.
fn distinct(mut values: Vec<i32>) -> Vec<i32> {
    values.sort_unstable();
    values.dedup_by(|value, last| i64::from(*value) - i64::from(*last) <= i64::from(JITTER));
    values
}

/// Returns which bands, each of which begins at one of `starts`, lie between two edges.
fn covered(starts: &[i32], from: i32, to: i32) -> Range<usize> {
    let until = |edge: i32| {
        starts.partition_point(|start| i64::from(*start) <= i64::from(edge) + i64::from(JITTER))
    };
    let first = until(from).saturating_sub(1);
    let end = starts.partition_point(|start| i64::from(*start) + i64::from(JITTER) < i64::from(to));
    first..end.max(first + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::outline::Outline;

    fn record(kind: u16, version: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len()).unwrap();
        let header = [
            &version.to_le_bytes()[..],
            &kind.to_le_bytes(),
            &length.to_le_bytes(),
        ];
        [&header.concat(), body].concat()
    }

    fn shape(parts: &[Vec<u8>]) -> Vec<u8> {
        record(SHAPE, 0xF, &parts.concat())
    }

    fn anchor(edges: [i32; 4]) -> Vec<u8> {
        record(CHILD_ANCHOR, 0, &edges.map(i32::to_le_bytes).concat())
    }

    fn cell(edges: [i32; 4], text: &str) -> Vec<u8> {
        let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let text = record(TEXT_BOX, 0xF, &record(TEXT_CHARS, 0, &units));
        shape(&[anchor(edges), text])
    }

    /// A slide with one group; `flags` are those of its table properties.
    fn slide(flags: u8, shapes: &[Vec<u8>]) -> Vec<u8> {
        let property = [&(TABLE_PROPERTIES).to_le_bytes()[..], &[flags, 0, 0, 0]].concat();
        let own = shape(&[record(0xF122, 1 << 4 | 3, &property)]);
        let group = record(GROUP, 0xF, &[vec![own], shapes.to_vec()].concat().concat());
        record(0x03EE, 0xF, &record(0x040C, 0xF, &group))
    }

    /// Two columns under one name; a row that spans two; a border; edges that are a little off.
    fn shapes() -> Vec<Vec<u8>> {
        vec![
            cell([0, 0, 100, 50], ""),
            cell([100, 0, 300, 50], "売上"),
            cell([1, 50, 100, 100], ""),
            cell([100, 50, 200, 100], "2023"),
            cell([201, 50, 300, 99], "2024"),
            cell([0, 100, 100, 200], "Tokyo\roffice"),
            cell([100, 100, 200, 150], "1"),
            cell([200, 100, 300, 150], "2"),
            cell([100, 150, 300, 200], "both"),
            shape(&[anchor([0, 50, 300, 50])]),
        ]
    }

    #[test]
    fn merged_cells_keep_their_rows_and_name_their_columns() {
        let [table] = in_stream(&slide(1, &shapes())).try_into().unwrap();
        let mut outline = Outline::default();
        outline.table_of(&table.rows);
        let want = "| | 売上 | 売上 |\n| --- | --- | --- |\n| | 2023 | 2024 |\n| Tokyo office | 1 | 2 |\n| Tokyo office | both | |";
        assert_eq!(outline.finish().blocks[0].text, want);
        let lines = ["売上", "2023", "2024", "Tokyo", "office", "1", "2", "both"];
        assert_eq!(table.lines, lines);
    }

    #[test]
    fn other_groups_and_cells_upon_each_other_are_no_tables() {
        assert!(in_stream(&slide(0, &shapes())).is_empty());
        let mut shapes = shapes();
        shapes.push(cell([100, 100, 200, 150], "above"));
        assert!(in_stream(&slide(1, &shapes)).is_empty());
    }

    #[test]
    fn damaged_streams_end() {
        let stream = slide(1, &shapes());
        for end in 0..stream.len() {
            in_stream(&stream[..end]);
        }
        let mut far = shapes();
        far.push(cell([i32::MIN, i32::MIN, i32::MAX, i32::MAX], "far"));
        in_stream(&slide(1, &far));
        let deep = (0..200_000).fold(Vec::new(), |inner, _| match inner.len() {
            0..100_000 => record(GROUP, 0xF, &inner),
            _ => inner,
        });
        assert!(in_stream(&deep).is_empty());
    }
}

//! CSV and TSV: one table, its first record the header, but for titles above it.

use crate::document::Extracted;
use crate::extract::outline::Outline;
use crate::extract::table::{Grid, Row};
use crate::extract::text;

const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// Extracts the records as tables. `preferred` is the delimiter the name promises; it yields to a plainly better one.
pub(crate) fn extract(bytes: &[u8], preferred: u8) -> Extracted {
    let mut outline = Outline::default();
    let (text, damaged) = text::decode(bytes);
    if damaged {
        outline.warn("some bytes are not text in the detected encoding and were replaced");
    }
    let text = text.trim_start_matches('\u{FEFF}');
    // Excel writes `sep=;` as a first line.
    let (text, declared) = match text.split_once('\n') {
        Some((first, rest)) if first.trim_end().len() == 5 && first.starts_with("sep=") => {
            (rest, Some(first.as_bytes()[4]))
        }
        _ => (text, None),
    };
    let delimiter = declared.unwrap_or_else(|| sniff(text, preferred));
    let mut rows: Vec<Row> = Vec::new();
    for record in reader(text, delimiter).records() {
        match record {
            Ok(record) => rows.push(Row::of(record.iter())),
            Err(error) => outline.warn(format!("a record could not be read: {}", kind(&error))),
        }
    }
    Grid {
        sheet: None,
        origin: (0, 0),
        last_column: rows
            .iter()
            .map(Row::width)
            .max()
            .unwrap_or(1)
            .saturating_sub(1),
        rows,
        amid: Vec::new(),
    }
    .add_to(&mut outline);
    outline.finish()
}

/// The records of a text without damage.
pub(crate) fn rows(text: &str, delimiter: u8) -> Vec<Vec<String>> {
    let records = reader(text, delimiter).into_records().flatten();
    records
        .map(|record| record.iter().map(str::to_owned).collect())
        .collect()
}

/// The delimiter that splits the first records most evenly.
fn sniff(text: &str, preferred: u8) -> u8 {
    let evenness = |delimiter: u8| {
        let widths: Vec<usize> = reader(text, delimiter)
            .records()
            .take(50)
            .filter_map(|record| record.ok().map(|record| record.len()))
            .collect();
        let width = widths.first().copied().unwrap_or(0);
        if width < 2 {
            return 0;
        }
        widths.iter().filter(|&&other| other == width).count() * 1000 / widths.len()
    };
    let mut best = (evenness(preferred), preferred);
    for delimiter in DELIMITERS {
        let score = evenness(delimiter);
        if score > best.0 + 100 {
            best = (score, delimiter);
        }
    }
    best.1
}

fn reader(text: &str, delimiter: u8) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
}

/// What is wrong, without the record's content.
fn kind(error: &csv::Error) -> String {
    match error.position() {
        Some(position) => format!("line {}", position.line()),
        None => "unknown line".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::BlockKind;

    fn only_table(bytes: &[u8]) -> String {
        let blocks = extract(bytes, b',').blocks;
        assert_eq!(blocks.len(), 1);
        assert_eq!(blocks[0].kind, BlockKind::Table);
        blocks[0].text.clone()
    }

    #[test]
    fn delimiters_are_sniffed() {
        let want = "| name | age |\n| --- | --- |\n| Sato, T | 30 |";
        assert_eq!(only_table(b"name,age\n\"Sato, T\",30\n"), want);
        assert_eq!(only_table(b"name;age\nSato, T;30\n"), want);
        assert_eq!(only_table(b"name\tage\nSato, T\t30\n"), want);
        assert_eq!(only_table(b"sep=|\r\nname|age\r\nSato, T|30\r\n"), want);
    }

    #[test]
    fn shift_jis_and_ragged_records_are_read() {
        let (bytes, _, _) =
            encoding_rs::SHIFT_JIS.encode("名前,年齢,住所\n佐藤太郎,30,東京\n三木英子,25\n");
        assert_eq!(
            only_table(&bytes),
            "| 名前 | 年齢 | 住所 |\n| --- | --- | --- |\n| 佐藤太郎 | 30 | 東京 |\n| 三木英子 | 25 | |"
        );
    }

    #[test]
    fn a_title_is_no_header() {
        let csv = "Ferries,,\n\nShip,Port,Seats\nAsahi,Kobe,120\nHikari,Oita,80\n";
        let blocks = extract(csv.as_bytes(), b',').blocks;
        let got: Vec<_> = blocks
            .iter()
            .map(|b| (b.text.as_str(), b.locator.range.as_deref()))
            .collect();
        let table = "| Ship | Port | Seats |\n| --- | --- | --- |\n| Asahi | Kobe | 120 |\n| Hikari | Oita | 80 |";
        assert_eq!(got, [("Ferries", Some("A1:A1")), (table, Some("A2:C4"))]);
    }

    #[test]
    fn ranges_name_the_cells() {
        let blocks = extract(b"a,b\n1,2\n", b',').blocks;
        assert_eq!(blocks[0].locator.range.as_deref(), Some("A1:B2"));
    }
}

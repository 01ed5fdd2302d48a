//! Tables of RTF, and its tables of encodings.

use crate::extract::table::Row;
use encoding_rs::Encoding;

/// Rows as they are gathered. RTF has no tables, only rows that follow each other.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    rows: Vec<Row>,
    row: Row,
    /// For each cell defined: whether it belongs to the one beside it, and to the one above it.
    cells: Vec<(bool, bool)>,
    /// Said of the cell that is defined next.
    pub(crate) merged_beside: bool,
    pub(crate) merged_above: bool,
    /// Said of the row that is under way: whether it is repeated on every page.
    pub(crate) is_header: bool,
}

impl Rows {
    pub(crate) fn begin(&mut self) {
        self.cells.clear();
        (self.merged_beside, self.merged_above) = (false, false);
        self.is_header = false;
    }

    pub(crate) fn define_cell(&mut self) {
        let cell = (
            std::mem::take(&mut self.merged_beside),
            std::mem::take(&mut self.merged_above),
        );
        if self.cells.len() < 256 {
            self.cells.push(cell);
        }
    }

    pub(crate) fn push_cell(&mut self, text: String) {
        let (beside, above) = self
            .cells
            .get(self.row.width())
            .copied()
            .unwrap_or_default();
        if above && text.is_empty() {
            self.row.push_above(self.rows.last(), 1);
        } else if beside && text.is_empty() {
            self.row.push_left();
        } else {
            self.row.push(text, 1);
        }
    }

    pub(crate) fn end_row(&mut self) {
        if self.row.width() > 0 {
            self.row.is_header = self.is_header;
            self.rows.push(std::mem::take(&mut self.row));
        }
    }

    pub(crate) fn finish(&mut self) -> Vec<Row> {
        self.end_row();
        std::mem::take(&mut self.rows)
    }
}

/// The encoding of a font's character set.
pub(crate) fn encoding_of_charset(charset: i32) -> Option<&'static Encoding> {
    let page = match charset {
        0 => 1252,
        77 => 10000,
        128 => 932,
        129 => 949,
        134 => 936,
        136 => 950,
        161 => 1253,
        162 => 1254,
        163 => 1258,
        177 => 1255,
        178 => 1256,
        186 => 1257,
        204 => 1251,
        222 => 874,
        238 => 1250,
        _ => return None,
    };
    encoding_of_page(page)
}

/// The encoding of a Windows code page.
pub(crate) fn encoding_of_page(page: i32) -> Option<&'static Encoding> {
    let encoding = match page {
        932 => encoding_rs::SHIFT_JIS,
        936 | 54936 => encoding_rs::GB18030,
        949 => encoding_rs::EUC_KR,
        950 => encoding_rs::BIG5,
        874 => encoding_rs::WINDOWS_874,
        1250 => encoding_rs::WINDOWS_1250,
        1251 => encoding_rs::WINDOWS_1251,
        1252 => encoding_rs::WINDOWS_1252,
        1253 => encoding_rs::WINDOWS_1253,
        1254 => encoding_rs::WINDOWS_1254,
        1255 => encoding_rs::WINDOWS_1255,
        1256 => encoding_rs::WINDOWS_1256,
        1257 => encoding_rs::WINDOWS_1257,
        1258 => encoding_rs::WINDOWS_1258,
        10000 => encoding_rs::MACINTOSH,
        20932 | 51932 => encoding_rs::EUC_JP,
        50220..=50222 => encoding_rs::ISO_2022_JP,
        65001 => encoding_rs::UTF_8,
        _ => return None,
    };
    Some(encoding)
}

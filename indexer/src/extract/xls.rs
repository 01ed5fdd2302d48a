//! Excel workbooks of the binary format.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::outline::Outline;
use crate::extract::sheet::{self, Area, MAX_AREAS, MAX_CELLS, Rows, Sheet, date_time, number};
use calamine::{Data, Reader, SheetVisible, Xls, XlsError};
use std::io::Cursor;

/// Extracts every worksheet that is shown.
pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted> {
    let mut outline = Outline::default();
    let mut workbook = Xls::new(Cursor::new(bytes)).map_err(|error| {
        if matches!(error, XlsError::Password) {
            return Error::Encrypted;
        }
        Error::Malformed {
            format: "XLS",
            reason: error.to_string(),
        }
    })?;
    for calamine::Sheet { name, visible, .. } in workbook.sheets_metadata().to_vec() {
        if visible != SheetVisible::Visible {
            outline.warn(sheet::hidden_sheet(&name));
            continue;
        }
        let range = match workbook.worksheet_range(&name) {
            Ok(range) => range,
            Err(error) => {
                outline.warn(format!("sheet `{name}` could not be read: {error}"));
                continue;
            }
        };
        let (top, left) = range.start().unwrap_or_default();
        let mut rows = Rows::new();
        for (n_cells, (row, column, value)) in range.used_cells().enumerate() {
            if n_cells == MAX_CELLS {
                outline.warn(sheet::too_many_cells(&name));
                break;
            }
            let text = display(value);
            if let (Ok(row), Ok(column), false) = (
                u32::try_from(row),
                u32::try_from(column),
                text.trim().is_empty(),
            ) {
                rows.entry(top + row)
                    .or_default()
                    .insert(left + column, text);
            }
        }
        let merged = workbook
            .merge_cells_by_sheet_name(&name)
            .unwrap_or_default();
        let merged = merged.into_iter().take(MAX_AREAS).map(Area::from).collect();
        let headers = Vec::new();
        sheet::add(
            &mut outline,
            &name,
            Sheet {
                rows,
                merged,
                headers,
            },
        );
    }
    Ok(outline.finish())
}

fn display(value: &Data) -> String {
    match value {
        Data::Int(value) => value.to_string(),
        Data::Float(value) => number(*value),
        Data::String(value) => value.clone(),
        Data::Bool(value) => if *value { "TRUE" } else { "FALSE" }.to_owned(),
        Data::DateTime(value) => date_time(value),
        Data::DateTimeIso(value) | Data::DurationIso(value) => value.clone(),
        Data::Error(value) => value.to_string(),
        Data::Empty => String::new(),
    }
}

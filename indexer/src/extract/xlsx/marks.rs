//! What a worksheet says about the arrangement of its cells: which are merged, and which rows are headers.

use crate::extract::ooxml::{Element, Package};
use crate::extract::sheet::{Area, MAX_AREAS};
use std::collections::HashMap;

/// Most bytes of a worksheet's part besides its cells.
const MAX_BYTES: usize = 8 << 20;

/// Most tables of one sheet that are heeded.
const MAX_TABLES: usize = 200;

/// The parts of a workbook's sheets by the sheets' names.
pub(super) fn sheet_parts(package: &mut Package<'_>) -> HashMap<String, String> {
    let main = package.main_part_name("xl/workbook.xml");
    let relations = package.relations(&main);
    let Some(workbook) = package.optional_part(&main) else {
        return HashMap::new();
    };
    let sheets = workbook
        .child("sheets")
        .into_iter()
        .flat_map(Element::elements);
    let parts = sheets.filter_map(|sheet| {
        let relation = relations.get(sheet.attr("id")?)?;
        Some((sheet.attr("name")?.to_owned(), relation.target.clone()))
    });
    parts.collect()
}

/// The merged cells of a sheet, and the last row of each header: that of a table, that with the buttons of a filter, the
/// last one above frozen panes.
pub(super) fn read(package: &mut Package<'_>, part: &str) -> Option<(Vec<Area>, Vec<Area>)> {
    let sheet = package.read_around(part, "sheetData", MAX_BYTES)?;
    let merged = sheet.child("mergeCells").into_iter();
    let merged = merged.flat_map(|cells| cells.children_named("mergeCell"));
    let merged = merged.filter_map(area_of).take(MAX_AREAS).collect();
    let mut headers: Vec<Area> = sheet
        .child("autoFilter")
        .and_then(area_of)
        .into_iter()
        .collect();
    headers.extend(frozen(&sheet));
    if sheet.child("tableParts").is_some() {
        let relations = package.relations(part);
        let tables = relations
            .values()
            .filter(|relation| relation.kind == "table");
        for relation in tables.take(MAX_TABLES) {
            let table = package.optional_part(&relation.target);
            let table = table.filter(|table| table.attr("headerRowCount") != Some("0"));
            headers.extend(table.as_ref().and_then(area_of));
        }
    }
    Some((merged, headers))
}

/// The last row above frozen panes.
fn frozen(sheet: &Element) -> Option<Area> {
    let pane = sheet.at(&["sheetViews", "sheetView", "pane"])?;
    let is_frozen = matches!(pane.attr("state"), Some("frozen" | "frozenSplit"));
    let n_rows: u32 = pane.attr("ySplit").filter(|_| is_frozen)?.parse().ok()?;
    let top = n_rows.checked_sub(1)?;
    Some(Area {
        top,
        left: 0,
        bottom: top,
        right: u32::MAX,
    })
}

/// The area that an element refers to.
fn area_of(element: &Element) -> Option<Area> {
    let reference = element.attr("ref")?;
    let (first, last) = reference.split_once(':').unwrap_or((reference, reference));
    let ((top, left), (bottom, right)) = (cell(first)?, cell(last)?);
    (top <= bottom && left <= right).then_some(Area {
        top,
        left,
        bottom,
        right,
    })
}

/// Row and column, from 0, of a cell such as `$B$4`.
fn cell(name: &str) -> Option<(u32, u32)> {
    let name = name.replace('$', "");
    let letters = name.bytes().take_while(u8::is_ascii_uppercase).count();
    let (letters, digits) = name.split_at(letters);
    let column = letters.bytes().try_fold(0_u32, |column, letter| {
        column
            .checked_mul(26)?
            .checked_add(u32::from(letter - b'A') + 1)
    })?;
    let row: u32 = digits.parse().ok()?;
    Some((row.checked_sub(1)?, column.checked_sub(1)?))
}

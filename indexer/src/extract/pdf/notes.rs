//! What a document says beside its pages' text: information, outline, page labels, form fields and comments.

use crate::extract::layout::Bookmark;
use crate::extract::text;
use hayro::hayro_syntax::Pdf;
use hayro::hayro_syntax::object::{Array, Dict, Name, Object, String as PdfString};
use hayro::hayro_syntax::page::Page;
use std::collections::{HashMap, HashSet};

/// Most entries of an outline, and its greatest depth.
const MAX_BOOKMARKS: usize = 5_000;
const MAX_DEPTH: u8 = 6;

/// Most comments and fields of a page.
const MAX_NOTES: usize = 2_000;

/// Returns an entry of the document's information.
pub(crate) fn text_string(bytes: &[u8]) -> String {
    if bytes.starts_with(&[0xFE, 0xFF])
        || bytes.starts_with(&[0xFF, 0xFE])
        || bytes.starts_with(b"\xEF\xBB\xBF")
    {
        text::decode(bytes).0
    } else {
        // PDFDocEncoding is Latin-1 for what titles are made of.
        bytes.iter().map(|&byte| char::from(byte)).collect()
    }
}

fn string(dict: &Dict<'_>, key: &[u8]) -> Option<String> {
    let value = dict.get::<PdfString<'_>>(key)?;
    let value = text_string(value.as_bytes());
    (!value.trim().is_empty()).then_some(value)
}

fn catalog(pdf: &Pdf) -> Option<Dict<'_>> {
    let xref = pdf.xref();
    xref.get::<Dict<'_>>(xref.root_id())
}

/// Returns the headings of the document's outline in order; page 0 stands for one whose page is not known.
pub(crate) fn bookmarks(pdf: &Pdf) -> Vec<Bookmark> {
    let mut pages = HashMap::new();
    for (page, number) in pdf.pages().iter().zip(1..) {
        if let Some(id) = page.raw().obj_id() {
            pages.insert((id.obj_number, id.gen_number), number);
        }
    }
    let mut found = Vec::new();
    let first = catalog(pdf)
        .and_then(|catalog| catalog.get::<Dict<'_>>(b"Outlines"))
        .and_then(|outlines| outlines.get::<Dict<'_>>(b"First"));
    let mut seen = HashSet::new();
    // Items still to be visited, the next one last.
    let mut stack: Vec<(Dict<'_>, u8)> = first.map(|first| (first, 1)).into_iter().collect();
    while let Some((item, level)) = stack.pop() {
        let is_new = item
            .obj_id()
            .is_none_or(|id| seen.insert((id.obj_number, id.gen_number)));
        if !is_new || found.len() >= MAX_BOOKMARKS {
            break; // a loop, or enough
        }
        if let Some(title) = string(&item, b"Title") {
            let page = destination(&item)
                .and_then(|id| pages.get(&id).copied())
                .unwrap_or(0);
            found.push(Bookmark { page, level, title });
        }
        if let Some(next) = item.get::<Dict<'_>>(b"Next") {
            stack.push((next, level));
        }
        if let Some(child) = item.get::<Dict<'_>>(b"First").filter(|_| level < MAX_DEPTH) {
            stack.push((child, level + 1));
        }
    }
    found
}

/// Returns the page object that an outline's entry leads to. Named destinations are not followed.
fn destination(item: &Dict<'_>) -> Option<(u32, i32)> {
    let target = item.get::<Array<'_>>(b"Dest").or_else(|| {
        let action = item.get::<Dict<'_>>(b"A")?;
        action.get::<Array<'_>>(b"D")
    })?;
    let page = target.raw_iter().next()?.as_obj_ref()?;
    Some((page.obj_number, page.gen_number))
}

/// Returns what the document calls its pages, by number, for those that it does not call by their number.
pub(crate) fn page_labels(pdf: &Pdf) -> HashMap<u32, String> {
    let mut ranges: Vec<(u32, Dict<'_>)> = Vec::new();
    let root = catalog(pdf).and_then(|catalog| catalog.get::<Dict<'_>>(b"PageLabels"));
    let mut stack: Vec<(Dict<'_>, u8)> = root.map(|root| (root, 0)).into_iter().collect();
    while let Some((node, depth)) = stack.pop() {
        if let Some(numbers) = node.get::<Array<'_>>(b"Nums") {
            let mut parts = numbers.flex_iter();
            while let (Some(first), Some(label)) = (parts.next::<u32>(), parts.next::<Dict<'_>>()) {
                ranges.push((first, label));
            }
        }
        if let Some(kids) = node.get::<Array<'_>>(b"Kids").filter(|_| depth < MAX_DEPTH) {
            stack.extend(kids.iter::<Dict<'_>>().map(|kid| (kid, depth + 1)));
        }
    }
    ranges.sort_by_key(|(first, _)| *first);
    let n_pages = u32::try_from(pdf.pages().len()).unwrap_or(u32::MAX);
    let mut labels = HashMap::new();
    for (index, (first, label)) in ranges.iter().enumerate() {
        let end = ranges
            .get(index + 1)
            .map_or(n_pages, |(next, _)| *next)
            .min(n_pages);
        let prefix = string(label, b"P").unwrap_or_default();
        let start = label.get::<u32>(b"St").unwrap_or(1);
        let style = label.get::<Name<'_>>(b"S");
        for page in *first..end {
            let number = start.saturating_add(page - first);
            let shown = match style.as_deref() {
                Some(b"D") => number.to_string(),
                Some(b"R") => roman(number),
                Some(b"r") => roman(number).to_lowercase(),
                Some(b"A") => letters(number),
                Some(b"a") => letters(number).to_lowercase(),
                Some(_) | None => String::new(),
            };
            let shown = format!("{prefix}{shown}");
            if !shown.is_empty() && shown != (page + 1).to_string() {
                labels.insert(page + 1, shown);
            }
        }
    }
    labels
}

fn roman(number: u32) -> String {
    const SIGNS: [(u32, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    let mut left = number.min(4999);
    let mut out = String::new();
    for (value, sign) in SIGNS {
        while left >= value {
            out.push_str(sign);
            left -= value;
        }
    }
    out
}

/// A to Z, AA to ZZ, and so on.
fn letters(number: u32) -> String {
    let index = number.saturating_sub(1);
    let letter = char::from(b'A' + u8::try_from(index % 26).unwrap_or(0));
    let count = (index / 26 + 1).min(20);
    std::iter::repeat_n(letter, usize::try_from(count).unwrap_or(1)).collect()
}

/// Returns what comments and form fields of a page say that its text does not: `text` is what it says.
pub(crate) fn notes(page: &Page<'_>, text: &str) -> Vec<String> {
    let text = squeezed(text);
    let mut notes = Vec::new();
    let Some(annotations) = page.raw().get::<Array<'_>>(b"Annots") else {
        return notes;
    };
    for annotation in annotations.iter::<Dict<'_>>().take(MAX_NOTES) {
        let subtype = annotation.get::<Name<'_>>(b"Subtype");
        let note = match subtype.as_deref() {
            Some(b"Widget") => field(&annotation, &text),
            Some(b"Popup" | b"Link") | None => None,
            Some(_) => comment(&annotation, &text),
        };
        if let Some(note) = note
            && !notes.contains(&note)
        {
            notes.push(note);
        }
    }
    notes
}

fn comment(annotation: &Dict<'_>, text: &str) -> Option<String> {
    let contents = string(annotation, b"Contents")?;
    if text.contains(&squeezed(&contents)) {
        return None;
    }
    Some(match string(annotation, b"T") {
        Some(author) => format!("{author}: {contents}"),
        None => contents,
    })
}

/// Returns a filled field with its name: the value is on the page only if the file was saved with its looks.
fn field(widget: &Dict<'_>, text: &str) -> Option<String> {
    let mut chain = vec![widget.clone()];
    while let Some(parent) = chain.last()?.get::<Dict<'_>>(b"Parent") {
        chain.push(parent);
        if chain.len() > usize::from(MAX_DEPTH) {
            break;
        }
    }
    let inherited = |key: &[u8]| chain.iter().find(|dict| dict.contains_key(key));
    let label = inherited(b"TU")
        .and_then(|dict| string(dict, b"TU"))
        .or_else(|| chain.iter().find_map(|dict| string(dict, b"T")))?;
    let kind = inherited(b"FT")?.get::<Name<'_>>(b"FT")?;
    match &*kind {
        b"Btn" => {
            let state = widget.get::<Name<'_>>(b"AS")?;
            (&*state != b"Off").then(|| format!("☑ {label}"))
        }
        b"Tx" | b"Ch" => {
            let value = match inherited(b"V")?.get::<Object<'_>>(b"V")? {
                Object::String(value) => text_string(value.as_bytes()),
                Object::Stream(value) => text_string(&value.decoded().ok()?),
                Object::Array(values) => {
                    let values = values.iter::<PdfString<'_>>();
                    let values: Vec<String> = values.map(|v| text_string(v.as_bytes())).collect();
                    values.join(", ")
                }
                Object::Null(_)
                | Object::Boolean(_)
                | Object::Number(_)
                | Object::Name(_)
                | Object::Dict(_) => return None,
            };
            let value = value.trim();
            let is_new = !value.is_empty() && !text.contains(&squeezed(value));
            is_new.then(|| format!("{label}: {value}"))
        }
        _ => None,
    }
}

/// Text without blanks, to find one in another.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_numbers_are_written_as_documents_do() {
        assert_eq!(
            [1, 4, 9, 14, 1990].map(roman),
            ["I", "IV", "IX", "XIV", "MCMXC"]
        );
        assert_eq!([1, 26, 27, 53].map(letters), ["A", "Z", "AA", "AAA"]);
    }

    #[test]
    fn strings_are_utf_16_or_latin() {
        assert_eq!(text_string(b"\xFE\xFF\x8C\xBB"), "費");
        assert_eq!(text_string(b"Caf\xE9"), "Café");
    }
}

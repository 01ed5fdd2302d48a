//! Electronic books: the documents of the spine in reading order.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::html;
use crate::extract::ooxml::{Element, Package, resolve};
use crate::extract::outline::Outline;
use std::collections::HashMap;

/// Extracts the text; tables of contents are navigation and left out.
pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted> {
    let mut package = Package::open(bytes, "EPUB")?;
    let container = package.main_part("META-INF/container.xml")?;
    let root = container
        .at(&["rootfiles", "rootfile"])
        .and_then(|file| file.attr("full-path"))
        .unwrap_or("content.opf")
        .to_owned();
    let book = package.main_part(&root)?;
    let folder = root.rsplit_once('/').map_or("", |(folder, _)| folder);
    let is_encrypted = package.optional_part("META-INF/rights.xml").is_some();

    let mut outline = Outline::default();
    if let Some(metadata) = book.child("metadata") {
        add_metadata(&mut outline, metadata);
    }
    let mut n_failed = 0;
    for (number, path) in (1..).zip(spine(&book, folder)) {
        match package.read(&path) {
            Ok(Some(bytes)) if is_encrypted && !is_markup(&bytes) => n_failed += 1,
            Ok(Some(bytes)) => html::add_document(&mut outline, &bytes),
            Ok(None) => outline.warn(format!("part {number} of the book is missing")),
            Err(error @ Error::TooLarge { .. }) => return Err(error),
            Err(error) => outline.warn(format!("part {number} of the book: {error}")),
        }
    }
    if n_failed > 0 && outline.is_empty() {
        return Err(Error::Encrypted);
    }
    Ok(outline.finish())
}

fn add_metadata(outline: &mut Outline, metadata: &Element) {
    let texts = |name: &str| {
        let found: Vec<String> = metadata.children_named(name).map(Element::text).collect();
        found
    };
    if let Some(title) = texts("title").first() {
        outline.set_title(title);
    }
    outline.set_author(&texts("creator").join(", "));
    outline.add_tags(&texts("subject").join(";"));
    for date in texts("date") {
        outline.set_date(&date);
    }
}

/// Paths of the documents in reading order, without those that only navigate.
fn spine(book: &Element, folder: &str) -> Vec<String> {
    let items = book
        .child("manifest")
        .into_iter()
        .flat_map(|manifest| manifest.children_named("item"));
    let items: HashMap<&str, &Element> = items
        .filter_map(|item| Some((item.attr("id")?, item)))
        .collect();
    let spine = book
        .child("spine")
        .into_iter()
        .flat_map(|spine| spine.children_named("itemref"));
    let documents = spine.filter_map(|reference| {
        let item = items.get(reference.attr("idref")?)?;
        let is_navigation = item
            .attr("properties")
            .is_some_and(|known| known.split(' ').any(|p| p == "nav"));
        let target = item.attr("href")?;
        let target = target.split('#').next().unwrap_or(target);
        (!is_navigation).then(|| resolve(folder, &unescaped(target)))
    });
    documents.collect()
}

/// A path in which characters stand as `%20`.
fn unescaped(target: &str) -> String {
    let mut out = Vec::with_capacity(target.len());
    let mut rest = target.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).filter(|_| byte == b'%');
        let code = code.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(code.unwrap_or(byte));
        rest = if code.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn is_markup(bytes: &[u8]) -> bool {
    bytes[..bytes.len().min(512)].contains(&b'<') && std::str::from_utf8(bytes).is_ok()
}

#[cfg(test)]
mod tests {
    use crate::extract::extract;
    use crate::extract::ooxml::tests::package;

    #[test]
    fn documents_are_read_in_the_order_of_the_spine() {
        let bytes = package(&[
            ("mimetype", "application/epub+zip"),
            (
                "META-INF/container.xml",
                "<container><rootfiles><rootfile full-path='OPS/book.opf'/></rootfiles></container>",
            ),
            (
                "OPS/book.opf",
                "<package xmlns:dc='d'><metadata><dc:title>規則集</dc:title><dc:creator>Sato</dc:creator></metadata><manifest>\
                <item id='n' href='nav.xhtml' properties='nav'/><item id='b' href='two%20.xhtml'/><item id='a' href='one.xhtml'/>\
                </manifest><spine><itemref idref='n'/><itemref idref='a'/><itemref idref='b'/><itemref idref='x'/></spine></package>",
            ),
            (
                "OPS/nav.xhtml",
                "<html><body><nav>contents</nav>Contents</body></html>",
            ),
            (
                "OPS/two .xhtml",
                "<html><body><h1>Two</h1><p>b</p></body></html>",
            ),
            (
                "OPS/one.xhtml",
                "<?xml version='1.0'?><html><head><title>1</title></head><body><h1>One</h1><p>a</p></body></html>",
            ),
        ]);
        let extracted = extract(&bytes, "a.epub", None, &crate::Tools::default()).unwrap();
        assert_eq!(extracted.title.as_deref(), Some("規則集"));
        assert_eq!(extracted.metadata.author.as_deref(), Some("Sato"));
        let texts: Vec<&str> = extracted
            .blocks
            .iter()
            .map(|block| block.text.as_str())
            .collect();
        assert_eq!(texts, ["One", "a", "Two", "b"]);
    }
}

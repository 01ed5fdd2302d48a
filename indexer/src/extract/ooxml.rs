//! Office Open XML packages: a zip of XML parts, read within bounds.

use crate::error::{Error, Result};
use crate::extract::outline::Outline;
use crate::extract::{text, unpacked};
use quick_xml::XmlVersion;
use quick_xml::events::{BytesStart, Event};
use std::collections::HashMap;
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// XML nested deeper than this is no office document.
const MAX_DEPTH: usize = 512;

/// Most elements of one part: each takes about a hundred bytes, however short it is in the file.
const MAX_ELEMENTS: usize = 3_000_000;

/// An open package.
pub(crate) struct Package<'b> {
    archive: ZipArchive<Cursor<&'b [u8]>>,
    format: &'static str,
}

impl<'b> Package<'b> {
    /// Opens a package.
    pub(crate) fn open(bytes: &'b [u8], format: &'static str) -> Result<Self> {
        let archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| Error::Malformed {
            format,
            reason: format!("not a readable zip archive: {error}"),
        })?;
        Ok(Self { archive, format })
    }

    /// Unpacks every member once, only to see that they are not too large for a reader that knows no bounds.
    pub(crate) fn check_members(&mut self) -> Result<()> {
        for index in 0..self.archive.len() {
            let Ok(member) = self.archive.by_index(index) else {
                continue;
            };
            let limit = unpacked::left() + 1;
            // A member that breaks off is for the reader of that member to report.
            let n_read = std::io::copy(&mut member.take(limit), &mut std::io::sink()).unwrap_or(0);
            unpacked::spend(n_read)?;
        }
        Ok(())
    }

    /// Parses an XML part; `None` when the package has no such part.
    pub(crate) fn part(&mut self, name: &str) -> Result<Option<Element>> {
        match self.read(name)? {
            Some(bytes) => parse(&bytes, self.format, name).map(Some),
            None => Ok(None),
        }
    }

    /// Parses the part without which there is no document.
    pub(crate) fn main_part(&mut self, name: &str) -> Result<Element> {
        self.part(name)?.ok_or_else(|| Error::Malformed {
            format: self.format,
            reason: format!("its part `{name}` is missing"),
        })
    }

    /// Parses a part that may be missing or damaged without harm to the rest.
    pub(crate) fn optional_part(&mut self, name: &str) -> Option<Element> {
        self.part(name).ok().flatten()
    }

    /// The relationships of a part by their ids.
    pub(crate) fn relations(&mut self, part: &str) -> HashMap<String, Relation> {
        let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
        let Some(root) = self.optional_part(&format!("{folder}/_rels/{file}.rels")) else {
            return HashMap::new();
        };
        let relations = root.children_named("Relationship").filter_map(|relation| {
            let target = relation.attr("Target")?;
            let is_external = relation.attr("TargetMode") == Some("External");
            let found = Relation {
                kind: relation.attr("Type")?.rsplit('/').next()?.to_owned(),
                target: if is_external {
                    target.to_owned()
                } else {
                    resolve(folder, target)
                },
                is_external,
            };
            Some((relation.attr("Id")?.to_owned(), found))
        });
        relations.collect()
    }

    /// Takes author, key words and date from the document's properties; returns the title there.
    pub(crate) fn properties(&mut self, outline: &mut Outline) -> Option<String> {
        let properties = self.optional_part("docProps/core.xml")?;
        let property = |name: &str| properties.child(name).map(Element::text);
        outline.set_author(&property("creator").unwrap_or_default());
        outline.add_tags(&property("keywords").unwrap_or_default());
        for name in ["modified", "created"] {
            outline.set_date(&property(name).unwrap_or_default());
        }
        property("title")
    }

    /// Where the main part lies, as the package declares it.
    pub(crate) fn main_part_name(&mut self, default: &str) -> String {
        let relations = self.relations("/");
        let main = relations
            .into_values()
            .find(|relation| relation.kind == "officeDocument");
        main.map_or_else(|| default.to_owned(), |relation| relation.target)
    }

    /// What a part that [`Self::check_members`] has unpacked holds outside of an element, which may be far larger than the
    /// rest; `None` if it cannot be unpacked, or the rest has more than `max_bytes`.
    pub(crate) fn read_around(
        &mut self,
        name: &str,
        element: &str,
        max_bytes: usize,
    ) -> Option<Element> {
        let index = self.archive.index_for_name(name.trim_start_matches('/'))?;
        let mut member = self.archive.by_index(index).ok()?;
        let marks = [format!("<{element}"), format!("</{element}>")];
        let (mut kept, mut window, mut is_within) = (Vec::new(), Vec::new(), false);
        let mut piece = vec![0; 1 << 16];
        loop {
            let n_read = member.read(&mut piece).ok()?;
            window.extend_from_slice(&piece[..n_read]);
            let mut start = 0;
            loop {
                let mark = marks[usize::from(is_within)].as_bytes();
                let found = memchr::memmem::find(&window[start..], mark);
                // The end of a piece may be the beginning of a mark.
                let whole = window.len().saturating_sub(mark.len() - 1).max(start);
                let end = found.map_or(if n_read == 0 { window.len() } else { whole }, |at| {
                    start + at
                });
                if !is_within {
                    kept.extend_from_slice(&window[start..end]);
                }
                start = end;
                if found.is_none() {
                    break;
                }
                start += mark.len();
                is_within = !is_within;
            }
            window.drain(..start);
            if kept.len() > max_bytes {
                return None;
            }
            if n_read == 0 {
                return parse(&kept, self.format, name).ok();
            }
        }
    }

    /// Unpacks a part; `None` when the package has no such part.
    pub(crate) fn read(&mut self, name: &str) -> Result<Option<Vec<u8>>> {
        let name = name.trim_start_matches('/');
        let names = [name.to_owned(), format!("/{name}"), name.replace('/', "\\")];
        let Some(index) = names
            .iter()
            .find_map(|name| self.archive.index_for_name(name))
        else {
            return Ok(None);
        };
        let malformed = |error: &dyn std::fmt::Display| Error::Malformed {
            format: self.format,
            reason: format!("its part `{name}` cannot be unpacked: {error}"),
        };
        let mut bytes = Vec::new();
        let member = self
            .archive
            .by_index(index)
            .map_err(|error| malformed(&error))?;
        let outcome = member.take(unpacked::left() + 1).read_to_end(&mut bytes);
        unpacked::spend(bytes.len() as u64)?;
        outcome.map_err(|error| malformed(&error))?;
        Ok(Some(bytes))
    }
}

/// A link from a part to another part or to an outside address.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    /// The last segment of its type: `slide`, `hyperlink`, …
    pub(crate) kind: String,
    /// Path within the package, or the outside address.
    pub(crate) target: String,
    pub(crate) is_external: bool,
}

/// An XML element; names are without their prefix.
#[derive(Debug, Clone, Default)]
pub(crate) struct Element {
    pub(crate) name: String,
    pub(crate) attrs: Vec<(String, String)>,
    pub(crate) children: Vec<Node>,
}

/// What stands in an element.
#[derive(Debug, Clone)]
pub(crate) enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    pub(crate) fn attr(&self, name: &str) -> Option<&str> {
        self.attrs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn elements(&self) -> impl Iterator<Item = &Self> {
        self.children.iter().filter_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        })
    }

    pub(crate) fn child(&self, name: &str) -> Option<&Self> {
        self.elements().find(|element| element.name == name)
    }

    /// Follows a path of child names.
    pub(crate) fn at(&self, path: &[&str]) -> Option<&Self> {
        path.iter()
            .try_fold(self, |element, name| element.child(name))
    }

    pub(crate) fn children_named(&self, name: &str) -> impl Iterator<Item = &Self> {
        self.elements().filter(move |element| element.name == name)
    }

    /// Every element below this one that has the name, outermost first and not within another such.
    pub(crate) fn descendants_named<'e>(&'e self, name: &str, found: &mut Vec<&'e Self>) {
        for element in self.elements() {
            if element.name == name {
                found.push(element);
            } else {
                element.descendants_named(name, found);
            }
        }
    }

    /// All text below it.
    pub(crate) fn text(&self) -> String {
        let mut out = String::new();
        self.push_text(&mut out);
        out
    }

    fn push_text(&self, out: &mut String) {
        for node in &self.children {
            match node {
                Node::Element(element) => element.push_text(out),
                Node::Text(text) => out.push_str(text),
            }
        }
    }
}

/// Parses XML into a tree. Entities other than the five of XML are dropped, so nothing expands.
pub(crate) fn parse(bytes: &[u8], format: &'static str, name: &str) -> Result<Element> {
    let malformed = |reason: String| Error::Malformed {
        format,
        reason: format!("its part `{name}` is not sound XML: {reason}"),
    };
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => text::decode(bytes).0,
    };
    let mut reader = quick_xml::Reader::from_str(text.trim_start_matches('\u{FEFF}'));
    let mut open: Vec<Element> = vec![Element::default()];
    let mut n_elements = 0_usize;
    loop {
        n_elements += 1;
        if n_elements > MAX_ELEMENTS {
            return Err(Error::TooLarge {
                reason: format!("its part `{name}` has more than {MAX_ELEMENTS} elements"),
            });
        }
        let event = reader
            .read_event()
            .map_err(|error| malformed(error.to_string()))?;
        match event {
            Event::Start(start) => {
                if open.len() > MAX_DEPTH {
                    return Err(malformed("nested too deeply".to_owned()));
                }
                open.push(element(&start));
            }
            Event::Empty(start) => append(&mut open, Node::Element(element(&start))),
            Event::End(_) => {
                if let Some(done) = open.pop() {
                    append(&mut open, Node::Element(done));
                }
            }
            Event::Text(text) => append_text(&mut open, &text.xml10_content()),
            Event::CData(text) => append_text(&mut open, &text.xml10_content()),
            Event::GeneralRef(reference) => {
                let resolved = match reference.resolve_char_ref() {
                    Ok(Some(c)) => c.to_string(),
                    Ok(None) | Err(_) => predefined(&reference.into_inner()).to_owned(),
                };
                append_text(&mut open, &resolved);
            }
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_) => {}
            Event::Eof => break,
        }
    }
    if open.len() > 1 {
        return Err(malformed("it breaks off".to_owned()));
    }
    let root = open
        .pop()
        .into_iter()
        .flat_map(|top| top.children)
        .find_map(|node| match node {
            Node::Element(element) => Some(element),
            Node::Text(_) => None,
        });
    root.ok_or_else(|| malformed("it has no element".to_owned()))
}

fn element(start: &BytesStart<'_>) -> Element {
    let mut raw = start.attributes();
    let attrs = raw.with_checks(false).filter_map(|attr| {
        let attr = attr.ok()?;
        let value = attr.normalized_value(XmlVersion::Explicit1_0).ok()?;
        Some((
            attr.key.local_name().into_inner().to_owned(),
            value.into_owned(),
        ))
    });
    Element {
        name: start.local_name().into_inner().to_owned(),
        attrs: attrs.collect(),
        children: Vec::new(),
    }
}

fn append(open: &mut [Element], node: Node) {
    if let Some(parent) = open.last_mut() {
        parent.children.push(node);
    }
}

fn append_text(open: &mut [Element], text: &str) {
    if let Some(parent) = open.last_mut() {
        match parent.children.last_mut() {
            Some(Node::Text(before)) => before.push_str(text),
            Some(Node::Element(_)) | None => parent.children.push(Node::Text(text.to_owned())),
        }
    }
}

fn predefined(name: &str) -> &'static str {
    match name {
        "lt" => "<",
        "gt" => ">",
        "amp" => "&",
        "quot" => "\"",
        "apos" => "'",
        _ => "",
    }
}

/// Resolves a relative target against the folder of the part it is in.
pub(crate) fn resolve(folder: &str, target: &str) -> String {
    let base = if target.starts_with('/') { "" } else { folder };
    let mut path: Vec<&str> = Vec::new();
    for segment in base.split('/').chain(target.split('/')) {
        match segment {
            "" | "." => {}
            ".." => {
                path.pop();
            }
            segment => path.push(segment),
        }
    }
    path.join("/")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::io::Write;

    /// Builds a package of these parts.
    pub(crate) fn package(parts: &[(&str, &str)]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in parts {
            writer
                .start_file(*name, zip::write::SimpleFileOptions::default())
                .unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn entities_are_not_expanded() {
        let xml = "<!DOCTYPE a [<!ENTITY b \"bbb\">]><a x='1 &lt; 2'>&b;&amp;&#x41;<c/>t</a>";
        let root = parse(xml.as_bytes(), "DOCX", "p").unwrap();
        assert_eq!(
            (root.text().as_str(), root.attr("x")),
            ("&At", Some("1 < 2"))
        );
    }

    #[test]
    fn deep_and_broken_xml_is_malformed() {
        for xml in [
            "<a>".repeat(10_000),
            "<a><b></a>".to_owned(),
            "<a>".to_owned(),
            "x".to_owned(),
        ] {
            let outcome = parse(xml.as_bytes(), "DOCX", "p");
            assert!(matches!(outcome, Err(Error::Malformed { .. })));
        }
    }

    #[test]
    fn zip_bombs_are_refused() {
        let bomb = package(&[("word/document.xml", &"0".repeat(64 << 20))]);
        assert!(bomb.len() < 1 << 20);
        unpacked::begin(bomb.len());
        let mut package = Package::open(&bomb, "DOCX").unwrap();
        let outcome = package.part("word/document.xml");
        assert!(matches!(outcome, Err(Error::TooLarge { .. })));
    }

    #[test]
    fn targets_are_resolved_within_the_package() {
        assert_eq!(resolve("ppt/slides", "../media/a.png"), "ppt/media/a.png");
        assert_eq!(resolve("ppt", "/word/x.xml"), "word/x.xml");
        assert_eq!(resolve("a", "../../../x"), "x");
    }

    #[test]
    fn properties_give_author_key_words_and_the_last_change() {
        let core = "<cp:coreProperties xmlns:cp='c' xmlns:dc='d' xmlns:dcterms='t'><dc:title>T</dc:title>\
            <dc:creator>Sato; Tanaka</dc:creator><cp:keywords>travel; HR</cp:keywords>\
            <dcterms:created>2023-01-01T00:00:00Z</dcterms:created>\
            <dcterms:modified>2024-04-01T09:30:00Z</dcterms:modified></cp:coreProperties>";
        let bytes = package(&[("docProps/core.xml", core)]);
        let mut outline = Outline::default();
        let title = Package::open(&bytes, "DOCX")
            .unwrap()
            .properties(&mut outline);
        assert_eq!(title.as_deref(), Some("T"));
        let metadata = outline.finish().metadata;
        assert_eq!(metadata.author.as_deref(), Some("Sato; Tanaka"));
        assert_eq!(
            metadata.tags.into_iter().collect::<Vec<_>>(),
            ["HR", "travel"]
        );
        assert_eq!(metadata.date, Some(jiff::civil::date(2024, 4, 1)));
    }
}

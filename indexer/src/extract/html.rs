//! HTML: the main content, without navigation, scripts and what is hidden.

mod look;
mod parse;
mod table;

use crate::document::Extracted;
use crate::extract::outline::Outline;
use crate::extract::table::Row;
use crate::extract::{clean, text};
use encoding_rs::Encoding;
use look::Looks;
use parse::parse;
use scraper::node::{Element, Node};
use scraper::{Html, Selector};
use table::{TableRow, data_tables};

/// A main element must hold at least this share of the body's text to stand for the page.
const MIN_MAIN_SHARE: usize = 30;

type NodeRef<'a> = ego_tree::NodeRef<'a, Node>;

/// Extracts the page's main content.
pub(crate) fn extract(bytes: &[u8]) -> Extracted {
    let mut outline = Outline::default();
    let (text, damaged) = decode(bytes);
    if damaged {
        outline.warn("some bytes are not text in the declared encoding and were replaced");
    }
    let html = parse(&text);
    if let Some(title) = first_text(&html, "title").or_else(|| first_text(&html, "h1")) {
        outline.set_title(&title);
    }
    add_metadata(&mut outline, &html);
    add_main_content(&mut outline, &html);
    outline.finish()
}

/// Takes author, key words and date from `meta` elements.
fn add_metadata(outline: &mut Outline, html: &Html) {
    const DATES: [&str; 6] = [
        "article:modified_time",
        "dcterms.modified",
        "last-modified",
        "article:published_time",
        "dcterms.date",
        "date",
    ];
    let said: Vec<(String, &str)> = select(html, "meta[content]")
        .filter_map(|meta| {
            let meta = meta.value().as_element()?;
            let name = meta.attr("name").or(meta.attr("property"))?;
            Some((name.to_ascii_lowercase(), meta.attr("content")?))
        })
        .collect();
    for (name, content) in &said {
        match name.as_str() {
            "author" | "dcterms.creator" | "dc.creator" => outline.set_author(content),
            "keywords" | "article:tag" => outline.add_tags(content),
            _ => {}
        }
    }
    for date in DATES {
        if let Some((_, content)) = said.iter().find(|(name, _)| name == date) {
            outline.set_date(content);
        }
    }
}

/// Adds the main content of a page that is part of another document.
pub(crate) fn add_document(outline: &mut Outline, bytes: &[u8]) {
    let (text, _) = decode(bytes);
    add_main_content(outline, &parse(&text));
}

fn add_main_content(outline: &mut Outline, html: &Html) {
    let looks = Looks::read(html);
    let main = main_content(html, &looks);
    Walk::new(outline).walk(main, &looks);
}

/// Adds the blocks of HTML found inside another document.
pub(crate) fn add_fragment(outline: &mut Outline, text: &str) {
    let html = parse(text);
    Walk::new(outline).walk(html.tree.root(), &Looks::read(&html));
}

/// Decodes by byte order mark, declared charset, or guess, in this order.
fn decode(bytes: &[u8]) -> (String, bool) {
    let declared = declared_charset(bytes);
    match declared {
        Some(encoding) if Encoding::for_bom(bytes).is_none() && encoding.is_ascii_compatible() => {
            let (text, _, damaged) = encoding.decode(bytes);
            if damaged {
                text::decode(bytes)
            } else {
                (text.into_owned(), false)
            }
        }
        Some(_) | None => text::decode(bytes),
    }
}

fn declared_charset(bytes: &[u8]) -> Option<&'static Encoding> {
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4096)]).to_ascii_lowercase();
    let (_, rest) = head.split_once("charset=")?;
    let label: String = rest
        .trim_start_matches(['"', '\''])
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .collect();
    Encoding::for_label(label.as_bytes())
}

/// The element that holds the content: `main`, the only `article`, or the body when these are missing or nearly empty.
fn main_content<'h>(html: &'h Html, looks: &Looks) -> NodeRef<'h> {
    let body = first(html, "body").unwrap_or_else(|| html.tree.root());
    let enough = text_len(body, looks) * MIN_MAIN_SHARE / 100;
    for selector in ["main", "[role=main]", "article"] {
        let mut found = select(html, selector);
        if let (Some(element), None) = (found.next(), found.next())
            && text_len(element, looks) > enough
        {
            return element;
        }
    }
    body
}

fn select<'a>(html: &'a Html, selector: &str) -> impl Iterator<Item = NodeRef<'a>> {
    let selector = Selector::parse(selector).ok();
    let found: Vec<_> = selector.map_or_else(Vec::new, |selector| {
        html.select(&selector).map(|element| *element).collect()
    });
    found.into_iter()
}

fn first<'a>(html: &'a Html, selector: &str) -> Option<NodeRef<'a>> {
    select(html, selector).next()
}

fn first_text(html: &Html, selector: &str) -> Option<String> {
    let text = clean::inline(&text_of(first(html, selector)?));
    (!text.is_empty()).then_some(text)
}

/// The length of visible text.
fn text_len(node: NodeRef<'_>, looks: &Looks) -> usize {
    let mut len = 0;
    visit(node, looks, &mut |edge| {
        if let Visit::Text(text) = edge {
            len += text.trim().len();
        }
    });
    len
}

fn text_of(node: NodeRef<'_>) -> String {
    let texts = node.descendants().filter_map(|node| match node.value() {
        Node::Text(text) => Some(&**text),
        Node::Element(element) if element.name() == "br" => Some(" "),
        Node::Element(_)
        | Node::Document
        | Node::Fragment
        | Node::Doctype(_)
        | Node::Comment(_)
        | Node::ProcessingInstruction(_) => None,
    });
    texts.collect()
}

enum Visit<'a> {
    Open(&'a Element),
    Close(&'a Element),
    Text(&'a str),
    /// Text that readers cannot see.
    Hidden(&'a str),
}

/// Visits what is shown below `root`, itself included, without recursion: depth is the page author's choice.
fn visit<'a>(root: NodeRef<'a>, looks: &Looks, f: &mut dyn FnMut(Visit<'a>)) {
    // What is skipped, and whether because it is hidden.
    let mut skipped_by = None;
    let mut open = vec![looks.ground()];
    for edge in root.traverse() {
        match edge {
            ego_tree::iter::Edge::Open(node) if skipped_by.is_none() => match node.value() {
                Node::Element(element) => {
                    let around = open.last().copied().unwrap_or_default();
                    let look = looks.look(node.id(), element, around);
                    let is_beside = is_beside(element) || is_icon_of_link(node, element);
                    if node != root && (look.is_hidden || is_beside) {
                        skipped_by = Some((node.id(), look.is_hidden && !is_beside));
                        continue;
                    }
                    open.push(look);
                    f(Visit::Open(element));
                }
                Node::Text(text) => {
                    let is_unseen = open.last().is_some_and(|look| look.is_unseen());
                    f(if is_unseen {
                        Visit::Hidden(text)
                    } else {
                        Visit::Text(text)
                    });
                }
                Node::Document
                | Node::Fragment
                | Node::Doctype(_)
                | Node::Comment(_)
                | Node::ProcessingInstruction(_) => {}
            },
            ego_tree::iter::Edge::Open(node) => {
                if let (Some((_, true)), Some(text)) = (skipped_by, node.value().as_text()) {
                    f(Visit::Hidden(text));
                }
            }
            ego_tree::iter::Edge::Close(node) => {
                if skipped_by.is_some_and(|(skipped, _)| skipped == node.id()) {
                    skipped_by = None;
                } else if let (None, Some(element)) = (skipped_by, node.value().as_element()) {
                    open.pop();
                    f(Visit::Close(element));
                }
            }
        }
    }
}

/// Whether an element is no content of the page: navigation, controls, programs, decoration.
fn is_beside(element: &Element) -> bool {
    let by_name = matches!(
        element.name(),
        "head"
            | "script"
            | "style"
            | "noscript"
            | "template"
            | "svg"
            | "nav"
            | "iframe"
            | "object"
            | "canvas"
            | "select"
            | "button"
            | "textarea"
            | "datalist"
            | "dialog"
            | "footer"
            | "audio"
            | "video"
    );
    let by_role = matches!(
        element.attr("role"),
        Some(
            "navigation"
                | "banner"
                | "contentinfo"
                | "search"
                | "menu"
                | "menubar"
                | "toolbar"
                | "dialog"
        )
    );
    let by_class = element.classes().chain(element.id()).any(|name| {
        matches!(
            name,
            "nav"
                | "navbar"
                | "navigation"
                | "breadcrumb"
                | "breadcrumbs"
                | "pagination"
                | "skip-link"
                | "cookie-banner"
        )
    });
    by_name || by_role || by_class || element.attr("aria-hidden") == Some("true")
}

/// Widest and highest picture, in pixels, that is an icon.
const MAX_ICON: u32 = 20;

/// Whether a picture is an icon to click on, such as a pencil: its alternative text says what the link does.
fn is_icon_of_link(node: NodeRef<'_>, element: &Element) -> bool {
    let is_small = |side| {
        let size: Option<u32> = element.attr(side).and_then(|size| size.trim().parse().ok());
        size.is_some_and(|size| size <= MAX_ICON)
    };
    let parent = node.parent().and_then(|parent| parent.value().as_element());
    element.name() == "img"
        && is_small("width")
        && is_small("height")
        && parent.is_some_and(|parent| parent.name() == "a")
}

fn is_block(name: &str) -> bool {
    matches!(
        name,
        "address"
            | "article"
            | "aside"
            | "blockquote"
            | "body"
            | "caption"
            | "center"
            | "dd"
            | "details"
            | "div"
            | "dl"
            | "dt"
            | "fieldset"
            | "figcaption"
            | "figure"
            | "footer"
            | "form"
            | "h1"
            | "h2"
            | "h3"
            | "h4"
            | "h5"
            | "h6"
            | "header"
            | "hr"
            | "html"
            | "legend"
            | "li"
            | "main"
            | "menu"
            | "ol"
            | "p"
            | "pre"
            | "section"
            | "summary"
            | "table"
            | "tbody"
            | "td"
            | "tfoot"
            | "th"
            | "thead"
            | "tr"
            | "ul"
    )
}

fn heading_level(name: &str) -> Option<u8> {
    match name {
        "h1" => Some(1),
        "h2" => Some(2),
        "h3" => Some(3),
        "h4" => Some(4),
        "h5" => Some(5),
        "h6" => Some(6),
        _ => None,
    }
}

struct Walk<'o> {
    outline: &'o mut Outline,
    inline: String,
    /// The next number of each open list, `None` for bullets.
    lists: Vec<Option<u64>>,
    marker: Option<String>,
    heading: Option<u8>,
    pre: usize,
}

impl<'o> Walk<'o> {
    fn new(outline: &'o mut Outline) -> Self {
        Self {
            outline,
            inline: String::new(),
            lists: Vec::new(),
            marker: None,
            heading: None,
            pre: 0,
        }
    }

    fn walk(&mut self, root: NodeRef<'_>, looks: &Looks) {
        let tables = data_tables(root, looks);
        let mut table_rows = tables.into_iter();
        let mut in_table = 0_usize;
        let mut rows = Vec::new();
        visit(root, looks, &mut |edge| {
            if let Visit::Hidden(text) = &edge {
                self.outline.hide(text);
            }
            if let Visit::Open(element) = &edge
                && element.name() == "table"
            {
                if in_table > 0 {
                    in_table += 1;
                } else if let Some(Some(found)) = table_rows.next() {
                    self.flush();
                    self.outline.paragraph(&found.caption);
                    rows = found.rows;
                    in_table = 1;
                }
            }
            if in_table == 0 {
                self.take(edge);
            } else if let Visit::Close(element) = edge
                && element.name() == "table"
            {
                in_table -= 1;
                if in_table == 0 {
                    self.add_table(std::mem::take(&mut rows));
                }
            }
        });
        self.flush();
    }

    /// Adds a table; one row of names and values is a sentence.
    fn add_table(&mut self, rows: Vec<TableRow>) {
        match &rows[..] {
            [row] => {
                let mut text = String::new();
                for (is_name, cell) in &row.cells {
                    let before = match (text.is_empty() || text.ends_with(": "), is_name) {
                        (true, _) => "",
                        (false, true) => "; ",
                        (false, false) => ", ",
                    };
                    let after = if *is_name { ": " } else { "" };
                    text.push_str(&format!("{before}{}{after}", cell.trim()));
                }
                self.outline.paragraph(text.trim_end());
            }
            _ => {
                let rows: Vec<Row> = rows.into_iter().map(|row| row.row).collect();
                self.outline.table_of(&rows);
            }
        }
    }

    fn take(&mut self, edge: Visit<'_>) {
        match edge {
            Visit::Text(text) => self.inline.push_str(text),
            Visit::Hidden(_) => {}
            Visit::Open(element) => self.open(element),
            Visit::Close(element) => self.close(element),
        }
    }

    fn open(&mut self, element: &Element) {
        let name = element.name();
        if is_block(name) {
            self.flush();
        }
        match name {
            "br" => self.inline.push('\n'),
            "img" => self
                .inline
                .push_str(element.attr("alt").unwrap_or_default()),
            "pre" => self.pre += 1,
            "ul" | "menu" => self.lists.push(None),
            "ol" => {
                let first = element.attr("start").and_then(|start| start.parse().ok());
                self.lists.push(Some(first.unwrap_or(1)));
            }
            "li" => self.marker = Some(self.next_marker()),
            _ => {
                if let Some(level) = heading_level(name) {
                    self.heading = Some(level);
                }
            }
        }
    }

    fn close(&mut self, element: &Element) {
        let name = element.name();
        if is_block(name) {
            self.flush();
        }
        match name {
            "pre" => self.pre = self.pre.saturating_sub(1),
            "ul" | "menu" | "ol" => {
                self.lists.pop();
            }
            "li" => self.marker = None,
            _ => {
                if heading_level(name).is_some() {
                    self.heading = None;
                }
            }
        }
    }

    fn flush(&mut self) {
        let inline = std::mem::take(&mut self.inline);
        if inline.trim().is_empty() {
            return;
        }
        if let Some(level) = self.heading {
            self.outline.heading(level, &inline);
        } else if self.pre > 0 {
            self.outline.code(&inline);
        } else if let Some(marker) = self.marker.take() {
            self.outline
                .list_item(&marker, &clean::join_lines(inline.lines()));
        } else {
            self.outline.paragraph(&clean::join_lines(inline.lines()));
        }
    }

    fn next_marker(&mut self) -> String {
        match self.lists.last_mut() {
            Some(Some(number)) => {
                let marker = format!("{number}.");
                *number = number.saturating_add(1);
                marker
            }
            Some(None) | None => "-".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests;

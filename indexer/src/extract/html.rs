//! HTML: the main content, without navigation, scripts and what is hidden.

use crate::document::Extracted;
use crate::extract::outline::Outline;
use crate::extract::{clean, text};
use encoding_rs::Encoding;
use scraper::node::{Element, Node};
use scraper::{Html, Selector};

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
    let html = Html::parse_document(&text);
    if let Some(title) = first_text(&html, "title").or_else(|| first_text(&html, "h1")) {
        outline.set_title(&title);
    }
    add_metadata(&mut outline, &html);
    Walk::new(&mut outline).walk(main_content(&html));
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

/// Adds the blocks of HTML found inside another document.
pub(crate) fn add_fragment(outline: &mut Outline, text: &str) {
    let html = Html::parse_fragment(text);
    Walk::new(outline).walk(html.tree.root());
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
fn main_content(html: &Html) -> NodeRef<'_> {
    let body = first(html, "body").unwrap_or_else(|| html.tree.root());
    let enough = text_len(body) * MIN_MAIN_SHARE / 100;
    for selector in ["main", "[role=main]", "article"] {
        let mut found = select(html, selector);
        if let (Some(element), None) = (found.next(), found.next())
            && text_len(element) > enough
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
fn text_len(node: NodeRef<'_>) -> usize {
    let mut len = 0;
    visit(node, &mut |edge| {
        if let Visit::Text(text) = edge {
            len += text.trim().len();
        }
    });
    len
}

fn text_of(node: NodeRef<'_>) -> String {
    let mut out = String::new();
    visit(node, &mut |edge| match edge {
        Visit::Text(text) => out.push_str(text),
        Visit::Open(element) | Visit::Close(element) => {
            if is_block(element.name()) || matches!(element.name(), "br" | "td" | "th") {
                out.push('\n');
            }
        }
    });
    out
}

enum Visit<'a> {
    Open(&'a Element),
    Close(&'a Element),
    Text(&'a str),
}

/// Visits what is shown below `root`, itself included, without recursion: depth is the page author's choice.
fn visit<'a>(root: NodeRef<'a>, f: &mut dyn FnMut(Visit<'a>)) {
    let mut hidden_by = None;
    for edge in root.traverse() {
        match edge {
            ego_tree::iter::Edge::Open(node) => match node.value() {
                Node::Element(element) if hidden_by.is_none() => {
                    if is_hidden(element) && node != root {
                        hidden_by = Some(node.id());
                    } else {
                        f(Visit::Open(element));
                    }
                }
                Node::Text(text) if hidden_by.is_none() => f(Visit::Text(text)),
                Node::Element(_)
                | Node::Text(_)
                | Node::Document
                | Node::Fragment
                | Node::Doctype(_)
                | Node::Comment(_)
                | Node::ProcessingInstruction(_) => {}
            },
            ego_tree::iter::Edge::Close(node) => {
                if hidden_by == Some(node.id()) {
                    hidden_by = None;
                } else if let (None, Some(element)) = (hidden_by, node.value().as_element()) {
                    f(Visit::Close(element));
                }
            }
        }
    }
}

fn is_hidden(element: &Element) -> bool {
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
    let style: String = element
        .attr("style")
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_ascii_lowercase();
    by_name
        || by_role
        || element.attr("hidden").is_some()
        || element.attr("aria-hidden") == Some("true")
        || style.contains("display:none")
        || style.contains("visibility:hidden")
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

    fn walk(&mut self, root: NodeRef<'_>) {
        let tables = data_tables(root);
        let mut table_rows = tables.into_iter();
        let mut in_table = 0_usize;
        let mut rows = Vec::new();
        visit(root, &mut |edge| {
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
                    self.outline.table(std::mem::take(&mut rows));
                }
            }
        });
        self.flush();
    }

    fn take(&mut self, edge: Visit<'_>) {
        match edge {
            Visit::Text(text) => self.inline.push_str(text),
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

/// The rows of each table met outside a data table, in order; `None` for one that only lays out the page.
fn data_tables(root: NodeRef<'_>) -> Vec<Option<DataTable>> {
    let mut found = Vec::new();
    // Tables by nesting: a table that holds another is layout.
    let mut open: Vec<OpenTable> = Vec::new();
    visit(root, &mut |edge| match edge {
        Visit::Open(element) if element.name() == "table" => {
            if let Some(outer) = open.last_mut() {
                outer.holds_table = true;
            }
            open.push(OpenTable {
                slot: found.len(),
                ..OpenTable::default()
            });
            found.push(None);
        }
        Visit::Close(element) if element.name() == "table" => {
            if let Some(table) = open.pop()
                && !table.holds_table
            {
                let slot = table.slot;
                found[slot] = table.into_data();
            }
        }
        edge @ (Visit::Open(_) | Visit::Close(_) | Visit::Text(_)) => {
            if let Some(table) = open.last_mut() {
                table.take(&edge);
            }
        }
    });
    found
}

struct DataTable {
    caption: String,
    rows: Vec<Vec<String>>,
}

#[derive(Default)]
struct OpenTable {
    slot: usize,
    holds_table: bool,
    holds_heading: bool,
    caption: String,
    in_caption: bool,
    cells: Vec<Vec<String>>,
    /// Cells still covered by a rowspan: column, rows left, text.
    spans: Vec<(usize, usize, String)>,
    /// Columns and rows spanned by the open cell.
    cell: Option<(usize, usize)>,
}

impl OpenTable {
    fn take(&mut self, edge: &Visit<'_>) {
        match edge {
            Visit::Text(text) => {
                if self.in_caption {
                    self.caption.push_str(text);
                } else if let Some(cell) = self.open_cell() {
                    cell.push_str(text);
                }
            }
            Visit::Open(element) => match element.name() {
                "tr" => self.begin_row(),
                "td" | "th" => self.begin_cell(element),
                "caption" => self.in_caption = true,
                name => self.inside_cell(name, element),
            },
            Visit::Close(element) => match element.name() {
                "td" | "th" => self.end_cell(element.name() == "th"),
                "caption" => self.in_caption = false,
                name => self.inside_cell(name, element),
            },
        }
    }

    fn begin_row(&mut self) {
        self.cells.push(Vec::new());
        self.fill_spans();
    }

    fn begin_cell(&mut self, element: &Element) {
        if self.cells.is_empty() {
            self.begin_row();
        }
        let span = |name| {
            let value: Option<usize> = element
                .attr(name)
                .and_then(|value| value.trim().parse().ok());
            value.unwrap_or(1).clamp(1, 100)
        };
        self.cell = Some((span("colspan"), span("rowspan")));
        if let Some(row) = self.cells.last_mut() {
            row.push(String::new());
        }
    }

    /// Repeats the cell's text over the rows it spans, so that every row can be read alone, and a header's over columns.
    fn end_cell(&mut self, is_header: bool) {
        let is_header = is_header || self.cells.len() == 1;
        let Some((columns, rows)) = self.cell.take() else {
            return;
        };
        let Some(row) = self.cells.last_mut() else {
            return;
        };
        let text = row.last().cloned().unwrap_or_default();
        let first = row.len() - 1;
        // Only a header must name every column; elsewhere a repetition would read as a second value.
        let repeated = if is_header {
            text.clone()
        } else {
            String::new()
        };
        row.resize(first + columns, repeated.clone());
        if rows > 1 {
            let texts = std::iter::once(text).chain(std::iter::repeat(repeated));
            let covered = (first..first + columns).zip(texts);
            self.spans
                .extend(covered.map(|(column, text)| (column, rows - 1, text)));
        }
        self.fill_spans();
    }

    fn fill_spans(&mut self) {
        let Some(row) = self.cells.last_mut() else {
            return;
        };
        self.spans.sort_by_key(|span| span.0);
        for (column, left, text) in &mut self.spans {
            if *column == row.len() && *left > 0 {
                row.push(text.clone());
                *left -= 1;
            }
        }
        self.spans.retain(|span| span.1 > 0);
    }

    fn inside_cell(&mut self, name: &str, element: &Element) {
        self.holds_heading |= heading_level(name).is_some();
        if let Some(cell) = self.open_cell() {
            if is_block(name) || name == "br" {
                cell.push(' ');
            }
            if name == "img" {
                cell.push_str(element.attr("alt").unwrap_or_default());
            }
        }
    }

    fn open_cell(&mut self) -> Option<&mut String> {
        self.cell.and_then(|_| self.cells.last_mut()?.last_mut())
    }

    /// The rows, unless the table has a single column or row and so lays out the page.
    fn into_data(self) -> Option<DataTable> {
        let width = self.cells.iter().map(Vec::len).max().unwrap_or(0);
        let is_layout = width < 2 || self.cells.len() < 2 || self.holds_heading;
        (!is_layout).then_some(DataTable {
            caption: self.caption,
            rows: self.cells,
        })
    }
}

#[cfg(test)]
mod tests;

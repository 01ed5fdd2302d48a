//! `AsciiDoc`: sections, lists, tables, listings; what only a publishing tool needs is left out.

use crate::document::Extracted;
use crate::extract::outline::Outline;
use crate::extract::table::add_rows;
use crate::extract::{clean, text};

/// Extracts blocks; the title is the document's, `= Title`.
pub(crate) fn extract(bytes: &[u8]) -> Extracted {
    let (text, damaged) = text::decode(bytes);
    let text = text.trim_start_matches('\u{FEFF}').replace("\r\n", "\n");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut walk = Walk {
        outline: Outline::default(),
        paragraph: Vec::new(),
        columns: None,
    };
    if damaged {
        walk.outline
            .warn("some bytes are not text in the detected encoding and were replaced");
    }
    let mut at = 0;
    while at < lines.len() {
        at = walk.take(&lines, at);
    }
    walk.flush();
    walk.outline.finish()
}

struct Walk<'t> {
    outline: Outline,
    paragraph: Vec<&'t str>,
    /// Columns that the attributes before a table give it.
    columns: Option<usize>,
}

impl<'t> Walk<'t> {
    /// Takes the block that begins at line `at`; returns where the next begins.
    fn take(&mut self, lines: &[&'t str], at: usize) -> usize {
        let line = lines[at];
        let next = lines.get(at + 1).copied().unwrap_or_default();
        if line.is_empty() {
            self.flush();
            return at + 1;
        }
        if let Some(kind) = Delimiter::of(line) {
            self.flush();
            return self.block(kind, line, lines, at + 1);
        }
        if line.starts_with("//") || line.starts_with("include::") || line.starts_with("toc::") {
            return at + 1;
        }
        if let Some((name, value)) = attribute(line) {
            self.attribute(name, value);
            return at + 1;
        }
        if line.starts_with('[') && line.ends_with(']') && self.paragraph.is_empty() {
            self.columns = columns(line).or(self.columns);
            return at + 1;
        }
        if self.paragraph.is_empty()
            && let Some((level, title)) = section(line).or_else(|| underlined(line, next))
        {
            let is_title = level == 1 && self.outline.is_empty();
            if is_title {
                self.outline.set_title(&inline(title));
            }
            self.outline.heading(level, &inline(title));
            let is_underlined = section(line).is_none();
            let next = at + 1 + usize::from(is_underlined);
            return next + usize::from(is_title && self.author(lines, next));
        }
        if let Some(title) = line.strip_prefix('.')
            && title.starts_with(|c: char| !matches!(c, ' ' | '.'))
        {
            // The title of the block that follows.
            self.flush();
            self.outline.paragraph(&inline(title));
            return at + 1;
        }
        if let Some((marker, rest)) = list_item(line) {
            self.flush();
            return self.list_item(marker, rest, lines, at + 1);
        }
        if line == "+" || matches!(line, "'''" | "<<<") {
            self.flush();
            return at + 1;
        }
        if let Some((term, rest)) = line
            .split_once(":: ")
            .or_else(|| line.strip_suffix("::").map(|term| (term, "")))
        {
            self.flush();
            if let Some(alt) = macro_text(line) {
                self.outline.paragraph(&alt);
                return at + 1;
            }
            self.outline.paragraph(&inline(&format!("{term}: {rest}")));
            return at + 1;
        }
        if let Some(alt) = macro_text(line) {
            self.flush();
            self.outline.paragraph(&alt);
            return at + 1;
        }
        self.paragraph.push(line);
        at + 1
    }

    /// Takes a line below the title for the author's, if it is one.
    fn author(&mut self, lines: &[&str], at: usize) -> bool {
        let line = lines.get(at).copied().unwrap_or_default();
        let is_author =
            !line.is_empty() && !line.starts_with([':', '=', '/', '[']) && line.len() < 120;
        if is_author {
            let name = line.split(['<', ';']).next().unwrap_or_default();
            self.outline.set_author(name);
        }
        is_author
    }

    fn attribute(&mut self, name: &str, value: &str) {
        match name {
            "author" => self.outline.set_author(value),
            "keywords" => self.outline.add_tags(value),
            "revdate" | "date" => self.outline.set_date(value),
            "doctitle" => self.outline.set_title(value),
            _ => {}
        }
    }

    /// Takes the content of a delimited block; `delimiter` ends it.
    fn block(
        &mut self,
        kind: Delimiter,
        delimiter: &str,
        lines: &[&'t str],
        start: usize,
    ) -> usize {
        let len = lines[start..].iter().position(|line| *line == delimiter);
        let end = len.map_or(lines.len(), |len| start + len);
        let content = &lines[start..end];
        match kind {
            Delimiter::Comment => {}
            Delimiter::Code => self.outline.code(&content.join("\n")),
            Delimiter::Table => {
                let rows = table(content, self.columns.take());
                add_rows(&mut self.outline, rows);
            }
            // What stands within is read as if it stood alone; only its delimiters are passed over.
            Delimiter::Frame => return start,
        }
        (end + 1).min(lines.len())
    }

    /// Takes a list item with the lines that continue it.
    fn list_item(
        &mut self,
        marker: String,
        first: &'t str,
        lines: &[&'t str],
        start: usize,
    ) -> usize {
        let continues = |line: &&&str| {
            !line.is_empty()
                && list_item(line).is_none()
                && Delimiter::of(line).is_none()
                && **line != "+"
                && section(line).is_none()
        };
        let n_lines = lines[start..].iter().take_while(continues).count();
        let text = std::iter::once(first).chain(lines[start..start + n_lines].iter().copied());
        let text = inline(&clean::join_lines(text));
        self.outline.list_item(&marker, &text);
        start + n_lines
    }

    fn flush(&mut self) {
        let text = clean::join_lines(self.paragraph.drain(..));
        self.outline.paragraph(&inline(&text));
    }
}

#[derive(Clone, Copy)]
enum Delimiter {
    Comment,
    Code,
    Table,
    Frame,
}

impl Delimiter {
    fn of(line: &str) -> Option<Self> {
        let is_run = |c: char| line.len() >= 4 && line.chars().all(|other| other == c);
        if is_run('/') {
            Some(Self::Comment)
        } else if is_run('-') || is_run('.') || is_run('+') || line.starts_with("```") {
            Some(Self::Code)
        } else if matches!(line, "|===" | ",===" | ":===" | "!===") {
            Some(Self::Table)
        } else if is_run('=') || is_run('*') || is_run('_') || line == "--" {
            Some(Self::Frame)
        } else {
            None
        }
    }
}

/// `== Title`, and the level of its heading.
fn section(line: &str) -> Option<(u8, &str)> {
    let title = line.trim_start_matches(['=', '#']);
    let level = u8::try_from(line.len() - title.len()).ok()?;
    (1..=6).contains(&level).then_some(())?;
    title.starts_with(' ').then(|| (level, title.trim()))
}

/// A title with a line of signs of its length below it.
fn underlined<'t>(line: &'t str, next: &str) -> Option<(u8, &'t str)> {
    let first = next.chars().next()?;
    let level = ['=', '-', '~', '^', '+']
        .iter()
        .position(|sign| *sign == first)?;
    let (width, length) = (line.chars().count(), next.chars().count());
    let is_line = next.chars().all(|c| c == first) && length >= 3 && width.abs_diff(length) <= 1;
    (is_line && line.chars().any(char::is_alphanumeric)).then_some(())?;
    Some((u8::try_from(level + 1).ok()?, line))
}

/// `:name: value`.
fn attribute(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.strip_prefix(':')?.split_once(':')?;
    let is_name = !name.is_empty()
        && name
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '!'));
    (is_name && (value.is_empty() || value.starts_with(' '))).then(|| (name, value.trim()))
}

/// The number of columns that `[cols="1,2"]` or `[cols=3*]` says.
fn columns(line: &str) -> Option<usize> {
    let (_, rest) = line.split_once("cols=")?;
    let value = match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?,
        None => rest.split([',', ']']).next()?,
    };
    let widths = value
        .split([',', ';'])
        .map(|column| match column.split_once('*') {
            Some((times, _)) => times.trim().parse().unwrap_or(1),
            None => 1,
        });
    Some(widths.sum::<usize>().clamp(1, 100))
}

/// Rows of a table: as many cells a row as `columns` says, or else as the first line has.
fn table(lines: &[&str], columns: Option<usize>) -> Vec<Vec<String>> {
    let mut cells: Vec<String> = Vec::new();
    let mut in_first_line = 0;
    for line in lines {
        let is_first = cells.is_empty();
        let mut parts = line.split('|');
        let before = parts.next().unwrap_or_default();
        if let Some(last) = cells.last_mut()
            && !line.starts_with('|')
        {
            last.push('\n');
            // What stands before a bar may be the specifier of its cell: `2+|`.
            last.push_str(if line.contains('|') { "" } else { before });
        }
        for part in parts {
            cells.push(part.trim().to_owned());
        }
        if is_first {
            in_first_line = cells.len();
        }
    }
    let columns = columns.unwrap_or(in_first_line).max(1);
    cells
        .chunks(columns)
        .map(|row| row.iter().map(|cell| inline(cell)).collect())
        .collect()
}

/// The marker and text of `* item`, `. item`, `- item` or `1. item`.
fn list_item(line: &str) -> Option<(String, &str)> {
    let line = line.trim_start();
    let (marker, rest) = line.split_once(' ')?;
    let is_run =
        |c: char| !marker.is_empty() && marker.len() <= 5 && marker.chars().all(|other| other == c);
    let is_number = marker.strip_suffix('.').is_some_and(|number| {
        !number.is_empty() && number.len() <= 3 && number.chars().all(|c| c.is_ascii_alphanumeric())
    });
    if is_run('*') || marker == "-" || is_run('.') {
        Some(("-".to_owned(), rest))
    } else if is_number && marker.starts_with(|c: char| c.is_ascii_digit()) {
        Some((marker.to_owned(), rest))
    } else {
        None
    }
}

/// The alternative text of `image::file[text]`; empty for other block macros.
fn macro_text(line: &str) -> Option<String> {
    let (name, rest) = line.split_once("::")?;
    let is_macro = matches!(
        name,
        "image" | "video" | "audio" | "link" | "ifdef" | "ifndef" | "endif" | "ifeval"
    );
    let text = rest
        .split_once('[')
        .map(|(_, text)| text.trim_end_matches(']'))
        .unwrap_or_default();
    let shown = matches!(name, "image" | "video" | "link");
    is_macro.then(|| {
        if shown {
            text.split(',').next().unwrap_or_default().to_owned()
        } else {
            String::new()
        }
    })
}

/// Text without the marks of emphasis, and with the text of links before their targets.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("<<")
            && let Some((link, after)) = split_near(&rest[2..], ">>")
        {
            out.push_str(link.split_once(',').map_or(link, |(_, text)| text).trim());
            rest = after;
        } else if let Some((target, label, after)) = link(rest) {
            let label = label.trim_end_matches('^');
            match (label.is_empty(), target.starts_with("http")) {
                (true, _) => out.push_str(target),
                (false, true) => out.push_str(&format!("{label} ({target})")),
                (false, false) => out.push_str(label),
            }
            rest = after;
        } else if matches!(c, '*' | '_' | '#') {
            let after = rest.trim_start_matches(c);
            let run = &rest[..rest.len() - after.len()];
            if run.len() > 2 || !marks_text(out.chars().next_back(), after.chars().next()) {
                out.push_str(run);
            }
            rest = after;
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The target and label of a link that the text begins with, `https://…[label]` or `link:…[label]`, and what follows.
fn link(text: &str) -> Option<(&str, &str, &str)> {
    let is_link = ["http://", "https://", "link:"]
        .iter()
        .any(|begin| text.starts_with(begin));
    let (target, after) = is_link.then(|| split_near(text, "["))??;
    let (label, after) = split_near(after, "]")?;
    (!target.contains(char::is_whitespace))
        .then(|| (target.trim_start_matches("link:"), label, after))
}

/// Splits at a mark that is not far away.
fn split_near<'t>(text: &'t str, mark: &str) -> Option<(&'t str, &'t str)> {
    let end = text.floor_char_boundary(1000);
    let at = text[..end].find(mark)?;
    Some((&text[..at], &text[at + mark.len()..]))
}

/// Whether a sign between these characters begins or ends emphasized text: it stands between a word and no word.
fn marks_text(before: Option<char>, after: Option<char>) -> bool {
    let is_word = |c: Option<char>| {
        c.is_some_and(|c| c.is_alphanumeric() || matches!(c, '`' | '"' | '(' | ')'))
    };
    is_word(before) != is_word(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::BlockKind;

    #[test]
    fn every_kind_of_block_is_read() {
        let text = "= Travel Rules\nTaro Sato <taro@kura.example>\n:keywords: travel, HR\n\n== Booking\n\nBook *early* and\n\
            use https://kura.example/book[the tool].\n\n* one\nmore\n** two\n. first\n\n.Rates\n[cols=\"1,1\",options=header]\n|===\n|City |Rate\n\n\
            |Osaka\n|100\n|===\n\n[source,sh]\n----\nmake all\n----\n\n////\nnot shown\n////\nNOTE: Mind snake_case names.\n\nTerm:: what it is\n";
        let extracted = extract(text.as_bytes());
        assert_eq!(extracted.title.as_deref(), Some("Travel Rules"));
        assert_eq!(extracted.metadata.author.as_deref(), Some("Taro Sato"));
        let got: Vec<_> = extracted
            .blocks
            .iter()
            .map(|b| (b.kind, b.text.as_str()))
            .collect();
        assert_eq!(
            got,
            [
                (BlockKind::Heading(1), "Travel Rules"),
                (BlockKind::Heading(2), "Booking"),
                (
                    BlockKind::Paragraph,
                    "Book early and use the tool (https://kura.example/book)."
                ),
                (BlockKind::ListItem, "- one more"),
                (BlockKind::ListItem, "- two"),
                (BlockKind::ListItem, "- first"),
                (BlockKind::Paragraph, "Rates"),
                (
                    BlockKind::Table,
                    "| City | Rate |\n| --- | --- |\n| Osaka | 100 |"
                ),
                (BlockKind::Code, "make all"),
                (BlockKind::Paragraph, "NOTE: Mind snake_case names."),
                (BlockKind::Paragraph, "Term: what it is"),
            ]
        );
    }
}

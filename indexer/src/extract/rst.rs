//! `reStructuredText`: sections by their underlines, lists, tables, directives; what only a publishing tool needs is left
//! out.

use crate::document::Extracted;
use crate::extract::outline::Outline;
use crate::extract::table::add_rows;
use crate::extract::{clean, delimited, text};

/// Extracts blocks; the title is the first section's when it stands at the top.
pub(crate) fn extract(bytes: &[u8]) -> Extracted {
    let (text, damaged) = text::decode(bytes);
    let text = text
        .trim_start_matches('\u{FEFF}')
        .replace("\r\n", "\n")
        .replace('\t', "        ");
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let mut walk = Walk::default();
    if damaged {
        walk.outline
            .warn("some bytes are not text in the detected encoding and were replaced");
    }
    walk.blocks(&lines, 0);
    walk.outline.finish()
}

/// Directives nest; deeper than this they are text.
const MAX_DEPTH: usize = 16;

#[derive(Default)]
struct Walk {
    outline: Outline,
    /// The signs of underlines (and whether there is a line above too) in the order of their levels.
    levels: Vec<(char, bool)>,
}

impl Walk {
    fn blocks(&mut self, lines: &[&str], depth: usize) {
        let mut at = 0;
        while at < lines.len() {
            at = self.block(lines, at, depth);
        }
    }

    /// Adds the block that begins at line `at`; returns where the next begins.
    fn block(&mut self, lines: &[&str], at: usize, depth: usize) -> usize {
        let line = lines[at];
        let line_at = |index: usize| lines.get(index).copied().unwrap_or_default();
        let (next, third) = (line_at(at + 1), line_at(at + 2));
        if line.is_empty() {
            return at + 1;
        }
        if let Some(sign) = adornment(line)
            && !next.is_empty()
            && adornment(third) == Some(sign)
            && depth == 0
        {
            self.section(next.trim(), (sign, true));
            return at + 3;
        }
        if let Some(sign) = adornment(next)
            && depth == 0
            && !line.starts_with(' ')
            && width(next) >= width(line)
            && adornment(line).is_none()
        {
            self.section(line, (sign, false));
            return at + 2;
        }
        if is_grid_border(line) {
            let end = at
                + lines[at..]
                    .iter()
                    .take_while(|line| line.starts_with(['+', '|']))
                    .count();
            add_rows(&mut self.outline, grid_table(&lines[at..end]));
            return end;
        }
        if is_simple_border(line) {
            return self.simple_table(lines, at);
        }
        if adornment(line).is_some() && width(line) >= 4 {
            return at + 1;
        }
        if let Some(rest) = line
            .trim_start()
            .strip_prefix(".. ")
            .or_else(|| (line.trim() == "..").then_some(""))
        {
            let end = indented(lines, at + 1, indent_of(line));
            self.explicit(rest, &lines[at + 1..end], depth);
            return end;
        }
        if let Some((name, value)) = field(line) {
            let end = indented(lines, at + 1, indent_of(line));
            let value = std::iter::once(value).chain(lines[at + 1..end].iter().copied());
            self.field(name, &clean::join_lines(value));
            return end;
        }
        self.text(lines, at, depth)
    }

    fn section(&mut self, title: &str, style: (char, bool)) {
        let known = self.levels.iter().position(|known| *known == style);
        let level = known.unwrap_or_else(|| {
            self.levels.push(style);
            self.levels.len() - 1
        });
        let title = inline(title);
        if self.outline.is_empty() {
            self.outline.set_title(&title);
        }
        self.outline
            .heading(u8::try_from(level + 1).unwrap_or(6), &title);
    }

    /// Adds a paragraph, a list item or a quotation, and the literal block that `::` announces.
    fn text(&mut self, lines: &[&str], at: usize, depth: usize) -> usize {
        let line = lines[at];
        let indent = indent_of(line);
        let marker = list_marker(line.trim_start());
        // The lines of a list item are indented as far as its text; its sublists begin with markers of their own.
        let continues = |line: &&&str| {
            !line.is_empty()
                && list_marker(line.trim_start()).is_none()
                && !line.trim_start().starts_with(".. ")
                && (marker.is_none() || indent_of(line) > indent)
        };
        let end = at + 1 + lines[at + 1..].iter().take_while(continues).count();
        // A definition: its term on one line, indented text below it.
        let is_term = marker.is_none() && end > at + 1 && indent_of(lines[at + 1]) > indent;
        let joined = if is_term {
            let definition = clean::join_lines(lines[at + 1..end].iter().copied());
            format!("{}: {definition}", line.trim())
        } else {
            clean::join_lines(lines[at..end].iter().copied())
        };
        let (shown, is_literal) = match joined.strip_suffix("::") {
            Some(before) if before.is_empty() || before.ends_with(' ') => {
                (before.trim_end().to_owned(), true)
            }
            Some(before) => (format!("{before}:"), true),
            None => (joined, false),
        };
        match marker {
            Some(marker) => {
                let shown_marker = if matches!(marker, "*" | "+" | "-" | "•" | "#.") {
                    "-"
                } else {
                    marker
                };
                self.outline
                    .list_item(shown_marker, &inline(shown[marker.len()..].trim()));
            }
            None => self.outline.paragraph(&inline(&shown)),
        }
        if !is_literal {
            return end;
        }
        let literal_end = indented(lines, end, indent);
        if literal_end == end && depth == 0 {
            // Quoted literal blocks are marked by a sign at each line's start.
            return end;
        }
        self.code(&lines[end..literal_end]);
        literal_end
    }

    /// Adds what `.. ` begins: a directive, a footnote, a target or a comment.
    fn explicit(&mut self, first: &str, body: &[&str], depth: usize) {
        if let Some((label, text)) = first
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'))
        {
            let text = std::iter::once(text).chain(body.iter().copied());
            self.outline
                .paragraph(&inline(&format!("[{label}] {}", clean::join_lines(text))));
            return;
        }
        // A substitution `|name| image:: …` is a directive with a name before it.
        let first = first
            .strip_prefix('|')
            .and_then(|rest| rest.split_once("| "))
            .map_or(first, |(_, rest)| rest);
        let Some((name, argument)) = first.split_once("::") else {
            return;
        };
        if first.starts_with('_') || name.contains(' ') {
            return;
        }
        let argument = argument.trim();
        let (options, content) = options(body);
        let option = |wanted: &str| {
            options
                .iter()
                .find(|(name, _)| *name == wanted)
                .map(|(_, value)| *value)
        };
        match name {
            "code" | "code-block" | "sourcecode" | "parsed-literal" | "math" | "productionlist"
            | "highlight" => {
                self.code(content);
            }
            "image" | "figure" => {
                self.outline.paragraph(option("alt").unwrap_or_default());
                self.nested(content, depth);
            }
            "csv-table" => {
                self.outline.paragraph(&inline(argument));
                let header = option("header").unwrap_or_default();
                let csv: Vec<&str> = std::iter::once(header)
                    .chain(content.iter().copied())
                    .collect();
                let csv: Vec<&str> = csv
                    .iter()
                    .map(|line| line.trim())
                    .filter(|line| !line.is_empty())
                    .collect();
                add_rows(&mut self.outline, delimited::rows(&csv.join("\n"), b','));
            }
            "list-table" => {
                self.outline.paragraph(&inline(argument));
                add_rows(&mut self.outline, list_table(content));
            }
            "table" => {
                self.outline.paragraph(&inline(argument));
                self.nested(content, depth);
            }
            "toctree" | "contents" | "include" | "index" | "raw" | "only" | "meta" | "sectnum"
            | "role" | "tabularcolumns" | "literalinclude" | "automodule" | "autoclass"
            | "autofunction" | "currentmodule" | "default-role" => {}
            _ => {
                // An admonition, or the description of a function: its argument is its first line.
                let is_named = matches!(
                    name,
                    "note"
                        | "warning"
                        | "tip"
                        | "hint"
                        | "important"
                        | "caution"
                        | "danger"
                        | "attention"
                );
                let label = if is_named {
                    format!("{name}: {argument}")
                } else {
                    argument.to_owned()
                };
                self.outline
                    .paragraph(&inline(label.trim_end_matches(": ")));
                self.nested(content, depth);
            }
        }
    }

    fn nested(&mut self, lines: &[&str], depth: usize) {
        if depth >= MAX_DEPTH {
            self.outline
                .paragraph(&clean::join_lines(lines.iter().copied()));
            return;
        }
        self.blocks(&dedented(lines), depth + 1);
    }

    fn code(&mut self, lines: &[&str]) {
        self.outline.code(&dedented(lines).join("\n"));
    }

    fn field(&mut self, name: &str, value: &str) {
        match name.to_ascii_lowercase().as_str() {
            "author" | "authors" => self.outline.set_author(value),
            "date" => self.outline.set_date(value),
            "keywords" => self.outline.add_tags(value),
            "orphan" | "nosearch" | "tocdepth" => {}
            _ => self.outline.paragraph(&inline(&format!("{name}: {value}"))),
        }
    }

    /// Adds a table whose columns are marked by runs of `=`; returns the line after it.
    fn simple_table(&mut self, lines: &[&str], at: usize) -> usize {
        let borders = lines[at..]
            .iter()
            .enumerate()
            .filter(|(_, line)| is_simple_border(line));
        let borders: Vec<usize> = borders.map(|(offset, _)| at + offset).take(3).collect();
        // Two borders enclose a table without header; a third comes before the next empty line, if at all.
        let end = match borders.as_slice() {
            [_, second, third, ..]
                if !lines[*second..*third].iter().any(|line| line.is_empty()) =>
            {
                *third
            }
            [_, second, ..] => *second,
            _ => return at + 1,
        };
        let starts = column_starts(lines[at]);
        let mut rows: Vec<Vec<String>> = Vec::new();
        for line in lines[at + 1..end]
            .iter()
            .filter(|line| !is_simple_border(line) && !line.is_empty())
        {
            let cells = cut_at(line, &starts);
            match rows.last_mut() {
                // A row whose first cell is empty continues the one above.
                Some(above) if cells.first().is_some_and(String::is_empty) => {
                    for (cell, more) in above.iter_mut().zip(cells) {
                        cell.push(' ');
                        cell.push_str(&more);
                    }
                }
                Some(_) | None => rows.push(cells),
            }
        }
        add_rows(&mut self.outline, rows);
        end + 1
    }
}

/// The sign of a line that is nothing but that sign.
fn adornment(line: &str) -> Option<char> {
    let first = line.chars().next()?;
    let is_line =
        first.is_ascii_punctuation() && line.len() >= 2 && line.chars().all(|c| c == first);
    is_line.then_some(first)
}

/// Wide characters take two places, as editors show them and underlines count them.
fn width(line: &str) -> usize {
    line.chars()
        .map(|c| 1 + usize::from(clean::is_cjk(c)))
        .sum()
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The end of the lines from `start` that are indented more than `indent`, without empty ones after them.
fn indented(lines: &[&str], start: usize, indent: usize) -> usize {
    let belongs = |line: &&&str| line.is_empty() || indent_of(line) > indent;
    let mut end = start + lines[start..].iter().take_while(belongs).count();
    while end > start && lines[end - 1].is_empty() {
        end -= 1;
    }
    end
}

fn dedented<'t>(lines: &[&'t str]) -> Vec<&'t str> {
    let indent = lines
        .iter()
        .filter(|line| !line.is_empty())
        .map(|line| indent_of(line))
        .min()
        .unwrap_or(0);
    lines
        .iter()
        .map(|line| line.get(indent..).unwrap_or_default())
        .collect()
}

/// `:name: value`, which is no role such as ``:ref:`x` ``.
fn field(line: &str) -> Option<(&str, &str)> {
    let (name, value) = line.trim_start().strip_prefix(':')?.split_once(':')?;
    let is_field = !name.is_empty()
        && !name.contains(['`', '<'])
        && (value.is_empty() || value.starts_with(' '));
    is_field.then(|| (name, value.trim()))
}

type Options<'t> = Vec<(&'t str, &'t str)>;

/// The options at the beginning of a directive, and its content.
fn options<'l, 't>(body: &'l [&'t str]) -> (Options<'t>, &'l [&'t str]) {
    let options: Options<'t> = body.iter().map_while(|line| field(line)).collect();
    let content = &body[options.len()..];
    (options, content)
}

fn list_marker(line: &str) -> Option<&str> {
    let marker = line.split(' ').next()?;
    let is_bullet = matches!(marker, "*" | "+" | "-" | "•" | "#.");
    let inner = marker.trim_start_matches('(').trim_end_matches(['.', ')']);
    let is_number = inner.len() < marker.len()
        && (1..=4).contains(&inner.len())
        && (inner.chars().all(|c| c.is_ascii_digit())
            || (inner.len() == 1 && inner.chars().all(|c| c.is_ascii_alphabetic())));
    ((is_bullet || is_number) && line.len() > marker.len()).then_some(marker)
}

fn is_grid_border(line: &str) -> bool {
    line.starts_with("+-")
        && line.ends_with('+')
        && line.chars().all(|c| matches!(c, '+' | '-' | '='))
}

fn is_simple_border(line: &str) -> bool {
    line.starts_with("==") && line.contains(' ') && line.chars().all(|c| matches!(c, '=' | ' '))
}

/// Where the runs of a border begin, in characters of single width.
fn column_starts(border: &str) -> Vec<usize> {
    let bytes = border.as_bytes();
    (0..bytes.len())
        .filter(|&at| bytes[at] == b'=' && (at == 0 || bytes[at - 1] == b' '))
        .collect()
}

/// The cells of a line between columns.
fn cut_at(line: &str, starts: &[usize]) -> Vec<String> {
    let mut cells = vec![String::new(); starts.len()];
    let mut place = 0;
    for c in line.chars() {
        let column = starts
            .partition_point(|start| *start <= place)
            .saturating_sub(1);
        cells[column].push(c);
        place += 1 + usize::from(clean::is_cjk(c));
    }
    cells.iter().map(|cell| inline(cell.trim())).collect()
}

/// Rows of a table drawn with `+`, `-` and `|`. A cell over several columns gives its text to the first.
fn grid_table(lines: &[&str]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut row: Vec<String> = Vec::new();
    for line in lines {
        if line.starts_with("+-") || line.starts_with("+=") {
            if !row.is_empty() {
                rows.push(row.iter().map(|cell| inline(cell.trim())).collect());
                row.clear();
            }
            continue;
        }
        for (at, cell) in line.trim_matches('|').split('|').enumerate() {
            if row.len() <= at {
                row.push(String::new());
            }
            row[at].push(' ');
            row[at].push_str(cell.trim());
        }
    }
    rows
}

/// Rows of a table written as a list of lists.
fn list_table(lines: &[&str]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for line in dedented(lines) {
        let (begins_row, rest) = match line.strip_prefix("* ") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        if begins_row {
            rows.push(Vec::new());
        }
        let Some(row) = rows.last_mut() else { continue };
        let rest = rest.trim_start();
        match rest
            .strip_prefix("- ")
            .or_else(|| (rest == "-").then_some(""))
        {
            Some(cell) => row.push(inline(cell)),
            None => {
                if let Some(cell) = row.last_mut() {
                    cell.push(' ');
                    cell.push_str(&inline(rest));
                }
            }
        }
    }
    rows
}

/// Text without the marks of roles and emphasis, and with the text of links before their targets.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['`', '*']) {
        out.push_str(&rest[..at]);
        let marked = &rest[at..];
        rest = if let Some(literal) = marked.strip_prefix("``") {
            out.push('`');
            let (code, after) = literal.split_once("``").unwrap_or((literal, ""));
            out.push_str(code);
            out.push('`');
            after
        } else if let Some(inner) = marked.strip_prefix('`') {
            drop_role(&mut out);
            let (inner, after) = inner.split_once('`').unwrap_or((inner, ""));
            push_reference(&mut out, inner);
            after.trim_start_matches('_')
        } else {
            let after = marked.trim_start_matches('*');
            let run = &marked[..marked.len() - after.len()];
            let is_space = |c: Option<char>| c.is_none_or(char::is_whitespace);
            // A star alone is multiplication, a wildcard or a bullet.
            if run.len() > 2
                || (is_space(out.chars().next_back()) && is_space(after.chars().next()))
            {
                out.push_str(run);
            }
            after
        };
    }
    out.push_str(rest);
    out
}

/// Takes off the role that the text ends with: `:ref:`.
fn drop_role(out: &mut String) {
    let Some(before) = out.strip_suffix(':') else {
        return;
    };
    let start = before.len().saturating_sub(40);
    let start = before.ceil_char_boundary(start);
    let is_border = |c: char| c.is_whitespace() || matches!(c, '(' | '[' | '"');
    // A border may have more than a byte, such as Japanese blanks.
    if let Some((at, border)) = before[start..].rmatch_indices(is_border).next() {
        let role = start + at + border.len();
        if before[role..].starts_with(':') {
            out.truncate(role);
        }
    } else if before[start..].starts_with(':') {
        out.truncate(start);
    }
}

/// `text <target>`: the target is kept when it is an address.
fn push_reference(out: &mut String, inner: &str) {
    match inner
        .strip_suffix('>')
        .and_then(|inner| inner.rsplit_once('<'))
    {
        Some((text, target)) if target.starts_with("http") && !text.is_empty() => {
            out.push_str(&format!("{} ({target})", text.trim_end()));
        }
        Some((text, target)) => out.push_str(if text.is_empty() {
            target
        } else {
            text.trim_end()
        }),
        None => out.push_str(inner.trim_start_matches(['~', '!'])),
    }
}

#[cfg(test)]
mod tests;

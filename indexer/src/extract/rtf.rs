//! Rich Text Format: text in any code page, headings, lists, tables, notes.
//!
//! The published readers know neither the double-byte code pages nor the destinations that Word writes, so this is one
//! of our own: a tokenizer (`lexer`) and the state that its control words change.

mod lexer;
mod tables;

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::clean;
use crate::extract::hidden::{Look, Rgb, WHITE};
use crate::extract::outline::Outline;
use encoding_rs::{Encoding, SHIFT_JIS, WINDOWS_1252};
use lexer::{Lexer, Token};
use std::collections::HashMap;
pub(crate) use tables::encoding_of_page;
use tables::{Rows, encoding_of_charset};

/// Groups nested deeper are no document.
const MAX_DEPTH: usize = 2000;

/// Extracts the document.
pub(crate) fn extract(bytes: &[u8]) -> Result<Extracted> {
    if !bytes.trim_ascii_start().starts_with(b"{\\rtf") {
        return Err(Error::Malformed {
            format: "RTF",
            reason: "it does not begin as one".to_owned(),
        });
    }
    let mut reader = Reader::new();
    for token in Lexer::new(bytes) {
        reader.take(token)?;
    }
    reader.end_paragraph();
    reader.end_table();
    Ok(reader.finish())
}

/// Where text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Destination {
    Body,
    /// The marker of a list item, as the writer drew it.
    Marker,
    Note,
    Comment,
    Margin,
    Fonts,
    Colors,
    Styles,
    Title,
    Author,
    Keywords,
    Skipped,
}

/// What a group inherits and its end restores.
#[derive(Debug, Clone)]
struct State {
    destination: Destination,
    /// Where text went outside of a group of two versions, the second of which is in Unicode.
    around: Destination,
    /// Characters that stand for a Unicode character for readers that know none.
    n_fallback: usize,
    font: i32,
    is_hidden: bool,
    is_deleted: bool,
    color: usize,
    /// Color numbers of highlighting and shading; 0 for none.
    background: usize,
    /// In half points.
    size: i32,
    paragraph: Paragraph,
}

/// What holds for a paragraph.
#[derive(Debug, Clone, Default)]
struct Paragraph {
    style: i32,
    level: Option<u8>,
    in_table: bool,
    is_shaded: bool,
}

struct Reader {
    outline: Outline,
    state: State,
    stack: Vec<State>,
    encoding: &'static Encoding,
    fonts: HashMap<i32, &'static Encoding>,
    colors: Vec<Option<Rgb>>,
    color: [Option<u8>; 3],
    /// Heading levels of paragraph styles.
    styles: HashMap<i32, u8>,
    style: (i32, Option<u8>),
    /// Bytes not yet decoded, of one font.
    pending: Vec<u8>,
    high_surrogate: Option<u16>,
    to_skip: usize,
    text: String,
    marker: String,
    aside: String,
    notes: Vec<String>,
    comments: Vec<String>,
    margins: Vec<String>,
    title: String,
    author: String,
    keywords: String,
    /// The text of a font or style definition under way.
    definition: String,
    rows: Rows,
    starred: bool,
}

impl Reader {
    fn new() -> Self {
        Self {
            outline: Outline::default(),
            state: State {
                destination: Destination::Body,
                around: Destination::Body,
                n_fallback: 1,
                font: 0,
                is_hidden: false,
                is_deleted: false,
                color: 0,
                background: 0,
                size: 24,
                paragraph: Paragraph::default(),
            },
            stack: Vec::new(),
            encoding: WINDOWS_1252,
            fonts: HashMap::new(),
            colors: Vec::new(),
            color: [None; 3],
            styles: HashMap::new(),
            style: (0, None),
            pending: Vec::new(),
            high_surrogate: None,
            to_skip: 0,
            text: String::new(),
            marker: String::new(),
            aside: String::new(),
            notes: Vec::new(),
            comments: Vec::new(),
            margins: Vec::new(),
            title: String::new(),
            author: String::new(),
            keywords: String::new(),
            definition: String::new(),
            rows: Rows::default(),
            starred: false,
        }
    }

    fn take(&mut self, token: Token<'_>) -> Result<()> {
        let was_starred = std::mem::take(&mut self.starred);
        match token {
            Token::Open => {
                self.flush();
                self.to_skip = 0;
                if self.stack.len() >= MAX_DEPTH {
                    return Err(Error::Malformed {
                        format: "RTF",
                        reason: "nested too deeply".to_owned(),
                    });
                }
                self.stack.push(self.state.clone());
            }
            Token::Close => {
                self.flush();
                self.to_skip = 0;
                if let Some(outer) = self.stack.pop() {
                    self.end_group(outer.destination);
                    self.state = outer;
                }
            }
            Token::Star => self.starred = true,
            Token::Byte(byte) => self.byte(byte),
            Token::Text(bytes) => {
                for byte in bytes {
                    self.byte(*byte);
                }
            }
            Token::Symbol(symbol) => self.symbol(symbol),
            Token::Word(word, value) => {
                // A binary blob counts as one character for what follows a Unicode character.
                if word != "u" {
                    self.flush();
                }
                self.word(word, value, was_starred);
            }
        }
        Ok(())
    }

    fn byte(&mut self, byte: u8) {
        if self.to_skip > 0 {
            self.to_skip -= 1;
        } else if self.state.destination != Destination::Skipped {
            self.pending.push(byte);
        }
    }

    fn symbol(&mut self, symbol: u8) {
        match symbol {
            b'~' => self.push("\u{A0}"),
            b'_' => self.push("-"),
            b'\n' | b'\r' => self.word("par", None, false),
            b'\t' => self.push(" "),
            _ => {}
        }
    }

    fn word(&mut self, word: &str, value: Option<i32>, is_starred: bool) {
        if self.destination(word, is_starred) {
            return;
        }
        let number = value.unwrap_or(0);
        let is_on = value != Some(0);
        match word {
            "u" => self.unicode(number),
            "uc" => self.state.n_fallback = usize::try_from(number).unwrap_or(1).min(16),
            "ansicpg" => self.encoding = encoding_of_page(number).unwrap_or(self.encoding),
            "mac" => self.encoding = encoding_rs::MACINTOSH,
            "f" => {
                self.state.font = number;
            }
            "fcharset" if self.state.destination == Destination::Fonts => {
                if let Some(encoding) = encoding_of_charset(number) {
                    self.fonts.insert(self.state.font, encoding);
                }
            }
            "cpg" if self.state.destination == Destination::Fonts => {
                if let Some(encoding) = encoding_of_page(number) {
                    self.fonts.insert(self.state.font, encoding);
                }
            }
            "red" => self.color[0] = u8::try_from(number).ok(),
            "green" => self.color[1] = u8::try_from(number).ok(),
            "blue" => self.color[2] = u8::try_from(number).ok(),
            "plain" => {
                self.state.is_hidden = false;
                self.state.color = 0;
                self.state.background = 0;
                self.state.size = 24;
            }
            "v" => self.state.is_hidden = is_on,
            "deleted" => self.state.is_deleted = is_on,
            "cf" => self.state.color = usize::try_from(number).unwrap_or(0),
            "cb" | "highlight" | "chcbpat" => {
                self.state.background = usize::try_from(number).unwrap_or(0)
            }
            "fs" => self.state.size = number,
            "pard" => self.state.paragraph = Paragraph::default(),
            "s" if self.state.destination == Destination::Styles => self.style.0 = number,
            "s" => self.state.paragraph.style = number,
            "outlinelevel" => {
                let level = u8::try_from(number)
                    .ok()
                    .filter(|level| *level < 9)
                    .map(|level| (level + 1).min(6));
                if self.state.destination == Destination::Styles {
                    self.style.1 = level;
                } else {
                    self.state.paragraph.level = level;
                }
            }
            "cbpat" => self.state.paragraph.is_shaded = number > 0,
            "intbl" => self.state.paragraph.in_table = true,
            "trowd" => self.rows.begin(),
            "trhdr" => self.rows.is_header = true,
            "cellx" => self.rows.define_cell(),
            "clmrg" => self.rows.merged_beside = true,
            "clvmrg" => self.rows.merged_above = true,
            "clcbpat" => self.state.paragraph.is_shaded |= number > 0,
            "cell" | "nestcell" => self.end_cell(),
            "row" | "nestrow" => {
                if self.state.destination == Destination::Body {
                    self.rows.end_row();
                    self.text.clear();
                }
            }
            "par" | "sect" | "page" | "column" => self.line_or_paragraph(),
            "line" | "softline" => self.push("\n"),
            "tab" => self.push(" "),
            "chftn" => {}
            "year" | "creatim" | "revtim" => {}
            word => {
                if let Some(text) = lexer::character(word) {
                    self.push(text);
                }
            }
        }
    }

    /// Begins a destination; says whether the word was one.
    fn destination(&mut self, word: &str, is_starred: bool) -> bool {
        let is_skipped = self.state.destination == Destination::Skipped;
        let next = match word {
            "fonttbl" => Destination::Fonts,
            "colortbl" => Destination::Colors,
            "stylesheet" => Destination::Styles,
            "listtext" | "pntext" if !is_skipped => Destination::Marker,
            "footnote" if !is_skipped => {
                self.push(&format!("[^{}]", self.notes.len() + 1));
                Destination::Note
            }
            "annotation" if !is_skipped => Destination::Comment,
            "header" | "headerl" | "headerr" | "headerf" | "footer" | "footerl" | "footerr"
            | "footerf" => Destination::Margin,
            "info" => Destination::Skipped,
            "title" => Destination::Title,
            "author" => Destination::Author,
            "keywords" => Destination::Keywords,
            "upr" => {
                self.state.around = self.state.destination;
                Destination::Skipped
            }
            "ud" => self.state.around,
            // These hold text that is shown, though readers that do not know them skip them.
            "shpinst" | "shptxt" | "docpart" | "nesttableprops" if !is_skipped => return true,
            "pict" | "object" | "fldinst" | "objdata" | "sp" | "nonshppict" | "listtable"
            | "listoverridetable" | "rsidtbl" | "pntxta" | "pntxtb" | "pnseclvl" | "xmlnstbl"
            | "themedata" | "colorschememapping" | "latentstyles" | "datastore" | "revtbl"
            | "filetbl" | "bkmkstart" | "bkmkend" | "atnid" | "atnauthor" | "atnref" | "atnicn"
            | "atndate" | "ftnsep" | "ftnsepc" | "ftncn" | "aftnsep" | "aftnsepc" | "aftncn"
            | "falt" | "panose" | "xe" | "tc" | "template" | "userprops" | "private"
            | "doccomm" | "operator" | "company" | "nonesttables" | "htmltag" => {
                Destination::Skipped
            }
            // What an object shows is text again.
            "result" => self.state.around,
            "objclass" | "objname" => Destination::Skipped,
            _ if is_starred => Destination::Skipped,
            _ => return false,
        };
        if word == "object" {
            self.state.around = self
                .stack
                .last()
                .map_or(Destination::Body, |outer| outer.destination);
        }
        self.state.destination = next;
        if matches!(
            next,
            Destination::Note | Destination::Comment | Destination::Margin
        ) {
            self.aside.clear();
        }
        if next == Destination::Marker {
            self.marker.clear();
        }
        true
    }

    fn unicode(&mut self, number: i32) {
        self.decode();
        // Values above 32,767 are written as negative numbers.
        let unit = (number & 0xFFFF) as u16;
        let is_skipped = self.state.destination == Destination::Skipped;
        self.to_skip = self.state.n_fallback;
        match (self.high_surrogate.take(), unit) {
            (None, 0xD800..=0xDBFF) => self.high_surrogate = Some(unit),
            (Some(high), 0xDC00..=0xDFFF) => {
                let c = char::decode_utf16([high, unit])
                    .next()
                    .and_then(std::result::Result::ok);
                self.push(&c.unwrap_or('\u{FFFD}').to_string());
            }
            (_, 0xD800..=0xDFFF) | (_, _) if is_skipped => {}
            // Symbol fonts lie in the private area: a bullet of some form.
            (_, 0xF000..=0xF0FF) => self.push(if unit == 0xF0B7 || unit == 0xF0A7 {
                "•"
            } else {
                " "
            }),
            (_, unit) => {
                let c = char::from_u32(u32::from(unit)).unwrap_or('\u{FFFD}');
                self.push(&c.to_string());
            }
        }
    }

    /// Ends what a control word interrupts: bytes of one font, and what was to be skipped.
    fn flush(&mut self) {
        self.decode();
        self.to_skip = 0;
    }

    fn decode(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.pending);
        let own = self
            .fonts
            .get(&self.state.font)
            .copied()
            .unwrap_or(self.encoding);
        let (text, damaged) = own.decode_without_bom_handling(&bytes);
        // Western fonts are often named for text of the document's own code page.
        let text = if (damaged || own == WINDOWS_1252) && self.encoding != own && !bytes.is_ascii()
        {
            let (other, other_damaged) = self.encoding.decode_without_bom_handling(&bytes);
            let is_japanese = self.encoding == SHIFT_JIS && has_run_of_cjk(&other);
            if !other_damaged && (damaged || is_japanese) {
                other
            } else {
                text
            }
        } else {
            text
        };
        let text = text.into_owned();
        self.push(&text);
    }

    fn look(&self) -> Look {
        let color = |number: usize| self.colors.get(number).copied().flatten();
        let is_plain = !self.state.paragraph.is_shaded && !self.state.paragraph.in_table;
        Look {
            is_hidden: self.state.is_hidden,
            color: color(self.state.color),
            background: match self.state.background {
                0 => is_plain.then_some(WHITE),
                number => color(number),
            },
            size: Some(self.state.size as f32 / 2.0),
        }
    }

    fn push(&mut self, text: &str) {
        if self.state.is_deleted {
            return;
        }
        match self.state.destination {
            Destination::Body => {
                if self.look().is_unseen() {
                    self.outline.hide(text);
                } else {
                    self.text.push_str(text);
                }
            }
            Destination::Marker => self.marker.push_str(text),
            Destination::Note | Destination::Comment | Destination::Margin => {
                self.aside.push_str(text)
            }
            Destination::Title => self.title.push_str(text),
            Destination::Author => self.author.push_str(text),
            Destination::Keywords => self.keywords.push_str(text),
            Destination::Colors => {
                for _ in text.matches(';') {
                    let [red, green, blue] = std::mem::take(&mut self.color);
                    let color = red
                        .zip(green)
                        .zip(blue)
                        .map(|((red, green), blue)| [red, green, blue]);
                    self.colors.push(color);
                }
            }
            Destination::Styles => {
                self.definition.push_str(text);
                if text.contains(';') {
                    let name = std::mem::take(&mut self.definition).to_lowercase();
                    let by_name = name
                        .trim()
                        .strip_prefix("heading")
                        .or_else(|| name.trim().strip_prefix("見出し"));
                    let by_name = by_name
                        .and_then(|rest| rest.trim_end_matches(';').trim().parse::<u8>().ok());
                    let (number, level) = std::mem::take(&mut self.style);
                    if let Some(level) = level.or(by_name) {
                        self.styles.insert(number, level.clamp(1, 6));
                    }
                }
            }
            Destination::Fonts | Destination::Skipped => {}
        }
    }

    /// Ends the destination of a group that closes; `outer` is where text goes next.
    fn end_group(&mut self, outer: Destination) {
        let ended = self.state.destination;
        let is_aside = matches!(
            ended,
            Destination::Note | Destination::Comment | Destination::Margin
        );
        if ended == outer || !is_aside {
            return;
        }
        let text = std::mem::take(&mut self.aside).trim().to_owned();
        if ended == Destination::Note {
            self.notes.push(text);
        } else if ended == Destination::Comment {
            self.comments.push(text);
        } else if text.chars().any(char::is_alphabetic) && !self.margins.contains(&text) {
            // Page numbers alone say nothing.
            self.margins.push(text);
        }
    }

    fn line_or_paragraph(&mut self) {
        if self.state.destination != Destination::Body {
            self.push("\n");
        } else if self.state.paragraph.in_table {
            self.text.push('\n');
        } else {
            self.end_table();
            self.end_paragraph();
        }
    }

    fn end_cell(&mut self) {
        if self.state.destination == Destination::Body {
            let marker = std::mem::take(&mut self.marker);
            let text = format!("{} {}", marker.trim(), std::mem::take(&mut self.text));
            self.rows.push_cell(text.trim().to_owned());
        }
    }

    fn end_table(&mut self) {
        let rows = self.rows.finish();
        if !rows.is_empty() {
            self.outline.table_of(&rows);
        }
    }

    fn end_paragraph(&mut self) {
        let text = std::mem::take(&mut self.text);
        let marker = std::mem::take(&mut self.marker);
        let level = self
            .state
            .paragraph
            .level
            .or_else(|| self.styles.get(&self.state.paragraph.style).copied());
        if text.trim().is_empty() {
            return;
        }
        let marker = marker.trim();
        match (level, marker) {
            (Some(level), "") => self.outline.heading(level, &text),
            (Some(level), number) => self.outline.heading(level, &format!("{number} {text}")),
            (None, "") => self.outline.paragraph(&text),
            (None, "·" | "•" | "§") => self.outline.list_item("-", &text),
            (None, marker) => self.outline.list_item(marker, &text),
        }
        for comment in std::mem::take(&mut self.comments) {
            self.outline.paragraph(&format!("Comment: {comment}"));
        }
    }

    fn finish(mut self) -> Extracted {
        for (number, note) in (1..).zip(std::mem::take(&mut self.notes)) {
            self.outline.paragraph(&format!("[^{number}]: {note}"));
        }
        for margin in std::mem::take(&mut self.margins) {
            self.outline.paragraph(&margin);
        }
        self.outline.set_title(&self.title);
        self.outline.set_author(&self.author);
        self.outline.add_tags(&self.keywords);
        self.outline.finish()
    }
}

/// Whether two Chinese or Japanese characters stand side by side, as accented letters misread do not.
fn has_run_of_cjk(text: &str) -> bool {
    let after = text.chars().skip(1);
    text.chars()
        .zip(after)
        .any(|(a, b)| clean::is_cjk(a) && clean::is_cjk(b))
}

#[cfg(test)]
mod tests;

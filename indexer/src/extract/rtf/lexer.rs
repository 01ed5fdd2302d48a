//! The tokens of RTF.

/// A piece of RTF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'b> {
    Open,
    Close,
    /// `\*`: the destination that follows may be skipped by those who do not know it.
    Star,
    /// A control word with its number.
    Word(&'b str, Option<i32>),
    /// A control sign such as `\~`.
    Symbol(u8),
    /// A byte written as `\'e3`.
    Byte(u8),
    Text(&'b [u8]),
}

/// Cuts bytes into tokens; whatever they are, it ends.
pub(crate) struct Lexer<'b> {
    rest: &'b [u8],
}

impl<'b> Lexer<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self { rest: bytes }
    }

    fn control(&mut self) -> Option<Token<'b>> {
        let (&first, after) = self.rest.split_first()?;
        if !first.is_ascii_alphabetic() {
            self.rest = after;
            return match first {
                b'\'' => {
                    let code = after.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
                    let byte = code.and_then(|hex| u8::from_str_radix(hex, 16).ok());
                    self.rest = &after[if byte.is_some() { 2 } else { 0 }..];
                    byte.map_or_else(|| self.next(), |byte| Some(Token::Byte(byte)))
                }
                b'*' => Some(Token::Star),
                b'\\' | b'{' | b'}' => Some(Token::Byte(first)),
                other => Some(Token::Symbol(other)),
            };
        }
        let len = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_alphabetic())
            .count()
            .min(32);
        let (word, after) = self.rest.split_at(len);
        let word = std::str::from_utf8(word).unwrap_or_default();
        let sign = usize::from(after.first() == Some(&b'-'));
        let n_digits = after[sign..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
            .min(10);
        let (number, after) = after.split_at(if n_digits > 0 { sign + n_digits } else { 0 });
        let value = std::str::from_utf8(number)
            .ok()
            .and_then(|number| number.parse().ok());
        self.rest = after.strip_prefix(b" ").unwrap_or(after);
        if word == "bin" {
            // Raw bytes follow.
            let len = value
                .and_then(|len: i32| usize::try_from(len).ok())
                .unwrap_or(0);
            self.rest = self.rest.get(len..).unwrap_or_default();
        }
        Some(Token::Word(word, value))
    }
}

impl<'b> Iterator for Lexer<'b> {
    type Item = Token<'b>;

    fn next(&mut self) -> Option<Token<'b>> {
        loop {
            let (&first, after) = self.rest.split_first()?;
            match first {
                b'{' => {
                    self.rest = after;
                    return Some(Token::Open);
                }
                b'}' => {
                    self.rest = after;
                    return Some(Token::Close);
                }
                b'\\' => {
                    self.rest = after;
                    return self.control();
                }
                // Line ends mean nothing, they only keep the lines short.
                b'\r' | b'\n' | 0 => self.rest = after,
                _ => {
                    let is_text =
                        |byte: &&u8| !matches!(**byte, b'{' | b'}' | b'\\' | b'\r' | b'\n' | 0);
                    let len = self.rest.iter().take_while(is_text).count();
                    let (text, rest) = self.rest.split_at(len);
                    self.rest = rest;
                    return Some(Token::Text(text));
                }
            }
        }
    }
}

/// The character that a control word stands for.
pub(crate) fn character(word: &str) -> Option<&'static str> {
    let text = match word {
        "emdash" => "—",
        "endash" => "–",
        "lquote" => "‘",
        "rquote" => "’",
        "ldblquote" => "“",
        "rdblquote" => "”",
        "bullet" => "•",
        "emspace" | "enspace" | "qmspace" => " ",
        "zwj" => "\u{200D}",
        "zwnj" => "\u{200C}",
        _ => return None,
    };
    Some(text)
}

//! Tokens to a stream of text: whole characters only, and nothing past a stop string.

use crate::Result;
use crate::generate::tokenizer::ChatTokenizer;

/// A character has at most four bytes, and a token at least one: more tokens than that without a
/// complete character are not the beginning of one.
const MAX_PENDING_TOKENS: usize = 4;

/// Turns tokens into text as they come.
#[derive(Default)]
pub(crate) struct Detokenizer {
    tokens: Vec<u32>,
    /// Tokens before this one are no longer needed as context.
    start: usize,
    /// Tokens before this one have been returned as text.
    done: usize,
}

impl Detokenizer {
    /// Adds a token and returns the text that is now complete, possibly none.
    pub(crate) fn push(&mut self, token: u32, tokenizer: &ChatTokenizer) -> Result<String> {
        if tokenizer.is_hidden(token) {
            return Ok(String::new());
        }
        self.tokens.push(token);
        // Decoders may drop a leading space: the text of new tokens is what they add to the text of
        // those before.
        let before = tokenizer.decode(&self.tokens[self.start..self.done])?;
        let after = tokenizer.decode(&self.tokens[self.start..])?;
        let incomplete = after.ends_with(char::REPLACEMENT_CHARACTER);
        if incomplete && self.tokens.len() - self.done < MAX_PENDING_TOKENS {
            return Ok(String::new());
        }
        self.start = self.done;
        self.done = self.tokens.len();
        Ok(after.get(before.len()..).unwrap_or_default().to_owned())
    }
}

/// Finds stop strings in a stream of text.
pub(crate) struct StopStrings {
    stops: Vec<String>,
    held: String,
}

/// What [`StopStrings::push`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// This text can be shown; the generation goes on.
    Text(String),
    /// A stop string was met: this text can still be shown, nothing after it.
    Stopped(String),
}

impl StopStrings {
    pub(crate) fn new(stops: Vec<String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self {
            stops,
            held: String::new(),
        }
    }

    /// Adds text. What could be the beginning of a stop string is held back.
    pub(crate) fn push(&mut self, text: &str) -> Passed {
        self.held.push_str(text);
        if let Some(at) = self
            .stops
            .iter()
            .filter_map(|stop| self.held.find(stop.as_str()))
            .min()
        {
            self.held.truncate(at);
            return Passed::Stopped(std::mem::take(&mut self.held));
        }
        let safe = self.held.len() - self.longest_beginning();
        let rest = self.held.split_off(safe);
        Passed::Text(std::mem::replace(&mut self.held, rest))
    }

    /// Returns what was held back, the generation having ended.
    pub(crate) fn finish(self) -> String {
        self.held
    }

    /// Returns the length of the longest end of the held text with which a stop string begins.
    fn longest_beginning(&self) -> usize {
        let beginning = |length: usize| {
            let at = self.held.len() - length;
            self.held.is_char_boundary(at)
                && self
                    .stops
                    .iter()
                    .any(|stop| stop.starts_with(&self.held[at..]))
        };
        let longest_stop = self.stops.iter().map(String::len).max().unwrap_or(0);
        (1..longest_stop.min(self.held.len() + 1))
            .rev()
            .find(|length| beginning(*length))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(stops: &[&str], pieces: &[&str]) -> (Vec<String>, bool) {
        let mut strings = StopStrings::new(stops.iter().map(|s| (*s).to_owned()).collect());
        let mut shown = Vec::new();
        for piece in pieces {
            match strings.push(piece) {
                Passed::Text(text) => shown.push(text),
                Passed::Stopped(text) => {
                    shown.push(text);
                    return (shown, true);
                }
            }
        }
        shown.push(strings.finish());
        (shown, false)
    }

    #[test]
    fn a_stop_string_is_found_across_pieces() {
        assert_eq!(
            run(&["END"], &["a E", "N", "D b"]),
            (vec!["a ".into(), String::new(), String::new()], true)
        );
    }

    #[test]
    fn a_false_start_is_shown_in_the_end() {
        let (shown, stopped) = run(&["END"], &["a E", "N", "x E"]);
        assert_eq!(shown.concat(), "a ENx E");
        assert!(!stopped);
    }

    #[test]
    fn the_earliest_stop_string_counts() {
        assert_eq!(run(&["b", "ab"], &["xab"]), (vec!["x".into()], true));
    }

    #[test]
    fn stop_strings_of_many_bytes_and_none_at_all() {
        let (shown, stopped) = run(&["。終"], &["東京。", "終わり"]);
        assert_eq!((shown.concat().as_str(), stopped), ("東京", true));
        assert_eq!(run(&[], &["a", "b"]).0, ["a", "b", ""]);
        assert_eq!(run(&[""], &["a"]).0, ["a", ""]);
    }
}

//! Parses HTML into a tree of bounded depth.
//!
//! The parser looks through the open elements at every tag, so a page that opens a million of them takes hours. Browsers
//! stop nesting at 512 elements, and so do we: a tag that would open one more is passed over, its text is kept. It also
//! compares every attribute of a tag with those before, so a tag keeps its first thousand.

use ego_tree::NodeId;
use html5ever::tendril::StrTendril;
use html5ever::tokenizer::{
    BufferQueue, Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer,
};
use html5ever::tree_builder::{TreeBuilder, TreeSink};
use html5ever::{LocalName, TokenizerResult};
use scraper::{Html, HtmlTreeSink};
use std::cell::RefCell;

const MAX_DEPTH: usize = 512;
const MAX_ATTRIBUTES: usize = 1000;

/// Parses a page or a part of one.
pub(super) fn parse(text: &str) -> Html {
    let tree = TreeBuilder::new(HtmlTreeSink::new(Html::new_document()), Default::default());
    let tokenizer = Tokenizer::new(
        Shallow {
            tree,
            open: RefCell::new(Vec::new()),
        },
        Default::default(),
    );
    let input = BufferQueue::default();
    for part in parts_to_read(text) {
        input.push_back(StrTendril::from(part));
    }
    // The parser stops after each script, for whoever would run it, and where the page names its encoding.
    while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink.tree.sink.finish()
}

/// The text without the attributes that a tag has too many of.
fn parts_to_read(text: &str) -> Vec<&str> {
    let (mut parts, mut kept, mut at) = (Vec::new(), 0, 0);
    while let Some(found) = text[at..].find('<') {
        at += found + 1;
        if !text[at..].starts_with(|c: char| c.is_ascii_alphabetic()) {
            continue;
        }
        let (excess, end) = scan_tag(text.as_bytes(), at);
        if excess < end {
            parts.push(&text[kept..excess]);
            kept = end;
        }
        at = end;
    }
    parts.push(&text[kept..]);
    parts
}

/// Returns where the attributes that are too many begin, and where the tag whose name begins at `at` ends: before its
/// `>`, or a `<` that says that it was none. They are the same place where there are none too many.
fn scan_tag(text: &[u8], mut at: usize) -> (usize, usize) {
    let (mut n_attributes, mut excess) = (0, None);
    let mut before = b'a';
    while let Some(&byte) = text.get(at) {
        match byte {
            b'<' | b'>' => break,
            b'"' | b'\'' if before == b'=' => {
                let value = &text[at + 1..];
                let Some(close) = value.iter().position(|other| *other == byte) else {
                    break;
                };
                at += close + 1;
                before = b' ';
            }
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' if before == b'=' => {}
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'/' => before = b' ',
            _ => {
                if before == b' ' && byte != b'=' {
                    n_attributes += 1;
                    if n_attributes > MAX_ATTRIBUTES {
                        excess.get_or_insert(at);
                    }
                }
                before = byte;
            }
        }
        at += 1;
    }
    (excess.unwrap_or(at), at)
}

/// Hands on the tokens to the builder of the tree, but not the tags that would make it too deep.
struct Shallow {
    tree: TreeBuilder<NodeId, HtmlTreeSink>,
    /// Elements that are open for all one can tell from their tags.
    open: RefCell<Vec<LocalName>>,
}

impl Shallow {
    fn admits(&self, tag: &Tag) -> bool {
        let mut open = self.open.borrow_mut();
        let name: &str = &tag.name;
        let in_drawing = open.iter().any(|open| matches!(&**open, "svg" | "math"));
        // Within a drawing no element is closed by another.
        if !in_drawing && never_nests(name) {
            return true;
        }
        match tag.kind {
            TagKind::StartTag if tag.self_closing && in_drawing => true,
            // A link or form that is not closed ends where the next begins.
            TagKind::StartTag
                if matches!(name, "a" | "nobr" | "button" | "form") && open.contains(&tag.name) =>
            {
                true
            }
            TagKind::StartTag if open.len() >= MAX_DEPTH => false,
            TagKind::StartTag => {
                open.push(tag.name.clone());
                true
            }
            TagKind::EndTag => match open.iter().rposition(|open| *open == tag.name) {
                Some(at) => {
                    open.truncate(at);
                    true
                }
                None => false,
            },
        }
    }
}

impl TokenSink for Shallow {
    type Handle = NodeId;

    fn process_token(&self, token: Token, line_number: u64) -> TokenSinkResult<NodeId> {
        if let Token::TagToken(tag) = &token
            && !self.admits(tag)
        {
            return TokenSinkResult::Continue;
        }
        self.tree.process_token(token, line_number)
    }

    fn end(&self) {
        self.tree.end();
    }

    fn adjusted_current_node_present_but_not_in_html_namespace(&self) -> bool {
        self.tree
            .adjusted_current_node_present_but_not_in_html_namespace()
    }
}

/// Elements without content, those that are closed by their like, and those whose content is no markup.
fn never_nests(name: &str) -> bool {
    matches!(
        name,
        "area"
            | "base"
            | "br"
            | "col"
            | "embed"
            | "hr"
            | "img"
            | "input"
            | "link"
            | "meta"
            | "param"
            | "source"
            | "track"
            | "wbr"
            | "html"
            | "head"
            | "body"
            | "p"
            | "li"
            | "dt"
            | "dd"
            | "option"
            | "tr"
            | "td"
            | "th"
            | "thead"
            | "tbody"
            | "tfoot"
            | "colgroup"
            | "script"
            | "style"
            | "title"
            | "textarea"
            | "noscript"
            | "iframe"
            | "xmp"
            | "plaintext"
            | "noembed"
            | "noframes"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth(html: &Html) -> usize {
        let mut deepest = 0;
        let mut depth = 0_usize;
        for edge in html.tree.root().traverse() {
            match edge {
                ego_tree::iter::Edge::Open(_) => depth += 1,
                ego_tree::iter::Edge::Close(_) => depth -= 1,
            }
            deepest = deepest.max(depth);
        }
        deepest
    }

    #[test]
    fn depth_is_bounded_whatever_is_nested() {
        for tags in [
            "<div>",
            "<b a=1><i>",
            "<table><tr><td>",
            "<svg><td>",
            "<ul><li>",
            "<font>",
            "<a><span>",
            "<rb>",
        ] {
            let html = parse(&format!("{}text", tags.repeat(20_000)));
            // A table's cells bring along elements that nobody has written.
            let deepest = 4 * MAX_DEPTH + 16;
            assert!(depth(&html) <= deepest, "{tags}: {}", depth(&html));
            assert!(
                html.root_element().text().any(|text| text.contains("text")),
                "{tags}"
            );
        }
    }

    #[test]
    fn a_tag_keeps_its_first_attributes() {
        let many: String = (0..200_000).map(|n| format!(" a{n}='>' b{n}")).collect();
        let html = parse(&format!(
            "<script>if (a <b{many} </script><p title=\"<b>\" hidden{many}>read <i{many}</p><h1>end</h1>"
        ));
        let select = |name: &str| {
            let selector = scraper::Selector::parse(name).unwrap();
            html.select(&selector)
                .next()
                .map(|element| element.value().attrs().count())
        };
        assert_eq!(select("p"), Some(MAX_ATTRIBUTES));
        assert_eq!(select("p[title='<b>'][hidden]"), Some(MAX_ATTRIBUTES));
        assert_eq!(select("h1"), Some(0));
        assert!(html.root_element().text().any(|text| text.contains("read")));
    }

    #[test]
    fn ordinary_pages_are_read_whole() {
        for text in [
            "<p class=a id='b' data-c=\"<>\" hidden>text</p><!-- <a b c --> a < b > c <br/>",
            "<a href = x title=''><img src=x alt=\"a'b\"/></a><",
            "<p title=\"never closed>text<p>more",
        ] {
            assert_eq!(parts_to_read(text), [text]);
        }
    }

    #[test]
    fn what_follows_a_script_or_an_encoding_is_read() {
        for before in [
            "<meta charset=utf-8>",
            "<meta http-equiv=content-type content='text/html; charset=utf-8'>",
            "<script>var a = 1;</script>",
        ] {
            let html = parse(&format!("<html><head>{before}</head><body>read"));
            let mut text = html.root_element().text();
            assert!(text.any(|text| text.contains("read")), "{before}");
        }
    }

    #[test]
    fn tags_that_need_no_end_count_for_nothing() {
        let html = parse(&format!(
            "{}<h1>end</h1>",
            "<p>a<li>b<a href=x>c<br>".repeat(5000)
        ));
        let selector = scraper::Selector::parse("h1").unwrap();
        assert_eq!(html.select(&selector).count(), 1);
    }
}

//! Parses HTML into a tree of bounded depth.
//!
//! The parser looks through the open elements at every tag, so a page that opens a million of them takes hours. Browsers
//! stop nesting at 512 elements, and so do we: a tag that would open one more is passed over, its text is kept.

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
    input.push_back(StrTendril::from(text));
    // The parser stops after each script, for whoever would run it, and where the page names its encoding.
    while !matches!(tokenizer.feed(&input), TokenizerResult::Done) {}
    tokenizer.end();
    tokenizer.sink.tree.sink.finish()
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
            assert!(depth(&html) < 2000, "{tags}: {}", depth(&html));
            assert!(
                html.root_element().text().any(|text| text.contains("text")),
                "{tags}"
            );
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

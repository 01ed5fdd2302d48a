//! Pictures within office documents: what they say is read where they stand.

use crate::document::BlockKind;
use crate::extract::ooxml::Package;
use crate::extract::outline::Outline;
use crate::extract::{Tools, image};
use std::collections::HashSet;

/// Pictures of one document that are read. Recognition takes a second each.
const MAX_PICTURES: usize = 20;

/// A larger file is a photograph.
const MAX_BYTES: usize = 16 << 20;

/// Reads a document's pictures, each once: the same one may stand on every slide.
pub(crate) struct Pictures<'t> {
    tools: &'t Tools,
    seen: HashSet<String>,
    n_read: usize,
}

impl<'t> Pictures<'t> {
    pub(crate) fn new(tools: &'t Tools) -> Self {
        Self {
            tools,
            seen: HashSet::new(),
            n_read: 0,
        }
    }

    /// Adds the text of the picture that is this part of the package. Without a recognizer it has none.
    pub(crate) fn add(&mut self, outline: &mut Outline, package: &mut Package<'_>, part: &str) {
        if self.tools.recognizer.is_none() || !self.seen.insert(part.to_owned()) {
            return;
        }
        let bytes = package.read(part).ok().flatten().unwrap_or_default();
        if bytes.is_empty() || bytes.len() > MAX_BYTES {
            return;
        }
        if self.n_read == MAX_PICTURES {
            self.n_read += 1;
            outline.warn(format!(
                "only the text of the first {MAX_PICTURES} pictures was read"
            ));
        }
        if self.n_read > MAX_PICTURES {
            return;
        }
        self.n_read += 1;
        let Some(mut read) = image::text_within(&bytes, self.tools) else {
            return;
        };
        // Large letters in a picture are no heading of the document.
        for block in &mut read.blocks {
            if matches!(block.kind, BlockKind::Heading(_)) {
                block.kind = BlockKind::Paragraph;
            }
            block.locator.headings.clear();
        }
        outline.nest(read, "a picture");
    }
}

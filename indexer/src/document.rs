//! Documents, what is extracted from them, and the chunks that are indexed.

use crate::metadata::Metadata;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use uuid::Uuid;

/// A document's id, stable over its versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DocumentId(pub Uuid);

/// A collection's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CollectionId(pub Uuid);

macro_rules! display_as_uuid {
    ($($id:ty),+) => {$(
        impl std::fmt::Display for $id {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )+};
}
display_as_uuid!(DocumentId, CollectionId);

impl std::str::FromStr for DocumentId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// A chunk's id: the same document, version and ordinal always give the same id, so writing twice is harmless.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ChunkId {
    /// The document.
    pub document: DocumentId,
    /// The document's version, from 1.
    pub version: u32,
    /// Position within the document, from 0.
    pub ordinal: u32,
}

impl ChunkId {
    /// Returns the point id in the vector store: `UUIDv5` of the three parts.
    #[must_use]
    pub fn point(&self) -> Uuid {
        let mut name = [0_u8; 8];
        name[..4].copy_from_slice(&self.version.to_be_bytes());
        name[4..].copy_from_slice(&self.ordinal.to_be_bytes());
        Uuid::new_v5(&self.document.0, &name)
    }
}

/// What an extractor found in a file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Extracted {
    /// The title the file gives itself.
    pub title: Option<String>,
    /// The content in reading order.
    pub blocks: Vec<Block>,
    /// Parts that could not be read.
    pub warnings: Vec<Warning>,
    /// What the file says about itself.
    #[serde(default)]
    pub metadata: Metadata,
    /// How well each page could be read, for formats that have pages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pages: Vec<PageQuality>,
}

/// How well a page could be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageQuality {
    /// Number, from 1.
    pub page: u32,
    /// What the document calls it, where that is not its number: `iv`, `A-3`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// Where its text comes from.
    pub source: PageSource,
    /// 0 to 100: the share of characters that mean something; for recognized text, how sure the recognizer is.
    pub score: u8,
    /// What is wrong with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<PageProblem>,
    /// Characters, blanks aside.
    pub n_chars: usize,
    /// Characters left out because nobody can see them on paper.
    #[serde(default)]
    pub n_hidden: usize,
}

/// Where a page's text comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageSource {
    /// The file holds it as text.
    Text,
    /// It was recognized in a picture of the page.
    Recognized,
    /// There is none.
    None,
}

/// What is wrong with a page's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageProblem {
    /// It is a picture, and its text was not recognized.
    Scanned,
    /// Many of its characters mean nothing, or the recognizer was not sure.
    Garbled,
    /// Its structure is damaged.
    Damaged,
}

/// A paragraph, heading, list item, table or piece of code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// What it is.
    pub kind: BlockKind,
    /// NFKC text; a table is a Markdown table with its header row.
    pub text: String,
    /// Where it stands.
    pub locator: Locator,
}

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BlockKind {
    /// A heading, level 1 (highest) to 6.
    Heading(u8),
    /// Running text.
    Paragraph,
    /// One item of a list, its marker included.
    ListItem,
    /// A Markdown table.
    Table,
    /// Preformatted text.
    Code,
}

/// Where in its document a block or chunk stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Locator {
    /// Page or slide, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub page: Option<u32>,
    /// Spreadsheet range such as `Sheet1!A1:F20`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<String>,
    /// Headings above it, outermost first, its own included for a heading.
    #[serde(default)]
    pub headings: Vec<String>,
}

/// A part of a file that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// What happened, with page or member name.
    pub message: String,
}

/// A piece of a document that is searched and cited.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chunk {
    /// Position within the document, from 0.
    pub ordinal: u32,
    /// The quoted text, byte for byte `document text[span]`.
    pub text: String,
    /// Tokens of `text`, counted by the embedder's tokenizer.
    pub n_tokens: usize,
    /// What one must know to read `text` alone: the heading path, and the header rows of a table it continues. It is
    /// embedded and searched with the text, but never quoted.
    #[serde(default)]
    pub context: String,
    /// Byte range in the document's text (the blocks' texts joined by a blank line).
    pub span: Range<usize>,
    /// Where it stands.
    pub locator: Locator,
}

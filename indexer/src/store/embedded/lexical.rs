//! Words, in tantivy. Terms come from [`crate::analyze`]; tantivy's own tokenizers are not used.

mod bm25;
mod files;
mod query;

use super::super::{Bm25, IndexOp, Scored, StoredChunk, sort};
use super::Scope;
use crate::access::{Acl, GroupId};
use crate::analyze::{Analysis, Gram, analyze, grams, is_unspaced};
use crate::dictionary::Concept;
use crate::document::{ChunkId, CollectionId, DocumentId};
use crate::error::{Error, Result};
use crate::filter::{Day, Name};
use crate::metadata::Attributes;
use query::rank;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::ops::Bound;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tantivy::collector::DocSetCollector;
use tantivy::query::{BooleanQuery, RangeQuery, TermQuery};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, OwnedValue, STORED, STRING, Schema, TextFieldIndexing,
    TextOptions,
};
use tantivy::tokenizer::{PreTokenizedString, Token};
use tantivy::{
    Index, IndexReader, IndexWriter, ReloadPolicy, Searcher, TantivyDocument, TantivyError, Term,
};
use uuid::Uuid;

/// Memory for documents not yet committed; the writer's one thread starts a new segment beyond it.
const WRITER_MEMORY: usize = 64 << 20;

/// Places left free between title, headings and text, so that no phrase reaches from one into another.
const GAP: usize = 2;

pub(super) struct LexicalIndex {
    dir: PathBuf,
    fields: Fields,
    reader: IndexReader,
    writer: Mutex<Writer>,
}

struct Writer {
    index: IndexWriter,
    /// What changed since the last commit.
    changed: Changed,
}

/// Documents whose chunks were written or deleted.
enum Changed {
    These(HashSet<DocumentId>),
    /// A whole collection's.
    Many,
}

impl Changed {
    fn has(&self, document: DocumentId) -> bool {
        match self {
            Self::These(documents) => documents.contains(&document),
            Self::Many => true,
        }
    }

    fn add(&mut self, document: DocumentId) {
        if let Self::These(documents) = self {
            documents.insert(document);
        }
    }
}

impl LexicalIndex {
    pub(super) fn create(dir: &Path) -> Result<Self> {
        fs_err::create_dir_all(dir)?;
        let (schema, fields) = Fields::schema();
        Ok(Self::new(dir, Index::create_in_dir(dir, schema)?, fields)?)
    }

    pub(super) fn load(dir: &Path) -> Result<Self> {
        let damaged = |reason: String| Error::Damaged {
            path: dir.to_owned(),
            reason: format!("lexical index: {reason}"),
        };
        let (schema, fields) = Fields::schema();
        let open = || {
            let index = Index::open_in_dir(dir)?;
            if index.schema() != schema {
                return Err(TantivyError::SchemaError(
                    "its fields are not this version's".to_owned(),
                ));
            }
            Self::new(dir, index, fields)
        };
        match catch_unwind(AssertUnwindSafe(open)) {
            Ok(Ok(index)) => {
                files::drop_unfinished(dir, index.writer().index.index())?;
                Ok(index)
            }
            Ok(Err(TantivyError::LockFailure(..))) => Err(Error::Locked {
                path: dir.to_owned(),
                holder: "it holds the lexical index".to_owned(),
            }),
            Ok(Err(error)) => Err(damaged(error.to_string())),
            Err(_) => Err(damaged("the engine gave up while reading it".to_owned())),
        }
    }

    fn new(dir: &Path, index: Index, fields: Fields) -> tantivy::Result<Self> {
        Ok(Self {
            dir: dir.to_owned(),
            fields,
            writer: Mutex::new(Writer {
                index: index.writer_with_num_threads(1, WRITER_MEMORY)?,
                changed: Changed::These(HashSet::new()),
            }),
            reader: index
                .reader_builder()
                .reload_policy(ReloadPolicy::Manual)
                .try_into()?,
        })
    }

    /// Applies a change. When one fails, everything since the last commit is taken back.
    pub(super) fn apply(&self, op: &IndexOp) -> Result<()> {
        self.apply_or_fail(op).inspect_err(|_| self.roll_back())
    }

    fn apply_or_fail(&self, op: &IndexOp) -> Result<()> {
        match op {
            IndexOp::Put {
                collection,
                acl,
                attributes,
                chunks,
            }
            | IndexOp::PutWords {
                collection,
                acl,
                attributes,
                chunks,
            } => {
                let mut writer = self.writer();
                for chunk in chunks {
                    let source = Source::new(*collection, acl, attributes, chunk);
                    writer.changed.add(chunk.id.document);
                    writer.index.delete_term(self.fields.chunk_term(&chunk.id));
                    writer.index.add_document(self.fields.document(&source)?)?;
                }
            }
            IndexOp::Prune { document, keep } => {
                let older = RangeQuery::new(
                    Bound::Unbounded,
                    Bound::Excluded(Term::from_field_u64(self.fields.version, u64::from(*keep))),
                );
                let of_document = TermQuery::new(
                    self.fields.document_term(*document),
                    IndexRecordOption::Basic,
                );
                let query =
                    BooleanQuery::intersection(vec![Box::new(of_document), Box::new(older)]);
                let mut writer = self.writer();
                writer.changed.add(*document);
                writer.index.delete_query(Box::new(query))?;
            }
            IndexOp::Remove { document } => {
                let mut writer = self.writer();
                writer.changed.add(*document);
                writer
                    .index
                    .delete_term(self.fields.document_term(*document));
            }
            IndexOp::RemoveCollection { collection } => {
                let mut writer = self.writer();
                writer.changed = Changed::Many;
                writer
                    .index
                    .delete_term(self.fields.collection_term(*collection));
            }
            IndexOp::SetAcl { document, acl } => {
                self.rewrite(*document, |source| source.acl = acl.clone())?;
            }
            IndexOp::SetAttributes {
                document,
                attributes,
            } => self.rewrite(*document, |source| source.attributes = attributes.clone())?,
        }
        Ok(())
    }

    /// Makes everything applied so far durable and visible.
    pub(super) fn commit(&self) -> Result<()> {
        let mut writer = self.writer();
        let committed = writer.index.commit();
        if let Err(error) = committed {
            drop(writer);
            self.roll_back();
            return Err(error.into());
        }
        writer.changed = Changed::These(HashSet::new());
        drop(writer);
        self.reader.reload()?;
        Ok(())
    }

    /// A writer that has failed has lost its threads: it would go on taking documents, and drop them.
    fn roll_back(&self) {
        let mut writer = self.writer();
        writer.changed = Changed::These(HashSet::new());
        let rolled_back = writer.index.rollback().map_err(Error::from);
        let index = writer.index.index();
        if let Err(error) = rolled_back.and_then(|_| files::drop_unfinished(&self.dir, index)) {
            tracing::error!(error = %error, "the lexical index could not be rolled back");
        }
    }

    /// Returns the best chunks for `text`, best first. What `concepts` find counts as what they stand for.
    pub(super) fn search(
        &self,
        text: &str,
        concepts: &[Concept],
        bm25: Bm25,
        scope: &Scope,
        limit: usize,
    ) -> Result<Vec<Scored>> {
        let searcher = self.reader.searcher();
        let ranked = rank(&searcher, &self.fields, text, concepts, bm25, scope, limit)?;
        let mut keys = Keys::new(&searcher)?;
        let mut hits = ranked
            .into_iter()
            .map(|(score, at)| {
                Ok(Scored {
                    chunk: keys.get(at.segment_ord, at.doc_id)?,
                    score,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        sort(&mut hits);
        Ok(hits)
    }

    /// Returns the number of chunks by document and version, as of the last commit.
    pub(super) fn inventory(&self) -> Result<BTreeMap<(DocumentId, u32), usize>> {
        let searcher = self.reader.searcher();
        let mut keys = Keys::new(&searcher)?;
        let mut found = BTreeMap::new();
        for (segment, reader) in (0..).zip(searcher.segment_readers()) {
            for doc in reader.doc_ids_alive() {
                let id = keys.get(segment, doc)?;
                *found.entry((id.document, id.version)).or_default() += 1;
            }
        }
        Ok(found)
    }

    pub(super) fn count(&self) -> usize {
        usize::try_from(self.reader.searcher().num_docs()).unwrap_or(usize::MAX)
    }

    /// Writes a document's chunks anew from their stored source: tantivy cannot change a document in place.
    fn rewrite(&self, document: DocumentId, change: impl Fn(&mut Source)) -> Result<()> {
        // What was just applied can be read only once committed.
        if self.writer().changed.has(document) {
            self.commit()?;
        }
        let searcher = self.reader.searcher();
        let term = self.fields.document_term(document);
        let query = TermQuery::new(term.clone(), IndexRecordOption::Basic);
        let sources = searcher
            .search(&query, &DocSetCollector)?
            .into_iter()
            .map(|at| self.fields.source(&searcher.doc(at)?))
            .collect::<Result<Vec<_>>>()?;
        let mut writer = self.writer();
        writer.changed.add(document);
        writer.index.delete_term(term);
        for mut source in sources {
            change(&mut source);
            writer.index.add_document(self.fields.document(&source)?)?;
        }
        Ok(())
    }

    fn writer(&self) -> MutexGuard<'_, Writer> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The schema's fields.
#[derive(Clone, Copy)]
struct Fields {
    /// [`key`] of the chunk.
    chunk: Field,
    document: Field,
    version: Field,
    collection: Field,
    acl: Field,
    denied: Field,
    /// Of each [`Name`] the values of the document.
    names: [Field; 3],
    /// Of each [`Day`] the document's.
    days: [Field; 4],
    /// Words of title, headings and text.
    words: Field,
    /// Words of the title, again.
    title: Field,
    /// Words of the headings, again.
    headings: Field,
    /// Bigrams of title, headings and text, if any of them is written without spaces.
    bigrams: Field,
    /// Single kanji of title, headings and text.
    kanji: Field,
    /// [`Source`] as JSON.
    source: Field,
}

impl Fields {
    fn schema() -> (Schema, Self) {
        // "raw" is never run: these fields get their terms ready-made.
        let terms = |option| {
            let indexing = TextFieldIndexing::default()
                .set_tokenizer("raw")
                .set_index_option(option);
            TextOptions::default().set_indexing_options(indexing)
        };
        let positions = IndexRecordOption::WithFreqsAndPositions;
        let mut builder = Schema::builder();
        let fields = Self {
            chunk: builder.add_bytes_field("chunk", INDEXED | FAST),
            document: builder.add_bytes_field("document", INDEXED),
            version: builder.add_u64_field("version", FAST),
            collection: builder.add_bytes_field("collection", INDEXED),
            acl: builder.add_text_field("acl", STRING),
            denied: builder.add_text_field("denied", STRING),
            names: Name::ALL.map(|name| builder.add_text_field(name.field(), STRING)),
            days: Day::ALL.map(|day| builder.add_u64_field(day.field(), FAST)),
            words: builder.add_text_field("words", terms(positions)),
            title: builder.add_text_field("title", terms(IndexRecordOption::WithFreqs)),
            headings: builder.add_text_field("headings", terms(IndexRecordOption::WithFreqs)),
            bigrams: builder.add_text_field("bigrams", terms(positions)),
            kanji: builder.add_text_field("kanji", terms(IndexRecordOption::Basic)),
            source: builder.add_bytes_field("source", STORED),
        };
        (builder.build(), fields)
    }

    fn document(&self, source: &Source) -> Result<TantivyDocument> {
        let mut document = TantivyDocument::default();
        document.add_bytes(self.chunk, &key(&source.chunk));
        document.add_bytes(self.document, source.chunk.document.0.as_bytes());
        document.add_u64(self.version, u64::from(source.chunk.version));
        document.add_bytes(self.collection, source.collection.0.as_bytes());
        let Acl { readers, denied } = &source.acl;
        for (field, groups) in [(self.acl, readers), (self.denied, denied)] {
            for GroupId(group) in groups {
                document.add_text(field, group);
            }
        }
        for (field, name) in self.names.into_iter().zip(Name::ALL) {
            for value in name.of(&source.attributes) {
                document.add_text(field, value);
            }
        }
        for (field, day) in self.days.into_iter().zip(Day::ALL) {
            if let Some(number) = day.of(&source.attributes) {
                document.add_u64(field, number);
            }
        }
        let parts = [&source.title, &source.headings, &source.text].map(|text| Part::new(text));
        let [title, headings, _] = &parts;
        document.add_pre_tokenized_text(self.words, positioned(parts.iter().map(Part::words)));
        document.add_pre_tokenized_text(self.title, positioned([title.words()]));
        document.add_pre_tokenized_text(self.headings, positioned([headings.words()]));
        if parts.iter().any(|part| part.unspaced) {
            document
                .add_pre_tokenized_text(self.bigrams, positioned(parts.iter().map(Part::grams)));
        }
        document.add_pre_tokenized_text(self.kanji, positioned(parts.iter().map(Part::kanji)));
        let json = serde_json::to_vec(source).map_err(std::io::Error::from)?;
        document.add_bytes(self.source, &json);
        Ok(document)
    }

    fn source(&self, document: &TantivyDocument) -> Result<Source> {
        let json = document.get_first(self.source).map(OwnedValue::from);
        let unreadable = |reason: String| {
            TantivyError::SchemaError(format!("a stored chunk cannot be read back: {reason}"))
        };
        let Some(OwnedValue::Bytes(json)) = json else {
            return Err(unreadable("it has no source".to_owned()).into());
        };
        serde_json::from_slice(&json).map_err(|error| unreadable(error.to_string()).into())
    }

    fn chunk_term(&self, id: &ChunkId) -> Term {
        Term::from_field_bytes(self.chunk, &key(id))
    }

    fn document_term(&self, id: DocumentId) -> Term {
        Term::from_field_bytes(self.document, id.0.as_bytes())
    }

    fn collection_term(&self, id: CollectionId) -> Term {
        Term::from_field_bytes(self.collection, id.0.as_bytes())
    }

    fn name_field(&self, name: Name) -> Field {
        let [tags, author, media_type] = self.names;
        match name {
            Name::Tag => tags,
            Name::Author => author,
            Name::MediaType => media_type,
        }
    }

    fn day_field(&self, day: Day) -> Field {
        let [date, valid_from, valid_until, superseded_from] = self.days;
        match day {
            Day::Date => date,
            Day::ValidFrom => valid_from,
            Day::ValidUntil => valid_until,
            Day::SupersededFrom => superseded_from,
        }
    }
}

/// Title, headings or text of a chunk, analyzed.
struct Part {
    analysis: Analysis,
    grams: Vec<Gram>,
    unspaced: bool,
}

impl Part {
    fn new(text: &str) -> Self {
        Self {
            analysis: analyze(text),
            grams: grams(text),
            unspaced: is_unspaced(text),
        }
    }

    fn words(&self) -> Vec<(usize, &str)> {
        let words = self.analysis.words.iter();
        words
            .map(|term| (term.position, term.text.as_str()))
            .collect()
    }

    fn grams(&self) -> Vec<(usize, &str)> {
        let grams = self.grams.iter();
        grams
            .map(|gram| (gram.position, gram.text.as_str()))
            .collect()
    }

    fn kanji(&self) -> Vec<(usize, &str)> {
        let kanji = self.analysis.kanji.iter().enumerate();
        kanji.map(|(at, kanji)| (at, kanji.as_str())).collect()
    }
}

/// Returns the terms of parts with their places, one part after the other.
fn positioned<'a>(parts: impl IntoIterator<Item = Vec<(usize, &'a str)>>) -> PreTokenizedString {
    let mut tokens: Vec<Token> = Vec::new();
    let mut base = 0;
    for part in parts {
        tokens.extend(part.into_iter().map(|(position, text)| Token {
            position: base + position,
            text: text.to_owned(),
            ..Token::default()
        }));
        base = tokens.last().map_or(0, |last| last.position + GAP);
    }
    PreTokenizedString {
        text: String::new(),
        tokens,
    }
}

/// What a chunk was indexed from, kept to index it again.
#[derive(Serialize, Deserialize)]
struct Source {
    chunk: ChunkId,
    collection: CollectionId,
    acl: Acl,
    attributes: Attributes,
    title: String,
    headings: String,
    text: String,
}

impl Source {
    fn new(
        collection: CollectionId,
        acl: &Acl,
        attributes: &Attributes,
        chunk: &StoredChunk,
    ) -> Self {
        Self {
            chunk: chunk.id,
            collection,
            acl: acl.clone(),
            attributes: attributes.clone(),
            title: chunk.title.clone(),
            headings: chunk.headings.clone(),
            text: chunk.text.clone(),
        }
    }
}

const KEY_LEN: usize = 24;

/// Returns document, version and ordinal, big-endian.
fn key(id: &ChunkId) -> [u8; KEY_LEN] {
    let mut key = [0; KEY_LEN];
    key[..16].copy_from_slice(id.document.0.as_bytes());
    key[16..20].copy_from_slice(&id.version.to_be_bytes());
    key[20..].copy_from_slice(&id.ordinal.to_be_bytes());
    key
}

fn from_key(key: &[u8]) -> Option<ChunkId> {
    let (document, rest) = key.split_first_chunk::<16>()?;
    let (version, rest) = rest.split_first_chunk::<4>()?;
    let ordinal = rest.try_into().ok()?;
    Some(ChunkId {
        document: DocumentId(Uuid::from_bytes(*document)),
        version: u32::from_be_bytes(*version),
        ordinal: u32::from_be_bytes(ordinal),
    })
}

/// Reads the keys of found documents.
struct Keys {
    columns: Vec<tantivy::columnar::BytesColumn>,
    buffer: Vec<u8>,
}

impl Keys {
    fn new(searcher: &Searcher) -> Result<Self> {
        let mut columns = Vec::new();
        for reader in searcher.segment_readers() {
            let column = reader.fast_fields().bytes("chunk")?.ok_or_else(no_key)?;
            columns.push(column);
        }
        Ok(Self {
            columns,
            buffer: Vec::new(),
        })
    }

    fn get(&mut self, segment: u32, doc: u32) -> Result<ChunkId> {
        let column = &self.columns[segment as usize];
        let ord = column.term_ords(doc).next().ok_or_else(no_key)?;
        self.buffer.clear();
        column.ord_to_bytes(ord, &mut self.buffer)?;
        from_key(&self.buffer).ok_or_else(no_key)
    }
}

fn no_key() -> Error {
    TantivyError::SchemaError(
        "a document has no chunk id; rebuild the index with `kura admin reindex`".to_owned(),
    )
    .into()
}

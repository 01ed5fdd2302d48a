//! The one error type of this crate: a variant per thing a caller might treat differently.

use std::io::ErrorKind;
use std::path::PathBuf;

/// Result with this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with documents and indexes.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// kura cannot read this kind of file.
    #[error(
        "unsupported format `{media_type}`; supported are text, Markdown, AsciiDoc, reStructuredText, source code, HTML, \
        CSV, JSON, XML, PDF, Word, PowerPoint, Excel, OpenDocument, RTF, EPUB, EML, MSG, MBOX, ZIP and pictures"
    )]
    UnsupportedFormat {
        /// The media type found.
        media_type: String,
    },
    /// The file has no content at all.
    #[error("the file is empty")]
    EmptyFile,
    /// The file is sound, but no text was found in it.
    #[error("no text found in the file")]
    NoText,
    /// The file is a picture or made of pictures, and there is nothing to recognize their text with.
    #[error(
        "the file is a picture or a scan, and text recognition is off; install a model with `kura models pull \
         pp-ocrv6-small`, leave `ingest.ocr` at `auto`, and ingest it again"
    )]
    NoRecognizer,
    /// The file is encrypted.
    #[error("the file is encrypted; remove the password and ingest it again")]
    Encrypted,
    /// The file is damaged or not what its name says.
    #[error("the {format} file cannot be read: {reason}")]
    Malformed {
        /// Short name of the format.
        format: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The file or what it unpacks to is too large.
    #[error("the file is too large: {reason}")]
    TooLarge {
        /// Which limit was passed.
        reason: String,
    },
    /// The process that read the file ended: the file has a parser crash, or tried what is not allowed.
    #[error("reading the file failed: the reader was lost ({reason}); nothing else is affected")]
    ReaderEnded {
        /// How it ended.
        reason: String,
    },
    /// Reading the file took more processor time than a file of its size may take.
    #[error(
        "reading the file took more than {limit_s} s of processor time and was given up; if it is sound, raise `ingest.worker_cpu_secs`"
    )]
    ReaderTimedOut {
        /// Seconds of processor time allowed.
        limit_s: u64,
    },
    /// No collection of that name.
    #[error("unknown collection `{name}`; existing: {}", if existing.is_empty() { "none".to_owned() } else { existing.join(", ") })]
    UnknownCollection {
        /// The name asked for.
        name: String,
        /// Those that exist.
        existing: Vec<String>,
    },
    /// A collection of that name exists.
    #[error("the collection `{name}` exists already")]
    CollectionExists {
        /// The name given.
        name: String,
    },
    /// A name that cannot be a collection's.
    #[error("invalid collection name `{name}`: use 1 to 64 letters, digits, `-`, `_` or `.`")]
    InvalidCollectionName {
        /// The name given.
        name: String,
    },
    /// A dictionary file that cannot be used.
    #[error("the dictionary was not changed, because the file cannot be used: {}", problems.join("; "))]
    InvalidDictionary {
        /// What is wrong, each with its line.
        problems: Vec<String>,
    },
    /// A date that is none, or not in the calendar.
    #[error(
        "`{text}` is not a date: {reason}; write it like 2024-04-01, 2024/4/1, 2024年4月1日, 令和6年4月1日 or R6.4.1"
    )]
    InvalidDate {
        /// What was written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Metadata or a filter that cannot be.
    #[error("{reason}")]
    InvalidMetadata {
        /// What is wrong, with the remedy.
        reason: String,
    },
    /// Readers, denied groups or members that cannot be.
    #[error("{reason}")]
    InvalidAccess {
        /// What is wrong, with the remedy.
        reason: String,
    },
    /// No such document, or none that may be read.
    #[error("unknown document `{id}`")]
    UnknownDocument {
        /// The id asked for.
        id: String,
    },
    /// A document that is part of another and changes only with it.
    #[error(
        "`{source_name}` lies in `{parent}` and changes only with it; replace or delete `{parent}`, or use another name"
    )]
    PartOfDocument {
        /// The document's source.
        source_name: String,
        /// The source of the one it lies in.
        parent: String,
    },
    /// No such job.
    #[error("unknown job `{id}`")]
    UnknownJob {
        /// The id asked for.
        id: String,
    },
    /// A job that is not in a state for what was asked.
    #[error("job `{id}` is {state} and cannot be {wanted}")]
    JobState {
        /// The job.
        id: String,
        /// Where it is.
        state: &'static str,
        /// What was asked, and when that can be done.
        wanted: &'static str,
    },
    /// A key that another request had.
    #[error(
        "the idempotency key `{key}` was used for another request; use a new key for each request"
    )]
    RequestKeyUsed {
        /// The key.
        key: String,
    },
    /// No source of that name.
    #[error("unknown source `{name}`; existing: {}", if existing.is_empty() { "none".to_owned() } else { existing.join(", ") })]
    UnknownSource {
        /// The name asked for.
        name: String,
        /// Those that exist.
        existing: Vec<String>,
    },
    /// A source of that name exists.
    #[error(
        "a source named `{name}` exists already; choose another name with --name, or remove that one first"
    )]
    SourceExists {
        /// The name given.
        name: String,
    },
    /// A source that cannot be.
    #[error("{reason}")]
    InvalidSource {
        /// What is wrong, with the remedy.
        reason: String,
    },
    /// Another process has the data directory open.
    #[error("the data directory `{}` is in use by another kura process ({holder})", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// What the lock file says about the holder.
        holder: String,
    },
    /// The index was built with other settings.
    #[error("the index in `{}` was built with {built_with}, not {wanted}; use that, or run `kura admin reindex`", path.display())]
    Incompatible {
        /// The data directory.
        path: PathBuf,
        /// What the index carries.
        built_with: String,
        /// What was asked for.
        wanted: String,
    },
    /// The data directory's file system is full or nearly so.
    #[error("not enough room in `{}`: {free_mib} MiB free, {needed_mib} MiB needed; nothing stored is harmed: free some space and try again", path.display())]
    StorageFull {
        /// The data directory.
        path: PathBuf,
        /// What is left.
        free_mib: u64,
        /// What must be left for safe work.
        needed_mib: u64,
    },
    /// The index cannot be opened.
    #[error("the index in `{}` cannot be opened: {reason}; rebuild it with `kura admin reindex`", path.display())]
    Damaged {
        /// The index directory.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The catalog failed.
    #[error("catalog: {0}")]
    Catalog(#[from] rusqlite::Error),
    /// The lexical index failed.
    #[error("lexical index: {0}")]
    Lexical(#[from] tantivy::TantivyError),
    /// The vector index failed.
    #[error("vector index: {0}")]
    Dense(String),
    /// An I/O error; the message names the path.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// An error of the models.
    #[error(transparent)]
    Model(Box<kura_models::Error>),
    /// The reranker failed. A search does not go on without it: worse results would pass for the best.
    #[error(
        "the reranker `{id}` failed (to search without it, set `models.reranker` to \"\"): {source}"
    )]
    Reranker {
        /// Its name in the registry.
        id: String,
        /// Why.
        source: Box<kura_models::Error>,
    },
    /// The catalog's schema could not be brought up to date.
    #[error("catalog migration: {0}")]
    Migration(#[from] rusqlite_migration::Error),
    /// A stored value is not what kura wrote.
    #[error("the catalog holds an invalid value: {reason}")]
    Corrupt {
        /// Which value.
        reason: String,
    },
    /// A background task ended unexpectedly.
    #[error("a background task failed: {0}")]
    Task(String),
}

impl Error {
    /// Returns whether a full disk is at the bottom of it.
    #[must_use]
    pub fn is_storage_full(&self) -> bool {
        use rusqlite::ffi;
        if let Self::Catalog(rusqlite::Error::SqliteFailure(failure, _)) = self {
            // The second is what a write-ahead log says that finds no room for its shared memory.
            return [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_SHMSIZE].contains(&failure.extended_code);
        }
        matches!(self, Self::StorageFull { .. })
            || self.has_io_cause(ErrorKind::StorageFull, "No space left on device")
    }

    /// Whether the disk takes no changes: it fails, or became read-only, as file systems do when the device below fails.
    #[must_use]
    pub fn is_storage_stuck(&self) -> bool {
        use rusqlite::ErrorCode;
        if let Self::Catalog(rusqlite::Error::SqliteFailure(failure, _)) = self {
            // SQLite does not say why it could not write.
            let codes = [ErrorCode::ReadOnly, ErrorCode::SystemIoFailure];
            return codes.contains(&failure.code) && !self.is_storage_full();
        }
        self.has_io_cause(ErrorKind::ReadOnlyFilesystem, "Read-only file system")
    }

    fn has_io_cause(&self, kind: ErrorKind, text: &str) -> bool {
        if let Self::Io(io) = self {
            return io.kind() == kind;
        }
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>();
            if io.is_some_and(|io| io.kind() == kind) {
                return true;
            }
            cause = error.source();
        }
        // The vector engine passes its causes on as text.
        self.to_string().contains(text)
    }
}

impl From<kura_models::Error> for Error {
    fn from(error: kura_models::Error) -> Self {
        Self::Model(Box::new(error))
    }
}

//! Where files are read: in this process, or in child processes that can harm nobody.
//!
//! Parsers of untrusted files panic, hang, and eat memory. [`Workers`] gives each of them a process without network
//! and without files, under limits of memory and time; what goes wrong there is the reason of one failed file.

mod child;
mod pool;
mod sandbox;
mod wire;

pub use child::serve;
pub use pool::{Limits, Workers};
pub use sandbox::{Confinement, Protection};

use crate::document::Extracted;
use crate::error::Result;
use crate::extract::{Taker, Tools};
use async_trait::async_trait;
use std::sync::Arc;

/// A file to be read.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its content.
    pub bytes: Arc<[u8]>,
    /// Its name or path: a hint of what it is.
    pub name: String,
    /// What its sender says it is: a hint, too.
    pub media_type: Option<String>,
    /// Takes the files that lie in it; without one they are left there.
    pub taker: Option<Taker>,
}

/// Reads files, somewhere.
#[async_trait]
pub trait Extractor: Send + Sync {
    /// Extracts the text of a file, and hands out the files that lie in it. It always returns, whatever the bytes are.
    ///
    /// # Errors
    /// Those of [`extract()`](crate::extract::extract()) and of the file's taker; with [`Workers`] also [`Error::ReaderEnded`] and
    /// [`Error::ReaderTimedOut`], and [`Error::Io`] when no worker can be started.
    ///
    /// [`Error::ReaderEnded`]: crate::Error::ReaderEnded
    /// [`Error::ReaderTimedOut`]: crate::Error::ReaderTimedOut
    /// [`Error::Io`]: crate::Error::Io
    async fn extract(&self, file: SourceFile) -> Result<Extracted>;
}

/// Reads files in this process: for files that are trusted, and for programs that have no worker to start.
#[derive(Clone, Default)]
pub struct InProcess {
    tools: Tools,
}

impl InProcess {
    /// Reads files with these tools.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools }
    }
}

#[async_trait]
impl Extractor for InProcess {
    async fn extract(&self, file: SourceFile) -> Result<Extracted> {
        let tools = match file.taker {
            Some(taker) => self.tools.clone().with_taker(taker),
            None => self.tools.clone(),
        };
        crate::pipeline::blocking(move || {
            super::extract(&file.bytes, &file.name, file.media_type.as_deref(), &tools)
        })
        .await
    }
}

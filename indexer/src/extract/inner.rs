//! Files that lie in the file that is read, such as attachments. They are not read with it: each is handed out, and
//! becomes a document of its own.
//!
//! Archives and mailboxes are nothing but what lies in them, so they are taken apart where they lie, too, down to
//! [`MAX_DEPTH`]. One that cannot be is handed out itself, and fails by itself with its reason.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::outline::Outline;
use crate::extract::{MediaType, Tools, archive, detect, guard, image, mail, mbox, msg, unpacked};
use std::fmt;
use std::sync::Arc;

/// Deepest that a file may lie in archives and mails.
pub(crate) const MAX_DEPTH: usize = 3;
/// Most files that are handed out of one, over all levels.
pub(crate) const MAX_FILES: usize = 10_000;
/// Largest of them.
pub(crate) const MAX_FILE_BYTES: u64 = 128 << 20;

/// A file that lies in another one.
#[derive(Debug, Clone, Copy)]
pub struct InnerFile<'f> {
    /// Where it lies, as the other file says it: not to be trusted.
    pub path: &'f str,
    /// What it is.
    pub media_type: &'f str,
    /// Its content.
    pub bytes: &'f [u8],
}

/// Takes the files that lie in another one.
#[derive(Clone)]
pub struct Taker(Arc<Take>);

type Take = dyn Fn(usize, InnerFile<'_>) -> Result<()> + Send + Sync;

impl Taker {
    /// Has `take` called with each file and its number, from 0 on. A reading that is begun anew begins at 0 again.
    #[must_use]
    pub fn new(take: impl Fn(usize, InnerFile<'_>) -> Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(take))
    }

    /// Lets the files go.
    #[must_use]
    pub fn discard() -> Self {
        Self::new(|_, _| Ok(()))
    }

    pub(crate) fn take(&self, number: usize, file: InnerFile<'_>) -> Result<()> {
        (self.0)(number, file)
    }
}

impl fmt::Debug for Taker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Taker")
    }
}

/// Hands out the files that lie in the file that is read.
pub(crate) struct Unpacking<'t> {
    tools: &'t Tools,
    taker: Taker,
    max_bytes: u64,
    n_bytes: u64,
    paths: Vec<String>,
    warnings: Vec<String>,
    is_full: bool,
}

impl<'t> Unpacking<'t> {
    /// Begins a file of `len` bytes; `None` when what lies in it is to stay there.
    pub(crate) fn begin(tools: &'t Tools, len: usize) -> Option<Self> {
        let taker = tools.taker.clone()?;
        Some(Self::with(tools, taker, len))
    }

    /// Begins a file of `len` bytes of which nobody takes anything: to see why it was not taken apart.
    pub(crate) fn in_vain(tools: &'t Tools, len: usize) -> Self {
        Self::with(tools, Taker::discard(), len)
    }

    fn with(tools: &'t Tools, taker: Taker, len: usize) -> Self {
        Self {
            tools,
            taker,
            max_bytes: unpacked::max_inner_bytes(len as u64),
            n_bytes: 0,
            paths: Vec::new(),
            warnings: Vec::new(),
            is_full: false,
        }
    }

    /// Hands out a file that lies `depth` files deep, and what lies in it.
    ///
    /// # Errors
    /// [`Error::TooLarge`] when more comes out than may; those of the taker.
    pub(crate) fn hand_out(
        &mut self,
        content: &[u8],
        path: &str,
        media_type: Option<&str>,
        depth: usize,
    ) -> Result<()> {
        if content.is_empty() {
            return Ok(());
        }
        let kind = detect(content, path, media_type);
        if let MediaType::Other(other) = &kind
            && !image::reads(other)
        {
            let media_type = kind.as_str().to_owned();
            let error = Error::UnsupportedFormat { media_type };
            self.warn(format!("`{path}`: {error}"));
            return Ok(());
        }
        if matches!(kind, MediaType::Zip | MediaType::Mbox) {
            let is_apart = depth < MAX_DEPTH && self.take_apart(content, path, &kind, depth)?;
            if is_apart {
                return Ok(());
            }
        }
        self.give(content, path, &kind)?;
        if matches!(kind, MediaType::Eml | MediaType::Msg) {
            self.take_apart(content, path, &kind, depth)?;
        }
        Ok(())
    }

    /// Hands out what lies in a file. Returns whether anything did.
    fn take_apart(
        &mut self,
        content: &[u8],
        path: &str,
        kind: &MediaType,
        depth: usize,
    ) -> Result<bool> {
        let n_before = self.paths.len();
        let unpack = if *kind == MediaType::Zip {
            archive::unpack
        } else if *kind == MediaType::Mbox {
            mbox::unpack
        } else if *kind == MediaType::Msg {
            msg::unpack
        } else {
            mail::unpack
        };
        let outcome = guard::caught(kind.format(), || unpack(self, content, path, depth));
        match outcome {
            // What cannot be read fails by itself.
            Ok(()) | Err(Error::Malformed { .. } | Error::Encrypted | Error::NoText) => {
                Ok(self.paths.len() > n_before)
            }
            Err(error) => Err(error),
        }
    }

    fn give(&mut self, content: &[u8], path: &str, kind: &MediaType) -> Result<()> {
        let n_bytes = content.len() as u64;
        if n_bytes > MAX_FILE_BYTES {
            self.warn(format!(
                "`{path}`: larger than {} MiB",
                MAX_FILE_BYTES >> 20
            ));
            return Ok(());
        }
        if self.paths.len() == MAX_FILES {
            if !std::mem::replace(&mut self.is_full, true) {
                self.warn(format!("only the first {MAX_FILES} files were taken out"));
            }
            return Ok(());
        }
        if self.n_bytes + n_bytes > self.max_bytes {
            return Err(unpacked::too_large());
        }
        self.n_bytes += n_bytes;
        self.tools.worked();
        let file = InnerFile {
            path,
            media_type: kind.as_str(),
            bytes: content,
        };
        self.taker.take(self.paths.len(), file)?;
        self.paths.push(path.to_owned());
        Ok(())
    }

    pub(crate) fn warn(&mut self, message: String) {
        self.warnings.push(message);
    }

    pub(crate) fn n_warnings(&self) -> usize {
        self.warnings.len()
    }

    /// Takes back the warnings from this one on.
    pub(crate) fn take_back(&mut self, first: usize) -> Vec<String> {
        self.warnings.split_off(first)
    }

    /// Returns where the files lie that were handed out.
    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Returns a document that is nothing but the list of what was handed out.
    pub(crate) fn into_list(self) -> Extracted {
        let mut outline = Outline::default();
        for path in self.paths() {
            outline.list_item("-", path);
        }
        self.finish(&mut outline);
        outline.finish()
    }

    /// Adds the warnings to what was read of the file.
    pub(crate) fn finish(self, outline: &mut Outline) {
        for warning in self.warnings {
            outline.warn(warning);
        }
    }
}

/// Returns where a file lies that lies at `path` in the one at `at`, which is empty for the outermost.
pub(crate) fn join(at: &str, path: &str) -> String {
    if at.is_empty() {
        path.to_owned()
    } else {
        format!("{at}/{path}")
    }
}

/// Returns why a container that was handed out itself was left whole, if no other reason is found.
pub(crate) fn too_deep() -> Error {
    Error::TooLarge {
        reason: format!("it lies more than {MAX_DEPTH} archives or mails deep"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::sync::Mutex;

    /// A path and what lies there.
    type File = (String, Vec<u8>);

    /// Reads a file; returns what it is and which files lie in it.
    pub(crate) fn extract_with_files(bytes: &[u8], name: &str) -> (Result<Extracted>, Vec<File>) {
        let taken: Arc<Mutex<Vec<File>>> = Arc::default();
        let sink = Arc::clone(&taken);
        let taker = Taker::new(move |number, file| {
            let mut taken = sink.lock().unwrap();
            assert_eq!(number, taken.len());
            taken.push((file.path.to_owned(), file.bytes.to_vec()));
            Ok(())
        });
        let tools = Tools::default().with_taker(taker);
        let extracted = crate::extract::extract(bytes, name, None, &tools);
        let taken = std::mem::take(&mut *taken.lock().unwrap());
        (extracted, taken)
    }

    pub(crate) fn paths(files: &[(String, Vec<u8>)]) -> Vec<&str> {
        files.iter().map(|(path, _)| path.as_str()).collect()
    }
}

//! Which files are meant, and under which source each is added.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// A file that was named or found.
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// Relative to the folder that was named, with `/`; for a file its name.
    pub(super) source: String,
    /// Why it cannot be added, if that is known already.
    pub(super) error: Option<String>,
    max_bytes: u64,
}

impl Found {
    /// Reads the file.
    ///
    /// # Errors
    /// The reason, for people.
    pub(super) fn read(&self) -> Result<Vec<u8>, String> {
        if let Some(error) = &self.error {
            return Err(error.clone());
        }
        let size = fs_err::metadata(&self.path)
            .map_err(|error| error.to_string())?
            .len();
        if size > self.max_bytes {
            return Err(format!(
                "the file has {size} bytes, more than `server.upload_max_bytes` ({})",
                self.max_bytes
            ));
        }
        let bytes = fs_err::read(&self.path).map_err(|error| error.to_string())?;
        if bytes.is_empty() {
            return Err(kura_indexer::Error::EmptyFile.to_string());
        }
        Ok(bytes)
    }
}

/// Returns the files under `roots`, in a stable order, without hidden ones. What cannot be listed is among them, with
/// the reason.
pub(super) fn find(roots: &[PathBuf], max_bytes: u64) -> Vec<Found> {
    let mut found = Vec::new();
    for root in roots {
        let walk = WalkDir::new(root).follow_links(true).sort_by_file_name();
        for entry in walk
            .into_iter()
            .filter_entry(|entry| entry.depth() == 0 || !is_hidden(entry))
        {
            match entry {
                Ok(entry) if entry.file_type().is_file() => {
                    let name = source(root, entry.path());
                    // The server's rule for names, so that one file cannot end the whole run.
                    let (source, error) = match crate::routes::documents::source(&name) {
                        Ok(source) => (source, None),
                        Err(refused) => (name.escape_debug().to_string(), Some(refused.detail)),
                    };
                    found.push(Found {
                        source,
                        path: entry.into_path(),
                        error,
                        max_bytes,
                    });
                }
                Ok(_) => {}
                Err(error) => {
                    let path = error.path().unwrap_or(root).to_owned();
                    found.push(Found {
                        source: source(root, &path),
                        path,
                        error: Some(reason(&error)),
                        max_bytes,
                    });
                }
            }
        }
    }
    refuse_same_sources(&mut found);
    found
}

fn is_hidden(entry: &DirEntry) -> bool {
    entry.file_name().as_encoded_bytes().starts_with(b".")
}

fn reason(error: &walkdir::Error) -> String {
    match error.io_error() {
        Some(io) if io.kind() == std::io::ErrorKind::NotFound => {
            "no such file or folder".to_owned()
        }
        Some(io) => io.to_string(),
        None => error.to_string(),
    }
}

fn source(root: &Path, path: &Path) -> String {
    let relative = path.strip_prefix(root).unwrap_or(path);
    let relative = if relative.as_os_str().is_empty() {
        Path::new(path.file_name().unwrap_or(path.as_os_str()))
    } else {
        relative
    };
    let parts: Vec<_> = relative
        .components()
        .filter_map(|component| match component {
            Component::Normal(part) => Some(part.to_string_lossy()),
            Component::Prefix(_)
            | Component::RootDir
            | Component::CurDir
            | Component::ParentDir => None,
        })
        .collect();
    parts.join("/")
}

/// Two files with one source would replace one another without anyone noticing.
fn refuse_same_sources(found: &mut [Found]) {
    let mut seen = HashSet::new();
    for file in found {
        if !seen.insert(file.source.clone()) && file.error.is_none() {
            file.error = Some(format!(
                "another file of this run has the same source `{}`; ingest their common folder, or each alone",
                file.source
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(roots: &[PathBuf]) -> Vec<(String, bool)> {
        find(roots, 1000)
            .into_iter()
            .map(|found| (found.source, found.error.is_none()))
            .collect()
    }

    #[test]
    fn sources_are_relative_to_the_folder_named_and_hidden_files_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.txt", "a/c.txt", ".hidden", ".git/config"] {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "x").unwrap();
        }
        let all = [("a/c.txt".to_owned(), true), ("b.txt".to_owned(), true)];
        assert_eq!(sources(&[dir.path().to_owned()]), all);
        assert_eq!(
            sources(&[dir.path().join("a/c.txt")]),
            [("c.txt".to_owned(), true)]
        );
        // A hidden file that is named is meant.
        assert_eq!(
            sources(&[dir.path().join(".hidden")]),
            [(".hidden".to_owned(), true)]
        );
    }

    #[test]
    fn a_name_that_the_server_would_refuse_is_reported() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("a\nb.txt"), "x").unwrap();
        fs_err::write(dir.path().join("c.txt"), "x").unwrap();
        let expected = [("a\\nb.txt", false), ("c.txt", true)];
        assert_eq!(
            sources(&[dir.path().to_owned()]),
            expected.map(|(source, ok)| (source.to_owned(), ok))
        );
    }

    #[test]
    fn missing_paths_and_same_sources_are_reported() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["one/x.txt", "two/x.txt"] {
            let path = dir.path().join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, "x").unwrap();
        }
        let found = sources(&[
            dir.path().join("one"),
            dir.path().join("two"),
            dir.path().join("missing"),
        ]);
        let expected = [("x.txt", true), ("x.txt", false), ("missing", false)];
        assert_eq!(found, expected.map(|(source, ok)| (source.to_owned(), ok)));
    }

    #[test]
    fn files_that_are_empty_or_too_large_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(dir.path().join("empty"), "").unwrap();
        fs_err::write(dir.path().join("large"), vec![0; 1001]).unwrap();
        for file in find(&[dir.path().to_owned()], 1000) {
            assert!(file.read().is_err(), "{}", file.source);
        }
    }
}

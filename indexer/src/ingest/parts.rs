//! Files that lie in the one that is read: each is kept as it comes, under a name of its own, to become a document.

use super::EXTRACTED_MEDIA_TYPE;
use crate::DocumentId;
use crate::catalog::{NewPart, numbered};
use crate::extract::Taker;
use crate::pipeline::Pipeline;
use crate::room;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

/// Longest name of a file within another, in bytes.
const MAX_NAME: usize = 255;

/// The names of the files taken so far.
#[derive(Debug, Default)]
struct Names {
    taken: HashSet<String>,
    /// How often each was wanted.
    wanted: HashMap<String, usize>,
}

impl Names {
    /// Returns the name of the file with this number. The first begins anew.
    fn name(&mut self, number: usize, path: &str) -> String {
        if number == 0 {
            *self = Self::default();
        }
        let wanted = tidied(path);
        let n_wanted = self.wanted.entry(wanted.clone()).or_default();
        loop {
            *n_wanted += 1;
            let name = match *n_wanted {
                1 => wanted.clone(),
                n => numbered(&wanted, n),
            };
            if self.taken.insert(name.clone()) {
                return name;
            }
        }
    }
}

/// The files that lie in a version, as far as they have been taken.
pub(super) struct Parts {
    names: Arc<Mutex<Names>>,
}

impl Parts {
    /// Returns how many there are.
    pub(super) fn count(&self) -> u32 {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        u32::try_from(names.taken.len()).unwrap_or(u32::MAX)
    }
}

impl Pipeline {
    /// Returns what takes the files that lie in a version. Each is durable, and the catalog knows it, before the next one
    /// comes: so no other work takes a blob for unused.
    pub(super) fn parts_of(&self, document: DocumentId, version: u32) -> (Parts, Taker) {
        let names: Arc<Mutex<Names>> = Arc::default();
        let parts = Parts {
            names: Arc::clone(&names),
        };
        let (catalog, blobs) = (Arc::clone(&self.catalog), Arc::clone(&self.blobs));
        let (dir, min_free) = (self.dir().to_owned(), self.config.min_free_bytes);
        let taker = Taker::new(move |number, file| {
            let size_bytes = file.bytes.len() as u64;
            room::check(&dir, min_free.saturating_add(size_bytes))?;
            let part = names
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .name(number, file.path);
            let media_type = match file.media_type {
                // Only who adds a document can say that it was read elsewhere.
                EXTRACTED_MEDIA_TYPE => "application/json",
                given => given,
            };
            let _adding = blobs.adding();
            let sha256 = blobs.put(file.bytes)?;
            let new = NewPart {
                part: &part,
                sha256: &sha256,
                size_bytes,
                media_type,
            };
            catalog.note_part(document, version, number, &new)
        });
        (parts, taker)
    }
}

/// Returns a path as a name: none of its parts leads upwards, nothing in it is invisible, and it is not too long.
fn tidied(path: &str) -> String {
    let visible: String = path.chars().filter(|c| !is_invisible(*c)).collect();
    let parts = visible.split(['/', '\\']).map(str::trim);
    let mut parts: Vec<&str> = parts
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    // The end says most.
    while parts.len() > 1 && parts.iter().map(|part| part.len() + 1).sum::<usize>() > MAX_NAME + 1 {
        parts.remove(0);
    }
    let name = parts.join("/");
    if name.is_empty() {
        return "file".to_owned();
    }
    if name.len() <= MAX_NAME {
        return name;
    }
    let extension = name.rfind('.').filter(|at| name.len() - at <= 16);
    let (stem, extension) = name.split_at(extension.unwrap_or(name.len()));
    let end = stem.floor_char_boundary(MAX_NAME - extension.len());
    format!("{}{extension}", &stem[..end])
}

fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{2069}' | '\u{FEFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_and_are_short() {
        assert_eq!(tidied("../a\\b/./c\u{202E}.pdf\n"), "a/b/c.pdf");
        assert_eq!(tidied("/ /"), "file");
        let long = tidied(&format!("x/{}.pdf", "規".repeat(300)));
        assert!(
            long.len() <= MAX_NAME && long.starts_with('規') && long.ends_with("規.pdf"),
            "{long}"
        );
        let deep = tidied(&format!("{}end.txt", "folder/".repeat(100)));
        assert!(deep.len() <= MAX_NAME && deep.ends_with("folder/end.txt"));
    }

    #[test]
    fn equal_names_are_numbered_and_a_new_reading_begins_anew() {
        let mut names = Names::default();
        let given = ["r.pdf", "r.pdf", "r (2).pdf", "r.pdf"];
        let expected = ["r.pdf", "r (2).pdf", "r (2) (2).pdf", "r (3).pdf"];
        for _ in 0..2 {
            for (number, (path, name)) in given.iter().zip(expected).enumerate() {
                assert_eq!(names.name(number, path), name);
            }
        }
        assert_eq!(names.name(0, "r.pdf"), "r.pdf");
        assert_eq!(names.taken.len(), 1);
    }
}

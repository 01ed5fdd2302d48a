//! The index's files: what a commit that did not end has left, and what held text that is to be erased.

use super::LexicalIndex;
use crate::error::{Error, Result};
use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};
use tantivy::{Index, IndexWriter, TantivyError};

/// How long merges that are under way, and searches in old files, are waited for.
const ERASE_PATIENCE: Duration = Duration::from_secs(120);

/// Removes lists of deleted chunks that are no part of the last commit: their commit was cut short. They are named by
/// operations that are counted from the last commit, so the same changes, made again, want to create the same files, and
/// tantivy refuses to write over one. It removes such files itself only at the end of a commit.
pub(super) fn drop_unfinished(dir: &Path, index: &Index) -> Result<()> {
    let committed = index.load_metas()?.list_segment_files();
    for entry in fs_err::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_list = Path::new(&name).extension().is_some_and(|end| end == "del");
        if is_list && !committed.contains(Path::new(&name)) {
            tracing::info!(file = ?name, "a commit was cut short; its list of deleted chunks is dropped");
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

impl LexicalIndex {
    /// Merges every segment that has deleted chunks in it, each by itself, and removes the files that had them: text, terms
    /// and all.
    pub(in super::super) fn erase(&self) -> Result<()> {
        self.commit()?;
        let deadline = Instant::now() + ERASE_PATIENCE;
        let wait = |what: &str| {
            if Instant::now() > deadline {
                let reason = format!("the keyword index cannot be written anew: {what}");
                return Err(Error::from(TantivyError::SystemError(reason)));
            }
            std::thread::sleep(Duration::from_millis(20));
            Ok(())
        };
        loop {
            let mut writer = self.writer();
            let segments = writer.index.index().searchable_segment_metas()?;
            let holed: Vec<_> = segments
                .iter()
                .filter(|segment| segment.has_deletes())
                .map(tantivy::SegmentMeta::id)
                .collect();
            if holed.is_empty() {
                break;
            }
            let mut refused = None;
            for segment in holed {
                // It is refused while the engine merges that segment by itself.
                refused = writer.index.merge(&[segment]).wait().err().or(refused);
            }
            drop(writer);
            if let Some(refused) = refused {
                wait(&refused.to_string())?;
            }
        }
        // A search that began before still reads the old files.
        loop {
            self.reader.reload()?;
            let writer = self.writer();
            writer.index.garbage_collect_files().wait()?;
            let left = self.leftovers(&writer.index)?;
            drop(writer);
            match left.first() {
                None => return Ok(()),
                Some(file) => wait(&format!("`{file}` is still in use"))?,
            }
        }
    }

    /// Returns the files of segments that are no part of the index any more.
    fn leftovers(&self, writer: &IndexWriter) -> Result<Vec<String>> {
        let segments = writer.index().searchable_segment_metas()?;
        let living: HashSet<String> = segments
            .iter()
            .map(|segment| segment.id().uuid_string())
            .collect();
        let mut left = Vec::new();
        for entry in fs_err::read_dir(&self.dir)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let stem = name.split('.').next().unwrap_or_default();
            let is_segment = stem.len() == 32 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
            if is_segment && !living.contains(stem) {
                left.push(name);
            }
        }
        Ok(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Acl, GroupId};
    use crate::document::{ChunkId, CollectionId, DocumentId};
    use crate::metadata::Attributes;
    use crate::store::{IndexOp, StoredChunk};
    use std::collections::BTreeSet;
    use std::path::PathBuf;
    use uuid::Uuid;

    fn put(document: DocumentId) -> IndexOp {
        IndexOp::Put {
            collection: CollectionId(Uuid::from_u128(9)),
            acl: Acl {
                readers: BTreeSet::from([GroupId("everyone".to_owned())]),
                denied: BTreeSet::new(),
            },
            attributes: Attributes::default(),
            chunks: vec![StoredChunk {
                id: ChunkId {
                    document,
                    version: 1,
                    ordinal: 0,
                },
                title: "Leave".to_owned(),
                headings: String::new(),
                text: "Ten days a year.".to_owned(),
                vector: vec![1.0],
            }],
        }
    }

    /// Copies the files of `from` that `to` does not have and whose name `is_wanted`; returns how many.
    fn copy(from: &Path, to: &Path, is_wanted: impl Fn(&Path) -> bool) -> usize {
        fs_err::create_dir_all(to).unwrap();
        let names = fs_err::read_dir(from)
            .unwrap()
            .map(|entry| PathBuf::from(entry.unwrap().file_name()));
        let names: Vec<PathBuf> = names
            .filter(|name| is_wanted(name) && !to.join(name).exists())
            .collect();
        for name in &names {
            fs_err::copy(from.join(name), to.join(name)).unwrap();
        }
        names.len()
    }

    /// Two indexes with two documents; the second has what a commit that deletes one of them leaves behind when it is cut
    /// short just before it counts.
    fn cut_short(root: &Path, document: DocumentId) -> (PathBuf, PathBuf) {
        let (whole, cut) = (root.join("whole"), root.join("cut"));
        let index = LexicalIndex::create(&whole).unwrap();
        index.apply(&put(document)).unwrap();
        index.apply(&put(DocumentId(Uuid::from_u128(2)))).unwrap();
        index.commit().unwrap();
        // Opened anew, both count their operations from the same commit.
        drop(index);
        copy(&whole, &cut, |name| {
            !name.to_string_lossy().ends_with(".lock")
        });
        let index = LexicalIndex::load(&whole).unwrap();
        index.apply(&IndexOp::Remove { document }).unwrap();
        index.commit().unwrap();
        (whole, cut)
    }

    fn is_list(name: &Path) -> bool {
        name.extension().is_some_and(|end| end == "del")
    }

    #[test]
    fn changes_made_again_after_a_commit_was_cut_short_go_through() {
        let root = tempfile::tempdir().unwrap();
        let document = DocumentId(Uuid::from_u128(1));
        let (whole, cut) = cut_short(root.path(), document);
        assert_eq!(copy(&whole, &cut, is_list), 1);
        let index = LexicalIndex::load(&cut).unwrap();
        index.apply(&IndexOp::Remove { document }).unwrap();
        index.commit().unwrap();
        assert_eq!(index.count(), 1);
        drop(index);
        // What counts is kept.
        assert_eq!(LexicalIndex::load(&cut).unwrap().count(), 1);
    }

    #[test]
    fn a_commit_that_failed_half_way_can_be_tried_again() {
        let root = tempfile::tempdir().unwrap();
        let document = DocumentId(Uuid::from_u128(1));
        let (whole, cut) = cut_short(root.path(), document);
        let index = LexicalIndex::load(&cut).unwrap();
        assert_eq!(copy(&whole, &cut, is_list), 1);
        index.apply(&IndexOp::Remove { document }).unwrap();
        assert!(index.commit().is_err(), "the file is there already");
        index.apply(&IndexOp::Remove { document }).unwrap();
        index.commit().unwrap();
        assert_eq!(index.count(), 1);
    }
}

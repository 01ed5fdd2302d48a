//! Do catalog, blobs, vector index and keyword index hold the same? Looks only; opening the data directory repairs.

use crate::catalog::{Catalog, Deleted};
use crate::pipeline::{Pipeline, blocking};
use crate::{DocumentId, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// Documents compared at a time.
const PAGE: usize = 512;
/// Examples listed per kind of problem.
const EXAMPLES: usize = 20;

/// A part of the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The catalog.
    Catalog,
    /// The original files.
    Blobs,
    /// The vector index.
    Vectors,
    /// The keyword index.
    Keywords,
}

/// How something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trouble {
    /// It is there, and nothing in the catalog knows it.
    Orphan,
    /// The catalog has it, and it is not there.
    Missing,
    /// It is there with other content than it should have.
    Damaged,
}

/// What is wrong in one way with one part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Where.
    pub part: Part,
    /// How.
    pub trouble: Trouble,
    /// How many documents, blobs or rows.
    pub n: usize,
    /// Some of them.
    pub examples: Vec<String>,
}

/// What was compared, and what differs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verification {
    /// Documents that can be searched.
    pub n_documents: usize,
    /// Their chunks in the catalog.
    pub n_chunks: usize,
    /// Chunks in the vector index.
    pub n_vectors: usize,
    /// Chunks in the keyword index.
    pub n_keywords: usize,
    /// Original files.
    pub n_blobs: usize,
    /// What differs; empty when all is well.
    pub findings: Vec<Finding>,
}

#[derive(Default)]
struct Findings(BTreeMap<(Part, Trouble), (usize, Vec<String>)>);

impl Findings {
    fn note(&mut self, part: Part, trouble: Trouble, what: impl Into<String>) {
        let (n, examples) = self.0.entry((part, trouble)).or_default();
        *n += 1;
        if examples.len() < EXAMPLES {
            examples.push(what.into());
        }
    }
}

impl Pipeline {
    /// Compares all parts of the data directory; with `read_blobs`, reads every original file, too. Indexing and deleting
    /// wait meanwhile.
    ///
    /// # Errors
    /// When a part cannot be read at all.
    pub async fn verify(&self, read_blobs: bool) -> Result<Verification> {
        let mut findings = Findings::default();
        let mut seen = Verification::default();
        self.verify_indexes(&mut seen, &mut findings).await?;
        let (catalog, blobs) = (Arc::clone(&self.catalog), Arc::clone(&self.blobs));
        let (troubles, compared) = blocking(move || {
            Ok((
                catalog.troubles()?,
                blobs.compare(|| catalog.blobs_in_use(), read_blobs)?,
            ))
        })
        .await?;
        for (trouble, what) in troubles {
            findings.note(Part::Catalog, trouble, what);
        }
        seen.n_blobs = compared.n_blobs;
        for (trouble, names) in [
            (Trouble::Orphan, compared.orphans),
            (Trouble::Missing, compared.missing),
            (Trouble::Damaged, compared.damaged),
        ] {
            for name in names {
                findings.note(Part::Blobs, trouble, name);
            }
        }
        let finding = |((part, trouble), (n, examples))| Finding {
            part,
            trouble,
            n,
            examples,
        };
        seen.findings = findings.0.into_iter().map(finding).collect();
        Ok(seen)
    }

    async fn verify_indexes(&self, seen: &mut Verification, findings: &mut Findings) -> Result<()> {
        // Nothing is put or pruned meanwhile.
        let _changing = self.changing.lock().await;
        let mut stored: HashMap<(DocumentId, u32), (usize, usize)> = HashMap::new();
        for entry in self.store.inventory().await? {
            stored.insert(
                (entry.document, entry.version),
                (entry.dense, entry.lexical),
            );
            seen.n_vectors += entry.dense;
            seen.n_keywords += entry.lexical;
        }
        let mut after = None;
        loop {
            let page = self
                .catalog(move |catalog| catalog.visible_counts(after, PAGE))
                .await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.document);
            for (target, n_chunks) in page {
                let n_chunks = n_chunks as usize;
                seen.n_documents += 1;
                seen.n_chunks += n_chunks;
                let (dense, lexical) = stored
                    .remove(&(target.document, target.version))
                    .unwrap_or_default();
                for (part, n) in [(Part::Vectors, dense), (Part::Keywords, lexical)] {
                    let what = || format!("document {}: {n} of {n_chunks} chunks", target.document);
                    if n < n_chunks {
                        findings.note(part, Trouble::Missing, what());
                    } else if n > n_chunks {
                        findings.note(part, Trouble::Orphan, what());
                    }
                }
            }
        }
        // What is being deleted leaves the stores in a moment, or at the next start.
        let deleted: HashSet<Deleted> = self.catalog(Catalog::deleted).await?.into_iter().collect();
        for ((document, version), (dense, lexical)) in stored {
            if deleted.contains(&Deleted(document)) {
                continue;
            }
            for (part, n) in [(Part::Vectors, dense), (Part::Keywords, lexical)] {
                if n > 0 {
                    findings.note(
                        part,
                        Trouble::Orphan,
                        format!("document {document}, version {version}: {n} chunks"),
                    );
                }
            }
        }
        Ok(())
    }
}

impl Catalog {
    /// Returns what is wrong within the catalog itself.
    fn troubles(&self) -> Result<Vec<(Trouble, String)>> {
        let mut troubles = Vec::new();
        for problem in self.texts("PRAGMA quick_check")? {
            if problem != "ok" {
                troubles.push((Trouble::Damaged, problem));
            }
        }
        for table in self.texts("SELECT \"table\" FROM pragma_foreign_key_check")? {
            troubles.push((Trouble::Orphan, format!("a row of `{table}`")));
        }
        let counts = "SELECT d.id FROM documents d JOIN versions v ON v.document_id = d.id AND v.version = d.visible_version
             WHERE d.deleted_at IS NULL
               AND v.n_chunks <> (SELECT count(*) FROM chunks k WHERE k.document_id = d.id AND k.version = v.version)";
        for document in self.texts(counts)? {
            troubles.push((Trouble::Missing, format!("chunks of document {document}")));
        }
        let versions = "SELECT d.id FROM documents d WHERE d.deleted_at IS NULL
               AND NOT EXISTS (SELECT 1 FROM versions v WHERE v.document_id = d.id AND v.version = d.latest_version)";
        for document in self.texts(versions)? {
            troubles.push((
                Trouble::Missing,
                format!("the latest version of document {document}"),
            ));
        }
        let orphans = "SELECT d.id FROM documents d JOIN documents p ON p.id = d.parent_id
             WHERE d.deleted_at IS NULL AND p.deleted_at IS NOT NULL";
        for document in self.texts(orphans)? {
            let what = format!("document {document}, which lies in a deleted one");
            troubles.push((Trouble::Orphan, what));
        }
        let too_open = "SELECT DISTINCT d.id FROM documents d JOIN readers r ON r.document_id = d.id
             WHERE d.parent_id IS NOT NULL AND d.deleted_at IS NULL
               AND NOT EXISTS (SELECT 1 FROM readers p WHERE p.document_id = d.parent_id AND p.group_id IN (r.group_id, 'everyone'))";
        for document in self.texts(too_open)? {
            let what = format!("readers of document {document}, who may not read what it lies in");
            troubles.push((Trouble::Damaged, what));
        }
        let lets_denied = "SELECT DISTINCT d.id FROM documents d JOIN denied p ON p.document_id = d.parent_id
             WHERE d.deleted_at IS NULL
               AND NOT EXISTS (SELECT 1 FROM denied n WHERE n.document_id = d.id AND n.group_id = p.group_id)";
        for document in self.texts(lets_denied)? {
            let what =
                format!("denied groups of document {document}, which lies in one that denies more");
            troubles.push((Trouble::Damaged, what));
        }
        Ok(troubles)
    }
}

//! What became of the files: rows, sums, and how they are printed.

use super::files::Found;
use crate::commands::{Outcome, size, span};
use crate::routes::documents::{self, Document, Status};
use crate::routes::jobs::Job;
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What became of the files.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    collection: String,
    /// Nothing was changed: outcomes are what would become of the files.
    dry_run: bool,
    items: Vec<Row>,
    summary: Summary,
    /// By media type.
    formats: BTreeMap<String, FormatSum>,
    size_bytes: u64,
    n_chunks: u64,
    n_reused: u64,
    /// Documents that lie in the files, such as attachments, and those of them that could not be indexed.
    n_children: usize,
    n_children_failed: usize,
    /// Documents that are stored, and whose job has not ended.
    n_waiting: usize,
    seconds: f64,
}

/// What became of one file.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Row {
    pub(super) path: PathBuf,
    pub(super) source: String,
    pub(super) outcome: FileOutcome,
    pub(super) document: Option<String>,
    pub(super) media_type: Option<String>,
    pub(super) size_bytes: u64,
    pub(super) n_chunks: u32,
    /// Chunks that kept a vector which was there.
    pub(super) n_reused: u32,
    /// Its job has not ended.
    pub(super) waiting: bool,
    pub(super) warnings: Vec<String>,
    pub(super) code: Option<String>,
    pub(super) error: Option<String>,
    pub(super) remedy: Option<String>,
    /// Documents that lie in it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) children: Vec<Child>,
}

/// A document that lies in a file, such as an attachment.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Child {
    document: String,
    source: String,
    status: Status,
    media_type: String,
    size_bytes: u64,
    n_chunks: u32,
    warnings: Vec<String>,
    error: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum FileOutcome {
    New,
    Replaced,
    Unchanged,
    Failed,
    /// Only of a dry run: no such file can be read.
    Unsupported,
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    new: usize,
    replaced: usize,
    unchanged: usize,
    failed: usize,
    #[serde(skip_serializing_if = "is_zero")]
    unsupported: usize,
}

/// The files of one media type.
#[derive(Debug, Default, Serialize)]
struct FormatSum {
    #[serde(flatten)]
    summary: Summary,
    size_bytes: u64,
    n_chunks: u64,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

impl Summary {
    fn count(&mut self, outcome: FileOutcome) {
        match outcome {
            FileOutcome::New => self.new += 1,
            FileOutcome::Replaced => self.replaced += 1,
            FileOutcome::Unchanged => self.unchanged += 1,
            FileOutcome::Failed => self.failed += 1,
            FileOutcome::Unsupported => self.unsupported += 1,
        }
    }
}

impl Report {
    pub(super) fn new(collection: String, items: Vec<Row>, dry_run: bool, took: Duration) -> Self {
        let mut report = Self {
            collection,
            dry_run,
            summary: Summary::default(),
            formats: BTreeMap::new(),
            size_bytes: 0,
            n_chunks: 0,
            n_reused: 0,
            n_children: 0,
            n_children_failed: 0,
            n_waiting: 0,
            seconds: took.as_secs_f64(),
            items,
        };
        for row in &report.items {
            report.summary.count(row.outcome);
            report.size_bytes += row.size_bytes;
            report.n_chunks += u64::from(row.n_chunks);
            report.n_reused += u64::from(row.n_reused);
            report.n_waiting += usize::from(row.waiting);
            for child in &row.children {
                report.n_children += 1;
                report.n_children_failed += usize::from(child.status == Status::Failed);
                report.n_waiting += usize::from(child.status == Status::Pending);
                report.n_chunks += u64::from(child.n_chunks);
            }
            let media_type = row
                .media_type
                .clone()
                .unwrap_or_else(|| "unknown".to_owned());
            let format = report.formats.entry(media_type).or_default();
            format.summary.count(row.outcome);
            format.size_bytes += row.size_bytes;
            format.n_chunks += u64::from(row.n_chunks);
        }
        report
    }

    pub(super) fn outcome(&self) -> Outcome {
        let n_bad = self.summary.failed + self.summary.unsupported;
        match n_bad {
            0 if self.n_waiting + self.n_children_failed > 0 => Outcome::Partial,
            0 => Outcome::Success,
            n if n == self.items.len() => Outcome::Failure,
            _ => Outcome::Partial,
        }
    }

    pub(super) fn print(&self) {
        self.print_rows();
        let width = self
            .formats
            .keys()
            .map(String::len)
            .max()
            .unwrap_or(0)
            .max(6);
        say!(
            "\n{:width$} {:>8} {:>8} {:>9} {:>8} {:>10} {:>8}",
            "format",
            "new",
            "replaced",
            "unchanged",
            "failed",
            "size",
            "chunks"
        );
        for (media_type, format) in &self.formats {
            let Summary {
                new,
                replaced,
                unchanged,
                failed,
                unsupported,
            } = format.summary;
            say!(
                "{media_type:width$} {new:>8} {replaced:>8} {unchanged:>9} {:>8} {:>10} {:>8}",
                failed + unsupported,
                size(format.size_bytes as f64),
                format.n_chunks
            );
        }
        self.print_summary();
    }

    fn print_rows(&self) {
        let sources = self.items.iter().flat_map(|row| {
            let children = row.children.iter().map(|child| &child.source);
            std::iter::once(&row.source).chain(children)
        });
        let widths = sources.map(|source| source.chars().count());
        let width = widths.max().unwrap_or(0).min(60);
        for row in &self.items {
            let outcome = row.outcome.name();
            match &row.error {
                Some(error) => {
                    let code = row.code.as_ref().map(|code| format!(" [{code}]"));
                    say!(
                        "{outcome:11}  {:width$}  {error}{}",
                        row.source,
                        code.unwrap_or_default()
                    );
                }
                None if self.dry_run => say!(
                    "{outcome:11}  {:width$}  {}",
                    row.source,
                    size(row.size_bytes as f64)
                ),
                None if row.waiting => say!("{outcome:11}  {:width$}  waits", row.source),
                None => say!(
                    "{outcome:11}  {:width$}  {} chunks",
                    row.source,
                    row.n_chunks
                ),
            }
            for warning in &row.warnings {
                say!("             {:width$}  warning: {warning}", "");
            }
            for child in &row.children {
                child.print(width);
            }
        }
    }

    fn print_summary(&self) {
        let Summary {
            new,
            replaced,
            unchanged,
            failed,
            unsupported,
        } = self.summary;
        let would = if self.dry_run { " would be" } else { "" };
        say!(
            "\ncollection {}:{would} {new} new, {replaced} replaced, {unchanged} unchanged, {failed} failed{}",
            self.collection,
            match unsupported {
                0 => String::new(),
                n => format!(", {n} unsupported"),
            }
        );
        if self.dry_run {
            say!("nothing was changed");
            return;
        }
        let per_second = |n: f64| n / self.seconds.max(0.001);
        say!(
            "{} and {} chunks in {}: {}/s, {:.1} chunks/s; {} chunks kept a vector that was there",
            size(self.size_bytes as f64),
            self.n_chunks,
            span(self.seconds),
            size(per_second(self.size_bytes as f64)),
            per_second(self.n_chunks as f64),
            self.n_reused
        );
        if self.n_children > 0 {
            say!(
                "{} documents lie in these files, of which {} failed",
                self.n_children,
                self.n_children_failed
            );
        }
        if self.n_waiting > 0 {
            say!(
                "{} files are stored and wait to be indexed; `kura jobs summary` says why",
                self.n_waiting
            );
        }
    }
}

impl Child {
    fn print(&self, width: usize) {
        let outcome = match self.status {
            Status::Indexed => format!("{} chunks", self.n_chunks),
            Status::Pending => "waits".to_owned(),
            Status::Failed => format!("failed: {}", self.error.as_deref().unwrap_or_default()),
        };
        say!("  within     {:width$}  {outcome}", self.source);
        for warning in &self.warnings {
            say!("             {:width$}  warning: {warning}", "");
        }
    }

    pub(super) fn waits(&self) -> bool {
        self.status == Status::Pending
    }
}

impl From<Document> for Child {
    fn from(document: Document) -> Self {
        Self {
            document: document.id,
            source: document.source,
            status: document.status,
            media_type: document.media_type,
            size_bytes: document.size_bytes,
            n_chunks: document.n_chunks,
            warnings: document.warnings,
            error: document.error,
        }
    }
}

impl FileOutcome {
    fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Replaced => "replaced",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Unsupported => "unsupported",
        }
    }
}

impl From<documents::Outcome> for FileOutcome {
    fn from(outcome: documents::Outcome) -> Self {
        match outcome {
            documents::Outcome::New => Self::New,
            documents::Outcome::Replaced => Self::Replaced,
            documents::Outcome::Unchanged => Self::Unchanged,
        }
    }
}

impl Row {
    pub(super) fn new(found: &Found, outcome: FileOutcome) -> Self {
        Self {
            path: found.path.clone(),
            source: found.source.clone(),
            outcome,
            document: None,
            media_type: None,
            size_bytes: 0,
            n_chunks: 0,
            n_reused: 0,
            waiting: false,
            warnings: Vec::new(),
            code: None,
            error: None,
            remedy: None,
            children: Vec::new(),
        }
    }

    pub(super) fn failed(found: &Found, error: String) -> Self {
        Self {
            error: Some(error),
            ..Self::new(found, FileOutcome::Failed)
        }
    }

    /// Notes how a document stands.
    pub(super) fn settle(&mut self, document: Document, job: Option<&Job>) {
        if document.status == documents::Status::Failed {
            self.outcome = FileOutcome::Failed;
            let unknown = || "no reason given".to_owned();
            self.error = Some(document.error.unwrap_or_else(unknown));
        }
        self.waiting = document.status == documents::Status::Pending;
        self.document = Some(document.id);
        self.media_type = Some(document.media_type);
        self.size_bytes = document.size_bytes;
        self.n_chunks = document.n_chunks;
        self.warnings = document.warnings;
        if let Some(job) = job {
            self.n_reused = job.n_reused;
            self.code.clone_from(&job.code);
            self.remedy.clone_from(&job.remedy);
        }
    }
}

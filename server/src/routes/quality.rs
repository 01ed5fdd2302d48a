//! `/api/v1/collections/{name}/quality`

use super::{Path, Problems};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::error::ApiError;
use axum::extract::State;
use kura_indexer::quality::{self, Issue};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Documents with issues in one report.
const MAX_FINDINGS: usize = 1000;

/// What is wrong with the documents of a collection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Quality {
    /// Name of the collection.
    pub collection: String,
    /// Documents.
    pub n_documents: u64,
    /// Bytes of their files.
    pub n_bytes: u64,
    /// Searchable chunks.
    pub n_chunks: u64,
    /// Documents by status.
    pub statuses: BTreeMap<String, u64>,
    /// Documents by media type.
    pub formats: BTreeMap<String, FormatQuality>,
    /// Documents by language: `ja`, `latin` (any language in Latin letters), `mixed`, `other`, or `none`.
    pub languages: BTreeMap<String, u64>,
    /// Failed documents by code.
    pub failures: BTreeMap<String, u64>,
    /// Sizes of the files.
    pub sizes: FileSizes,
    /// Documents by kind of issue: `failed`, `empty`, `warnings`, `tiny`, `duplicate`, `near_duplicate`, `superseded`,
    /// `expired`, `old`.
    pub issues: BTreeMap<String, u64>,
    /// Documents with issues, worst first, 1,000 at most.
    pub findings: Vec<Finding>,
    /// Whether all texts that may be near-duplicates were compared.
    pub complete: bool,
}

/// The documents of one media type.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct FormatQuality {
    /// Documents.
    pub n_documents: u64,
    /// Those that could not be indexed.
    pub n_failed: u64,
    /// Bytes of their files.
    pub n_bytes: u64,
    /// Searchable chunks.
    pub n_chunks: u64,
}

/// Sizes of files, in bytes.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct FileSizes {
    /// Half of them are smaller.
    pub p50: u64,
    /// 95 of 100 are smaller.
    pub p95: u64,
    /// The largest.
    pub max: u64,
}

/// A document with issues.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    /// The document's id.
    pub document: String,
    /// Its source.
    pub source: String,
    /// Its issues, worst first.
    pub issues: Vec<QualityIssue>,
}

/// What is wrong with a document.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct QualityIssue {
    /// What kind of issue.
    pub kind: String,
    /// Why a document failed, as a word; docs/INGESTION.md lists them.
    #[schema(required)]
    pub code: Option<String>,
    /// The source of the other document, for duplicates.
    #[schema(required)]
    pub of: Option<String>,
    /// As a sentence.
    pub detail: String,
}

impl From<Issue> for QualityIssue {
    fn from(issue: Issue) -> Self {
        let (kind, detail) = (issue.kind().to_owned(), issue.to_string());
        let (code, of) = match issue {
            Issue::Failed(reason, _) => (reason.map(|reason| reason.as_str().to_owned()), None),
            Issue::Duplicate(of) | Issue::NearDuplicate(of) => (None, Some(of)),
            Issue::Empty
            | Issue::Warnings(_)
            | Issue::Tiny(_)
            | Issue::Superseded(_)
            | Issue::Expired(_)
            | Issue::Old(_) => (None, None),
        };
        Self {
            kind,
            code,
            of,
            detail,
        }
    }
}

impl Quality {
    /// Returns the report of a collection.
    #[must_use]
    pub fn of(collection: String, quality: quality::Quality) -> Self {
        let [p50, p95, max] = quality.sizes;
        Self {
            collection,
            n_documents: quality.n_documents,
            n_bytes: quality.n_bytes,
            n_chunks: quality.n_chunks,
            statuses: quality.statuses,
            formats: quality
                .formats
                .into_iter()
                .map(|(media_type, format)| (media_type, format.into()))
                .collect(),
            languages: quality.languages,
            failures: quality
                .failures
                .into_iter()
                .map(|(reason, n)| (reason.as_str().to_owned(), n))
                .collect(),
            sizes: FileSizes { p50, p95, max },
            issues: quality
                .issues
                .into_iter()
                .map(|(kind, n)| (kind.to_owned(), n))
                .collect(),
            findings: quality
                .findings
                .into_iter()
                .take(MAX_FINDINGS)
                .map(|finding| Finding {
                    document: finding.document.to_string(),
                    source: finding.source,
                    issues: finding.issues.into_iter().map(Into::into).collect(),
                })
                .collect(),
            complete: quality.complete,
        }
    }
}

impl From<quality::Format> for FormatQuality {
    fn from(format: quality::Format) -> Self {
        Self {
            n_documents: format.n_documents,
            n_failed: format.n_failed,
            n_bytes: format.n_bytes,
            n_chunks: format.n_chunks,
        }
    }
}

/// Returns what is wrong with the documents of a collection: unreadable, empty, twice there, outdated; worst first.
///
/// It reads every text, so it takes seconds for thousands of documents.
#[utoipa::path(get, path = "/api/v1/collections/{name}/quality", tag = "collections",
    params(("name" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Quality), Problems))]
pub async fn get_quality(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(name): Path<String>,
) -> Result<axum::Json<Quality>, ApiError> {
    let today = jiff::Zoned::now().date();
    let found = app
        .pipeline
        .quality(&name, &principal.access(), today)
        .await?;
    let quality = Quality::of(name, found);
    audited.items(quality.findings.len());
    Ok(axum::Json(quality))
}

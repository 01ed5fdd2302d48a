//! `/api/v1/verify`

use super::{Json, Problems};
use crate::app::AppState;
use crate::auth::Principal;
use crate::error::ApiError;
use axum::extract::State;
use kura_indexer::verify;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is to be compared.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VerifyRequest {
    /// Whether every original file is read and compared with its checksum.
    pub read_blobs: bool,
}

/// What was compared, and what differs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
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

/// What is wrong in one way with one part.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = VerifyFinding)]
pub struct Finding {
    /// Where.
    pub part: Part,
    /// How.
    pub trouble: Trouble,
    /// How many documents, files or rows.
    pub n: usize,
    /// Some of them.
    pub examples: Vec<String>,
}

/// A part of the data directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = VerifyPart)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = VerifyTrouble)]
pub enum Trouble {
    /// There, and nothing knows it.
    Orphan,
    /// Known, and not there.
    Missing,
    /// There, with other content than it should have.
    Damaged,
}

impl From<verify::Verification> for Verification {
    fn from(seen: verify::Verification) -> Self {
        Self {
            n_documents: seen.n_documents,
            n_chunks: seen.n_chunks,
            n_vectors: seen.n_vectors,
            n_keywords: seen.n_keywords,
            n_blobs: seen.n_blobs,
            findings: seen.findings.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<verify::Finding> for Finding {
    fn from(finding: verify::Finding) -> Self {
        Self {
            part: match finding.part {
                verify::Part::Catalog => Part::Catalog,
                verify::Part::Blobs => Part::Blobs,
                verify::Part::Vectors => Part::Vectors,
                verify::Part::Keywords => Part::Keywords,
            },
            trouble: match finding.trouble {
                verify::Trouble::Orphan => Trouble::Orphan,
                verify::Trouble::Missing => Trouble::Missing,
                verify::Trouble::Damaged => Trouble::Damaged,
            },
            n: finding.n,
            examples: finding.examples,
        }
    }
}

/// Compares catalog, original files and indexes. Indexing waits meanwhile.
#[utoipa::path(post, path = "/api/v1/verify", tag = "health", request_body = VerifyRequest,
    responses((status = 200, body = Verification), Problems))]
pub async fn verify_data(
    State(app): State<AppState>,
    _principal: Principal,
    Json(request): Json<VerifyRequest>,
) -> Result<axum::Json<Verification>, ApiError> {
    Ok(axum::Json(
        app.pipeline.verify(request.read_blobs).await?.into(),
    ))
}

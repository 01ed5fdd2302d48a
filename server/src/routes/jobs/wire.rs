//! Jobs and their queue as they go over the wire.

use kura_indexer::catalog;
use kura_indexer::ingest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Work in the background.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Job {
    /// UUID.
    pub id: String,
    /// What kind of work.
    pub kind: Kind,
    /// The document it is about.
    pub document: String,
    /// The document's source.
    pub source: String,
    /// The document's collection.
    pub collection: String,
    /// Where it stands.
    pub state: JobState,
    /// Which jobs it goes before.
    pub priority: Priority,
    /// What it is doing.
    #[schema(required)]
    pub stage: Option<Stage>,
    /// From 0 to 1.
    pub progress: f32,
    /// Why it failed or was cancelled, or why it waits for another attempt, as a word; docs/INGESTION.md lists them.
    #[schema(required)]
    pub code: Option<String>,
    /// The same as a sentence.
    #[schema(required)]
    pub error: Option<String>,
    /// What can be done about it.
    #[schema(required)]
    pub remedy: Option<String>,
    /// How often it was tried and ended without result.
    pub attempts: u32,
    /// Before which it is not tried again.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub next_attempt_at: Option<jiff::Timestamp>,
    /// Size of the file.
    pub size_bytes: u64,
    /// Chunks of the document; 0 until they are known.
    pub n_chunks: u32,
    /// Those of them that have their vector, while it runs.
    pub n_embedded: u32,
    /// Those of them that kept a vector which was there already.
    pub n_reused: u32,
    /// Chunks that get their vector per second, while it runs.
    #[schema(required)]
    pub chunks_per_second: Option<f32>,
    /// Seconds for which it will still run, at that rate.
    #[schema(required)]
    pub eta_secs: Option<f32>,
    /// When it was queued.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
    /// When it was first taken up.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub started_at: Option<jiff::Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub finished_at: Option<jiff::Timestamp>,
}

/// What kind of work a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobKind)]
pub enum Kind {
    /// Indexing a document.
    Ingest,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    /// Waiting.
    Queued,
    /// Being worked on.
    Running,
    /// Ended well.
    Done,
    /// Ended with an error; it can be retried.
    Failed,
    /// Not wanted any more; it can be retried.
    Cancelled,
}

/// Which jobs go before which.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobPriority)]
pub enum Priority {
    /// When nothing else waits.
    Low,
    /// Batches.
    #[default]
    Normal,
    /// Somebody waits for it.
    High,
}

/// How the queue stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobsSummary {
    /// Jobs that wait.
    pub queued: u64,
    /// Jobs being worked on.
    pub running: u64,
    /// Jobs that ended well.
    pub done: u64,
    /// Jobs that failed.
    pub failed: u64,
    /// Jobs that nobody wants any more.
    pub cancelled: u64,
    /// Queued jobs that were tried before.
    pub retrying: u64,
    /// Failed jobs by `code`.
    pub failed_by_code: BTreeMap<String, u64>,
    /// Bytes of the files that are queued or running.
    pub open_bytes: u64,
    /// When the longest waiting job was queued.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub oldest_queued_at: Option<jiff::Timestamp>,
    /// Work done per second, over the last minute.
    pub rates: JobRates,
    /// Seconds until all open jobs are done, at that rate; absent while that is not known.
    #[schema(required)]
    pub eta_secs: Option<f64>,
    /// Since when no job may start.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    pub paused_since: Option<jiff::Timestamp>,
    /// Why no job is run although some wait.
    #[schema(required)]
    pub obstacle: Option<Obstacle>,
}

/// Work done per second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JobRates {
    /// Documents that became searchable.
    pub documents: f64,
    /// Bytes of their files.
    pub bytes: f64,
    /// Chunks that got their vector, embedded or reused.
    pub chunks: f64,
    /// Tokens that were embedded.
    pub tokens: f64,
}

/// What keeps all jobs from being run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Obstacle {
    /// As a word; docs/INGESTION.md lists them.
    pub code: String,
    /// As a sentence.
    pub error: String,
    /// What can be done about it.
    pub remedy: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: jiff::Timestamp,
}

/// What a running job is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = JobStage)]
pub enum Stage {
    /// Reading the file.
    Extract,
    /// Cutting it into chunks.
    Chunk,
    /// Embedding them.
    Embed,
    /// Writing them to the indexes.
    Store,
}

impl JobState {
    /// Returns the name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        catalog::JobState::from(self).as_str()
    }
}

impl Stage {
    /// Returns the name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Extract => "extract",
            Self::Chunk => "chunk",
            Self::Embed => "embed",
            Self::Store => "store",
        }
    }
}

impl Job {
    /// Returns whether nothing more will happen.
    #[must_use]
    pub fn is_over(&self) -> bool {
        match self.state {
            JobState::Done | JobState::Failed | JobState::Cancelled => true,
            JobState::Queued | JobState::Running => false,
        }
    }
}

impl From<catalog::Job> for Job {
    fn from(job: catalog::Job) -> Self {
        Self {
            id: job.id.0.to_string(),
            kind: Kind::Ingest,
            document: job.document.to_string(),
            source: job.source,
            collection: job.collection_name,
            state: job.state.into(),
            priority: job.priority.into(),
            stage: job.stage.map(Into::into),
            progress: job.progress,
            code: job.reason.map(|reason| reason.as_str().to_owned()),
            error: job.error,
            remedy: job.reason.map(|reason| reason.remedy().to_owned()),
            attempts: job.attempts,
            next_attempt_at: job.next_attempt_at,
            size_bytes: job.n_bytes,
            n_chunks: job.n_chunks,
            n_embedded: job.n_embedded,
            n_reused: job.n_reused,
            chunks_per_second: job.chunks_per_second,
            eta_secs: job.eta.map(|eta| eta.as_secs_f32()),
            created_at: job.created_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
        }
    }
}

impl From<catalog::JobState> for JobState {
    fn from(state: catalog::JobState) -> Self {
        use catalog::JobState as Core;
        match state {
            Core::Queued => Self::Queued,
            Core::Running => Self::Running,
            Core::Done => Self::Done,
            Core::Failed => Self::Failed,
            Core::Cancelled => Self::Cancelled,
        }
    }
}

impl From<JobState> for catalog::JobState {
    fn from(state: JobState) -> Self {
        match state {
            JobState::Queued => Self::Queued,
            JobState::Running => Self::Running,
            JobState::Done => Self::Done,
            JobState::Failed => Self::Failed,
            JobState::Cancelled => Self::Cancelled,
        }
    }
}

impl From<catalog::Priority> for Priority {
    fn from(priority: catalog::Priority) -> Self {
        match priority {
            catalog::Priority::Low => Self::Low,
            catalog::Priority::Normal => Self::Normal,
            catalog::Priority::High => Self::High,
        }
    }
}

impl From<Priority> for catalog::Priority {
    fn from(priority: Priority) -> Self {
        match priority {
            Priority::Low => Self::Low,
            Priority::Normal => Self::Normal,
            Priority::High => Self::High,
        }
    }
}

impl From<ingest::JobsSummary> for JobsSummary {
    fn from(summary: ingest::JobsSummary) -> Self {
        use catalog::JobState as Core;
        let ingest::JobsSummary { counts, rates, .. } = summary;
        let by_code = counts.failed_by_reason.iter();
        Self {
            queued: counts.of(Core::Queued),
            running: counts.of(Core::Running),
            done: counts.of(Core::Done),
            failed: counts.of(Core::Failed),
            cancelled: counts.of(Core::Cancelled),
            retrying: counts.waiting_to_retry,
            failed_by_code: by_code
                .map(|(reason, n)| (reason.as_str().to_owned(), *n))
                .collect(),
            open_bytes: counts.open_bytes,
            oldest_queued_at: counts.oldest_queued,
            rates: JobRates {
                documents: rates.documents,
                bytes: rates.bytes,
                chunks: rates.chunks,
                tokens: rates.tokens,
            },
            eta_secs: summary.eta.map(|eta| eta.as_secs_f64()),
            paused_since: summary.paused_since,
            obstacle: summary.obstacle.map(|obstacle| Obstacle {
                code: obstacle.reason.as_str().to_owned(),
                error: obstacle.error,
                remedy: obstacle.reason.remedy().to_owned(),
                since: obstacle.since,
            }),
        }
    }
}

impl From<catalog::Stage> for Stage {
    fn from(stage: catalog::Stage) -> Self {
        match stage {
            catalog::Stage::Extract => Self::Extract,
            catalog::Stage::Chunk => Self::Chunk,
            catalog::Stage::Embed => Self::Embed,
            catalog::Stage::Store => Self::Store,
        }
    }
}

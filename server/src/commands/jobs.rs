//! `kura jobs`

use super::backend::{Backend, blocking};
use super::{Outcome, Usage, print_json, size, span};
use crate::audit::Audited;
use crate::config::Config;
use crate::routes::jobs::{Job, JobState, JobsQuery, JobsSummary, Retried, reason};
use kura_indexer::Pipeline;
use kura_indexer::catalog::JobId;

/// Jobs listed when `--limit` does not say how many.
const DEFAULT_LIMIT: usize = 50;

/// Arguments of `kura jobs`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List jobs, the latest first.
    List {
        /// Only those in this state.
        #[arg(long, value_name = "STATE")]
        state: Option<JobState>,
        /// Only those of this collection.
        #[arg(long, value_name = "NAME")]
        collection: Option<String>,
        /// Only those with this code, such as `encrypted`.
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
        /// Most jobs to list.
        #[arg(long, value_name = "N", default_value_t = DEFAULT_LIMIT)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show all that is known of a job.
    Show {
        /// The job's id.
        #[arg(value_name = "ID")]
        id: String,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Cancel jobs that are queued or running.
    Cancel {
        /// Ids of jobs.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
    },
    /// Queue jobs again that have failed or were cancelled.
    Retry {
        /// Ids of jobs.
        #[arg(value_name = "ID", required_unless_present = "all")]
        ids: Vec<String>,
        /// All failed jobs.
        #[arg(long, conflicts_with = "ids")]
        all: bool,
        /// With --all: only those with this code, such as `timeout`.
        #[arg(long, value_name = "CODE", requires = "all")]
        code: Option<String>,
    },
    /// Start no further job until `kura jobs resume`, also after a restart.
    Pause,
    /// Let jobs start again.
    Resume,
    /// Show how many jobs there are, how fast they go and when they will be done.
    Summary {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

/// Lists and changes jobs.
///
/// # Errors
/// When there is no such job, or it is not in a state for that.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    if let Command::List { code, .. } | Command::Retry { code, .. } = &args.command
        && let Some(code) = code
    {
        reason(code).map_err(|error| Usage(error.detail))?;
    }
    let backend = Queue(Backend::open(&config).await?);
    match args.command {
        Command::List {
            state,
            collection,
            code,
            limit,
            json,
        } => {
            let query = JobsQuery {
                state,
                collection,
                code,
                ..JobsQuery::default()
            };
            let jobs = backend.list(query, limit).await?;
            if json {
                print_json(&jobs)?;
            } else {
                print_list(&jobs);
            }
        }
        Command::Show { id, json } => {
            let job = backend.show(id).await?;
            if json {
                print_json(&job)?;
            } else {
                print_job(&job);
            }
        }
        Command::Cancel { ids } => {
            for id in ids {
                let job = backend.cancel(id).await?;
                say!("cancelled {}  {}", job.id, job.source);
            }
        }
        Command::Retry { ids, all, code } => {
            for id in ids {
                let job = backend.retry(id).await?;
                say!("queued {}  {}", job.id, job.source);
            }
            if all {
                let retried = backend.retry_failed(code).await?;
                say!("queued {} failed jobs again", retried.n_jobs);
            }
            backend.say_who_runs_them();
        }
        Command::Pause => {
            let summary = backend.set_paused(true).await?;
            say!("paused: {} jobs wait; those running go on", summary.queued);
        }
        Command::Resume => {
            let summary = backend.set_paused(false).await?;
            say!("resumed: {} jobs wait", summary.queued);
            backend.say_who_runs_them();
        }
        Command::Summary { json } => {
            let summary = backend.summary().await?;
            if json {
                print_json(&summary)?;
            } else {
                print_summary(&summary);
            }
        }
    }
    Ok(Outcome::Success)
}

/// The queue of this data directory, or of the server that holds it.
struct Queue(Backend);

impl Queue {
    async fn list(&self, query: JobsQuery, limit: usize) -> anyhow::Result<Vec<Job>> {
        match &self.0 {
            Backend::Local(pipeline) => {
                let filter = query.filter()?;
                let page = pipeline.jobs(&filter, None, limit).await?;
                Ok(page.items.into_iter().map(Into::into).collect())
            }
            Backend::Server(client) => {
                let client = client.clone();
                let state = query.state.map(|state| state.name().to_owned());
                let given = [
                    ("state", state),
                    ("collection", query.collection),
                    ("code", query.code),
                ];
                let given = given
                    .into_iter()
                    .filter_map(|(name, value)| Some((name, value?)));
                let given: Vec<_> = given.collect();
                blocking(move || client.jobs(&given, limit)).await
            }
        }
    }

    async fn show(&self, id: String) -> anyhow::Result<Job> {
        match &self.0 {
            Backend::Local(pipeline) => Ok(pipeline.job(job_id(&id)?).await?.into()),
            Backend::Server(client) => {
                let client = client.clone();
                blocking(move || client.job(&id)).await
            }
        }
    }

    async fn cancel(&self, id: String) -> anyhow::Result<Job> {
        match &self.0 {
            Backend::Local(local) => {
                let cancel = async |audited: &Audited| {
                    audited.target("job", &id);
                    Ok(local.cancel_job(job_id(&id)?).await?.into())
                };
                local.audited("job.cancel", cancel).await
            }
            Backend::Server(client) => {
                let client = client.clone();
                blocking(move || client.cancel_job(&id)).await
            }
        }
    }

    async fn retry(&self, id: String) -> anyhow::Result<Job> {
        match &self.0 {
            Backend::Local(local) => {
                let retry = async |audited: &Audited| {
                    audited.target("job", &id);
                    Ok(local.retry_job(job_id(&id)?).await?.into())
                };
                local.audited("job.retry", retry).await
            }
            Backend::Server(client) => {
                let client = client.clone();
                blocking(move || client.retry_job(&id)).await
            }
        }
    }

    async fn retry_failed(&self, code: Option<String>) -> anyhow::Result<Retried> {
        match &self.0 {
            Backend::Local(local) => {
                let reason = code.as_deref().map(reason).transpose()?;
                let retry = async |audited: &Audited| {
                    let n_jobs = local.retry_failed(reason).await?;
                    audited.items(n_jobs);
                    Ok(Retried { n_jobs })
                };
                local.audited("job.retry", retry).await
            }
            Backend::Server(client) => {
                let client = client.clone();
                blocking(move || client.retry_jobs(code.as_deref())).await
            }
        }
    }

    async fn set_paused(&self, paused: bool) -> anyhow::Result<JobsSummary> {
        match &self.0 {
            Backend::Local(local) => {
                let action = if paused { "job.pause" } else { "job.resume" };
                let set = async |_: &Audited| {
                    if paused {
                        local.pause_jobs().await?;
                    } else {
                        local.resume_jobs().await?;
                    }
                    Ok(())
                };
                local.audited(action, set).await?;
                local_summary(local).await
            }
            Backend::Server(client) => {
                let client = client.clone();
                blocking(move || client.set_jobs_paused(paused)).await
            }
        }
    }

    async fn summary(&self) -> anyhow::Result<JobsSummary> {
        match &self.0 {
            Backend::Local(pipeline) => local_summary(pipeline).await,
            Backend::Server(client) => {
                let client = client.clone();
                blocking(move || client.jobs_summary()).await
            }
        }
    }

    /// Without a server nothing runs jobs by itself.
    fn say_who_runs_them(&self) {
        match self.0 {
            Backend::Local(_) => {
                say!("no server is running: `kura serve` or the next `kura ingest` runs them");
            }
            Backend::Server(_) => {}
        }
    }
}

async fn local_summary(pipeline: &Pipeline) -> anyhow::Result<JobsSummary> {
    Ok(pipeline.jobs_summary().await?.into())
}

fn job_id(text: &str) -> anyhow::Result<JobId> {
    let id = text.parse().map_err(|_| kura_indexer::Error::UnknownJob {
        id: text.to_owned(),
    })?;
    Ok(JobId(id))
}

fn print_list(jobs: &[Job]) {
    for job in jobs {
        let what = match (&job.code, job.stage) {
            (Some(code), _) => code.clone(),
            (None, Some(stage)) => format!("{} {:.0} %", stage.name(), job.progress * 100.0),
            (None, None) => String::new(),
        };
        say!(
            "{}  {:9}  {:18}  {}/{}",
            job.id,
            job.state.name(),
            what,
            job.collection,
            job.source
        );
    }
    say!("{} jobs", jobs.len());
}

fn print_job(job: &Job) {
    let row = |name: &str, value: String| say!("{name:12}  {value}");
    row("id", job.id.clone());
    row("document", job.document.clone());
    row("source", format!("{}/{}", job.collection, job.source));
    row("size", size(job.size_bytes as f64));
    row("state", job.state.name().to_owned());
    if let Some(stage) = job.stage {
        row(
            "stage",
            format!("{}, {:.0} %", stage.name(), job.progress * 100.0),
        );
    }
    if job.n_chunks > 0 {
        row(
            "chunks",
            format!("{}, {} of them reused", job.n_chunks, job.n_reused),
        );
    }
    if let Some(rate) = job.chunks_per_second {
        row("rate", format!("{rate:.1} chunks/s"));
    }
    if let Some(eta) = job.eta_secs {
        row("done in", span(f64::from(eta)));
    }
    let optional = [
        ("code", job.code.clone()),
        ("cause", job.error.clone()),
        ("remedy", job.remedy.clone()),
        ("next attempt", job.next_attempt_at.map(|at| at.to_string())),
        ("queued", Some(job.created_at.to_string())),
        ("started", job.started_at.map(|at| at.to_string())),
        ("finished", job.finished_at.map(|at| at.to_string())),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            row(name, value);
        }
    }
    if job.attempts > 0 {
        row("attempts", job.attempts.to_string());
    }
}

fn print_summary(summary: &JobsSummary) {
    let JobsSummary {
        queued,
        running,
        done,
        failed,
        cancelled,
        ..
    } = summary;
    say!("{queued} queued, {running} running, {done} done, {failed} failed, {cancelled} cancelled");
    if summary.retrying > 0 {
        say!("{} of the queued were tried before", summary.retrying);
    }
    for (code, n) in &summary.failed_by_code {
        say!("  failed: {n:6}  {code}");
    }
    if let Some(since) = summary.oldest_queued_at {
        say!("waiting since {since}: {}", size(summary.open_bytes as f64));
    }
    let rates = &summary.rates;
    if rates.chunks > 0.0 {
        say!(
            "{:.1} files/s, {:.1} chunks/s, {:.0} tokens/s, {}/s over the last minute",
            rates.documents,
            rates.chunks,
            rates.tokens,
            size(rates.bytes)
        );
    }
    if let Some(eta) = summary.eta_secs {
        say!("done in about {}", span(eta));
    }
    if let Some(since) = summary.paused_since {
        say!("paused since {since}; `kura jobs resume` lets jobs start again");
    }
    if let Some(obstacle) = &summary.obstacle {
        say!(
            "no job can be run since {}: {} ({}); {}",
            obstacle.since,
            obstacle.error,
            obstacle.code,
            obstacle.remedy
        );
    }
}

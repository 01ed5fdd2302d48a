//! `kura forget`

use super::backend::{Backend, audited, blocking};
use super::{Hinted, Outcome, Usage, print_json};
use crate::app;
use crate::audit::Audited;
use crate::config::Config;
use crate::conversations::Conversations;
use crate::forget::Forgetter;
use crate::forget::certificate::{self, Erased, Flaw, Remains, Signed};
use crate::identity::Identity;
use crate::routes::forget::{Erasure, ErasureState, ForgetRequest};
use anyhow::Context as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How often a server is asked whether it is done.
const POLL: Duration = Duration::from_millis(500);

/// Arguments of `kura forget`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Erase documents, what lies in them, and all that came of them, for good.
    Document {
        /// Ids of documents.
        #[arg(value_name = "ID", required = true)]
        ids: Vec<String>,
        #[command(flatten)]
        how: How,
    },
    /// Erase a user with conversations, ratings, keys and sessions, for good.
    Person {
        /// Id or login, also of a user who was deleted.
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        how: How,
    },
    /// Show what was forgotten and what is being forgotten, the latest first.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print a certificate.
    Certificate {
        /// The erasure's id.
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Check a certificate. Exit code 1 if it does not hold.
    Verify {
        /// The certificate's file.
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The public key to check with; that of the data directory when absent.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
}

#[derive(Debug, clap::Args)]
struct How {
    /// Erase questions, answers, ratings and evaluations with this word, too, whoever asked; can be repeated.
    #[arg(long = "word", value_name = "WORD")]
    words: Vec<String>,
    /// Only say what would be erased, and what would remain.
    #[arg(long)]
    dry_run: bool,
    /// File for the certificate, which must not exist.
    #[arg(long, value_name = "FILE", conflicts_with = "dry_run")]
    certificate: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Erases for good, and shows and checks certificates.
///
/// # Errors
/// When something is unknown or held, or a store fails.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Document { ids, how } => {
            let request = ForgetRequest {
                documents: ids,
                ..ForgetRequest::default()
            };
            forget(&config, request, how).await
        }
        Command::Person { name, how } => {
            let request = ForgetRequest {
                person: Some(name),
                ..ForgetRequest::default()
            };
            forget(&config, request, how).await
        }
        Command::List { json } => {
            let erasures = list(&config).await?;
            if json {
                print_json(&erasures)?;
            } else {
                show_list(&erasures);
            }
            Ok(Outcome::Success)
        }
        Command::Certificate { id } => {
            let erasures = list(&config).await?;
            let found = erasures
                .into_iter()
                .find(|erasure| erasure.id.as_deref() == Some(id.as_str()));
            let signed = match found {
                None => {
                    return Err(Hinted::new(
                        format!("there is no erasure `{id}`"),
                        "`kura forget list` shows them",
                    )
                    .into());
                }
                Some(erasure) => erasure.certificate.with_context(|| {
                    format!("the erasure `{id}` goes on; its certificate comes with its end")
                })?,
            };
            super::emit(format_args!("{}", signed.text()?));
            Ok(Outcome::Success)
        }
        Command::Verify { file, key } => {
            let data_dir = config.data_dir.clone();
            blocking(move || verify(&data_dir, &file, key.as_deref())).await
        }
    }
}

async fn forget(config: &Config, request: ForgetRequest, how: How) -> anyhow::Result<Outcome> {
    let request = ForgetRequest {
        words: how.words,
        dry_run: how.dry_run,
        ..request
    };
    if let Some(file) = how.certificate.as_deref().filter(|file| file.exists()) {
        return Err(Usage(format!("`{}` exists; name another file", file.display())).into());
    }
    let erasure = match Backend::server(config).await? {
        Some(client) => {
            blocking(move || {
                let mut erasure = client.forget(&request)?;
                while let (ErasureState::Running, Some(id)) = (erasure.state, &erasure.id) {
                    std::thread::sleep(POLL);
                    erasure = client.erasure(id)?;
                }
                Ok(erasure)
            })
            .await?
        }
        None => here(config, &request).await?,
    };
    if let (Some(file), Some(signed)) = (how.certificate, &erasure.certificate) {
        let text = signed.text()?;
        blocking(move || Ok(fs_err::write(&file, text)?)).await?;
    }
    if how.json {
        print_json(&erasure)?;
    } else {
        show(&erasure);
    }
    Ok(Outcome::Success)
}

/// Forgets in this process, which has the data directory.
async fn here(config: &Config, request: &ForgetRequest) -> anyhow::Result<Erasure> {
    let (forgetter, log) = open(config).await?;
    let work = async |audited: &Audited| {
        request.note(audited);
        let wish = request.wish()?;
        if request.dry_run {
            return Ok(forgetter.plan(wish).await?.into());
        }
        let id = forgetter.begin(wish, "local operator").await?;
        audited.target("forget", &id.to_string());
        forgetter.finish(id).await?;
        let standing = forgetter.standing(id).await?;
        Ok(standing.context("the erasure is gone")?.into())
    };
    audited(&log, "data.forget", work).await
}

async fn list(config: &Config) -> anyhow::Result<Vec<Erasure>> {
    match Backend::server(config).await? {
        Some(client) => blocking(move || client.erasures()).await,
        None => {
            let (forgetter, _) = open(config).await?;
            let all = forgetter.standings(None, usize::MAX).await?;
            Ok(all.into_iter().map(Into::into).collect())
        }
    }
}

/// Opens what forgets, in this process. What an earlier one left undone is done first.
async fn open(config: &Config) -> anyhow::Result<(Forgetter, Arc<crate::audit::AuditLog>)> {
    let loading = config.clone();
    let models = blocking(move || app::load_ingest_models(&loading)).await?;
    let pipeline = app::open_pipeline(config, models).await?;
    let data_dir = config.data_dir.clone();
    let (conversations, identity) = blocking(move || {
        Ok((
            Conversations::open(&data_dir.join("conversations.db"))?,
            Identity::open(&data_dir)?,
        ))
    })
    .await?;
    let log = app::open_audit_log(config).await?;
    let forgetter = Forgetter::new(pipeline, conversations, identity, Arc::clone(&log));
    forgetter.finish_all().await;
    Ok((forgetter, log))
}

fn verify(data_dir: &Path, file: &Path, key: Option<&Path>) -> anyhow::Result<Outcome> {
    let public = key.map_or_else(|| certificate::public_file(data_dir), Path::to_owned);
    let public = match fs_err::read_to_string(&public) {
        Ok(public) => public,
        Err(error) if key.is_none() && error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Usage(format!(
                "the data directory `{}` has issued no certificate; name the public key to check with by --key, or the \
                 data directory that issued it by --data-dir",
                data_dir.display()
            ))
            .into());
        }
        Err(error) => return Err(error.into()),
    };
    let text = fs_err::read_to_string(file)?;
    match certificate::verify(&text, &public) {
        Ok(certificate) => {
            say!(
                "the certificate holds: erasure {}, completed {}",
                certificate.id,
                certificate.completed_at
            );
            Ok(Outcome::Success)
        }
        Err(flaw) => {
            say!("the certificate does not hold: {flaw}");
            if flaw == Flaw::OtherKey {
                say!(
                    "it says that its key is another one; check it with the public key of the data directory that issued it"
                );
            }
            Ok(Outcome::Failure)
        }
    }
}

fn show(erasure: &Erasure) {
    let Erasure {
        id,
        state,
        erased,
        remains,
        certificate,
        ..
    } = erasure;
    match (state, certificate, id) {
        (ErasureState::Planned, _, _) => {
            say!("would be erased:");
            show_parts(erased, remains, "would remain:");
        }
        (_, Some(Signed { certificate, .. }), _) => {
            say!("erased, as certificate {} says:", certificate.id);
            show_parts(&certificate.erased, &certificate.remains, "remains:");
        }
        (_, None, id) => say!("{} goes on", id.as_deref().unwrap_or("it")),
    }
}

fn show_parts(erased: &[Erased], remains: &[Remains], title: &str) {
    for Erased { store, what, n } in erased {
        say!("  {store}: {n} {what}");
    }
    if erased.is_empty() {
        say!("  nothing");
    }
    say!("{title}");
    for Remains {
        store,
        what,
        n,
        why,
        ids,
    } in remains
    {
        let n = n.map_or_else(String::new, |n| format!("{n} "));
        say!("  {store}: {n}{what}: {why}");
        for id in ids {
            say!("    {id}");
        }
    }
}

fn show_list(erasures: &[Erasure]) {
    if erasures.is_empty() {
        say!("nothing was forgotten");
    }
    for erasure in erasures {
        let id = erasure.id.as_deref().unwrap_or_default();
        match (erasure.finished_at, &erasure.certificate) {
            (Some(at), Some(Signed { certificate, .. })) => say!(
                "{id}  done {at}  {} documents, {} person",
                certificate.documents.len(),
                u8::from(certificate.person.is_some())
            ),
            _ => say!("{id}  goes on"),
        }
    }
}

//! `kura audit`

use super::backend::{Backend, audited, blocking};
use super::{Hinted, Outcome, emit, print_json};
use crate::app;
use crate::audit::export::{self, Format};
use crate::audit::read::{self, Filter};
use crate::audit::verify::{self, Verification};
use crate::audit::{self, Anchor, Ending, Record};
use crate::config::Config;
use crate::routes::audit::Head;
use anyhow::Context as _;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Arguments of `kura audit`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show records, the latest first.
    List {
        #[command(flatten)]
        filter: FilterArgs,
        /// Most records to show.
        #[arg(long, value_name = "N", default_value_t = 50)]
        limit: usize,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Check every record and the signed end of the log. Exit code 1 if anything was changed.
    Verify {
        /// A head kept elsewhere, as `kura audit head` printed it: shows whether the whole log was replaced.
        #[arg(long, value_name = "SEQ:HASH")]
        head: Option<Anchor>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the end of the log, to be kept where whoever can write to this machine cannot.
    Head {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Write records, the first first, for another system.
    Export {
        /// Their form.
        #[arg(long, value_enum, default_value = "jsonl")]
        format: Format,
        #[command(flatten)]
        filter: FilterArgs,
        /// File to write, which must not exist; stdout when absent.
        #[arg(long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Keep all records from being dropped, however old.
    Hold {
        #[command(subcommand)]
        command: HoldCommand,
    },
    /// Put a damaged log aside and begin a new one, which says so. No server may be running.
    Restart {
        /// Why; it is recorded.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
}

#[derive(Debug, clap::Subcommand)]
enum HoldCommand {
    /// Add a hold.
    Add {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Show the holds.
    List {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Release a hold.
    Release {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: String,
    },
}

/// Which records.
#[derive(Debug, clap::Args)]
struct FilterArgs {
    /// Recorded at this time or later: RFC 3339, or a day in UTC.
    #[arg(long, value_name = "TIME", value_parser = time)]
    from: Option<Timestamp>,
    /// Recorded before this time: RFC 3339, or a day in UTC.
    #[arg(long, value_name = "TIME", value_parser = time)]
    to: Option<Timestamp>,
    /// By this principal: a login or an id, such as `alice`, `admin`, `local operator` or `source NAME`.
    #[arg(long, value_name = "ID")]
    principal: Option<String>,
    /// This action, or all that begin with it and a dot: `document` is all about documents.
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// To the thing with this id, of whatever kind.
    #[arg(long, value_name = "ID")]
    target: Option<String>,
}

impl From<FilterArgs> for Filter {
    fn from(args: FilterArgs) -> Self {
        Self {
            from: args.from,
            to: args.to,
            principal: args.principal,
            action: args.action,
            target: args.target,
            result: None,
        }
    }
}

/// Shows, checks, exports and holds the audit log.
///
/// # Errors
/// When there is no log, or it cannot be read. What `verify` finds decides the exit code.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let data_dir = config.data_dir.clone();
    match args.command {
        Command::List {
            filter,
            limit,
            json,
        } => {
            require_log(&data_dir)?;
            let filter = filter.into();
            let found = blocking(move || read::latest(&data_dir, &filter, None, limit)).await?;
            if json {
                print_json(&found)?;
            } else {
                found.iter().for_each(print_record);
            }
        }
        Command::Verify { head, json } => {
            require_log(&data_dir)?;
            let seen = blocking(move || verify::verify(&data_dir, head.as_ref())).await?;
            if json {
                print_json(&seen)?;
            } else {
                print_verification(&seen);
            }
            if !seen.findings.is_empty() {
                return Ok(Outcome::Failure);
            }
        }
        Command::Head { json } => {
            require_log(&data_dir)?;
            let seen = blocking(move || verify::verify(&data_dir, None)).await?;
            if let Some(finding) = seen.findings.first() {
                let message = format!("the audit log is damaged: {}", finding.trouble);
                return Err(Hinted::new(message, "see `kura audit verify`").into());
            }
            let head = Head::from(Anchor {
                seq: seen.last_seq,
                hash: seen.last_hash,
            });
            if json {
                print_json(&head)?;
            } else {
                say!("{}", head.anchor);
            }
        }
        Command::Export {
            format,
            filter,
            output,
        } => {
            require_log(&data_dir)?;
            let filter = filter.into();
            blocking(move || export(&data_dir, &filter, format, output.as_deref())).await?;
        }
        Command::Hold { command } => hold(&config, command).await?,
        Command::Restart { reason } => {
            require_log(&data_dir)?;
            let aside = blocking(move || audit::restart(&data_dir, &reason)).await?;
            say!(
                "a new log has begun; the old one and its key are in {}",
                aside.display()
            );
        }
    }
    Ok(Outcome::Success)
}

fn export(
    data_dir: &Path,
    filter: &Filter,
    format: Format,
    output: Option<&Path>,
) -> anyhow::Result<()> {
    let host = export::host_name();
    let Some(path) = output else {
        return read::each(data_dir, filter, |record, line| {
            emit(format_args!(
                "{}\n",
                export::render(format, record, line, &host)
            ));
            Ok(())
        });
    };
    let file = fs_err::OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)?;
    let mut writer = std::io::BufWriter::new(file);
    read::each(data_dir, filter, |record, line| {
        writeln!(writer, "{}", export::render(format, record, line, &host))
            .with_context(|| format!("cannot write `{}`", path.display()))
    })?;
    let file = writer.into_inner().map_err(|error| error.into_error())?;
    Ok(file.sync_all()?)
}

async fn hold(config: &Config, command: HoldCommand) -> anyhow::Result<()> {
    let server = Backend::server(config).await?;
    match command {
        HoldCommand::List { json } => {
            require_log(&config.data_dir)?;
            let data_dir = config.data_dir.clone();
            let holds = blocking(move || verify::holds(&data_dir)).await?;
            if json {
                print_json(&holds)?;
            } else if holds.is_empty() {
                say!("no holds");
            }
            if !json {
                holds.iter().for_each(|name| say!("{name}"));
            }
        }
        HoldCommand::Add { name } => {
            match server {
                Some(client) => blocking(move || client.add_audit_hold(&name)).await?,
                None => change(config, &name, true).await?,
            }
            say!("done");
        }
        HoldCommand::Release { name } => {
            match server {
                Some(client) => blocking(move || client.release_audit_hold(&name)).await?,
                None => change(config, &name, false).await?,
            }
            say!("done");
        }
    }
    Ok(())
}

/// Adds or releases a hold in this process.
async fn change(config: &Config, name: &str, add: bool) -> anyhow::Result<()> {
    require_log(&config.data_dir)?;
    let log = app::open_audit_log(config).await?;
    let action = if add {
        "audit.hold.add"
    } else {
        "audit.hold.release"
    };
    audited(&log, action, async |audited| {
        audited.target("hold", name);
        let changed = if add {
            log.hold(name).await
        } else {
            log.release(name).await
        };
        Ok(changed?)
    })
    .await
}

fn require_log(data_dir: &Path) -> anyhow::Result<()> {
    if data_dir.join("audit").is_dir() {
        return Ok(());
    }
    Err(Hinted::new(
        format!("there is no audit log in `{}`", data_dir.display()),
        "it begins with the first `kura serve` or other command that changes or shows something; name another data \
         directory with --data-dir",
    )
    .into())
}

fn print_record(record: &Record) {
    let target: Vec<String> = record
        .target
        .iter()
        .map(|(kind, id)| format!("{kind} {id}"))
        .collect();
    let result = match record.outcome.result {
        Ending::Success => "ok",
        Ending::Refused => "refused",
        Ending::Failed => "failed",
        Ending::CutOff => "cut off",
    };
    say!(
        "{:>8}  {:.0}  {:<20} {:<20} {:<8} {}{}",
        record.seq,
        record.at,
        record
            .name
            .as_deref()
            .or(record.principal.as_deref())
            .unwrap_or("-"),
        record.action,
        result,
        record
            .outcome
            .code
            .as_ref()
            .map(|code| format!("{code} "))
            .unwrap_or_default(),
        target.join(", ")
    );
}

fn print_verification(seen: &Verification) {
    let Verification {
        n_records,
        first_seq,
        last_seq,
        last_hash,
        findings,
        notes,
    } = seen;
    say!("records  {n_records}, from {first_seq} to {last_seq}");
    say!("head     {last_seq}:{last_hash}");
    for note in notes {
        say!("note     {note}");
    }
    if findings.is_empty() {
        say!("\nevery record is as it was written");
    }
    for finding in findings {
        let what = finding
            .seq
            .map(|seq| format!("record {seq}, "))
            .unwrap_or_default();
        say!(
            "\nBAD      {what}{}\n         {}",
            finding.place,
            finding.trouble
        );
    }
}

/// Reads a time, or a day.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let day: Result<jiff::civil::Date, _> = text.parse();
    let start = day.and_then(|day| day.to_zoned(TimeZone::UTC));
    start.map(|start| start.timestamp()).map_err(|_| {
        format!("`{text}` is neither a time like 2026-11-30T08:00:00Z nor a day like 2026-11-30")
    })
}

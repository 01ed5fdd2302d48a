//! One module per subcommand, and what they share: dispatch, exit codes and how an error reads.

#![expect(clippy::print_stderr, reason = "commands print errors to stderr")]

/// Prints a line to stdout, where results go.
macro_rules! say {
    ($($arg:tt)*) => {
        crate::commands::emit(format_args!("{}\n", format_args!($($arg)*)))
    };
}

mod accounts;
pub mod admin;
pub mod ask;
pub mod audit;
mod backend;
pub mod collections;
pub mod config;
pub mod dictionary;
pub mod doctor;
pub mod eval;
pub mod explain;
pub mod extract;
mod filter;
pub mod forget;
pub mod groups;
pub mod ingest;
pub mod jobs;
pub mod keys;
pub mod models;
pub mod quality;
pub(crate) mod remote;
pub mod search;
pub mod serve;
pub mod sync;
pub mod users;
pub mod verify;

use self::remote::Remote;
use crate::cli::{Cli, Command, Globals};
use crate::config::{Config, Flags, Loaded, Problem};
use crate::{error, openapi, telemetry};
use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::time::Duration;

/// How a command that did not fail ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All is well: exit code 0.
    Success,
    /// The command did its work and found something wrong: exit code 1.
    Failure,
    /// Part of the work failed: exit code 3.
    Partial,
}

/// The configuration is wrong, so nothing was started: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("the configuration is invalid:{}", list(.0))]
pub(crate) struct InvalidConfig(pub(crate) Vec<Problem>);

/// The command was not used as it can be, which only its data showed: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub(crate) String);

/// An error with a remedy of its own.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    pub(crate) fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// Runs a command; returns the process's exit code.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    match dispatch(cli) {
        Ok(Outcome::Success) => ExitCode::SUCCESS,
        Ok(Outcome::Failure) => ExitCode::from(1),
        Ok(Outcome::Partial) => ExitCode::from(3),
        Err(failure) => {
            eprintln!("error: {}", error::chain(failure.as_ref()));
            if let Some(hint) = hint(&failure) {
                eprintln!("hint: {hint}");
            }
            let is_wrong_use = failure.is::<InvalidConfig>() || failure.is::<Usage>();
            ExitCode::from(if is_wrong_use { 2 } else { 1 })
        }
    }
}

fn dispatch(cli: Cli) -> anyhow::Result<Outcome> {
    let flags = flags(&cli.globals, &cli.command);
    let remote = Remote::of(&cli.globals, &cli.command)?;
    let configured = |flags: &Flags| {
        let config = configured(flags)?;
        Ok::<_, anyhow::Error>(Config {
            remote: remote.clone(),
            ..config
        })
    };
    match cli.command {
        // These must work whatever the configuration says.
        Command::Openapi => {
            emit(format_args!("{}", openapi::json()));
            Ok(Outcome::Success)
        }
        Command::ExtractWorker(args) => extract::work(&args),
        Command::Config(args) => config::run(&flags, &args),
        Command::Doctor(args) => runtime()?.block_on(doctor::run(&flags, &args)),
        Command::Serve(_) => {
            let (config, runtime) = (configured(&flags)?, runtime()?);
            let ended = runtime.block_on(serve::run(config));
            // Work that is still going on may take minutes, and is taken up again at the next start.
            runtime.shutdown_timeout(Duration::from_secs(1));
            let audit = ended?;
            // What was cut off just now is on record, too.
            futures::executor::block_on(audit.flush());
            Ok(Outcome::Success)
        }
        Command::Ingest(args) => runtime()?.block_on(ingest::run(configured(&flags)?, args)),
        Command::Jobs(args) => runtime()?.block_on(jobs::run(configured(&flags)?, args)),
        Command::Collections(args) => {
            runtime()?.block_on(collections::run(configured(&flags)?, args))
        }
        Command::Quality(args) => runtime()?.block_on(quality::run(configured(&flags)?, args)),
        Command::Sync(args) => runtime()?.block_on(sync::run(configured(&flags)?, args)),
        Command::Verify(args) => runtime()?.block_on(verify::run(configured(&flags)?, args)),
        Command::Search(args) => runtime()?.block_on(search::run(configured(&flags)?, args)),
        Command::Explain(args) => runtime()?.block_on(explain::run(configured(&flags)?, args)),
        Command::Ask(args) => runtime()?.block_on(ask::run(configured(&flags)?, args)),
        Command::Extract(args) => {
            let config = configured(&flags)?;
            runtime()?.block_on(extract::run(&config, &args))
        }
        Command::Models(args) => models::run(&configured(&flags)?, args),
        Command::Audit(args) => runtime()?.block_on(audit::run(configured(&flags)?, args)),
        Command::Admin(args) => runtime()?.block_on(admin::run(configured(&flags)?, args)),
        Command::Dictionary(args) => {
            runtime()?.block_on(dictionary::run(configured(&flags)?, args))
        }
        Command::Users(args) => runtime()?.block_on(users::run(configured(&flags)?, args)),
        Command::Forget(args) => runtime()?.block_on(forget::run(configured(&flags)?, args)),
        Command::Groups(args) => runtime()?.block_on(groups::run(configured(&flags)?, args)),
        Command::Keys(args) => runtime()?.block_on(keys::run(configured(&flags)?, args)),
        Command::Eval(args) => runtime()?.block_on(eval::run(configured(&flags)?, args)),
    }
}

fn flags(globals: &Globals, command: &Command) -> Flags {
    let is_server = matches!(command, Command::Serve(_));
    let listen = match command {
        Command::Serve(args) => args.listen.clone(),
        Command::Ingest(_)
        | Command::Jobs(_)
        | Command::Quality(_)
        | Command::Collections(_)
        | Command::Sync(_)
        | Command::Verify(_)
        | Command::Search(_)
        | Command::Ask(_)
        | Command::Explain(_)
        | Command::Extract(_)
        | Command::ExtractWorker(_)
        | Command::Models(_)
        | Command::Config(_)
        | Command::Doctor(_)
        | Command::Admin(_)
        | Command::Audit(_)
        | Command::Dictionary(_)
        | Command::Forget(_)
        | Command::Users(_)
        | Command::Groups(_)
        | Command::Keys(_)
        | Command::Eval(_)
        | Command::Openapi => None,
    };
    Flags {
        config: globals.config.clone(),
        data_dir: globals.data_dir.clone(),
        log_level: globals.log_level.clone(),
        listen,
        is_server,
    }
}

/// Loads the configuration and starts logging as it says.
fn configured(flags: &Flags) -> anyhow::Result<Config> {
    let Loaded {
        config, settings, ..
    } = crate::config::load(flags).map_err(InvalidConfig)?;
    let mut log = config.log.clone();
    // Between a person and a command's result only warnings belong, unless the level was chosen.
    let chosen = settings.iter().any(|setting| {
        setting.key == "log.level" && setting.origin != crate::config::Origin::Default
    });
    if !flags.is_server && !chosen {
        "warn".clone_into(&mut log.level);
    }
    telemetry::init_logs(&log)?;
    Ok(config)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

/// Writes to stdout. A reader that has read enough, such as `head`, is no failure.
fn emit(text: std::fmt::Arguments<'_>) {
    use std::io::Write as _;
    if let Err(error) = std::io::stdout().lock().write_fmt(text) {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            std::process::exit(0);
        }
        eprintln!("error: cannot write the result: {error}");
        std::process::exit(1);
    }
}

/// Prints a result for programs.
fn print_json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    say!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// Returns a size for people.
fn size(bytes: f64) -> String {
    match bytes {
        ..1e3 => format!("{bytes:.0} B"),
        ..1e6 => format!("{:.1} kB", bytes / 1e3),
        ..1e9 => format!("{:.1} MB", bytes / 1e6),
        _ => format!("{:.1} GB", bytes / 1e9),
    }
}

/// Returns a time span for people.
fn span(seconds: f64) -> String {
    match seconds {
        ..60.0 => format!("{:.0} s", seconds.ceil()),
        ..3600.0 => format!("{:.0} min", (seconds / 60.0).ceil()),
        _ => format!("{:.1} h", seconds / 3600.0),
    }
}

/// Returns a progress bar on stderr; hidden where that is no terminal.
fn progress_bar(template: &str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

/// Returns what to do about an error, where that is known and its message does not say it.
fn hint(failure: &anyhow::Error) -> Option<String> {
    for cause in failure.chain() {
        if let Some(hinted) = cause.downcast_ref::<Hinted>() {
            return Some(hinted.hint.clone());
        }
        if let Some(error) = cause.downcast_ref::<kura_indexer::Error>() {
            use kura_indexer::Error as E;
            #[expect(
                clippy::wildcard_enum_match_arm,
                reason = "the other messages carry their remedy"
            )]
            match error {
                E::Locked { .. } => {
                    return Some(
                        "wait for the other command to end, or if a server is starting, until it is ready".to_owned(),
                    );
                }
                E::UnknownCollection { .. } => {
                    return Some(
                        "`kura ingest PATH --collection NAME` makes a collection".to_owned(),
                    );
                }
                E::UnknownSource { .. } => {
                    return Some("`kura sync list` shows the sources".to_owned());
                }
                E::StorageFull { .. } => {}
                full if full.is_storage_full() => {
                    return Some(io_hint(std::io::ErrorKind::StorageFull)?.to_owned());
                }
                // The error stands for its cause, which the chain therefore skips.
                E::Io(io) => return io_hint(io.kind()).map(str::to_owned),
                _ => {}
            }
        }
        if cause.is::<InvalidConfig>() {
            return Some("`kura config show --defaults` documents every key".to_owned());
        }
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return io_hint(io.kind()).map(str::to_owned);
        }
    }
    None
}

fn io_hint(kind: std::io::ErrorKind) -> Option<&'static str> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "foreign and large")]
    match kind {
        std::io::ErrorKind::PermissionDenied => {
            Some("check the permissions, or choose another data directory with --data-dir")
        }
        std::io::ErrorKind::ReadOnlyFilesystem => {
            Some("see the system's log, repair the disk and mount it again")
        }
        std::io::ErrorKind::StorageFull => {
            Some("free some space; nothing already stored is harmed")
        }
        std::io::ErrorKind::AddrInUse => {
            Some("choose another address with --listen, or stop what listens there")
        }
        _ => None,
    }
}

fn list(problems: &[Problem]) -> String {
    problems
        .iter()
        .map(|problem| format!("\n  {problem}"))
        .collect()
}

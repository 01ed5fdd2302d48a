//! `kura config`

use super::{InvalidConfig, Outcome, print_json};
use crate::config::{DEFAULT_TOML, Flags, Problem, load};
use serde::Serialize;

/// Arguments of `kura config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print the values in effect, each with its origin.
    Show {
        /// Print the documented defaults instead: a configuration file to start from.
        #[arg(long)]
        defaults: bool,
        /// Print JSON.
        #[arg(long, conflicts_with = "defaults")]
        json: bool,
    },
    /// Report everything that is wrong with the configuration.
    Check {
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Serialize)]
struct Checked {
    ok: bool,
    file: Option<std::path::PathBuf>,
    problems: Vec<String>,
}

/// Shows or checks the configuration.
///
/// # Errors
/// When the configuration is invalid.
pub fn run(flags: &Flags, args: &Args) -> anyhow::Result<Outcome> {
    match args.command {
        Command::Show { defaults: true, .. } => {
            super::emit(format_args!("{DEFAULT_TOML}"));
            Ok(Outcome::Success)
        }
        Command::Show { json, .. } => show(flags, json),
        Command::Check { json } => check(flags, json),
    }
}

fn show(flags: &Flags, json: bool) -> anyhow::Result<Outcome> {
    let loaded = load(flags).map_err(InvalidConfig)?;
    if json {
        print_json(&serde_json::json!({ "file": loaded.file, "settings": loaded.settings }))?;
        return Ok(Outcome::Success);
    }
    let width =
        |setting: &crate::config::Setting| setting.key.len() + setting.value.to_string().len() + 3;
    let column = loaded.settings.iter().map(width).max().unwrap_or(0).min(72);
    for setting in &loaded.settings {
        let assignment = format!("{} = {}", setting.key, setting.value);
        say!("{assignment:column$}  # {}", setting.origin);
    }
    Ok(Outcome::Success)
}

fn check(flags: &Flags, json: bool) -> anyhow::Result<Outcome> {
    let (file, problems) = match load(flags) {
        Ok(loaded) => (loaded.file, Vec::new()),
        Err(problems) => (flags.config.clone(), problems),
    };
    if json {
        print_json(&Checked {
            ok: problems.is_empty(),
            file,
            problems: problems.iter().map(Problem::to_string).collect(),
        })?;
    }
    match (problems.is_empty(), json) {
        (true, true) => Ok(Outcome::Success),
        (true, false) => {
            say!("the configuration is valid");
            Ok(Outcome::Success)
        }
        (false, _) => Err(InvalidConfig(problems).into()),
    }
}

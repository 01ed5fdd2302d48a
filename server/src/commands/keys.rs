//! `kura keys`

use super::accounts::Accounts;
use super::{Outcome, print_json};
use crate::config::Config;
use crate::identity::Role;
use crate::routes::api_keys::{ApiKey, NewApiKey};
use anyhow::Context as _;
use jiff::{SignedDuration, Timestamp};
use std::num::{NonZeroU32, NonZeroU64};

/// Arguments of `kura keys`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Make an API key of a user and print it; it cannot be shown again.
    Create {
        /// The login of the user, who is best a service.
        #[arg(value_name = "USER")]
        user: String,
        /// What the key is for.
        #[arg(long, value_name = "TEXT")]
        name: String,
        /// It allows no more than this role.
        #[arg(long, value_enum)]
        role: Option<Role>,
        /// It reaches this collection only; can be repeated.
        #[arg(long = "collection", value_name = "COLLECTION")]
        collections: Vec<String>,
        /// It ends after so many days.
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        expires_days: Option<u32>,
        /// Requests a minute, in place of `limits.requests_per_minute`.
        #[arg(long, value_name = "N")]
        requests_per_minute: Option<NonZeroU32>,
        /// Tokens of models a day, in place of `limits.tokens_per_day`.
        #[arg(long, value_name = "N")]
        tokens_per_day: Option<NonZeroU64>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Show API keys; of each only how it begins.
    List {
        /// The login of a user; everyone's keys otherwise.
        #[arg(value_name = "USER")]
        user: Option<String>,
        /// Print JSON.
        #[arg(long)]
        json: bool,
    },
    /// Make an API key void, from its next use on.
    Revoke {
        /// The key's id, as `kura keys list` shows it.
        #[arg(value_name = "ID")]
        id: String,
    },
}

/// Manages API keys.
///
/// # Errors
/// When there is no such user or key, or what is given cannot be used.
pub async fn run(config: Config, args: Args) -> anyhow::Result<Outcome> {
    let accounts = Accounts::open(&config).await?;
    match args.command {
        Command::Create {
            user,
            name,
            role,
            collections,
            expires_days,
            requests_per_minute,
            tokens_per_day,
            json,
        } => {
            let new = NewApiKey {
                name,
                user: None,
                role,
                collections: Some(collections).filter(|names| !names.is_empty()),
                requests_per_minute,
                tokens_per_day,
                expires_at: expires_days.map(days_from_now).transpose()?,
            };
            let made = accounts.make_api_key(user, new).await?;
            if json {
                print_json(&made)?;
            } else {
                // Alone on stdout, so that it can be stored without being read.
                say!("{}", made.key);
            }
        }
        Command::List { user, json } => {
            let keys = accounts.api_keys(user).await?;
            if json {
                print_json(&keys)?;
            } else if keys.is_empty() {
                say!("there are no API keys; `kura keys create USER --name TEXT` makes one");
            } else {
                keys.iter().for_each(show);
            }
        }
        Command::Revoke { id } => {
            accounts.revoke_api_key(id).await?;
            say!("done");
        }
    }
    Ok(Outcome::Success)
}

fn days_from_now(days: u32) -> anyhow::Result<Timestamp> {
    let span = SignedDuration::from_hours(i64::from(days) * 24);
    Timestamp::now()
        .checked_add(span)
        .context("--expires-days is too large")
}

fn show(key: &ApiKey) {
    let state = match (key.revoked_at, key.expires_at) {
        (Some(at), _) => format!("revoked {at}"),
        (None, Some(at)) => format!("until {at}"),
        (None, None) => "no end".to_owned(),
    };
    let used = key
        .last_used_at
        .map_or_else(|| "never used".to_owned(), |at| format!("used {at}"));
    let mut spent = format!("{} tokens today", key.tokens_today);
    if let Some(most) = key.tokens_per_day {
        spent = format!("{} of {most} tokens today", key.tokens_today);
    }
    if let Some(most) = key.requests_per_minute {
        spent.push_str(&format!("  {most} requests a minute"));
    }
    say!(
        "{}  {}…  {}  {state}  {used}  {spent}",
        key.id,
        key.prefix,
        key.name
    );
}

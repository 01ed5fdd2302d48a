//! Commands of users: with the API key in `KURA_API_KEY` a command does what that key's user may, over the API, and nothing
//! on the data directory.

use super::Usage;
use crate::cli::{Command, Globals};
use crate::client::Client;
use anyhow::Context as _;
use secrecy::SecretString;
use std::path::Path;

/// Read from the environment only: what is on a command line every account of the machine may see.
const KEY: &str = "KURA_API_KEY";

/// As whom a command works, and where.
#[derive(Debug, Clone)]
pub struct Remote {
    key: SecretString,
    /// The server's address; that of the server that holds the data directory when absent.
    url: Option<String>,
}

impl Remote {
    /// Returns what environment and command line say; `None` for commands of the operator.
    ///
    /// # Errors
    /// [`Usage`] for a server without a key, an address that would send the key in the clear to another machine, and a
    /// command that works on the data directory.
    pub(super) fn of(globals: &Globals, command: &Command) -> anyhow::Result<Option<Self>> {
        let key = std::env::var(KEY).unwrap_or_default();
        let url = globals.server.as_deref().filter(|url| !url.is_empty());
        if key.trim().is_empty() {
            return match url {
                None => Ok(None),
                Some(_) => Err(Usage(format!(
                    "a server is named and no API key; put one into {KEY}"
                ))
                .into()),
            };
        }
        match works_on(command) {
            On::Api => {}
            On::Machine => return Ok(None),
            On::Data => {
                return Err(Usage(format!(
                    "this command works on the data directory, as the operator and not as the user of an API key; unset {KEY}"
                ))
                .into());
            }
        }
        if let Some(url) = url {
            check(url)?;
        }
        Ok(Some(Self {
            key: key.trim().to_owned().into(),
            url: url.map(|url| url.trim_end_matches('/').to_owned()),
        }))
    }

    /// Returns a client of the server, which may turn out not to answer.
    ///
    /// # Errors
    /// When no server is named and none holds the data directory.
    pub(super) fn client(&self, data_dir: &Path) -> anyhow::Result<Client> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => {
                let run = crate::run_file::read(data_dir);
                let run = run.context(
                    "cannot find out where the server is; name it with --server or KURA_SERVER",
                )?;
                run.context(
                    "no server runs on this data directory; name one with --server or KURA_SERVER",
                )?
                .url
            }
        };
        Ok(Client::with_key(&url, &self.key))
    }
}

/// What a command works on.
enum On {
    /// The server's API, for all that it does.
    Api,
    /// The data directory.
    Data,
    /// Nothing that kura keeps of documents and people.
    Machine,
}

fn works_on(command: &Command) -> On {
    match command {
        Command::Ask(_)
        | Command::Collections(_)
        | Command::Dictionary(_)
        | Command::Explain(_)
        | Command::Groups(_)
        | Command::Ingest(_)
        | Command::Jobs(_)
        | Command::Keys(_)
        | Command::Quality(_)
        | Command::Search(_)
        | Command::Sync(_)
        | Command::Users(_)
        | Command::Verify(_) => On::Api,
        Command::Admin(_)
        | Command::Audit(_)
        | Command::Doctor(_)
        | Command::Eval(_)
        | Command::Forget(_)
        | Command::Serve(_) => On::Data,
        Command::Config(_)
        | Command::Extract(_)
        | Command::ExtractWorker(_)
        | Command::Models(_)
        | Command::Openapi => On::Machine,
    }
}

fn check(url: &str) -> anyhow::Result<()> {
    let is_local = |rest: &str| {
        let authority = rest.split('/').next().unwrap_or_default();
        if authority.contains('@') {
            return false;
        }
        let host = match authority.strip_prefix('[') {
            Some(v6) => v6.split(']').next(),
            None => authority.split(':').next(),
        };
        let host = host.unwrap_or_default();
        host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback())
    };
    let reason = match url.split_once("://") {
        Some(("https", _)) => return Ok(()),
        Some(("http", rest)) if is_local(rest) => return Ok(()),
        Some(("http", _)) => "the key would cross the network in the clear; use https://",
        _ => "it begins with neither https:// nor http://",
    };
    Err(Usage(format!("`{url}` cannot be the server: {reason}")).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sent_in_the_clear_to_this_machine_only() {
        for fine in [
            "https://kura.example.com",
            "http://127.0.0.1:8080",
            "http://localhost:8080/",
            "http://[::1]:8080",
        ] {
            check(fine).unwrap();
        }
        for bad in [
            "http://kura.example.com",
            "http://127.0.0.1.example.com",
            "http://localhost@example.com",
            "http://localhost:x@example.com",
            "http://10.0.0.1:8080",
            "ftp://localhost",
            "kura.example.com",
        ] {
            assert!(check(bad).unwrap_err().is::<Usage>(), "{bad}");
        }
    }
}

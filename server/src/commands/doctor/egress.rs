//! `kura doctor --egress`: what a security officer asks. Where may it connect to, did it, and what could a document do?

use crate::app;
use crate::client::Client;
use crate::commands::backend::{Backend, blocking};
use crate::commands::{InvalidConfig, Outcome, print_json};
use crate::config::{Config, Flags, load};
use crate::routes::sources::Source;
use crate::sync::Live;
use crate::{run_file, telemetry};
use kura_egress::{Egress, Peer, Purpose};
use serde::Serialize;

/// The report.
#[derive(Debug, Serialize)]
struct Report {
    /// Whether documents are read without a network, and offline means offline.
    ok: bool,
    /// Whether nothing but this machine is connected to.
    offline: bool,
    /// `network.allow`, for sources.
    allow: Vec<String>,
    /// Whom what is configured leads to.
    peers: Vec<Reach>,
    /// Why the sources are not among them.
    sources_unknown: Option<String>,
    /// The server that holds the data directory.
    server: Option<Server>,
    workers: Workers,
}

/// Someone whom something configured leads to.
#[derive(Debug, Serialize)]
struct Reach {
    purpose: &'static str,
    /// Which of its kind.
    name: String,
    /// `host:port`.
    peer: String,
    allowed: Allowed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Allowed {
    /// It is this machine.
    ThisMachine,
    /// `network.allow` has it.
    Yes,
    /// It is refused.
    No,
    /// Only while a person runs the command for it.
    OnCommand,
}

/// A running server, and what it has connected to since its start.
#[derive(Debug, Serialize)]
struct Server {
    url: String,
    pid: u32,
    /// How the kernel confines it, as far as this account may know: systemd or a container has seen to that.
    seccomp: Option<bool>,
    no_new_privileges: Option<bool>,
    connections: Vec<Connections>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Connections {
    purpose: String,
    peer: String,
    opened: u64,
    refused: u64,
}

/// The processes that read documents.
#[derive(Debug, Default, Serialize)]
struct Workers {
    no_network: bool,
    no_files: bool,
    no_processes: bool,
    /// What is missing, and why.
    missing: Vec<String>,
}

/// Prints the report.
///
/// # Errors
/// When the configuration is wrong.
pub(super) async fn run(flags: &Flags, json: bool) -> anyhow::Result<Outcome> {
    let config = load(flags).map_err(InvalidConfig)?.config;
    let report = examine(&config).await?;
    if json {
        print_json(&report)?;
    } else {
        print(&report);
    }
    Ok(if report.ok {
        Outcome::Success
    } else {
        Outcome::Failure
    })
}

async fn examine(config: &Config) -> anyhow::Result<Report> {
    let egress = config.egress();
    let data_dir = config.data_dir.clone();
    let (server, listed) = blocking(move || Ok(server(&data_dir))).await?;
    let (sources, sources_unknown) = match listed {
        Some(listed) => (listed, None),
        None => match sources(config).await {
            Ok(sources) => (sources, None),
            Err(error) => (Vec::new(), Some(format!("{error:#}"))),
        },
    };
    let mut peers: Vec<Reach> = sources
        .iter()
        .flat_map(|source| reached(&egress, source))
        .collect();
    let sign_in = config.auth.oidc.egress();
    let provider = config.auth.oidc.peers();
    peers.extend(provider.iter().map(|peer| Reach {
        purpose: Purpose::SignIn.name(),
        name: "identity provider".to_owned(),
        peer: peer.to_string(),
        allowed: allowed(&sign_in, peer),
    }));
    peers.push(Reach {
        purpose: Purpose::Models.name(),
        name: "model hub".to_owned(),
        peer: Peer::of_url(&config.models.hub_endpoint)
            .map_or_else(|error| error.to_string(), |peer| peer.to_string()),
        allowed: Allowed::OnCommand,
    });
    peers.push(Reach {
        purpose: Purpose::Models.name(),
        name: "package index".to_owned(),
        peer: "as pip is configured".to_owned(),
        allowed: Allowed::OnCommand,
    });
    let workers = workers(config).await;
    Ok(Report {
        ok: workers.no_network,
        offline: egress.is_offline() && provider.iter().all(Peer::is_this_machine),
        allow: egress.rules().iter().map(ToString::to_string).collect(),
        peers,
        sources_unknown,
        server,
        workers,
    })
}

/// Returns the running server and its sources, as far as it tells.
fn server(data_dir: &std::path::Path) -> (Option<Server>, Option<Vec<Source>>) {
    let Ok(Some(run)) = run_file::read(data_dir) else {
        return (None, None);
    };
    let client = Client::new(&run);
    if !client.answers() {
        return (None, None);
    }
    let status = procfs_status(run.pid);
    let flag = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim() != "0")
    };
    let server = Server {
        url: client.url().to_owned(),
        pid: run.pid,
        seccomp: flag("Seccomp:"),
        no_new_privileges: flag("NoNewPrivs:"),
        connections: connections(&client.metrics().unwrap_or_default()),
    };
    (Some(server), client.sources().ok())
}

/// Returns what the kernel says of a process; nothing where it may not be known.
fn procfs_status(pid: u32) -> String {
    fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

async fn sources(config: &Config) -> anyhow::Result<Vec<Source>> {
    if !config.data_dir.join("catalog.db").exists() {
        return Ok(Vec::new());
    }
    match Backend::open_as_is(config).await? {
        Backend::Server(client) => blocking(move || client.sources()).await,
        Backend::Local(local) => {
            let sources = local.sources().await?;
            let at_rest = |source| Source::new(source, Live::default());
            Ok(sources.into_iter().map(at_rest).collect())
        }
    }
}

fn reached(egress: &Egress, source: &Source) -> Vec<Reach> {
    let reach = |peer: String, allowed: Allowed| Reach {
        purpose: Purpose::Source.name(),
        name: source.name.clone(),
        peer,
        allowed,
    };
    let Some(place) = &source.place else {
        return Vec::new();
    };
    match place.peers() {
        Ok(peers) => peers
            .iter()
            .map(|peer| reach(peer.to_string(), allowed(egress, peer)))
            .collect(),
        Err(error) => vec![reach(error.to_string(), Allowed::No)],
    }
}

fn allowed(egress: &Egress, peer: &Peer) -> Allowed {
    if peer.is_this_machine() {
        Allowed::ThisMachine
    } else if egress.require(Purpose::Source, peer).is_ok() {
        Allowed::Yes
    } else {
        Allowed::No
    }
}

/// Reads the counters of a server.
fn connections(metrics: &str) -> Vec<Connections> {
    let mut table: Vec<Connections> = Vec::new();
    for line in metrics.lines() {
        let Some((name, purpose, peer, n)) = sample(line) else {
            continue;
        };
        let known = table
            .iter()
            .position(|one| one.purpose == purpose && one.peer == peer);
        let index = known.unwrap_or_else(|| {
            table.push(Connections {
                purpose: purpose.to_owned(),
                peer: peer.to_owned(),
                opened: 0,
                refused: 0,
            });
            table.len() - 1
        });
        if name == telemetry::EGRESS_OPENED {
            table[index].opened = n;
        } else {
            table[index].refused = n;
        }
    }
    table
}

/// Reads `name{purpose="…",peer="…"} n`, as [`telemetry::egress`] writes it.
fn sample(line: &str) -> Option<(&str, &str, &str, u64)> {
    let (name, rest) = line.split_once("{purpose=\"")?;
    let is_ours = [telemetry::EGRESS_OPENED, telemetry::EGRESS_REFUSED].contains(&name);
    let (purpose, rest) = rest.split_once("\",peer=\"").filter(|_| is_ours)?;
    let (peer, n) = rest.split_once("\"} ")?;
    Some((name, purpose, peer, n.parse().ok()?))
}

async fn workers(config: &Config) -> Workers {
    let missing = |reason: String| Workers {
        missing: vec![reason],
        ..Workers::default()
    };
    let pool = match app::workers(config) {
        Ok(Some(pool)) => pool,
        Ok(None) => {
            return missing(
                "`ingest.sandbox` is off: the server itself reads documents".to_owned(),
            );
        }
        Err(error) => return missing(format!("{error:#}")),
    };
    match pool.confinement().await {
        Ok(confinement) => Workers {
            no_network: confinement.no_network,
            no_files: confinement.no_files,
            no_processes: confinement.no_processes,
            missing: confinement.missing,
        },
        Err(error) => missing(error.to_string()),
    }
}

fn print(report: &Report) {
    if report.offline {
        say!(
            "offline   yes: `network.allow` is empty, so that nothing but this machine is connected to"
        );
    } else {
        say!(
            "offline   no: `network.allow` has {}",
            report.allow.join(", ")
        );
    }
    say!("\npeers of what is configured");
    for reach in &report.peers {
        let allowed = match reach.allowed {
            Allowed::ThisMachine => "this machine",
            Allowed::Yes => "allowed",
            Allowed::No => "refused",
            Allowed::OnCommand => "only while a person runs `kura models pull`",
        };
        say!(
            "  {:8}  {:20}  {:32}  {allowed}",
            reach.purpose,
            reach.name,
            reach.peer
        );
    }
    if let Some(reason) = &report.sources_unknown {
        say!("  the sources cannot be told: {reason}");
    }
    match &report.server {
        None => say!("\nserver    none runs on this data directory, so there are no counters"),
        Some(server) => print_server(server),
    }
    let is = |denied: bool| if denied { "denied" } else { "NOT DENIED" };
    let workers = &report.workers;
    say!(
        "\nworkers   processes that read documents tried: sockets {}, files {}, programs {}",
        is(workers.no_network),
        is(workers.no_files),
        is(workers.no_processes)
    );
    for missing in &workers.missing {
        say!("  missing: {missing}");
    }
}

fn print_server(server: &Server) {
    let flag = |flag: Option<bool>| match flag {
        None => "unknown",
        Some(true) => "yes",
        Some(false) => "no",
    };
    say!(
        "\nserver    {} (process {}); system call filter: {}, no new privileges: {}",
        server.url,
        server.pid,
        flag(server.seccomp),
        flag(server.no_new_privileges)
    );
    if server.connections.is_empty() {
        say!("  no connection opened and none refused since its start");
    }
    for one in &server.connections {
        say!(
            "  {:8}  {:32}  {} opened, {} refused",
            one.purpose,
            one.peer,
            one.opened,
            one.refused
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_read_as_they_are_written() {
        let peer = Peer::new("counted.example", 443);
        let refused = Egress::offline().require(Purpose::SignIn, &peer);
        assert!(refused.is_err());
        let read = connections(&format!(
            "# HELP x\nother{{a=\"b\"}} 1\n{}",
            telemetry::egress()
        ));
        let expected = Connections {
            purpose: "sign_in".to_owned(),
            peer: "counted.example:443".to_owned(),
            opened: 0,
            refused: 1,
        };
        assert!(read.contains(&expected), "{read:?}");
    }
}

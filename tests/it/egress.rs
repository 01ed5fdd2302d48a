//! Nothing leaves: from the installation to the backup, in a network without a way out, in one that counts what wants to
//! leave, and under the eyes of `strace`. Each of the three sees something that is known to leave, too.
//!
//! Needs root, `ip`, `nft` and `strace`. Without them nothing is proved: then it says so, and fails where
//! `KURA_TEST_EGRESS` is `required`.

mod journey;
mod trace;

use journey::Journey;
use kura_tests::network::{Network, OUTSIDE, tool};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use trace::Seen;

/// Where nobody listens.
const OUTSIDE_PORT: u16 = 81;
/// Longest time until something that leaves is counted.
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns whether this machine can show anything; says so if not.
fn can_tell() -> bool {
    let Some(missing) = Network::missing() else {
        return true;
    };
    let required = std::env::var("KURA_TEST_EGRESS").is_ok_and(|set| set == "required");
    assert!(
        !required,
        "NOT RUN: it cannot be shown on this machine that nothing leaves: {missing}"
    );
    println!(
        "skipped, so that nothing is proved: it cannot be shown on this machine that nothing leaves: {missing}"
    );
    false
}

#[test]
fn without_a_route_all_of_it_works_and_no_call_names_another_machine() {
    if !can_tell() {
        return;
    }
    let network = Network::without_route();
    let journey = Journey::new(&network);
    let traces = journey.trace("traces");
    let port = journey.travel();
    let seen = Seen::read(&traces);
    let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
    assert_eq!(
        seen.peers.iter().collect::<Vec<_>>(),
        [&(here, port)],
        "other peers than the server itself"
    );
    assert!(seen.unix.is_empty(), "{:?}", seen.unix);
    assert_eq!(seen.io_uring, 0);
    assert!(
        !seen.workers.is_empty(),
        "no process that reads documents was seen"
    );
    assert!(seen.by_workers.is_empty(), "{:#?}", seen.by_workers);

    // Offline, a source is refused without a call; allowed, the same command is seen to try.
    let traces = journey.trace("refused");
    let refused = journey.run(&outside(&journey, ""));
    refused.assert_fails(1, &["offline", OUTSIDE, "network.allow"]);
    assert!(Seen::read(&traces).peers.is_empty());
    let traces = journey.trace("allowed");
    journey
        .run(&outside(&journey, OUTSIDE))
        .assert_fails(1, &[OUTSIDE]);
    let tried = (OUTSIDE.parse().unwrap(), OUTSIDE_PORT);
    assert!(Seen::read(&traces).peers.contains(&tried));
    println!(
        "{} processes and threads that read documents, none with a socket; the only peer: {here}:{port}",
        seen.workers.len()
    );
}

#[test]
fn not_one_packet_leaves_where_every_one_is_counted() {
    if !can_tell() {
        return;
    }
    let network = Network::counting();
    let journey = Journey::new(&network);
    journey.travel();
    assert_eq!(network.packets(), 0, "packets wanted to leave");

    // Offline, a source is refused before its name is looked up or its host is asked.
    let url = "http://intranet.example.com/";
    let by_name = ["sync", "add", "web", url, "--collection", "outside"];
    for command in [&by_name[..], &outside(&journey, "")] {
        let refused = journey.run(command);
        refused.assert_fails(1, &["offline", "network.allow"]);
    }
    assert_eq!(network.packets(), 0, "refused sources wanted to leave");

    // The counter counts: a datagram, the question for a name, and kura itself once it may.
    let mut datagram = Command::new("bash");
    datagram.args(["-c", &format!("echo out > /dev/udp/{OUTSIDE}/9")]);
    let mut name = Command::new(tool("getent"));
    name.args(["hosts", "kura-egress.example"]);
    let allowed = journey.command(&outside(&journey, OUTSIDE));
    let others = [datagram, name].map(|command| network.inside(&command, &[]));
    for mut leaving in others.into_iter().chain([allowed]) {
        let before = network.packets();
        let mut running = leaving.stderr(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while network.packets() == before {
            assert!(
                Instant::now() < deadline,
                "{leaving:?} left without being counted, or did not leave"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(running.kill());
        running.wait().unwrap();
    }
    println!(
        "0 packets from the installation to the backup; {} of what was to be counted",
        network.packets()
    );
}

/// Returns a command that adds a source outside, for a kura that may connect to `allow`.
fn outside(journey: &Journey<'_>, allow: &str) -> [&'static str; 6] {
    let list = Some(allow).filter(|host| !host.is_empty());
    let list = list.map(|host| format!("\"{host}\"")).unwrap_or_default();
    let config = format!("[network]\nallow = [{list}]\n");
    fs_err::write(journey.kura.path("kura.toml"), config).unwrap();
    let place = "http://192.0.2.2:81/";
    assert!(place.contains(OUTSIDE) && place.contains(&OUTSIDE_PORT.to_string()));
    ["sync", "add", "web", place, "--collection", "outside"]
}

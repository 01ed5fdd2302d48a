//! `kill -9` of a server at random moments of uploads, replacements, deletions and searches: what it has acknowledged
//! holds, nothing is there twice, nothing old or deleted is found.
//!
//! 20 kills; `KURA_TEST_KILLS` sets another number, and `KURA_TEST_SEED` another sequence.

use crate::ledger::Ledger;
use kura_tests::{Kura, number_from_env};
use std::time::{Duration, Instant};

/// Documents before the first kill.
const DOCUMENTS: usize = 2_000;
/// Longest time between a start and a kill.
const MAX_LIFE: Duration = Duration::from_secs(3);
/// Longest time until the server is ready again.
const MAX_START: Duration = Duration::from_secs(10);

#[test]
fn kills_in_the_middle_of_everything_lose_nothing_and_leave_nothing_old() {
    let kills = number_from_env("KURA_TEST_KILLS", 20);
    let kura = Kura::new().with_models();
    let data = kura.path("data");
    let mut ledger = Ledger::begin(
        &kura,
        &data,
        DOCUMENTS,
        number_from_env("KURA_TEST_SEED", 7),
    );
    let mut slowest = Duration::ZERO;
    for kill in 0..kills {
        let server = kura.serve();
        let (life, before) = (ledger.moment(MAX_LIFE), ledger.promised());
        ledger.work(&server.client.clone(), |trouble| {
            std::thread::sleep(life);
            trouble.begin();
            server.kill();
        });
        let started = Instant::now();
        let server = kura.serve();
        let took = started.elapsed();
        slowest = slowest.max(took);
        ledger.check(&server.client, &before);
        server.kill();
        println!("kill {kill} after {life:?}, ready again in {took:?}");
    }
    println!("slowest start of {kills}: {slowest:?}");
    assert!(slowest <= MAX_START, "{slowest:?}");
    let server = kura.serve();
    ledger.check_all(&server.client);
}

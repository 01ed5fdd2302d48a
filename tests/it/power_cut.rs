//! Power cuts at random moments of uploads, replacements, deletions and searches: what was written but not synced is
//! gone, as on a real machine, and what the server has acknowledged holds.
//!
//! Needs root, `/dev/fuse`, loop devices, `nbdkit`, `nbdfuse` and `mkfs.ext4`. Without them nothing is proved: then it
//! says so, and fails where `KURA_TEST_POWER_CUT` is `required`. 5 cuts; `KURA_TEST_CUTS` sets another number.

use crate::ledger::Ledger;
use kura_tests::power::Disk;
use kura_tests::{Kura, number_from_env};
use std::time::Duration;

const DOCUMENTS: usize = 100;
/// Longest time between a start and a cut.
const MAX_LIFE: Duration = Duration::from_secs(3);

#[test]
fn power_cuts_lose_nothing_that_was_acknowledged() {
    if let Some(missing) = Disk::missing() {
        let required = std::env::var("KURA_TEST_POWER_CUT").is_ok_and(|set| set == "required");
        assert!(
            !required,
            "NOT RUN: no power can be cut on this machine: {missing}"
        );
        println!(
            "skipped, so that nothing is proved: no power can be cut on this machine: {missing}"
        );
        return;
    }
    let cuts = number_from_env("KURA_TEST_CUTS", 5);
    let kura = Kura::new()
        .with_models()
        .env("KURA__STORAGE__MIN_FREE_BYTES", "16777216");
    let folder = kura.path("power");
    let disk = Disk::format(&folder);
    let data = disk.mount_point().join("data");
    let mut ledger = Ledger::begin(
        &kura,
        &data,
        DOCUMENTS,
        number_from_env("KURA_TEST_SEED", 7),
    );
    let mut disk = Some(disk);
    for cut in 0..cuts {
        let server = kura.serve_at(&data);
        let (life, before) = (ledger.moment(MAX_LIFE), ledger.promised());
        let powered = disk.take().unwrap();
        let mut dark = None;
        ledger.work(&server.client.clone(), |trouble| {
            std::thread::sleep(life);
            trouble.begin();
            dark = Some(powered.cut());
            server.kill();
        });
        // The server had files open; now nobody has.
        let powered = dark.unwrap().power_on();
        // What the audit log has acknowledged to its head is there, before anything is put right.
        let verified = kura
            .command_at(&data, ["audit", "verify"])
            .output()
            .unwrap();
        assert!(verified.status.success(), "{verified:?}");
        let server = kura.serve_at(&data);
        ledger.check(&server.client, &before);
        assert!(server.stop());
        disk = Some(powered);
        println!("cut {cut} after {life:?}");
    }
    let server = kura.serve_at(&data);
    ledger.check_all(&server.client);
    assert!(server.stop());
}

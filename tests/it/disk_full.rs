//! A full disk: a clear message, nothing stored is harmed, and work goes on when there is room again.

use crate::ledger::Ledger;
use kura_tests::{Kura, number_from_env};
use serde_json::json;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Mounts a small file system of its own, fills it, and tries everything. The namespace goes with the shell.
const SCRIPT: &str = r#"
set -u
mount -t tmpfs -o size=400m tmpfs "$DISK" || exit 77
data="$DISK/data"
run() { "$KURA" --config "$CONFIG" --data-dir "$data" "$@"; echo "exit $?"; }
echo "The lighthouse keeper is called Ansel." > "$DISK/../one.md"
echo "The harbor master is called Brida." > "$DISK/../two.md"
run ingest "$DISK/../one.md" --collection c
echo "== full"
dd if=/dev/zero of="$DISK/ballast" bs=64k 2>/dev/null
run ingest "$DISK/../two.md" --collection c
run search "lighthouse keeper" --json
echo "== room again"
rm "$DISK/ballast"
run ingest "$DISK/../two.md" --collection c
run search "harbor master" --json
"#;

#[test]
fn a_full_disk_harms_nothing() {
    let kura = Kura::new().with_models();
    fs_err::create_dir_all(kura.path("disk")).unwrap();
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", SCRIPT])
        .env("DISK", kura.path("disk"))
        .env("CONFIG", kura.path("kura.toml"))
        .env("KURA", Kura::binary())
        .envs(kura.environment().iter().map(|(name, value)| (name, value)))
        .env("KURA__STORAGE__MIN_FREE_BYTES", "33554432")
        .output();
    let output = match output {
        Ok(output) if output.status.code() != Some(77) && output.status.code() != Some(1) => output,
        other => {
            println!(
                "skipped: this machine lets no test mount a file system of its own ({other:?})"
            );
            return;
        }
    };
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let (before, rest) = out
        .split_once("== full")
        .unwrap_or_else(|| panic!("{out}\n{err}"));
    let (full, after) = rest
        .split_once("== room again")
        .unwrap_or_else(|| panic!("{out}\n{err}"));
    assert!(before.contains("exit 0"), "{out}\n{err}");
    assert!(
        full.contains("exit 1") || full.contains("exit 3"),
        "the second document must not be accepted: {out}\n{err}"
    );
    assert!(
        err.contains("not enough room") || out.contains("not enough room"),
        "{out}\n{err}"
    );
    assert!(
        full.contains("Ansel") && full.contains("exit 0"),
        "search goes on while the disk is full: {out}\n{err}"
    );
    assert!(
        after.contains("Brida") && !after.contains("exit 1"),
        "{out}\n{err}"
    );
}

/// Times that the disk is filled under a working server.
const FILLS: u64 = 3;

#[test]
fn a_server_outlives_a_full_disk() {
    let kura = Kura::new()
        .with_models()
        .env("KURA__STORAGE__MIN_FREE_BYTES", "33554432");
    let disk = kura.path("disk");
    fs_err::create_dir_all(&disk).unwrap();
    let Some(_mounted) = Mounted::new(&disk) else {
        println!("skipped: this machine lets no test mount a file system of its own");
        return;
    };
    let (data, ballast) = (disk.join("data"), disk.join("ballast"));
    let mut ledger = Ledger::begin(&kura, &data, 50, number_from_env("KURA_TEST_SEED", 7));
    let server = kura.serve_at(&data);
    let search = || {
        for _ in 0..20 {
            let reply = server
                .client
                .post("/api/v1/search", &json!({ "query": "note" }));
            assert_eq!(reply.status, 200, "{reply:?}");
        }
    };
    for fill in 0..FILLS {
        let (moment, before) = (ledger.moment(Duration::from_secs(1)), ledger.promised());
        ledger.work(&server.client, |trouble| {
            std::thread::sleep(moment);
            trouble.begin();
            fill_up(&ballast);
            search();
            std::thread::sleep(Duration::from_secs(1));
            fs_err::remove_file(&ballast).unwrap();
            // From here on it must find the room by itself.
            std::thread::sleep(Duration::from_secs(1));
        });
        ledger.check(&server.client, &before);
        println!("fill {fill} after {moment:?}");
    }
    ledger.check_all(&server.client);
    assert!(server.stop());
}

/// Writes until nothing more fits.
fn fill_up(path: &Path) {
    use std::io::Write as _;
    let mut file = fs_err::File::create(path).unwrap();
    for size in [1 << 20, 1 << 12] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// A file system in memory, with plenty of room until it is filled.
struct Mounted(String);

impl Mounted {
    fn new(at: &Path) -> Option<Self> {
        let at = at.display().to_string();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1g", "tmpfs", &at]);
        let is_mounted = mount.output().is_ok_and(|output| output.status.success());
        is_mounted.then_some(Self(at))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").args(["-l", &self.0]).output());
    }
}

//! A full disk: a clear message, nothing stored is harmed, and work goes on when there is room again.

use kura_tests::Kura;
use std::process::Command;

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

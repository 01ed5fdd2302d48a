//! A disk that becomes read-only under a working server, as file systems do when the device below them fails: searches go
//! on, nothing is changed, nothing acknowledged is lost, and once the disk is repaired so is everything else.
//!
//! Needs root, loop devices and ext4; without them it says that it was skipped.

use crate::ledger::Ledger;
use kura_tests::{Kura, number_from_env};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const SIZE: u64 = 1 << 30;
/// Times that the disk fails.
const FAILURES: u64 = 3;

#[test]
fn a_disk_that_becomes_read_only_loses_nothing() {
    let kura = Kura::new()
        .with_models()
        .env("KURA__STORAGE__MIN_FREE_BYTES", "16777216");
    let folder = kura.path("failing");
    let Some(disk) = Disk::format(&folder) else {
        println!("skipped: this machine lets no test mount an ext4 file system of its own");
        return;
    };
    let data = folder.join("disk/data");
    let mut ledger = Ledger::begin(&kura, &data, 50, number_from_env("KURA_TEST_SEED", 7));
    for failure in 0..number_from_env("KURA_TEST_FAILURES", FAILURES) {
        let server = kura.serve_at(&data);
        let (moment, before) = (ledger.moment(Duration::from_secs(2)), ledger.promised());
        ledger.work(&server.client, |trouble| {
            std::thread::sleep(moment);
            trouble.begin();
            disk.fail();
            for _ in 0..20 {
                let reply = server
                    .client
                    .post("/api/v1/search", &json!({ "query": "note" }));
                assert_eq!(reply.status, 200, "{reply:?}");
            }
            let refused = server.client.upload("c", "late.md", b"Too late.");
            refused.assert_problem(503, "audit_unavailable");
            let told = refused.json()["detail"].to_string();
            assert!(told.contains("audit log"), "{told}");
            assert_eq!(server.client.get("/healthz").status, 200);
        });
        // Somebody repairs the disk, for which nothing may have files open.
        server.kill();
        disk.repair();
        let server = kura.serve_at(&data);
        ledger.check(&server.client, &before);
        assert!(server.stop());
        println!("failure {failure} after {moment:?}");
    }
    let server = kura.serve_at(&data);
    ledger.check_all(&server.client);
    assert!(server.stop());
}

/// An ext4 file system in a file.
struct Disk {
    image: PathBuf,
    mount_point: PathBuf,
}

impl Disk {
    /// Makes and mounts it; `None` where that is not possible.
    fn format(folder: &Path) -> Option<Self> {
        let disk = Self {
            image: folder.join("image"),
            mount_point: folder.join("disk"),
        };
        fs_err::create_dir_all(&disk.mount_point).unwrap();
        let image = fs_err::File::create(&disk.image).unwrap();
        image.set_len(SIZE).unwrap();
        let is_made = run(
            "mkfs.ext4",
            &["-q", "-F", &disk.image.display().to_string()],
        );
        (is_made && disk.mount() && disk.trigger().is_some_and(|file| file.exists()))
            .then_some(disk)
    }

    fn mount(&self) -> bool {
        let [image, at] = [&self.image, &self.mount_point].map(|path| path.display().to_string());
        run("mount", &["-o", "loop,errors=remount-ro", &image, &at])
    }

    /// What makes the kernel believe that it has met an error.
    fn trigger(&self) -> Option<PathBuf> {
        let at = self.mount_point.display().to_string();
        let found = Command::new("findmnt")
            .args(["-no", "SOURCE", &at])
            .output();
        let device = String::from_utf8(found.ok()?.stdout).ok()?;
        let name = device.trim().strip_prefix("/dev/")?;
        Some(
            Path::new("/sys/fs/ext4")
                .join(name)
                .join("trigger_fs_error"),
        )
    }

    fn fail(&self) {
        fs_err::write(self.trigger().unwrap(), "a test").unwrap();
        assert!(fs_err::write(self.mount_point.join("probe"), "x").is_err());
    }

    fn repair(&self) {
        let [image, at] = [&self.image, &self.mount_point].map(|path| path.display().to_string());
        assert!(run("umount", &[&at]));
        // Its exit status says that there was something to repair.
        run("fsck.ext4", &["-y", &image]);
        assert!(self.mount());
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", &self.mount_point.display().to_string()]);
    }
}

fn run(program: &str, args: &[&str]) -> bool {
    let output = Command::new(program).args(args).output();
    output.is_ok_and(|output| output.status.success())
}

//! A disk whose power can be cut: what was not synced is lost, which no `kill -9` can show, because the page cache
//! survives it.
//!
//! ext4 on a loop device on a network block device whose server keeps writes in a cache of its own until they are
//! flushed. Killing that server drops the cache. Whole writes are lost; none are torn or change places.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const SIZE: u64 = 1 << 30;
/// Longest time for a part of it to come up.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mounted disk under power.
pub struct Disk {
    folder: PathBuf,
    server: Child,
    bridge: Child,
    device: String,
}

/// A disk without power: an image with what had been synced.
pub struct DarkDisk {
    folder: PathBuf,
}

impl Disk {
    /// Returns what this machine lacks, if anything.
    #[must_use]
    pub fn missing() -> Option<String> {
        let is_root = output("id", &["-u"]).is_some_and(|uid| uid.trim() == "0");
        if !is_root {
            return Some("not root".to_owned());
        }
        let devices = ["/dev/fuse", "/dev/loop-control"].map(Path::new);
        if let Some(device) = devices.into_iter().find(|device| !device.exists()) {
            return Some(format!("{} is missing", device.display()));
        }
        ["nbdkit", "nbdfuse", "mkfs.ext4", "losetup"]
            .into_iter()
            .find(|program| output("sh", &["-c", &format!("command -v {program}")]).is_none())
            .map(|program| format!("{program} is not installed"))
    }

    /// Makes an empty disk in `folder` and switches it on.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn format(folder: &Path) -> Self {
        fs_err::create_dir_all(folder).unwrap();
        let image = folder.join("image");
        fs_err::File::create(&image).unwrap().set_len(SIZE).unwrap();
        run("mkfs.ext4", &["-q", "-F", &image.display().to_string()]);
        DarkDisk {
            folder: folder.to_owned(),
        }
        .power_on()
    }

    /// Returns where it is mounted.
    #[must_use]
    pub fn mount_point(&self) -> PathBuf {
        self.folder.join("disk")
    }

    /// Cuts the power.
    ///
    /// # Panics
    /// When the rest cannot be tidied up.
    #[must_use]
    pub fn cut(mut self) -> DarkDisk {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
        DarkDisk {
            folder: self.folder.clone(),
        }
    }
}

impl DarkDisk {
    /// Switches it on again and mounts it, which replays the file system's journal.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn power_on(self) -> Disk {
        let at = |name: &str| self.folder.join(name).display().to_string();
        let (image, socket, block, disk) = (at("image"), at("socket"), at("block"), at("disk"));
        drop(fs_err::remove_file(&socket));
        fs_err::write(&block, "").unwrap();
        fs_err::create_dir_all(&disk).unwrap();
        let server = spawn(
            "nbdkit",
            &[
                "-f",
                "-U",
                &socket,
                "--filter=cache",
                "file",
                &image,
                "cache=writeback",
                "cache-max-size=2G",
            ],
        );
        wait_for("the block server", || Path::new(&socket).exists());
        let bridge = spawn("nbdfuse", &[&block, "--unix", &socket]);
        wait_for("the block device", || {
            fs_err::metadata(&block).is_ok_and(|block| block.len() == SIZE)
        });
        let device = output("losetup", &["-f", "--show", &block])
            .unwrap()
            .trim()
            .to_owned();
        // The journal's timer must not sync what nobody asked to be synced.
        run("mount", &["-o", "commit=600", &device, &disk]);
        Disk {
            folder: self.folder,
            server,
            bridge,
            device,
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let mount_point = self.mount_point().display().to_string();
        let block = self.folder.join("block").display().to_string();
        // Each may fail where the power is gone already.
        drop(output("umount", &["-l", &mount_point]));
        drop(output("losetup", &["-d", &self.device]));
        drop(self.bridge.kill());
        drop(self.bridge.wait());
        drop(output("umount", &["-l", &block]));
        drop(self.server.kill());
        drop(self.server.wait());
    }
}

fn spawn(program: &str, args: &[&str]) -> Child {
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
}

/// What a program printed; `None` when it is missing or failed.
fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !ready() {
        assert!(Instant::now() < deadline, "{what} does not come up");
        std::thread::sleep(Duration::from_millis(20));
    }
}

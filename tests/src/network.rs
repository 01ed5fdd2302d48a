//! Networks of their own, in which it shows whether anything leaves: nobody else's packets are in them.
//!
//! A [`Network`] is a network namespace. It has the loopback, and by choice a way out: an interface with a default route
//! and a name server, on whose way a rule counts every packet and drops it. At its other end is a second namespace, so that
//! even without the rule nothing would reach a real network.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// The other end of the way out: an address kept free for documentation.
pub const OUTSIDE: &str = "192.0.2.2";
const OUTSIDE_V6: &str = "2001:db8::2";

/// A network namespace; removed when dropped, with the processes in it.
pub struct Network {
    name: String,
    has_way_out: bool,
}

impl Network {
    /// Returns what this machine lacks, if anything.
    #[must_use]
    pub fn missing() -> Option<String> {
        let uid = Command::new("id").arg("-u").output().ok()?;
        if String::from_utf8_lossy(&uid.stdout).trim() != "0" {
            return Some("not root".to_owned());
        }
        for program in ["ip", "nft", "strace"] {
            if !tool(program).exists() {
                return Some(format!("{program} is not installed"));
            }
        }
        let probe = name();
        let tried = try_run("ip", &["netns", "add", &probe]);
        drop(try_run("ip", &["netns", "del", &probe]));
        tried.err()
    }

    /// Makes a network with nothing but the loopback: there is no route to anywhere.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn without_route() -> Self {
        let network = Self {
            name: name(),
            has_way_out: false,
        };
        run("ip", &["netns", "add", &network.name]);
        network.ip(&["link", "set", "lo", "up"]);
        network
    }

    /// Makes a network with a way out, on which every packet is counted and dropped.
    ///
    /// # Panics
    /// When that fails.
    #[must_use]
    pub fn counting() -> Self {
        let mut network = Self::without_route();
        network.has_way_out = true;
        let outside = network.outside();
        run("ip", &["netns", "add", &outside]);
        run(
            "ip",
            &[
                "-n",
                &outside,
                "link",
                "add",
                "inward",
                "type",
                "veth",
                "peer",
                "name",
                "way-out",
                "netns",
                &network.name,
            ],
        );
        run("ip", &["-n", &outside, "link", "set", "inward", "up"]);
        let outside_v4 = format!("{OUTSIDE}/24");
        run(
            "ip",
            &["-n", &outside, "addr", "add", &outside_v4, "dev", "inward"],
        );
        network.ip(&["addr", "add", "192.0.2.1/24", "dev", "way-out"]);
        network.ip(&["addr", "add", "2001:db8::1/64", "dev", "way-out", "nodad"]);
        network.ip(&["link", "set", "way-out", "up"]);
        network.ip(&["route", "add", "default", "via", OUTSIDE]);
        network.ip(&["-6", "route", "add", "default", "via", OUTSIDE_V6]);
        // What the kernel itself says to find its neighbors is no program's packet.
        let rules = "table inet egress {
            counter gone { }
            chain output {
                type filter hook output priority 0;
                oifname lo accept
                icmpv6 type { nd-router-solicit, nd-neighbor-solicit, nd-neighbor-advert, mld2-listener-report } drop
                counter name gone drop
            }
        }";
        let file = tempfile::NamedTempFile::new().unwrap();
        fs_err::write(file.path(), rules).unwrap();
        network.run("nft", &["-f", &file.path().display().to_string()]);
        // `ip netns exec` shows this as /etc/resolv.conf: looking up a name leaves by the way out, too.
        fs_err::create_dir_all(network.etc()).unwrap();
        let resolver = format!("nameserver {OUTSIDE}\noptions timeout:1 attempts:1\n");
        fs_err::write(network.etc().join("resolv.conf"), resolver).unwrap();
        network
    }

    /// Returns how many packets wanted to leave.
    ///
    /// # Panics
    /// When there is no way out.
    #[must_use]
    pub fn packets(&self) -> u64 {
        let listed = self.run("nft", &["list", "counter", "inet", "egress", "gone"]);
        let (_, count) = listed.split_once("packets ").unwrap();
        count.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Returns a command that does what `command` does, in this network, under the programs of `wrap`.
    #[must_use]
    pub fn inside(&self, command: &Command, wrap: &[OsString]) -> Command {
        let mut inside = Command::new(tool("ip"));
        inside
            .args(["netns", "exec", &self.name])
            .args(wrap)
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        if let Some(dir) = command.get_current_dir() {
            inside.current_dir(dir);
        }
        inside
    }

    fn ip(&self, args: &[&str]) {
        let args: Vec<&str> = ["-n", &self.name].iter().chain(args).copied().collect();
        run("ip", &args);
    }

    fn run(&self, program: &str, args: &[&str]) -> String {
        let path = tool(program).display().to_string();
        let exec = ["netns", "exec", &self.name, &path];
        let args: Vec<&str> = exec.iter().chain(args).copied().collect();
        run("ip", &args)
    }

    fn outside(&self) -> String {
        format!("{}-outside", self.name)
    }

    fn etc(&self) -> PathBuf {
        Path::new("/etc/netns").join(&self.name)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let pids = try_run("ip", &["netns", "pids", &self.name]).unwrap_or_default();
        for pid in pids.split_whitespace() {
            drop(Command::new("kill").args(["-9", pid]).output());
        }
        drop(try_run("ip", &["netns", "del", &self.name]));
        if self.has_way_out {
            drop(try_run("ip", &["netns", "del", &self.outside()]));
            drop(fs_err::remove_dir_all(self.etc()));
        }
    }
}

fn name() -> String {
    static N: AtomicU32 = AtomicU32::new(0);
    let n = N.fetch_add(1, Ordering::Relaxed);
    format!("kura-test-{}-{n}", std::process::id())
}

/// Returns where a program for administrators is, which need not be in this account's path.
#[must_use]
pub fn tool(program: &str) -> PathBuf {
    let folders = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let mut found = folders.iter().map(|folder| Path::new(folder).join(program));
    found
        .find(|path| path.exists())
        .unwrap_or_else(|| PathBuf::from(program))
}

fn run(program: &str, args: &[&str]) -> String {
    try_run(program, args).unwrap_or_else(|error| panic!("{error}"))
}

fn try_run(program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new(tool(program))
        .args(args)
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program} {}: {}", args.join(" "), said.trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

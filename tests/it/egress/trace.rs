//! What a program asked of the kernel in matters of the network, as `strace` tells it.
//!
//! In a network without a route a program may try to connect, fail and go on; no counter sees that. This does.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsString;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// Calls that open a connection, send something or start a program. `io_uring` would do both unseen.
const CALLS: &str = "trace=socket,connect,bind,sendto,sendmsg,sendmmsg,io_uring_setup,execve,clone,clone3,?fork,?vfork";

/// What was seen of some processes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// `address port` of each peer by IP.
    pub(super) peers: BTreeSet<(IpAddr, u16)>,
    /// Paths of sockets in the file system that were connected to.
    pub(super) unix: BTreeSet<String>,
    /// Ways past this look that were opened.
    pub(super) io_uring: u64,
    /// Processes and threads that read documents, once they were what they are.
    pub(super) workers: BTreeSet<u32>,
    /// What these did in matters of the network, and were not denied.
    pub(super) by_workers: Vec<String>,
}

/// Returns the programs under which another one is to be started, so that `file` has what it did.
pub(super) fn strace(file: &Path) -> Vec<OsString> {
    let mut wrap: Vec<OsString> = vec![kura_tests::network::tool("strace").into()];
    // Only these calls are slowed down. What a worker's own filter denies is not even told.
    wrap.extend(
        [
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-s",
            "256",
            "-e",
            CALLS,
            "-e",
            "signal=none",
            "-o",
        ]
        .map(OsString::from),
    );
    wrap.push(file.into());
    wrap
}

impl Seen {
    /// Reads all traces of a folder.
    pub(super) fn read(folder: &Path) -> Self {
        let mut seen = Self::default();
        let mut files: Vec<PathBuf> = fs_err::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        files.sort();
        assert!(!files.is_empty(), "nothing was traced");
        for file in files {
            seen.add(&String::from_utf8_lossy(&fs_err::read(file).unwrap()));
        }
        seen
    }

    /// Adds what one `strace` wrote.
    pub(super) fn add(&mut self, trace: &str) {
        let mut parents: HashMap<u32, u32> = HashMap::new();
        let mut workers: BTreeSet<u32> = BTreeSet::new();
        for line in trace.lines() {
            let Some((pid, call)) = line.trim_start().split_once(' ') else {
                continue;
            };
            let (Ok(pid), call) = (pid.parse::<u32>(), call.trim_start()) else {
                continue;
            };
            let is_start = call.starts_with("execve(");
            if is_start && call.contains("\"extract-worker\"") {
                workers.insert(pid);
            }
            if [
                "clone",
                "fork",
                "vfork",
                "<... clone",
                "<... fork",
                "<... vfork",
            ]
            .iter()
            .any(|name| call.starts_with(name))
            {
                let child = call
                    .rsplit_once("= ")
                    .and_then(|(_, n)| n.trim().parse().ok());
                if let Some(child) = child {
                    parents.insert(child, pid);
                }
                continue;
            }
            let mut line_of = vec![pid];
            while let Some(parent) = line_of.last().and_then(|last| parents.get(last)) {
                line_of.push(*parent);
            }
            if line_of.iter().any(|pid| workers.contains(pid)) {
                self.workers.insert(pid);
                if !is_start && !call.contains("= -1 ") && !call.contains("execve resumed") {
                    self.by_workers.push(line.to_owned());
                }
            }
            if call.starts_with("io_uring_setup") && !call.contains("= -1 ") {
                self.io_uring += 1;
            }
            // Binding is how a server says where it listens.
            if !call.starts_with("bind(") {
                self.address(call);
            }
        }
    }

    /// Notes whom a call names, whether it succeeds or not.
    fn address(&mut self, call: &str) {
        let between = |from: &str, to: &str| {
            let (_, rest) = call.split_once(from)?;
            rest.split_once(to).map(|(found, _)| found)
        };
        let port = between("port=htons(", ")").and_then(|port| port.parse().ok());
        let ip = between("inet_addr(\"", "\")").or_else(|| between("inet_pton(AF_INET6, \"", "\""));
        match (ip.and_then(|ip| ip.parse().ok()), port) {
            (Some(ip), Some(port)) => {
                self.peers.insert((ip, port));
            }
            // Something of the internet that is not understood is not passed over.
            _ if call.contains("sa_family=AF_INET") => {
                self.peers.insert((IpAddr::from([255, 255, 255, 255]), 0));
            }
            _ => {}
        }
        if let Some(path) = between("sun_path=", "}") {
            self.unix.insert(path.to_owned());
        }
    }
}

#[test]
fn traces_are_read_as_strace_writes_them() {
    let mut seen = Seen::default();
    seen.add(
        r#"100 execve("/usr/bin/kura", ["/usr/bin/kura", "serve"], 0x7f /* 9 vars */) = 0
100 socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP) = 9
100 bind(9, {sa_family=AF_INET, sin_port=htons(0), sin_addr=inet_addr("127.0.0.1")}, 16) = 0
101 connect(11, {sa_family=AF_INET, sin_port=htons(8080), sin_addr=inet_addr("127.0.0.1")}, 16) = -1 EINPROGRESS (Operation now in progress)
101 connect(12, {sa_family=AF_INET6, sin6_port=htons(443), sin6_flowinfo=htonl(0), inet_pton(AF_INET6, "2001:db8::2", &sin6_addr), sin6_scope_id=0}, 28) = -1 ENETUNREACH (Network is unreachable)
101 sendto(12, "\1\2", 2, MSG_NOSIGNAL, {sa_family=AF_INET, sin_port=htons(53), sin_addr=inet_addr("192.0.2.2")}, 16 <unfinished ...>
101 connect(13, {sa_family=AF_UNIX, sun_path="/var/run/nscd/socket"}, 110) = -1 ENOENT (No such file or directory)
101 sendmsg(13, {msg_name=NULL, msg_namelen=0, msg_iov=[{iov_base="x", iov_len=1}], msg_iovlen=1, msg_controllen=0, msg_flags=0}, 0) = 1
101 connect(14, {sa_family=AF_INET, sa_data="strange"}, 16) = 0
"#,
    );
    let ip = |ip: &str| ip.parse::<IpAddr>().unwrap();
    let peers = [
        (ip("127.0.0.1"), 8080),
        (ip("192.0.2.2"), 53),
        (ip("255.255.255.255"), 0),
        (ip("2001:db8::2"), 443),
    ];
    assert_eq!(seen.peers, BTreeSet::from(peers));
    assert_eq!(
        seen.unix,
        BTreeSet::from(["\"/var/run/nscd/socket\"".to_owned()])
    );
    assert!(seen.workers.is_empty() && seen.by_workers.is_empty());
}

#[test]
fn a_worker_and_what_it_starts_are_told_from_its_server() {
    let mut seen = Seen::default();
    seen.add(
        r#"100 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = 9
100 clone3({flags=CLONE_VM|CLONE_VFORK|CLONE_CLEAR_SIGHAND, exit_signal=SIGCHLD}, 88 <unfinished ...>
200 execve("/usr/bin/kura", ["kura", "extract-worker", "--isolate"], 0x7f /* 1 var */ <unfinished ...>
100 <... clone3 resumed>)                  = 200
200 <... execve resumed>)                  = 0
200 clone3({flags=CLONE_VM|CLONE_THREAD}, 88) = 201
201 socket(AF_INET, SOCK_STREAM, IPPROTO_IP) = -1 EPERM (Operation not permitted)
201 socket(AF_UNIX, SOCK_DGRAM, 0) = 5
100 io_uring_setup(8, {flags=0}) = 5
"#,
    );
    assert_eq!(seen.workers, BTreeSet::from([200, 201]));
    assert_eq!(seen.by_workers, ["201 socket(AF_UNIX, SOCK_DGRAM, 0) = 5"]);
    assert_eq!(seen.io_uring, 1);
}

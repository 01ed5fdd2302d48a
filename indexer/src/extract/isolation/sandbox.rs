//! Confinement of a worker: no files (Landlock), no network and no other processes (seccomp), limits of the kernel.

use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::process::Command;

/// What a worker insists on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Protection {
    /// Whatever the kernel offers.
    #[default]
    BestEffort,
    /// Everything, or no file is read.
    Required,
}

/// How a worker is confined: what it tried and was denied, not what was asked of the kernel.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Confinement {
    /// It cannot open any file.
    pub no_files: bool,
    /// It cannot open a socket.
    pub no_network: bool,
    /// It cannot start a program.
    pub no_processes: bool,
    /// What is missing, and why.
    pub missing: Vec<String>,
}

/// Confines this process and its threads to come. There is no way back.
pub(super) fn confine(protection: Protection) -> std::io::Result<Confinement> {
    let (files, calls) = (kernel::no_files(), kernel::only_harmless_calls());
    kernel::limit_resources()?;
    #[expect(
        clippy::disallowed_methods,
        reason = "none of it works, which is to be shown"
    )]
    let mut confinement = Confinement {
        no_files: denied(std::fs::File::open("/"))
            && denied(std::fs::File::open("/proc/self/stat")),
        no_network: denied(TcpListener::bind("127.0.0.1:0"))
            && denied(UdpSocket::bind("127.0.0.1:0"))
            && denied(UnixDatagram::unbound()),
        // There is no such program: "not found" would say that it was looked for.
        no_processes: denied(Command::new("/no/such/program").spawn()),
        missing: [files, calls].into_iter().filter_map(Result::err).collect(),
    };
    for (holds, what) in [
        (confinement.no_files, "files can be opened"),
        (confinement.no_network, "sockets can be opened"),
        (confinement.no_processes, "programs can be started"),
    ] {
        if !holds {
            confinement.missing.push(what.to_owned());
        }
    }
    if protection == Protection::Required && !confinement.missing.is_empty() {
        return Err(std::io::Error::other(format!(
            "the sandbox is incomplete: {}",
            confinement.missing.join("; ")
        )));
    }
    Ok(confinement)
}

fn denied<T>(attempt: std::io::Result<T>) -> bool {
    attempt.is_err_and(|error| error.kind() == ErrorKind::PermissionDenied)
}

/// Limits what this process may allocate from now on. The server watches, too, so this only has to stop the worst.
pub(super) fn limit_memory(bytes: u64) -> std::io::Result<()> {
    kernel::limit_memory(bytes)
}

#[cfg(target_os = "linux")]
mod kernel {
    use landlock::{
        ABI, Access as _, AccessFs, AccessNet, CompatLevel, Compatible as _, Ruleset,
        RulesetAttr as _, RulesetStatus, Scope,
    };
    use rlimit::Resource;
    use seccompiler::{
        SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    };
    use std::collections::BTreeMap;

    /// Address space of the parsers' stack and of allocators' reserves: counted by the kernel, but hardly used.
    const RESERVED_BYTES: u64 = 512 << 20;

    /// Denies every access to files and, where the kernel can, to TCP and to processes outside.
    pub(super) fn no_files() -> Result<(), String> {
        let abi = ABI::V6;
        let restricted = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(abi))
            .and_then(|rules| rules.handle_access(AccessNet::from_all(abi)))
            .and_then(|rules| rules.scope(Scope::from_all(abi)))
            .and_then(Ruleset::create)
            .and_then(landlock::RulesetCreated::restrict_self);
        match restricted {
            // Older kernels know fewer kinds of access; opening and creating files they all know.
            Ok(status) if status.ruleset != RulesetStatus::NotEnforced => Ok(()),
            Ok(_) => Err("the kernel has no Landlock (5.13 or later has)".to_owned()),
            Err(error) => Err(format!("Landlock: {error}")),
        }
    }

    /// Allows the system calls that computing needs, and nothing else: the others fail with "not permitted".
    pub(super) fn only_harmless_calls() -> Result<(), String> {
        let said = |error: &dyn std::fmt::Display| format!("seccomp: {error}");
        let arch = std::env::consts::ARCH
            .try_into()
            .map_err(|error| said(&error))?;
        // Its flags lie in memory, where a filter cannot look; told that it is unknown, the C library takes `clone`.
        let unknown = SeccompFilter::new(
            BTreeMap::from([(libc::SYS_clone3, Vec::new())]),
            SeccompAction::Allow,
            SeccompAction::Errno(libc::ENOSYS as u32),
            arch,
        );
        let allowed = SeccompFilter::new(
            rules().map_err(|error| said(&error))?,
            SeccompAction::Errno(libc::EPERM as u32),
            SeccompAction::Allow,
            arch,
        );
        for filter in [unknown, allowed] {
            let program: seccompiler::BpfProgram = filter
                .and_then(TryInto::try_into)
                .map_err(|error| said(&error))?;
            seccompiler::apply_filter(&program).map_err(|error| said(&error))?;
        }
        Ok(())
    }

    fn rules() -> Result<BTreeMap<i64, Vec<SeccompRule>>, seccompiler::BackendError> {
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
            HARMLESS.iter().map(|call| (*call, Vec::new())).collect();
        let only = |argument, operator, value| {
            let condition =
                SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
            Ok::<_, seccompiler::BackendError>(vec![SeccompRule::new(vec![condition])?])
        };
        // Threads, but no processes.
        let thread = libc::CLONE_THREAD as u64;
        rules.insert(
            libc::SYS_clone,
            only(0, SeccompCmpOp::MaskedEq(thread), thread)?,
        );
        // Its own limits, and ending itself.
        let own = u64::from(std::process::id());
        rules.insert(libc::SYS_prlimit64, only(0, SeccompCmpOp::Eq, 0)?);
        rules.insert(libc::SYS_tgkill, only(0, SeccompCmpOp::Eq, own)?);
        Ok(rules)
    }

    const HARMLESS: &[i64] = &[
        // Its pipes; whether anything else can be opened is for `openat`, which is not here.
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_lseek,
        // Memory.
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_mprotect,
        libc::SYS_madvise,
        libc::SYS_mincore,
        libc::SYS_membarrier,
        // Threads and waiting.
        libc::SYS_clone3,
        libc::SYS_futex,
        libc::SYS_rseq,
        libc::SYS_set_robust_list,
        libc::SYS_set_tid_address,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_getcpu,
        libc::SYS_nanosleep,
        libc::SYS_clock_nanosleep,
        libc::SYS_clock_gettime,
        libc::SYS_clock_getres,
        libc::SYS_gettimeofday,
        libc::SYS_prctl,
        // Signals to itself, and the end.
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
        // What it is, and chance.
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_getrusage,
        libc::SYS_getrandom,
        libc::SYS_uname,
        libc::SYS_sysinfo,
    ];

    /// No core files, which would hold the document, and no files at all.
    pub(super) fn limit_resources() -> std::io::Result<()> {
        Resource::CORE.set(0, 0)?;
        Resource::FSIZE.set(0, 0)
    }

    pub(super) fn limit_memory(bytes: u64) -> std::io::Result<()> {
        let (_, hard) = Resource::DATA.get()?;
        Resource::DATA.set(hard.min(bytes + RESERVED_BYTES), hard)
    }
}

#[cfg(not(target_os = "linux"))]
mod kernel {
    pub(super) fn no_files() -> Result<(), String> {
        Err("only Linux can deny files to a process".to_owned())
    }

    pub(super) fn only_harmless_calls() -> Result<(), String> {
        Err("only Linux can deny system calls to a process".to_owned())
    }

    pub(super) fn limit_resources() -> std::io::Result<()> {
        Ok(())
    }

    pub(super) fn limit_memory(_: u64) -> std::io::Result<()> {
        Ok(())
    }
}

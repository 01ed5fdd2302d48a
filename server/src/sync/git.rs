//! The files of a git branch, through the `git` program.
//!
//! Only the branch's last commit is fetched, into a bare repository of kura's own without hooks. Nothing is checked out,
//! no filter and no configuration of the repository or of this account is used, and nobody is asked for a password.

use super::globs::Globs;
use super::place::Settings;
use async_trait::async_trait;
use base64::Engine as _;
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};
use kura_indexer::sync::{Connector, Failure, Fetched, Item, Standing};
use sha2::{Digest as _, Sha256};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;

/// Longest time a fetch may take.
const FETCH: Duration = Duration::from_secs(60 * 60);
/// Longest time any other command may take.
const LOCAL: Duration = Duration::from_secs(10 * 60);
/// Where the fetched commit is kept.
const HEAD: &str = "refs/kura/head";
/// How a file begins whose content is kept elsewhere.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// Reads a branch.
pub struct Git {
    url: String,
    /// `HEAD`, or a full name.
    reference: String,
    token_file: Option<PathBuf>,
    dir: PathBuf,
    settings: Settings,
    globs: Globs,
    max_bytes: u64,
    reader: Mutex<Option<Reader>>,
    listed: std::sync::atomic::AtomicBool,
}

/// A running `git cat-file --batch`.
struct Reader {
    _child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// Where a branch is.
pub struct Remote<'a> {
    /// `https://`, `ssh://`, `git://`, `file://` or an absolute path.
    pub url: &'a str,
    /// The branch; the repository's own choice when absent.
    pub branch: Option<&'a str>,
    /// A file with an access token, for HTTPS.
    pub token_file: Option<&'a str>,
}

impl Git {
    /// Prepares to read; nothing is fetched yet.
    ///
    /// # Errors
    /// When the address or the branch cannot be one.
    pub fn open(
        remote: &Remote<'_>,
        settings: Settings,
        globs: Globs,
        data_dir: &Path,
        max_bytes: u64,
    ) -> Result<Self, Failure> {
        let url = check_url(remote.url)?;
        let reference = match remote.branch {
            None => "HEAD".to_owned(),
            Some(branch) => format!("refs/heads/{}", check_branch(branch)?),
        };
        if remote.token_file.is_some() && !url.starts_with("https://") {
            return Err(Failure(
                "an access token is sent over https:// only".to_owned(),
            ));
        }
        Ok(Self {
            dir: dir(data_dir, remote.url, remote.branch),
            url,
            reference,
            token_file: remote.token_file.map(PathBuf::from),
            settings,
            globs,
            max_bytes,
            reader: Mutex::default(),
            listed: std::sync::atomic::AtomicBool::default(),
        })
    }

    async fn items(&self) -> Result<Vec<Item>, Failure> {
        if !self.dir.join("HEAD").exists() {
            fs_err::create_dir_all(&self.dir).map_err(|error| Failure(error.to_string()))?;
            let mut init = self.command(false)?;
            init.args(["init", "--quiet", "--bare", "--template=", "."]);
            run(init, LOCAL).await?;
        }
        let before = self.commit().await;
        let mut fetch = self.command(true)?;
        fetch
            .args([
                "fetch",
                "--quiet",
                "--depth=1",
                "--no-tags",
                "--no-recurse-submodules",
                "--no-auto-maintenance",
                "--force",
            ])
            .args(["--end-of-options", &self.url])
            .arg(format!("{}:{HEAD}", self.reference));
        run(fetch, FETCH).await?;
        let commit = self.commit().await?;
        if before.is_ok_and(|before| before != commit) {
            // What is no longer in the branch does not stay on the disk.
            drop(fs_err::remove_file(self.dir.join("FETCH_HEAD")));
            let mut collect = self.command(false)?;
            collect.args(["gc", "--quiet", "--prune=now"]);
            run(collect, LOCAL).await?;
        }
        let mut list = self.command(false)?;
        list.args(["ls-tree", "-r", "-z", "--long", "--full-tree", HEAD]);
        let tree = run(list, LOCAL).await?;
        self.listed
            .store(true, std::sync::atomic::Ordering::Relaxed);
        Ok(tree
            .split(|byte| *byte == 0)
            .filter_map(|entry| self.item(entry))
            .collect())
    }

    async fn commit(&self) -> Result<Vec<u8>, Failure> {
        let mut parse = self.command(false)?;
        parse.args(["rev-parse", "--verify", "--quiet", HEAD]);
        run(parse, LOCAL).await
    }

    /// Reads a line of `git ls-tree --long`: mode, type, id, size, tab, path.
    fn item(&self, entry: &[u8]) -> Option<Item> {
        let tab = entry.iter().position(|byte| *byte == b'\t')?;
        let head = std::str::from_utf8(&entry[..tab]).ok()?;
        let [mode, _, id, size] = head
            .split_ascii_whitespace()
            .collect::<Vec<_>>()
            .try_into()
            .ok()?;
        // Neither symbolic links nor other repositories.
        if !matches!(mode, "100644" | "100755" | "100664") {
            return None;
        }
        let key = String::from_utf8_lossy(&entry[tab + 1..]).into_owned();
        if !self.globs.wants(&key) {
            return None;
        }
        let named = match std::str::from_utf8(&entry[tab + 1..]) {
            Ok(path) => self.settings.document_name(path),
            Err(_) => Err("its name is not UTF-8; rename it".to_owned()),
        };
        let (source, standing) = match named {
            Ok(source) => (source, Standing::Ready),
            Err(reason) => (String::new(), Standing::Refused(reason)),
        };
        Some(Item {
            marker: id.to_owned(),
            source,
            link: format!("{}#{key}", self.url),
            size_bytes: size.parse().ok(),
            hint: Some(id.to_owned()),
            note: None,
            standing,
            key,
        })
    }

    async fn read(&self, id: &str) -> Result<Vec<u8>, Failure> {
        let mut reader = self.reader.lock().await;
        if reader.is_none() {
            let mut command = self.command(false)?;
            command
                .args(["cat-file", "--batch"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::null());
            let mut child = command.spawn().map_err(|error| missing(&error))?;
            let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
                return Err(Failure("git has no input or output".to_owned()));
            };
            *reader = Some(Reader {
                _child: child,
                stdin,
                stdout: BufReader::new(stdout),
            });
        }
        let Some(open) = reader.as_mut() else {
            return Err(Failure("git does not run".to_owned()));
        };
        let read = open.blob(id, self.max_bytes).await;
        if read.is_err() {
            // Where it stands in its output is not known any more.
            *reader = None;
        }
        read
    }

    /// Returns `git` on kura's own repository, deaf to all configuration but what is given here.
    fn command(&self, network: bool) -> Result<Command, Failure> {
        #[expect(
            clippy::disallowed_methods,
            reason = "`super::connect` has asked for the host"
        )]
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.dir)
            .env_clear()
            .envs(
                [
                    "PATH",
                    "HOME",
                    "SSH_AUTH_SOCK",
                    "SSL_CERT_FILE",
                    "SSL_CERT_DIR",
                ]
                .iter()
                .filter_map(|name| {
                    std::env::var_os(name).map(|value| (OsString::from(name), value))
                }),
            )
            .env("LC_ALL", "C.UTF-8")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", config_file(&self.dir)?)
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "false")
            .env("SSH_ASKPASS", "false")
            .env("GIT_ALLOW_PROTOCOL", "file:git:https:http:ssh")
            .env(
                "GIT_SSH_COMMAND",
                "ssh -o BatchMode=yes -o ConnectTimeout=30 -o StrictHostKeyChecking=yes",
            )
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let mut config = vec![
            ("core.hooksPath".to_owned(), "/dev/null".to_owned()),
            ("gc.auto".to_owned(), "0".to_owned()),
            ("core.fsmonitor".to_owned(), "false".to_owned()),
            // A token must not follow a redirect to another host.
            ("http.followRedirects".to_owned(), "false".to_owned()),
            ("http.lowSpeedLimit".to_owned(), "1000".to_owned()),
            ("http.lowSpeedTime".to_owned(), "60".to_owned()),
        ];
        if let (true, Some(file)) = (network, &self.token_file) {
            let token = super::secret(file)?;
            let basic =
                base64::engine::general_purpose::STANDARD.encode(format!("x-access-token:{token}"));
            config.push((
                format!("http.{}.extraHeader", self.url),
                format!("Authorization: Basic {basic}"),
            ));
        }
        // By environment, so that no token shows in the list of processes.
        command.env("GIT_CONFIG_COUNT", config.len().to_string());
        for (n, (key, value)) in config.into_iter().enumerate() {
            command
                .env(format!("GIT_CONFIG_KEY_{n}"), key)
                .env(format!("GIT_CONFIG_VALUE_{n}"), value);
        }
        Ok(command)
    }
}

#[async_trait]
impl Connector for Git {
    fn list(&self) -> BoxStream<'_, Result<Item, Failure>> {
        let listing = stream::once(self.items()).flat_map(|items| match items {
            Ok(items) => stream::iter(items.into_iter().map(Ok).collect::<Vec<_>>()),
            Err(cause) => stream::iter(vec![Err(cause)]),
        });
        listing.boxed()
    }

    async fn fetch(&self, item: &Item) -> Fetched {
        if item.size_bytes.is_some_and(|size| size > self.max_bytes) {
            return Fetched::Refused("it is larger than `server.upload_max_bytes`".to_owned());
        }
        match self.read(&item.marker).await {
            Ok(bytes) if bytes.starts_with(LFS) => Fetched::Refused(
                "its content is kept by Git LFS, which kura does not fetch".to_owned(),
            ),
            Ok(bytes) => Fetched::Content {
                bytes,
                media_type: None,
            },
            Err(Failure(cause)) => Fetched::Failed(cause),
        }
    }

    /// A commit says itself what is in it.
    async fn root(&self) -> Result<Option<String>, Failure> {
        if !self.listed.load(std::sync::atomic::Ordering::Relaxed) {
            fs_err::create_dir_all(&self.dir).map_err(|error| Failure(error.to_string()))?;
            let mut ask = self.command(true)?;
            ask.args([
                "ls-remote",
                "--quiet",
                "--exit-code",
                "--end-of-options",
                &self.url,
                &self.reference,
            ]);
            if let Err(failure) = run(ask, LOCAL).await {
                // A source that was not added leaves no folder; one with a copy in it stays.
                drop(fs_err::remove_dir(&self.dir));
                return Err(failure);
            }
        }
        Ok(Some("commit".to_owned()))
    }
}

impl Reader {
    async fn blob(&mut self, id: &str, max_bytes: u64) -> Result<Vec<u8>, Failure> {
        let broken = |error: std::io::Error| Failure(format!("git broke off: {error}"));
        self.stdin
            .write_all(format!("{id}\n").as_bytes())
            .await
            .map_err(broken)?;
        self.stdin.flush().await.map_err(broken)?;
        let mut head = String::new();
        self.stdout.read_line(&mut head).await.map_err(broken)?;
        let size = head
            .split_ascii_whitespace()
            .nth(2)
            .and_then(|size| size.parse::<u64>().ok());
        let Some(size) = size.filter(|size| *size <= max_bytes) else {
            return Err(Failure(format!(
                "git does not have it as expected: {}",
                head.trim()
            )));
        };
        let mut bytes =
            vec![0; usize::try_from(size).map_err(|error| Failure(error.to_string()))? + 1];
        self.stdout.read_exact(&mut bytes).await.map_err(broken)?;
        // The line's end.
        bytes.pop();
        Ok(bytes)
    }
}

/// Returns the folder of kura's copy of a branch.
pub fn dir(data_dir: &Path, url: &str, branch: Option<&str>) -> PathBuf {
    let hash = Sha256::digest(format!("{url}\n{}", branch.unwrap_or_default()));
    let name: String = hash
        .iter()
        .take(12)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    // Absolute, because git is started in it.
    let data_dir = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned());
    data_dir.join("sync").join(format!("{name}.git"))
}

/// Returns the configuration that a git started by git reads, too: a local repository may belong to another account,
/// because it is only read.
fn config_file(dir: &Path) -> Result<PathBuf, Failure> {
    const TEXT: &str = "[safe]\n\tdirectory = *\n[core]\n\thooksPath = /dev/null\n";
    let file = dir.with_file_name("gitconfig");
    if fs_err::read_to_string(&file).is_ok_and(|text| text == TEXT) {
        return Ok(file);
    }
    let written = fs_err::create_dir_all(dir).and_then(|()| fs_err::write(&file, TEXT));
    written
        .map(|()| file)
        .map_err(|error| Failure(error.to_string()))
}

/// Runs a command to its end; returns its output.
async fn run(mut command: Command, limit: Duration) -> Result<Vec<u8>, Failure> {
    let output = tokio::time::timeout(limit, command.output())
        .await
        .map_err(|_| {
            Failure(format!(
                "git did not end within {} minutes",
                limit.as_secs() / 60
            ))
        })?
        .map_err(|error| missing(&error))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let told = told
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .take(3)
        .collect::<Vec<_>>()
        .join("; ");
    Err(Failure(if told.is_empty() {
        "git found no such repository or branch".to_owned()
    } else {
        format!("git: {told}")
    }))
}

fn missing(error: &std::io::Error) -> Failure {
    Failure(format!(
        "the program `git` cannot be run ({error}); install it"
    ))
}

fn check_url(url: &str) -> Result<String, Failure> {
    if url.starts_with('/') {
        // Only by this protocol is a single commit taken from a local repository.
        return Ok(format!("file://{url}"));
    }
    let schemes = ["https://", "http://", "ssh://", "git://", "file://"];
    if !schemes.iter().any(|scheme| url.starts_with(scheme))
        || url.chars().any(|c| c.is_control() || c.is_whitespace())
    {
        return Err(Failure(format!(
            "`{url}` is no address of a repository; use https://, ssh://, git://, file:// or an absolute path"
        )));
    }
    let authority = url
        .split("://")
        .nth(1)
        .unwrap_or_default()
        .split('/')
        .next()
        .unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    if user.is_some_and(|user| user.contains(':') || url.starts_with("http")) {
        return Err(Failure(
            "an address is shown to people, so it must not have a password in it; put an access token into a file and name that"
                .to_owned(),
        ));
    }
    Ok(url.to_owned())
}

fn check_branch(branch: &str) -> Result<&str, Failure> {
    let bad = branch.is_empty()
        || branch.starts_with(['-', '/', '.'])
        || branch.ends_with(['/', '.'])
        || branch.ends_with(".lock")
        || branch.contains("..")
        || branch.contains("@{")
        || branch.contains("//")
        || branch
            .chars()
            .any(|c| c.is_control() || " ~^:?*[\\".contains(c));
    if bad {
        return Err(Failure(format!("`{branch}` is no name of a branch")));
    }
    Ok(branch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_branches_cannot_be_options_or_hold_passwords() {
        assert_eq!(check_url("/srv/a.git").unwrap(), "file:///srv/a.git");
        for good in ["https://host/a.git", "ssh://git@host:22/a", "file:///srv/a"] {
            assert_eq!(check_url(good).unwrap(), good);
        }
        for bad in [
            "--upload-pack=touch x",
            "ext::sh -c x",
            "relative",
            "https://me:secret@host/a",
            "https://secret@host/a",
            "ssh://me:secret@host/a",
            "https://host/a\n",
            "",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
        for good in ["main", "feature/x-1"] {
            assert!(check_branch(good).is_ok(), "{good}");
        }
        for bad in ["", "-x", "a..b", "a b", "a:b", "x.lock", "/a", "a//b"] {
            assert!(check_branch(bad).is_err(), "{bad}");
        }
    }
}

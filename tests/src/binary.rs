use crate::http::Client;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest time until the server is up: it loads models, and tests share the machine.
const START_TIMEOUT: Duration = Duration::from_secs(120);

/// The real binary with a data directory of its own.
pub struct Kura {
    dir: TempDir,
    env: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Output {
    /// Exit code.
    pub code: i32,
    /// Results.
    pub stdout: String,
    /// Logs and errors.
    pub stderr: String,
}

/// A running `kura serve`; killed when dropped.
pub struct Server {
    /// Calls with the admin key.
    pub client: Client,
    /// The admin key.
    pub key: String,
    child: Child,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Kura {
    /// Returns the binary with an empty data directory and the small English embedder.
    ///
    /// # Panics
    /// When the binary was not built.
    #[must_use]
    pub fn new() -> Self {
        let kura = Self {
            dir: tempfile::tempdir().unwrap(),
            env: Vec::new(),
        };
        fs_err::write(kura.path("kura.toml"), "").unwrap();
        kura.env("KURA__MODELS__EMBEDDER", "all-minilm-l6-v2")
            .env("KURA__MODELS__GENERATOR", "")
    }

    /// Sets a variable for all commands.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Uses the real models.
    #[must_use]
    pub fn with_models(self) -> Self {
        let dir = crate::models_dir();
        self.env("KURA__MODELS__DIR", &dir.display().to_string())
    }

    /// Returns a path in the test's own folder.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file into the test's own folder.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(&path, content).unwrap();
        path
    }

    /// Runs a command to its end.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        let output = self.command(args).output().unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Starts the server on a free port and waits until it is ready.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn serve(&self) -> Server {
        self.serve_at(&self.path("data"))
    }

    /// The same on another data directory.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn serve_at(&self, data: &Path) -> Server {
        let mut child = self
            .command_at(data, ["serve", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let (mut key, mut url, mut log) = (None, None, String::new());
        let deadline = Instant::now() + START_TIMEOUT;
        while url.is_none() {
            assert!(
                Instant::now() < deadline,
                "the server does not start:\n{log}"
            );
            let mut line = String::new();
            assert!(
                stderr.read_line(&mut line).unwrap() > 0,
                "the server ended:\n{log}"
            );
            log.push_str(&line);
            if line.trim().starts_with("kura_") {
                key = Some(line.trim().to_owned());
            }
            if let Some((_, rest)) = line.split_once("kura is ready on ") {
                url = rest.split_whitespace().next().map(str::to_owned);
            }
        }
        // The pipe must be read on, or the server would block when it is full.
        let log = Arc::new(Mutex::new(log.into_bytes()));
        let kept = Arc::clone(&log);
        drop(std::thread::spawn(move || {
            let mut line = Vec::new();
            while stderr.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                kept.lock().unwrap().append(&mut line);
            }
        }));
        let key = key
            .or_else(|| fs_err::read_to_string(self.path("key")).ok())
            .unwrap();
        fs_err::write(self.path("key"), &key).unwrap();
        Server {
            client: Client::new(&url.unwrap(), Some(&key)),
            key,
            child,
            log,
        }
    }

    /// Returns the variables set for all commands.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.env
    }

    /// Returns the binary that belongs to this build.
    #[must_use]
    pub fn binary() -> PathBuf {
        binary()
    }

    fn command<S: AsRef<std::ffi::OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.command_at(&self.path("data"), args)
    }

    /// Returns a command on another data directory, not yet started.
    pub fn command_at<S: AsRef<std::ffi::OsStr>>(
        &self,
        data: &Path,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(binary());
        command
            .arg("--data-dir")
            .arg(data)
            .arg("--config")
            .arg(self.path("kura.toml"))
            .args(args)
            .current_dir(self.dir.path());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("KURA_") {
                command.env_remove(name);
            }
        }
        command.envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }
}

impl Default for Kura {
    fn default() -> Self {
        Self::new()
    }
}

impl Output {
    /// Returns stdout as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Fails unless the command ended with `code` and its errors contain all of `words`.
    ///
    /// # Panics
    /// Then.
    pub fn assert_fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "`{word}` is missing: {self:?}");
        }
    }
}

impl Server {
    /// Returns the process's id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Returns what the server has logged so far.
    ///
    /// # Panics
    /// When the thread that reads it has panicked.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().unwrap()).into_owned()
    }

    /// Sends SIGTERM; returns whether the server ended well.
    ///
    /// # Panics
    /// When it cannot be signalled.
    pub fn stop(mut self) -> bool {
        let status = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .unwrap();
        assert!(status.success());
        self.child.wait().unwrap().success()
    }

    /// Kills the server as a power cut would.
    pub fn kill(mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns the binary that belongs to this build.
fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("KURA_BIN") {
        return path.into();
    }
    // The test lies in `<target>/<profile>/deps`.
    let exe = std::env::current_exe().unwrap();
    let path = exe.parent().and_then(Path::parent).unwrap().join("kura");
    assert!(
        path.is_file(),
        "`{}` does not exist; run `make build` first",
        path.display()
    );
    path
}

//! All that people do with kura, from the installation to the backup, in a network of its own.

use kura_tests::network::Network;
use kura_tests::{Kura, Output, fixture, models_dir};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const EMBEDDER: &str = "all-minilm-l6-v2";
const GENERATOR: &str = "smollm2-135m-instruct";
/// Longest time until the server is up: it is traced, and tests share the machine.
const START: Duration = Duration::from_secs(180);

/// A machine on which kura is installed and used.
pub(super) struct Journey<'a> {
    pub(super) kura: Kura,
    network: &'a Network,
    /// Where traces go, if commands are traced.
    traces: RefCell<Option<PathBuf>>,
    n_commands: Cell<u32>,
}

/// A server in that network.
struct Running {
    child: Child,
    /// Of the server itself, not of what it is wrapped in.
    pid: u32,
    url: String,
    key: String,
}

impl<'a> Journey<'a> {
    pub(super) fn new(network: &'a Network) -> Self {
        let kura = Kura::new();
        let installed = kura.path("installed");
        let kura = kura
            .env("KURA__MODELS__DIR", &installed.display().to_string())
            .env("KURA__MODELS__EMBEDDER", EMBEDDER)
            .env("KURA__MODELS__GENERATOR", GENERATOR);
        Self {
            kura,
            network,
            traces: RefCell::default(),
            n_commands: Cell::new(0),
        }
    }

    /// Traces all commands from now on; returns the folder with the traces.
    pub(super) fn trace(&self, name: &str) -> PathBuf {
        let folder = self.kura.path(name);
        fs_err::create_dir_all(&folder).unwrap();
        self.traces.replace(Some(folder.clone()));
        folder
    }

    /// Goes all the way; returns the port that the server listened on.
    pub(super) fn travel(&self) -> u16 {
        self.install();
        let server = self.serve();
        self.ingest();
        self.ask(&server);
        self.evaluate();
        self.look_after();
        let port = server.url.rsplit_once(':').unwrap().1.parse().unwrap();
        self.stop(server);
        self.back_up();
        port
    }

    fn install(&self) {
        for model in [EMBEDDER, GENERATOR] {
            let from = models_dir().join(model).display().to_string();
            self.done(&["models", "import", &from]);
        }
        self.done(&["models", "verify"]);
        self.done(&["doctor"]);
    }

    /// Documents that would like to be fetched from, in formats that can say so.
    fn ingest(&self) {
        self.kura.write(
            "docs/leave.md",
            "# Parental leave\n\nParental leave lasts 20 weeks. ![seal](http://192.0.2.2/seal.png)\n\nSee \
             [the intranet](https://intranet.example.com/leave).\n",
        );
        self.kura.write(
            "docs/travel.html",
            "<html><head><link rel=stylesheet href=http://192.0.2.2/a.css><script src=http://192.0.2.2/a.js></script>\
             <meta http-equiv=refresh content='0;url=http://192.0.2.2/'></head><body><h1>Travel</h1>\
             <p>The daily allowance abroad is 50 euros.</p><img src=http://192.0.2.2/a.png>\
             <iframe src=http://192.0.2.2/></iframe></body></html>",
        );
        self.kura.write(
            "docs/memo.eml",
            "From: a@example.com\r\nTo: b@example.com\r\nSubject: Badges\r\nMIME-Version: 1.0\r\nContent-Type: \
             message/external-body; access-type=URL; URL=\"http://192.0.2.2/memo.txt\"\r\n\r\nContent-Type: text/plain\r\n\r\n",
        );
        for name in [
            "it-equipment.xlsx",
            "parental-leave.docx",
            "quality-manual.pdf",
        ] {
            let bytes = fs_err::read(fixture("handbook").join(name)).unwrap();
            self.kura.write(&format!("docs/{name}"), bytes);
        }
        self.done(&["ingest", "docs", "--collection", "handbook"]);
    }

    fn ask(&self, server: &Running) {
        let found = self
            .run(&["search", "daily allowance abroad", "--json"])
            .json();
        assert!(found.to_string().contains("50 euros"), "{found}");
        let question = "How long does parental leave last?";
        let answer = self.run(&["ask", question, "--json"]).json();
        assert_eq!(answer["outcome"], "grounded", "{answer}");
        self.done(&["explain", "parental leave"]);
        let page = self.curl(&[&format!("{}/", server.url)]);
        assert!(page.contains("<html"), "{page}");
        let request =
            format!(r#"{{"model":"kura","messages":[{{"role":"user","content":"{question}"}}]}}"#);
        let completion = self.curl(&[
            "-H",
            &format!("authorization: Bearer {}", server.key),
            "-H",
            "content-type: application/json",
            "-d",
            &request,
            &format!("{}/v1/chat/completions", server.url),
        ]);
        let completion: Value = serde_json::from_str(&completion).unwrap();
        assert!(
            completion["choices"][0]["message"]["content"].is_string(),
            "{completion}"
        );
    }

    fn evaluate(&self) {
        let set = fixture("eval").display().to_string();
        let record = self
            .run(&["eval", "retrieval", "--dataset", &set, "--json"])
            .json();
        let id = record["id"].as_str().unwrap();
        self.done(&["eval", "report", id]);
    }

    fn look_after(&self) {
        self.done(&["verify"]);
        self.done(&["audit", "verify"]);
        let records = self.run(&["audit", "export"]).stdout;
        assert!(records.contains("\"question.ask\""), "{records}");
        let egress = self.run(&["doctor", "--egress", "--json"]);
        assert_eq!(egress.code, 0, "{egress:?}");
        let egress = egress.json();
        assert_eq!(egress["offline"], true, "{egress}");
        assert_eq!(egress["workers"]["no_network"], true, "{egress}");
        assert_eq!(
            egress["server"]["connections"],
            serde_json::json!([]),
            "{egress}"
        );
    }

    /// There is no command for backups yet: a stopped server's data directory is copied, and the copy is a whole kura.
    fn back_up(&self) {
        let (data, copy) = (self.kura.path("data"), self.kura.path("restored"));
        let copied = Command::new("cp").arg("-a").args([&data, &copy]).status();
        assert!(copied.unwrap().success());
        let verified = self.run_at(&copy, &["verify", "--read"]);
        assert_eq!(verified.code, 0, "{verified:?}");
        let found = self.run_at(&copy, &["search", "daily allowance abroad", "--json"]);
        assert!(found.stdout.contains("50 euros"), "{found:?}");
    }

    /// Runs a command in the network.
    pub(super) fn run(&self, args: &[&str]) -> Output {
        self.run_at(&self.kura.path("data"), args)
    }

    fn run_at(&self, data: &Path, args: &[&str]) -> Output {
        let output = self
            .inside(&self.kura.command_at(data, args))
            .output()
            .unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Returns a command in the network that is not yet started.
    pub(super) fn command(&self, args: &[&str]) -> Command {
        self.inside(&self.kura.command_at(&self.kura.path("data"), args))
    }

    fn done(&self, args: &[&str]) {
        let output = self.run(args);
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
    }

    /// A client from outside: it is not traced.
    fn curl(&self, args: &[&str]) -> String {
        let mut command = Command::new("curl");
        command
            .args(["-sS", "--fail-with-body", "--max-time", "120"])
            .args(args);
        let output = self.network.inside(&command, &[]).output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn inside(&self, command: &Command) -> Command {
        let wrap: Vec<OsString> = match self.traces.borrow().as_deref() {
            None => Vec::new(),
            Some(folder) => {
                let n = self.n_commands.get();
                self.n_commands.set(n + 1);
                super::trace::strace(&folder.join(format!("{n:03}")))
            }
        };
        self.network.inside(command, &wrap)
    }

    fn serve(&self) -> Running {
        let command = self.kura.command_at(
            &self.kura.path("data"),
            ["serve", "--listen", "127.0.0.1:0"],
        );
        let mut child = self
            .inside(&command)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let (mut key, mut url, mut text) = (None, None, String::new());
        let deadline = Instant::now() + START;
        while url.is_none() {
            assert!(
                Instant::now() < deadline,
                "the server does not start:\n{text}"
            );
            let mut line = String::new();
            let n = log.read_line(&mut line).unwrap();
            assert!(n > 0, "the server ended:\n{text}");
            text.push_str(&line);
            if line.trim().starts_with("kura_") {
                key = Some(line.trim().to_owned());
            }
            if let Some((_, rest)) = line.split_once("kura is ready on ") {
                url = rest.split_whitespace().next().map(str::to_owned);
            }
        }
        // The pipe must be read on, or the server would block when it is full.
        std::thread::spawn(move || log.read_to_string(&mut String::new()));
        let run = fs_err::read(self.kura.path("data/run/server.json")).unwrap();
        let run: Value = serde_json::from_slice(&run).unwrap();
        Running {
            child,
            pid: u32::try_from(run["pid"].as_u64().unwrap()).unwrap(),
            url: url.unwrap(),
            key: key.unwrap(),
        }
    }

    fn stop(&self, mut server: Running) {
        let kill = Command::new("kill").arg(server.pid.to_string()).status();
        assert!(kill.unwrap().success());
        assert!(server.child.wait().unwrap().success());
    }
}

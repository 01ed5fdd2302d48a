//! A real mail server (Dovecot): messages that come, go and are moved propagate, and nothing in the mailbox is changed.

use kura_tests::{Kura, Output};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DOVECOT: &str = "/usr/sbin/dovecot";
/// An account without rights that owns the mail when the tests run as root, for whom Dovecot reads none.
const NOBODY: u32 = 65534;

/// A mail server with the mailbox of `anna`, whose password is `very-secret`; ended when dropped.
struct Dovecot {
    dir: tempfile::TempDir,
    child: Option<Child>,
    /// Without TLS from the start.
    port: u16,
    tls_port: u16,
}

/// Someone who uses the mailbox.
struct Mail {
    reader: BufReader<TcpStream>,
    n_commands: u32,
}

fn said(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    assert!(output.status.success(), "{program} {args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

impl Dovecot {
    /// Starts it; `None` if it is not installed.
    fn start() -> Option<Self> {
        let has_openssl = || Command::new("openssl").arg("version").output().is_ok();
        if !Path::new(DOVECOT).exists() || !has_openssl() {
            return None;
        }
        let free = || {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            listener.local_addr().unwrap().port()
        };
        let mut dovecot = Self {
            dir: tempfile::tempdir().unwrap(),
            child: None,
            port: free(),
            tls_port: free(),
        };
        dovecot.prepare();
        dovecot.run();
        Some(dovecot)
    }

    fn at(&self) -> &Path {
        self.dir.path()
    }

    fn prepare(&self) {
        let at = self.at().display();
        fs_err::create_dir(self.at().join("run")).unwrap();
        fs_err::create_dir(self.at().join("mail")).unwrap();
        fs_err::create_dir(self.at().join("heard")).unwrap();
        fs_err::write(self.at().join("users"), "anna:{PLAIN}very-secret\n").unwrap();
        let (uid, gid) = (said("id", &["-u"]), said("id", &["-g"]));
        let accounts = if uid == "0" {
            for dir in ["mail", "heard"] {
                let dir = self.at().join(dir);
                std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
            }
            let everyone = std::fs::Permissions::from_mode(0o755);
            fs_err::set_permissions(self.at(), everyone).unwrap();
            format!(
                "userdb {{\n driver = static\n args = uid={NOBODY} gid={NOBODY} home={at}/mail/%u\n}}"
            )
        } else {
            let (user, group) = (said("id", &["-un"]), said("id", &["-gn"]));
            format!(
                "default_internal_user = {user}\ndefault_internal_group = {group}\ndefault_login_user = {user}
                 service anvil {{\n chroot =\n}}\nservice imap-login {{\n chroot =\n}}
                 userdb {{\n driver = static\n args = uid={uid} gid={gid} home={at}/mail/%u\n}}"
            )
        };
        let (port, tls_port) = (self.port, self.tls_port);
        let config = format!(
            "base_dir = {at}/run\nstate_dir = {at}/run\nlog_path = {at}/log\nprotocols = imap\nlisten = 127.0.0.1
             ssl = yes\nssl_cert = <{at}/cert.pem\nssl_key = <{at}/key.pem\ndisable_plaintext_auth = no
             mail_location = maildir:{at}/mail/%u\nrawlog_dir = {at}/heard
             passdb {{\n driver = passwd-file\n args = {at}/users\n}}
             namespace inbox {{\n inbox = yes\n mailbox Trash {{\n special_use = \\Trash\n }}\n}}
             service imap-login {{\n inet_listener imap {{\n port = {port}\n }}\n inet_listener imaps {{\n port = {tls_port}\n ssl = yes\n }}\n}}
             {accounts}\n"
        );
        fs_err::write(self.at().join("dovecot.conf"), config).unwrap();
        let authority = "[req]\ndistinguished_name = dn\nprompt = no\n[dn]\nCN = kura test\n[ca]\nbasicConstraints = critical,CA:TRUE
[server]\nbasicConstraints = critical,CA:FALSE\nsubjectAltName = IP:127.0.0.1\n";
        fs_err::write(self.at().join("ssl.cnf"), authority).unwrap();
        let certificate = |name: &str, extensions: &str, more: &[&str]| {
            let (out, key) = (format!("{name}.pem"), format!("{name}.key"));
            let made = Command::new("openssl")
                .args([
                    "req",
                    "-x509",
                    "-config",
                    "ssl.cnf",
                    "-extensions",
                    extensions,
                ])
                .args(["-newkey", "rsa:2048", "-nodes", "-days", "2"])
                .args(["-out", &out, "-keyout", &key])
                .args(more)
                .current_dir(self.at())
                .output()
                .unwrap();
            assert!(made.status.success(), "{made:?}");
        };
        certificate("authority", "ca", &[]);
        certificate("other", "ca", &[]);
        let signed = ["-CA", "authority.pem", "-CAkey", "authority.key"];
        certificate("cert", "server", &signed);
        fs_err::rename(self.at().join("cert.key"), self.at().join("key.pem")).unwrap();
    }

    fn run(&mut self) {
        let child = Command::new(DOVECOT)
            .args(["-F", "-c"])
            .arg(self.at().join("dovecot.conf"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", self.tls_port)).is_err() {
            let log = fs_err::read_to_string(self.at().join("log")).unwrap_or_default();
            assert!(Instant::now() < deadline, "{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it, and with it what it has started.
    fn stop(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        drop(Command::new("kill").arg(child.id().to_string()).status());
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline && matches!(child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        drop(child.kill());
        drop(child.wait());
    }

    /// Returns what kura has asked for since the last call, without what is before signing in.
    fn heard(&self) -> Vec<String> {
        let mut before = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            assert!(Instant::now() < deadline, "nothing was asked for");
            // Until the server has written all of it down.
            std::thread::sleep(Duration::from_millis(300));
            let files = fs_err::read_dir(self.at().join("heard")).unwrap();
            let files: Vec<_> = files.map(|file| file.unwrap().path()).collect();
            let mut commands = Vec::new();
            for file in &files {
                let log = String::from_utf8_lossy(&fs_err::read(file).unwrap()).into_owned();
                // Time, tag, command; the tags of this test's own commands begin otherwise.
                let lines = log
                    .lines()
                    .filter_map(|line| line.split_once(' ')?.1.split_once(' '));
                let own = lines
                    .filter(|(tag, _)| tag.starts_with('k') && file.extension().unwrap() == "in");
                commands.extend(own.map(|(_, command)| command.to_owned()));
            }
            if !commands.is_empty() && commands == before {
                for file in files {
                    fs_err::remove_file(file).unwrap();
                }
                return commands;
            }
            before = commands;
        }
    }

    fn mail(&self) -> Mail {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut mail = Mail {
            reader: BufReader::new(stream),
            n_commands: 0,
        };
        mail.line();
        mail.run("LOGIN anna very-secret");
        mail
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Mail {
    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(
            self.reader.read_line(&mut line).unwrap() > 0,
            "the server ended"
        );
        line
    }

    fn run(&mut self, command: &str) -> String {
        self.n_commands += 1;
        let tag = format!("t{} ", self.n_commands);
        let stream = self.reader.get_mut();
        stream
            .write_all(format!("{tag}{command}\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        loop {
            let line = self.line();
            if let Some(done) = line.strip_prefix(&tag) {
                assert!(done.starts_with("OK"), "{command}: {line}");
                return answer;
            }
            answer.push_str(&line);
        }
    }

    /// Puts a message into a folder.
    fn put(&mut self, folder: &str, subject: &str, body: &str) {
        let message = format!(
            "From: Anna <anna@example.com>\r\nTo: all@example.com\r\nSubject: {subject}\r\n\
             Date: Mon, 1 Jul 2024 10:00:00 +0900\r\nMessage-ID: <{subject}@example.com>\r\n\
             MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n{body}\r\n"
        );
        let size = message.len();
        self.run(&format!(
            "APPEND {folder} \"01-Jul-2024 10:00:00 +0900\" {{{size}+}}\r\n{message}"
        ));
    }

    /// Does something with the message of this subject; `{}` stands for its uid.
    fn with(&mut self, folder: &str, subject: &str, command: &str) {
        self.run(&format!("SELECT {folder}"));
        let found = self.run(&format!("UID SEARCH SUBJECT {subject}"));
        let uid = found.trim().strip_prefix("* SEARCH ").unwrap().to_owned();
        self.run(&command.replace("{}", &uid));
        self.run("UNSELECT");
    }
}

fn run(kura: &Kura, name: &str, code: i32) -> Value {
    let ran = kura.run(["sync", "run", name, "--json"]);
    assert_eq!(ran.code, code, "{ran:?}");
    ran.json()
}

fn counts(source: &Value) -> [u64; 5] {
    let scan = &source["last_scan"];
    ["added", "replaced", "renamed", "deleted", "unchanged"]
        .map(|name| scan[name].as_u64().unwrap())
}

/// Returns where the best hit stands and which document it is.
fn found(kura: &Kura, query: &str) -> (String, String) {
    let hits = kura.run(["search", query, "--json"]).json();
    let best = &hits["items"][0];
    let text = |name: &str| best[name].as_str().unwrap().to_owned();
    (text("source"), text("document"))
}

fn n_jobs(kura: &Kura) -> usize {
    let jobs = kura
        .run(["jobs", "list", "--limit", "200", "--json"])
        .json();
    let items = jobs.get("items").unwrap_or(&jobs);
    items.as_array().unwrap().len()
}

fn add(kura: &Kura, server: &str, password: &Path, more: &[&str]) -> Output {
    let mut args = vec![
        "sync",
        "add",
        "imap",
        server,
        "--user",
        "anna",
        "--collection",
        "c",
    ];
    args.extend(["--password-file", password.to_str().unwrap()]);
    args.extend(more);
    kura.run(args)
}

#[test]
fn a_mailbox_is_kept_in_step() {
    let Some(mut dovecot) = Dovecot::start() else {
        println!("skipped: dovecot or openssl is not installed");
        return;
    };
    let mut mail = dovecot.mail();
    for folder in ["Projects.Alpha", "Archive", "Trash"] {
        mail.run(&format!("CREATE {folder}"));
    }
    mail.put("INBOX", "leave", "Employees get twenty days of paid leave.");
    mail.put("INBOX", "parking", "The garage opens at seven.");
    mail.put(
        "Projects.Alpha",
        "hotels",
        "A night in a hotel may cost ninety euros.",
    );
    mail.put("Trash", "old", "What was thrown away is not read.");

    let authority = |name: &str| dovecot.at().join(name).display().to_string();
    let kura = Kura::new()
        .with_models()
        .env("SSL_CERT_FILE", &authority("other.pem"));
    let (password, wrong) = (
        kura.write("password", "very-secret\n"),
        kura.write("wrong", "guess\n"),
    );
    let server = format!("127.0.0.1:{}", dovecot.tls_port);
    let untrusted = add(&kura, &server, &password, &[]);
    untrusted.assert_fails(
        1,
        &["certificate of `127.0.0.1` is not trusted", "SSL_CERT_FILE"],
    );
    let kura = kura.env("SSL_CERT_FILE", &authority("authority.pem"));
    add(&kura, &server, &wrong, &[]).assert_fails(1, &["does not let `anna` in"]);
    add(&kura, &server, &password, &["--folder", "Gone"])
        .assert_fails(1, &["no folder fits `Gone`", "`INBOX`"]);
    let plain = format!("127.0.0.1:{}", dovecot.port);
    add(&kura, &plain, &password, &[]).assert_fails(1, &["TLS with `127.0.0.1`"]);
    for encryption in ["starttls", "none"] {
        let added = add(
            &kura,
            &plain,
            &password,
            &["--encryption", encryption, "--name", encryption],
        );
        assert_eq!(added.code, 0, "{added:?}");
        assert_eq!(kura.run(["sync", "remove", encryption]).code, 0);
    }
    let added = add(
        &kura,
        &server,
        &password,
        &["--folder", "*", "--name", "mail"],
    );
    assert_eq!(added.code, 0, "{added:?}");

    drop(dovecot.heard());
    assert_eq!(counts(&run(&kura, "mail", 0)), [3, 0, 0, 0, 0]);
    let heard = dovecot.heard();
    let reads_only = |command: &String| {
        let reading = ["CAPABILITY", "LIST ", "STATUS ", "EXAMINE ", "UID FETCH "];
        reading.iter().any(|word| command.starts_with(word))
    };
    assert!(heard.iter().all(reads_only), "{heard:?}");
    let n_read = heard
        .iter()
        .filter(|command| command.contains("BODY.PEEK[]"))
        .count();
    assert!(
        n_read == 3 && !heard.iter().any(|command| command.contains("BODY[]")),
        "{heard:?}"
    );
    let (source, hotels) = found(&kura, "night in a hotel");
    assert!(
        source.starts_with("Projects/Alpha/") && source.ends_with(".eml"),
        "{source}"
    );
    // Nothing is marked as read, nor even as seen by a mail program.
    let status = mail.run("STATUS INBOX (MESSAGES UNSEEN RECENT)");
    assert!(
        ["MESSAGES 2", "UNSEEN 2", "RECENT 2"]
            .iter()
            .all(|word| status.contains(word)),
        "{status}"
    );
    // Where the password is is kept, the password is not.
    let shown = kura.run(["sync", "show", "mail", "--json"]).stdout;
    assert!(
        shown.contains(password.to_str().unwrap()) && !shown.contains("very-secret"),
        "{shown}"
    );
    let catalog = fs_err::read(kura.path("data/catalog.db")).unwrap();
    assert!(!catalog.windows(11).any(|window| window == b"very-secret"));
    let second = run(&kura, "mail", 0);
    // A folder without changes is not even listed.
    let heard = dovecot.heard();
    assert!(
        !heard.iter().any(|command| command.contains("FETCH")),
        "{heard:?}"
    );
    assert_eq!(
        (counts(&second), &second["last_scan"]["bytes_read"]),
        ([0, 0, 0, 0, 3], &0.into())
    );

    // Another text is another message, one that is only marked as deleted is gone, too, and a moved one stays what it is.
    let before = n_jobs(&kura);
    mail.with("INBOX", "leave", "UID STORE {} +FLAGS (\\Deleted)");
    mail.with("INBOX", "leave", "UID EXPUNGE {}");
    mail.put("INBOX", "leave", "Employees get thirty days of paid leave.");
    mail.with("INBOX", "parking", "UID STORE {} +FLAGS (\\Deleted)");
    mail.with("Projects.Alpha", "hotels", "UID MOVE {} Archive");
    assert_eq!(counts(&run(&kura, "mail", 0)), [1, 0, 1, 2, 0]);
    assert_eq!(
        n_jobs(&kura),
        before + 1,
        "what was moved is not embedded again"
    );
    let (source, moved) = found(&kura, "night in a hotel");
    assert!(
        source.starts_with("Archive/") && moved == hotels,
        "{source}"
    );
    let text = kura
        .run(["search", "paid leave and the garage", "--json"])
        .stdout;
    assert!(text.contains("thirty days"), "{text}");
    assert!(
        !text.contains("twenty days") && !text.contains("garage opens"),
        "{text}"
    );

    // Marks of mail programs are changes of a folder, and none of its messages.
    mail.with("INBOX", "leave", "UID STORE {} +FLAGS (\\Seen)");
    mail.with("INBOX", "parking", "UID STORE {} -FLAGS (\\Deleted)");
    let marked = run(&kura, "mail", 0);
    assert_eq!(counts(&marked), [1, 0, 0, 0, 2], "{marked}");

    // The day of a message is that of the mail server.
    for (since, n_listed) in [("2024-07-01", 2), ("2024-07-02", 0)] {
        let more = ["--since", since, "--name", "since", "--prefix", "since"];
        let added = add(&kura, &server, &password, &more);
        assert_eq!(added.code, 0, "{added:?}");
        assert_eq!(run(&kura, "since", 0)["last_scan"]["listed"], n_listed);
        assert_eq!(
            kura.run(["sync", "remove", "since", "--with-documents"])
                .code,
            0
        );
    }

    // What is too large is told, and is not in the way of the rest.
    let kura = kura.env("KURA__SERVER__UPLOAD_MAX_BYTES", "20000");
    mail.put(
        "INBOX",
        "large",
        &"A line of a long report.\r\n".repeat(1000),
    );
    assert_eq!(run(&kura, "mail", 3)["last_scan"]["refused"], 1);
    let shown = kura.run(["sync", "show", "mail"]).stdout;
    assert!(
        shown.contains("more than `server.upload_max_bytes`"),
        "{shown}"
    );
    mail.with("INBOX", "large", "UID STORE {} +FLAGS (\\Deleted)");
    assert_eq!(counts(&run(&kura, "mail", 0)), [0, 0, 0, 0, 3]);

    // Whatever is wrong with the server, its documents stay.
    let is_stale = |cause: &str| {
        let stale = run(&kura, "mail", 1);
        let (state, n_documents) = (&stale["state"], &stale["n_documents"]);
        assert_eq!(
            (state, n_documents),
            (&"stale".into(), &3.into()),
            "{stale}"
        );
        assert!(stale["error"].as_str().unwrap().contains(cause), "{stale}");
    };
    let is_well = || assert_eq!(counts(&run(&kura, "mail", 0)), [0, 0, 0, 0, 3]);
    kura.write("password", "guess\n");
    is_stale("does not let `anna` in");
    kura.write("password", "very-secret\n");
    is_well();
    drop(mail);
    dovecot.stop();
    is_stale("cannot be reached");
    // An empty mailbox in the place of the one that was read, as when its disk is missing.
    let (mailbox, away) = (
        dovecot.at().join("mail/anna"),
        dovecot.at().join("mail/away"),
    );
    fs_err::rename(&mailbox, &away).unwrap();
    dovecot.run();
    is_stale("documents are missing");
    dovecot.stop();
    fs_err::remove_dir_all(&mailbox).unwrap();
    fs_err::rename(&away, &mailbox).unwrap();
    dovecot.run();
    is_well();
    assert_eq!(kura.run(["verify"]).code, 0);
}

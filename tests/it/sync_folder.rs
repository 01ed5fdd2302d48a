//! Acceptance: after random edits, moves and deletions, made while kura is down and while it runs, kura has what the
//! folder has within one scan; moved files are not embedded again; nothing is left over in any store.

use kura_tests::{Client, Kura};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A little more than the time a file must have been left alone.
const SETTLE: Duration = Duration::from_millis(1200);

/// A file as it should be found, and the name it had at the last scan if its content has not changed since.
#[derive(Clone)]
struct File {
    text: String,
    was: Option<String>,
}

struct Folder {
    root: PathBuf,
    files: BTreeMap<String, File>,
    random: u64,
    n_texts: usize,
}

impl Folder {
    fn new(root: &Path, n_files: usize) -> Self {
        let mut folder = Self {
            root: root.to_owned(),
            files: BTreeMap::new(),
            random: 0x2545_f491_4f6c_dd1d,
            n_texts: 0,
        };
        for _ in 0..n_files {
            let name = folder.new_name();
            folder.write(&name);
        }
        folder
    }

    fn random(&mut self, below: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as usize % below
    }

    fn new_name(&mut self) -> String {
        let (area, team) = (self.random(9), self.random(7));
        self.n_texts += 1;
        format!("area-{area}/team-{team}/report-{}.md", self.n_texts)
    }

    fn some_name(&mut self) -> String {
        let at = self.random(self.files.len());
        self.files.keys().nth(at).unwrap().clone()
    }

    fn write(&mut self, name: &str) {
        self.n_texts += 1;
        let crates = self.random(100_000);
        let text = format!(
            "# Report {}\n\nThe depot counted {} crates of pears.\n",
            self.n_texts, crates
        );
        let path = self.root.join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, &text).unwrap();
        self.files.insert(name.to_owned(), File { text, was: None });
    }

    fn rename(&mut self, from: &str, to: &str) {
        fs_err::create_dir_all(self.root.join(to).parent().unwrap()).unwrap();
        fs_err::rename(self.root.join(from), self.root.join(to)).unwrap();
        let file = self.files.remove(from).unwrap();
        self.files.insert(to.to_owned(), file);
    }

    /// Makes `n` random changes.
    fn change(&mut self, n: usize) {
        for _ in 0..n {
            let name = self.some_name();
            match self.random(10) {
                0 | 1 => {
                    let new = self.new_name();
                    self.write(&new);
                }
                2..=4 => self.write(&name),
                5 | 6 => {
                    let new = self.new_name();
                    self.rename(&name, &new);
                }
                7 => {
                    // Onto another file.
                    let other = self.some_name();
                    if other != name {
                        self.rename(&name, &other);
                    }
                }
                _ => {
                    fs_err::remove_file(self.root.join(&name)).unwrap();
                    self.files.remove(&name);
                }
            }
        }
        self.move_a_folder();
    }

    fn move_a_folder(&mut self) {
        let name = self.some_name();
        let from = name.rsplit_once('/').unwrap().0.to_owned();
        self.n_texts += 1;
        let to = format!("moved-{}", self.n_texts);
        fs_err::rename(self.root.join(&from), self.root.join(&to)).unwrap();
        let inside = format!("{from}/");
        let (moved, stayed) = std::mem::take(&mut self.files)
            .into_iter()
            .partition(|(name, _)| name.starts_with(&inside));
        self.files = stayed;
        let moved: BTreeMap<String, File> = moved;
        for (name, file) in moved {
            self.files
                .insert(format!("{to}/{}", &name[inside.len()..]), file);
        }
    }

    /// Returns how many files have to be embedded: new ones, and those with another text.
    fn to_embed(&self) -> u64 {
        self.files
            .values()
            .filter(|file| file.was.is_none())
            .count() as u64
    }
}

fn documents(client: &Client) -> BTreeMap<String, String> {
    let mut documents = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = client
            .get(&format!("/api/v1/documents?limit=200{cursor}"))
            .json();
        for document in page["items"].as_array().unwrap() {
            assert_eq!(document["status"], "indexed", "{document}");
            documents.insert(
                document["source"].as_str().unwrap().to_owned(),
                document["id"].as_str().unwrap().to_owned(),
            );
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={}", next.replace('/', "%2F")),
            None => return documents,
        }
    }
}

/// Fails unless kura has what the folder has, and each file that only moved is the same document as before.
fn assert_in_step(
    client: &Client,
    folder: &mut Folder,
    before: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let now = documents(client);
    assert_eq!(
        now.keys().collect::<Vec<_>>(),
        folder.files.keys().collect::<Vec<_>>()
    );
    let files: Vec<_> = folder.files.iter().collect();
    // Many at a time: each waits until it is recorded who read it.
    std::thread::scope(|scope| {
        for files in files.chunks(files.len().div_ceil(16).max(1)) {
            let now = &now;
            scope.spawn(move || {
                for (name, file) in files {
                    let path = format!("/api/v1/documents/{}/content", now[*name]);
                    let content = client.get(&path).body;
                    assert_eq!(String::from_utf8(content).unwrap(), file.text, "{name}");
                }
            });
        }
    });
    for (name, file) in &mut folder.files {
        let id = &now[name];
        if let Some(was) = &file.was {
            assert_eq!(before.get(was), Some(id), "{name} was {was}");
        }
        file.was = Some(name.clone());
    }
    now
}

fn jobs(client: &Client) -> u64 {
    let (mut n, mut cursor) = (0, String::new());
    loop {
        let page = client
            .get(&format!("/api/v1/jobs?limit=200{cursor}"))
            .json();
        n += page["items"].as_array().unwrap().len() as u64;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return n,
        }
    }
}

fn scan(kura: &Kura) -> Value {
    std::thread::sleep(SETTLE);
    let started = Instant::now();
    let ran = kura.run(["sync", "run", "reports", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let source = ran.json();
    println!("{:?} {}", started.elapsed(), source["last_scan"]);
    assert_eq!(source["state"], "ok");
    source
}

fn assert_sound(kura: &Kura, n_documents: usize) {
    let verified = kura.run(["verify", "--read", "--json"]);
    assert_eq!(verified.code, 0, "{verified:?}");
    let verified = verified.json();
    assert_eq!(verified["findings"], serde_json::json!([]));
    assert_eq!(verified["n_documents"], n_documents);
    assert_eq!(verified["n_blobs"], n_documents);
    assert_eq!(verified["n_vectors"], verified["n_chunks"]);
    assert_eq!(verified["n_keywords"], verified["n_chunks"]);
}

fn stays_in_step(n_files: usize, n_changes: usize) {
    let kura = Kura::new().with_models();
    let root = kura.path("reports");
    let mut folder = Folder::new(&root, n_files);
    let added = kura.run([
        "sync",
        "add",
        "folder",
        root.to_str().unwrap(),
        "--collection",
        "c",
        "--interval",
        "1h",
        "--json",
    ]);
    assert_eq!(added.code, 0, "{added:?}");
    assert_eq!(added.json()["state"], "new");
    let first = scan(&kura);
    assert_eq!(first["last_scan"]["added"], n_files);
    assert_sound(&kura, n_files);

    let server = kura.serve();
    let before = assert_in_step(&server.client, &mut folder, &BTreeMap::new());
    let mut n_jobs = jobs(&server.client);
    assert_eq!(n_jobs, n_files as u64);
    assert!(server.stop());

    // While kura is down.
    folder.change(n_changes);
    let to_embed = folder.to_embed();
    let down = scan(&kura);
    assert!(down["last_scan"]["renamed"].as_u64().unwrap() > 0, "{down}");
    assert_sound(&kura, folder.files.len());
    let server = kura.serve();
    let before = assert_in_step(&server.client, &mut folder, &before);
    assert_eq!(
        jobs(&server.client),
        n_jobs + to_embed,
        "only new and changed texts are embedded"
    );
    n_jobs += to_embed;

    // While it runs.
    folder.change(n_changes);
    let to_embed = folder.to_embed();
    let up = scan(&kura);
    assert!(up["last_scan"]["renamed"].as_u64().unwrap() > 0, "{up}");
    assert_in_step(&server.client, &mut folder, &before);
    assert_eq!(jobs(&server.client), n_jobs + to_embed);
    assert_sound(&kura, folder.files.len());
    // Nothing is left to do.
    let idle = scan(&kura);
    assert_eq!(idle["last_scan"]["unchanged"], folder.files.len());
    assert!(server.stop());
    assert_sound(&kura, folder.files.len());
}

#[test]
fn a_folder_stays_in_step_through_random_changes() {
    stays_in_step(300, 60);
}

#[test]
fn ten_thousand_files_stay_in_step() {
    stays_in_step(10_000, 500);
}

#[test]
fn a_watched_folder_is_followed_as_it_changes() {
    let kura = Kura::new().with_models();
    let root = kura.path("notes");
    kura.write("notes/one.txt", "The first note is about anchors.");
    let server = kura.serve();
    let added = kura.run([
        "sync",
        "add",
        "folder",
        root.to_str().unwrap(),
        "--collection",
        "c",
        "--interval",
        "1h",
        "--watch",
    ]);
    assert_eq!(added.code, 0, "{added:?}");
    let sources = |expected: &[&str]| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let page = server.client.get("/api/v1/documents").json();
            let found: Vec<_> = page["items"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|document| document["status"] == "indexed")
                .collect();
            let found: Vec<_> = found
                .iter()
                .filter_map(|document| document["source"].as_str())
                .collect();
            if found == expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{found:?} instead of {expected:?}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    sources(&["one.txt"]);
    kura.write("notes/deep/down/two.txt", "The second note is about buoys.");
    sources(&["deep/down/two.txt", "one.txt"]);
    fs_err::rename(kura.path("notes/deep"), kura.path("notes/high")).unwrap();
    sources(&["high/down/two.txt", "one.txt"]);
    fs_err::remove_file(kura.path("notes/one.txt")).unwrap();
    sources(&["high/down/two.txt"]);
    assert!(server.stop());
}

#[test]
fn a_folder_that_cannot_be_read_keeps_its_documents_and_is_stale() {
    let kura = Kura::new().with_models();
    let root = kura.path("share");
    for n in 0..3 {
        kura.write(
            &format!("share/{n}.txt"),
            format!("The number of this note is {n}."),
        );
    }
    let add = |name: &str, path: &Path| {
        kura.run([
            "sync",
            "add",
            "folder",
            path.to_str().unwrap(),
            "--collection",
            "c",
            "--name",
            name,
        ])
    };
    assert_eq!(add("share", &root).code, 0);
    std::thread::sleep(SETTLE);
    assert_eq!(kura.run(["sync", "run", "share"]).code, 0);
    add("share", &root).assert_fails(1, &["a source named `share` exists already"]);
    add("nowhere", &kura.path("nowhere"))
        .assert_fails(1, &["cannot be read", "is it there and mounted"]);
    add("own", &kura.path("data")).assert_fails(1, &["own data directory"]);
    kura.run(["sync", "run", "other"]).assert_fails(
        1,
        &[
            "unknown source `other`; existing: share",
            "hint: `kura sync list`",
        ],
    );

    // Like a share that is not mounted: the folder is there, and empty.
    fs_err::rename(&root, kura.path("elsewhere")).unwrap();
    let gone = kura.run(["sync", "run", "share", "--json"]);
    assert_eq!(
        (gone.code, &gone.json()["state"]),
        (1, &Value::from("stale")),
        "{gone:?}"
    );
    fs_err::create_dir_all(&root).unwrap();
    let empty = kura.run(["sync", "run", "share", "--json"]);
    assert_eq!(empty.code, 1, "{empty:?}");
    assert!(
        empty.json()["error"]
            .as_str()
            .unwrap()
            .contains("--allow-deletions"),
        "{empty:?}"
    );
    assert_eq!(empty.json()["n_documents"], 3);
    let list = kura.run(["sync", "list"]);
    assert!(
        list.stdout.contains("stale") && list.stdout.contains("3 documents"),
        "{list:?}"
    );

    fs_err::remove_dir_all(&root).unwrap();
    fs_err::rename(kura.path("elsewhere"), &root).unwrap();
    let back = kura.run(["sync", "run", "share", "--json"]).json();
    assert_eq!(
        (&back["state"], &back["last_scan"]["unchanged"]),
        (&Value::from("ok"), &Value::from(3)),
        "{back}"
    );
    assert_eq!(
        kura.run(["sync", "remove", "share", "--with-documents"])
            .code,
        0
    );
    assert_sound(&kura, 0);
}

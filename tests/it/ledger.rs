//! A load of uploads, replacements, deletions and searches by clients that write down what the server has promised, so
//! that it can be held to it after a kill or a power cut.

use crate::bombs::Random;
use kura_tests::{Client, Kura, Reply};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Clients at work at the same time. Each has documents of its own, so that it knows what came last.
const CLIENTS: usize = 3;
/// Documents looked at after every end, besides those that were touched.
const SAMPLE: usize = 20;
const COLLECTION: &str = "notes";

/// The word by which a version of a document is told from every other; `None` when there is no document.
type Version = Option<String>;

/// What each source may hold. Two possibilities where the server ended before it had answered.
type Sources = BTreeMap<String, BTreeSet<Version>>;

/// What a server has promised, by client.
pub(crate) struct Ledger {
    clients: Vec<Sources>,
    words: AtomicU64,
    random: Random,
}

impl Ledger {
    /// Ingests so many documents into `data`, with no server running.
    pub(crate) fn begin(
        kura: &Kura,
        data: &std::path::Path,
        n_documents: usize,
        seed: u64,
    ) -> Self {
        let words = AtomicU64::new(0);
        for _ in 0..n_documents {
            let word = word(&words);
            kura.write(&format!("notes/{word}.md"), text(&word));
        }
        let folder = kura.path("notes").display().to_string();
        let ingested = kura
            .command_at(data, ["ingest", &folder, "--collection", COLLECTION])
            .output();
        assert!(ingested.unwrap().status.success());
        let mut clients = vec![Sources::new(); CLIENTS];
        let server = kura.serve_at(data);
        for (n, (source, found)) in documents(&server.client).into_iter().enumerate() {
            let word = held(&server.client, &found[0]);
            assert!(source.contains(&word), "{source}: {word}");
            clients[n % CLIENTS].insert(source, BTreeSet::from([Some(word)]));
        }
        assert!(server.stop());
        assert_eq!(clients.iter().map(Sources::len).sum::<usize>(), n_documents);
        Self {
            clients,
            words,
            random: Random(seed | 1),
        }
    }

    /// A moment within `limit`, from the ledger's sequence.
    pub(crate) fn moment(&mut self, limit: Duration) -> Duration {
        Duration::from_millis(self.random.next() % limit.as_millis() as u64)
    }

    /// Has all clients at work while `story` happens, which says when calls may begin to fail.
    pub(crate) fn work(&mut self, client: &Client, story: impl FnOnce(&Trouble)) {
        let ids: BTreeMap<String, String> = documents(client)
            .into_iter()
            .map(|(source, found)| (source, id(&found[0])))
            .collect();
        let (trouble, stop, words) = (Trouble::default(), AtomicBool::new(false), &self.words);
        std::thread::scope(|scope| {
            for (at, sources) in self.clients.iter_mut().enumerate() {
                let (trouble, stop, ids) = (&trouble, &stop, &ids);
                let seed = self.random.next() | 1;
                scope.spawn(move || {
                    let desk = Desk {
                        client,
                        ids,
                        words,
                        trouble,
                    };
                    let mut random = Random(seed);
                    while !stop.load(Ordering::Relaxed) {
                        if desk.act(at, sources, &mut random).is_none() {
                            std::thread::sleep(Duration::from_millis(20));
                        }
                    }
                });
            }
            // Also when the story fails: the clients would go on for ever.
            let _end = SetWhenDropped(&stop);
            story(&trouble);
        });
    }

    /// Compares what the server has with what it promised: of what was touched since `before`, and of some others.
    pub(crate) fn check(&mut self, client: &Client, before: &[Sources]) {
        wait_until_idle(client);
        for (sources, before) in self.clients.iter_mut().zip(before) {
            let touched = sources
                .iter()
                .filter(|(source, versions)| before.get(*source) != Some(*versions))
                .map(|(source, _)| source.clone());
            let known: Vec<&String> = sources.keys().collect();
            let some = (0..SAMPLE).map(|_| known[self.random.below(known.len())].clone());
            let looked_at: BTreeSet<String> = touched.chain(some).collect();
            check(client, sources, before, &looked_at);
        }
    }

    /// The same of everything.
    pub(crate) fn check_all(&mut self, client: &Client) {
        wait_until_idle(client);
        for sources in &mut self.clients {
            let all = sources.keys().cloned().collect();
            check(client, sources, &Sources::new(), &all);
        }
    }

    /// What has been promised so far.
    pub(crate) fn promised(&self) -> Vec<Sources> {
        self.clients.clone()
    }
}

/// Ends what waits for the flag, also when a test fails.
pub(crate) struct SetWhenDropped<'a>(pub(crate) &'a AtomicBool);

impl Drop for SetWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What one client works with.
struct Desk<'a> {
    client: &'a Client,
    /// Of the documents that were there when the server started.
    ids: &'a BTreeMap<String, String>,
    words: &'a AtomicU64,
    trouble: &'a Trouble,
}

/// From when on calls may fail. What then becomes of a change is open until the server is asked again.
#[derive(Default)]
pub(crate) struct Trouble(AtomicBool);

impl Trouble {
    pub(crate) fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Desk<'_> {
    /// Does one thing; `None` when the server did not answer, or could not do it.
    fn act(&self, at: usize, sources: &mut Sources, random: &mut Random) -> Option<()> {
        let (source, before) = {
            let known = random.below(sources.len());
            let (source, versions) = sources.iter().nth(known).unwrap();
            (source.clone(), versions.clone())
        };
        match random.below(100) {
            0..40 => {
                let word = word(self.words);
                let source = format!("{at}-{word}.md");
                self.upload(sources, source, BTreeSet::from([None]), word)
            }
            40..70 => self.upload(sources, source, before, word(self.words)),
            70..85 if self.ids.contains_key(&source) && before.iter().any(Option::is_some) => {
                self.delete(sources, source, before)
            }
            _ => {
                let word = before.into_iter().flatten().next();
                let body = query(word.as_deref().unwrap_or("note"));
                let reply = self.client.try_send("POST", "/api/v1/search", Some(body));
                self.answered(reply, &[200]).map(drop)
            }
        }
    }

    fn upload(
        &self,
        sources: &mut Sources,
        source: String,
        before: BTreeSet<Version>,
        word: String,
    ) -> Option<()> {
        let either = before.into_iter().chain([Some(word.clone())]).collect();
        sources.insert(source.clone(), either);
        let bytes = text(&word).into_bytes();
        let reply = self
            .client
            .try_upload(COLLECTION, &source, &bytes, &json!({}));
        self.answered(reply, &[202])?;
        sources.insert(source, BTreeSet::from([Some(word)]));
        Some(())
    }

    fn delete(
        &self,
        sources: &mut Sources,
        source: String,
        before: BTreeSet<Version>,
    ) -> Option<()> {
        let either = before.iter().cloned().chain([None]).collect();
        sources.insert(source.clone(), either);
        let path = format!("/api/v1/documents/{}", self.ids[&source]);
        let reply = self.client.try_send("DELETE", &path, None);
        // One that was deleted and uploaded again has another id: then nothing happens.
        let after = match self.answered(reply, &[204, 404])? {
            204 => BTreeSet::from([None]),
            _ => before,
        };
        sources.insert(source, after);
        Some(())
    }

    /// Returns the status of an answer that is one of those expected; `None` when there is trouble.
    fn answered<E: std::fmt::Debug>(
        &self,
        reply: Result<Reply, E>,
        expected: &[u16],
    ) -> Option<u16> {
        let is_trouble = self.trouble.0.load(Ordering::Relaxed);
        match reply {
            Ok(reply) if expected.contains(&reply.status) => Some(reply.status),
            Ok(reply) if is_trouble && reply.status >= 500 => None,
            Err(_) if is_trouble => None,
            unexpected => panic!("{unexpected:?}"),
        }
    }
}

/// Compares what the server has of `sources` with what it may have, and notes which of two it was.
fn check(client: &Client, sources: &mut Sources, before: &Sources, looked_at: &BTreeSet<String>) {
    let documents = documents(client);
    for source in looked_at {
        let allowed = sources[source].clone();
        let found = documents.get(source).map_or(&[][..], Vec::as_slice);
        assert!(found.len() <= 1, "{source} is there twice: {found:?}");
        let holds: Version = found.first().map(|document| {
            assert_eq!(document["status"], "indexed", "{document}");
            held(client, document)
        });
        assert!(
            allowed.contains(&holds),
            "{source} holds {holds:?}, not one of {allowed:?}\n{:?}\nfailed jobs: {}",
            found.first(),
            client.get("/api/v1/jobs?state=failed&limit=20").json()["items"]
        );
        let old = before.get(source).into_iter().flatten().chain(&allowed);
        for word in old.flatten() {
            let hits = search(client, word);
            let with_word = hits
                .iter()
                .filter(|hit| hit["text"].as_str().unwrap().contains(word.as_str()));
            let sources: Vec<&str> = with_word
                .map(|hit| hit["source"].as_str().unwrap())
                .collect();
            let expected = if holds.as_ref() == Some(word) {
                vec![source.as_str()]
            } else {
                Vec::new()
            };
            assert_eq!(
                sources,
                expected,
                "search for {word}, a version of {source}, which holds {holds:?}\n{}",
                evidence(client, word, found)
            );
        }
        sources.insert(source.clone(), BTreeSet::from([holds]));
    }
    sources.retain(|_, versions| versions.iter().any(Option::is_some));
}

/// What the server says about a search that did not find what it should.
fn evidence(client: &Client, word: &str, documents: &[Value]) -> String {
    let mut question = json!({ "query": word });
    if let Some(document) = documents.first() {
        question["document"] = document["id"].clone();
    }
    let hits: Vec<Value> = search(client, word)
        .into_iter()
        .map(|hit| {
            json!([
                hit["source"],
                hit["text"],
                hit["score"],
                hit["lexical_rank"]
            ])
        })
        .collect();
    let explained = client.post("/api/v1/search/explain", &question).json();
    let compared = client.post("/api/v1/verify", &json!({})).json();
    format!("now: {hits:?}\nexplained: {explained}\nthe stores compared: {compared}")
}

/// All documents by source.
fn documents(client: &Client) -> BTreeMap<String, Vec<Value>> {
    let mut documents: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let page = client
            .get(&format!(
                "/api/v1/documents?collection={COLLECTION}&limit=200{cursor}"
            ))
            .json();
        for document in page["items"].as_array().unwrap() {
            let source = document["source"].as_str().unwrap().to_owned();
            documents.entry(source).or_default().push(document.clone());
        }
        let Some(next) = page["next_cursor"].as_str() else {
            return documents;
        };
        cursor = format!(
            "&cursor={}",
            next.replace('%', "%25")
                .replace('/', "%2F")
                .replace('+', "%2B")
                .replace(' ', "%20")
        );
    }
}

fn id(document: &Value) -> String {
    document["id"].as_str().unwrap().to_owned()
}

/// The word of a document's visible version.
fn held(client: &Client, document: &Value) -> String {
    let text = client
        .get(&format!("/api/v1/documents/{}/text", id(document)))
        .json();
    let last = text["text"].as_str().unwrap().split_whitespace().last();
    last.unwrap().trim_end_matches('.').to_owned()
}

fn query(word: &str) -> (&'static str, Vec<u8>) {
    let body = json!({ "query": word, "limit": 10 });
    ("application/json", body.to_string().into_bytes())
}

/// The hits of a search.
fn search(client: &Client, word: &str) -> Vec<Value> {
    let reply = client.send("POST", "/api/v1/search", Some(query(word)));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["items"].as_array().unwrap().clone()
}

fn wait_until_idle(client: &Client) {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let ready = client.get("/api/v1/jobs?limit=200").json();
        let waiting = ready["items"]
            .as_array()
            .unwrap()
            .iter()
            .any(|job| matches!(job["state"].as_str(), Some("queued" | "running")));
        if !waiting {
            return;
        }
        assert!(Instant::now() < deadline, "jobs do not end: {ready}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn text(word: &str) -> String {
    format!("The word of this note is {word}.\n")
}

/// A word that no other text has.
fn word(words: &AtomicU64) -> String {
    let mut n = words.fetch_add(1, Ordering::Relaxed);
    let mut word = "zq".to_owned();
    for _ in 0..5 {
        word.push(char::from(b'a' + (n % 20) as u8));
        n /= 20;
    }
    word.push('x');
    word
}

//! What somebody loses sight of is never shown a second later, while a server of its own is asked 20 times per second.
//!
//! Who may read is worked out here from the rules of docs/PERMISSIONS.md, not by kura's own code.
//! 100 changes; `KURA_TEST_REVOCATIONS` sets another number, and `KURA_TEST_SEED` another sequence.

use kura_tests::{Client, Kura, Reply, Server, number_from_env};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io::BufRead as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PEOPLE: usize = 8;
const GROUPS: usize = 4;
const COLLECTIONS: usize = 3;
const DOCUMENTS: usize = 24;
/// Together they ask 20 times per second.
const ASKERS: u32 = 4;
const ASKS_EVERY: Duration = Duration::from_millis(200);
const CHANGES_EVERY: Duration = Duration::from_millis(350);
/// After which nothing may be shown any more.
const LIMIT: Duration = Duration::from_secs(1);
/// How long a loss lasts: long enough to be asked about after the limit.
const LASTS: Duration = Duration::from_millis(2_500);
/// Losses that are asked about.
const RECENT: usize = 12;

/// Who may read what, by the rules.
#[derive(Clone)]
struct Model {
    /// Of each group the people in it.
    groups: Vec<BTreeSet<usize>>,
    /// Of each collection the groups that it is for; the first has everyone.
    members: Vec<BTreeSet<String>>,
    documents: Vec<Document>,
}

#[derive(Clone)]
struct Document {
    collection: usize,
    /// Its name, which stays.
    name: String,
    /// In its title and text, and never asked for. Every version has another.
    canary: String,
    /// Is asked for, and in the text.
    lure: String,
    readers: BTreeSet<String>,
    denied: BTreeSet<String>,
    id: String,
}

/// Something that somebody lost sight of.
#[derive(Clone)]
struct Loss {
    person: usize,
    document: Document,
}

#[derive(Default)]
struct Seen {
    /// What is not for a person, and since when.
    lost: HashMap<(usize, String), Instant>,
    recent: VecDeque<Loss>,
    documents: Vec<Document>,
    /// Of each person those that kept an answer.
    conversations: Vec<Vec<String>>,
    n_requests: u64,
    n_shown: u64,
    /// Of what was asked for before a change, how long after it something was still shown.
    longest: Duration,
    leaks: Vec<String>,
}

struct World {
    server: Server,
    people: Vec<Client>,
    seen: Mutex<Seen>,
    stop: AtomicBool,
}

/// A change, with what undoes it.
enum Change {
    Members(usize, BTreeSet<String>),
    Leave(usize, usize),
    Join(usize, usize),
    Acl(usize, BTreeSet<String>, BTreeSet<String>),
    Replace(usize),
    Delete(usize),
    /// A deleted document's place gets a new one.
    Add(usize),
}

#[test]
fn nothing_is_shown_a_second_after_it_was_lost() {
    let n_changes = number_from_env("KURA_TEST_REVOCATIONS", 100);
    let mut random = StdRng::seed_from_u64(number_from_env("KURA_TEST_SEED", 5));
    let kura = Kura::new().with_models().env("KURA__LOG__LEVEL", "debug");
    let (world, mut model) = World::new(&kura, &mut random);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for n in 0..ASKERS {
            let (world, seed) = (&world, random.random());
            scope.spawn(move || world.ask_on(n, StdRng::seed_from_u64(seed)));
        }
        let stop = StopOnDrop(&world.stop);
        let mut undoing: VecDeque<(Instant, Change)> = VecDeque::new();
        let mut next = Instant::now();
        for _ in 0..n_changes {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += CHANGES_EVERY;
            let (change, undo) = loop {
                while undoing
                    .front()
                    .is_some_and(|(due, _)| *due <= Instant::now())
                {
                    let (_, change) = undoing.pop_front().unwrap();
                    world.make(&mut model, &change);
                }
                let pending = undoing.iter().filter_map(|(_, change)| change.document());
                if let Some(drawn) = draw(&model, &pending.collect(), &mut random) {
                    break drawn;
                }
                // Too much is lost at this moment.
                std::thread::sleep(CHANGES_EVERY);
            };
            world.make(&mut model, &change);
            if let Some(undo) = undo {
                undoing.push_back((Instant::now() + LASTS, undo));
            }
        }
        std::thread::sleep(LASTS);
        drop(stop);
    });
    let took = begun.elapsed();
    let seen = world.seen.lock().unwrap();
    println!(
        "{n_changes} losses under {:.1} requests per second: {} canaries shown to those who may, {} to others; \
         the longest after a loss {} ms, in an answer that had begun before it",
        seen.n_requests as f64 / took.as_secs_f64(),
        seen.n_shown,
        seen.leaks.len(),
        seen.longest.as_millis()
    );
    assert!(
        seen.leaks.is_empty(),
        "{} leaks: {:#?}",
        seen.leaks.len(),
        seen.leaks.first()
    );
    // The test would be worthless if nothing was ever found.
    assert!(
        seen.n_shown > seen.n_requests / 3,
        "{} of {}",
        seen.n_shown,
        seen.n_requests
    );
    world.check_what_operators_see();
}

struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Model {
    fn new(random: &mut StdRng) -> Self {
        let everyone = BTreeSet::from(["everyone".to_owned()]);
        let some = |random: &mut StdRng, n: usize| -> BTreeSet<String> {
            let all: Vec<String> = (0..GROUPS).map(|n| format!("group-{n}")).collect();
            all.choose_multiple(random, n).cloned().collect()
        };
        let mut model = Self {
            groups: (0..GROUPS)
                .map(|_| (0..PEOPLE).filter(|_| random.random_bool(0.5)).collect())
                .collect(),
            members: vec![everyone.clone()],
            documents: Vec::new(),
        };
        for _ in 1..COLLECTIONS {
            model.members.push(some(random, 3));
        }
        for n in 0..DOCUMENTS {
            model.documents.push(Document {
                collection: random.random_range(0..COLLECTIONS),
                name: format!("name{n}"),
                canary: String::new(),
                lure: String::new(),
                readers: if random.random_bool(0.3) {
                    everyone.clone()
                } else {
                    some(random, 2)
                },
                denied: BTreeSet::new(),
                id: String::new(),
            });
        }
        model
    }

    fn reads(&self, person: usize, document: &Document) -> bool {
        let is_in = |name: &String| match name.as_str() {
            "everyone" => true,
            name => match name.strip_prefix("group-") {
                Some(n) => self.groups[n.parse::<usize>().unwrap()].contains(&person),
                None => name == format!("user:person-{person}"),
            },
        };
        self.members[document.collection].iter().any(is_in)
            && document.readers.iter().any(is_in)
            && !document.denied.iter().any(is_in)
    }

    /// Everything that somebody may read.
    fn readable(&self) -> BTreeSet<(usize, String)> {
        let pairs = (0..PEOPLE).flat_map(|person| {
            self.documents
                .iter()
                .map(move |document| (person, document))
        });
        pairs
            .filter(|(person, document)| {
                !document.canary.is_empty() && self.reads(*person, document)
            })
            .map(|(person, document)| (person, document.canary.clone()))
            .collect()
    }
}

impl Change {
    fn document(&self) -> Option<usize> {
        match self {
            Self::Members(..) | Self::Leave(..) | Self::Join(..) => None,
            Self::Acl(n, ..) | Self::Replace(n) | Self::Delete(n) | Self::Add(n) => Some(*n),
        }
    }
}

/// Draws something that takes a document from somebody, and what undoes it; `None` while there is nothing to take. Documents
/// that are `busy` are left alone.
fn draw(
    model: &Model,
    busy: &BTreeSet<usize>,
    random: &mut StdRng,
) -> Option<(Change, Option<Change>)> {
    let is_free = |n: &usize| !busy.contains(n) && !model.documents[*n].canary.is_empty();
    let free = (0..DOCUMENTS).filter(is_free);
    let readers = free.flat_map(|n| (0..PEOPLE).map(move |person| (n, person)));
    let read: Vec<(usize, usize)> = readers
        .filter(|(n, person)| model.reads(*person, &model.documents[*n]))
        .collect();
    let (n, person) = *read.choose(random)?;
    let document = &model.documents[n];
    let (acl, denied) = (document.readers.clone(), document.denied.clone());
    let undo_acl = Some(Change::Acl(n, acl.clone(), denied.clone()));
    let group = (0..GROUPS).find(|group| model.groups[*group].contains(&person));
    let (at, members) = (document.collection, &model.members[document.collection]);
    // While another collection is for nobody, too little could be asked for.
    let may_empty = model.members.iter().all(|members| !members.is_empty());
    Some(match (random.random_range(0..7), group) {
        (0, _) => (Change::Acl(n, BTreeSet::new(), denied), undo_acl),
        (1, Some(group)) => (
            Change::Leave(group, person),
            Some(Change::Join(group, person)),
        ),
        (2, _) if may_empty => (
            Change::Members(at, BTreeSet::new()),
            Some(Change::Members(at, members.clone())),
        ),
        (3, _) => (Change::Replace(n), None),
        (4, _) => (Change::Delete(n), Some(Change::Add(n))),
        _ => {
            let denied = denied.into_iter().chain([format!("user:person-{person}")]);
            (Change::Acl(n, acl, denied.collect()), undo_acl)
        }
    })
}

impl World {
    fn new(kura: &Kura, random: &mut StdRng) -> (Self, Model) {
        let server = kura.serve();
        let mut model = Model::new(random);
        for n in 0..GROUPS {
            let made = server
                .client
                .post("/api/v1/groups", &json!({ "name": format!("group-{n}") }));
            assert_eq!(made.status, 201, "{made:?}");
        }
        let people = (0..PEOPLE).map(|n| person(&server, n)).collect();
        for (n, members) in model.members.iter().enumerate() {
            let body = json!({ "name": format!("c{n}"), "members": listed(members) });
            let made = server.client.post("/api/v1/collections", &body);
            assert_eq!(made.status, 201, "{made:?}");
        }
        let world = Self {
            server,
            people,
            seen: Mutex::new(Seen {
                conversations: vec![Vec::new(); PEOPLE],
                ..Seen::default()
            }),
            stop: AtomicBool::new(false),
        };
        for n in 0..GROUPS {
            world.put_group(&model, n);
        }
        for n in 0..DOCUMENTS {
            world.make(&mut model, &Change::Add(n));
        }
        (world, model)
    }

    /// Makes a change, and notes who may read what from its acknowledgment on. What is opened counts as open before.
    fn make(&self, model: &mut Model, change: &Change) {
        let before = model.readable();
        let known = model.documents.clone();
        let mut after = model.clone();
        match change {
            Change::Members(n, members) => after.members[*n] = members.clone(),
            Change::Leave(n, person) => drop(after.groups[*n].remove(person)),
            Change::Join(n, person) => drop(after.groups[*n].insert(*person)),
            Change::Acl(n, readers, denied) => {
                after.documents[*n].readers = readers.clone();
                after.documents[*n].denied = denied.clone();
            }
            Change::Replace(n) | Change::Add(n) => {
                let random = uuid::Uuid::new_v4().simple().to_string();
                after.documents[*n].canary = format!("canary{n}q{}", &random[..8]);
                after.documents[*n].lure = format!("lure{n}q{}", &random[8..16]);
            }
            Change::Delete(n) => after.documents[*n].canary.clear(),
        }
        let readable = after.readable();
        {
            let mut seen = self.seen.lock().unwrap();
            seen.lost.retain(|pair, _| !readable.contains(pair));
            let new = after.documents.iter().map(|document| &document.canary);
            for canary in
                new.filter(|canary| !known.iter().any(|document| document.canary == **canary))
            {
                for person in 0..PEOPLE {
                    let pair = (person, canary.clone());
                    if !canary.is_empty() && !readable.contains(&pair) {
                        seen.lost.insert(pair, Instant::now());
                    }
                }
            }
        }
        self.tell(&mut after, change);
        let now = Instant::now();
        let mut losses = Vec::new();
        {
            let mut seen = self.seen.lock().unwrap();
            for (person, canary) in before.difference(&readable) {
                let document = known
                    .iter()
                    .find(|document| document.canary == *canary)
                    .unwrap();
                losses.push(Loss {
                    person: *person,
                    document: document.clone(),
                });
                seen.lost.insert((*person, canary.clone()), now);
            }
            // A version that was replaced is for nobody.
            seen.recent.extend(losses.iter().cloned());
            let n_old = seen.recent.len().saturating_sub(RECENT);
            seen.recent.drain(..n_old);
            seen.documents = after
                .documents
                .iter()
                .filter(|document| !document.canary.is_empty())
                .cloned()
                .collect();
        }
        *model = after;
        // The next request must not show it.
        if let Some(loss) = losses.first() {
            for way in [0, 8] {
                self.ask(loss.person, &loss.document, way, 0);
            }
        }
    }

    /// Has the server make a change; it counts when this returns.
    fn tell(&self, model: &mut Model, change: &Change) {
        let admin = &self.server.client;
        let reply = match change {
            Change::Members(n, members) => admin.put(
                &format!("/api/v1/collections/c{n}/members"),
                &listed(members),
            ),
            Change::Leave(n, _) | Change::Join(n, _) => self.put_group(model, *n),
            Change::Acl(n, readers, denied) => {
                let path = format!("/api/v1/documents/{}/acl", model.documents[*n].id);
                admin.put(&path, &json!({ "readers": readers, "denied": denied }))
            }
            Change::Replace(n) | Change::Add(n) => {
                let document = &mut model.documents[*n];
                let list = |names: &BTreeSet<String>| {
                    let quoted: Vec<String> =
                        names.iter().map(|name| format!("%22{name}%22")).collect();
                    format!("[{}]", quoted.join(","))
                };
                let path = format!(
                    "/api/v1/collections/c{}/documents/{}?readers={}&denied={}",
                    document.collection,
                    document.name,
                    list(&document.readers),
                    list(&document.denied)
                );
                let (lure, canary) = (&document.lure, &document.canary);
                let text = format!(
                    "# Of {canary}\n\nThe keeper of the gate is {lure}, and the word of {lure} is {canary}."
                );
                let reply = admin.send("PUT", &path, Some(("text/markdown", text.into_bytes())));
                assert_eq!(reply.status, 202, "{reply:?}");
                document.id = reply.json()["document"]["id"].as_str().unwrap().to_owned();
                self.wait(reply.json()["job"]["id"].as_str().unwrap());
                reply
            }
            Change::Delete(n) => {
                admin.delete(&format!("/api/v1/documents/{}", model.documents[*n].id))
            }
        };
        assert!(reply.status < 300, "{reply:?}");
    }

    fn put_group(&self, model: &Model, n: usize) -> Reply {
        let people = model.groups[n].iter();
        let users: Vec<String> = people.map(|n| format!("person-{n}")).collect();
        let path = format!("/api/v1/groups/group-{n}/members");
        let reply = self.server.client.put(&path, &json!({ "users": users }));
        assert_eq!(reply.status, 200, "{reply:?}");
        reply
    }

    fn wait(&self, job: &str) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let job = self
                .server
                .client
                .get(&format!("/api/v1/jobs/{job}"))
                .json();
            match job["state"].as_str().unwrap() {
                "done" => return,
                "queued" | "running" => std::thread::sleep(Duration::from_millis(5)),
                other => panic!("the job is {other}: {job}"),
            }
            assert!(Instant::now() < deadline, "{job}");
        }
    }

    /// Asks at an even pace until the changes are over, mostly for what was lost just now.
    fn ask_on(&self, n: u32, mut random: StdRng) {
        let mut next = Instant::now() + ASKS_EVERY / ASKERS * n;
        while !self.stop.load(Ordering::SeqCst) {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += ASKS_EVERY;
            let (person, document) = {
                let seen = self.seen.lock().unwrap();
                let recent: Vec<&Loss> = seen.recent.iter().collect();
                match recent.choose(&mut random) {
                    Some(loss) if random.random_bool(0.5) => (loss.person, loss.document.clone()),
                    _ => {
                        let document = seen.documents.choose(&mut random).unwrap();
                        (random.random_range(0..PEOPLE), document.clone())
                    }
                }
            };
            self.ask(
                person,
                &document,
                random.random_range(0..10),
                random.random_range(0..1_000),
            );
        }
    }

    /// Has someone look for a document in one of several ways.
    fn ask(&self, person: usize, document: &Document, way: u32, random: usize) {
        let (client, lure, id) = (&self.people[person], &document.lure, &document.id);
        let question = format!("Who is {lure}?");
        let begun = Instant::now();
        let reply = match way {
            0 | 1 => client.post("/api/v1/search", &json!({ "query": lure, "limit": 50 })),
            2 => client.post(
                "/api/v1/search",
                &json!({ "query": "keeper of the gate", "limit": 50 }),
            ),
            3 => client.post(
                "/api/v1/ask",
                &json!({ "question": question, "stream": false }),
            ),
            4 => return self.stream(person, begun, &question),
            5 => {
                let message = json!({ "role": "user", "content": question });
                client.post(
                    "/v1/chat/completions",
                    &json!({ "model": "kura", "messages": [message] }),
                )
            }
            6 => client.get("/api/v1/documents?limit=200"),
            7 => client.get(&format!("/api/v1/documents/{id}")),
            8 => client.get(&format!("/api/v1/documents/{id}/text")),
            _ => {
                let kept = self.seen.lock().unwrap().conversations[person].clone();
                if kept.is_empty() {
                    client.get("/api/v1/conversations")
                } else {
                    client.get(&format!(
                        "/api/v1/conversations/{}",
                        kept[random % kept.len()]
                    ))
                }
            }
        };
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        assert!(reply.status < 500, "{text}");
        if way == 3 {
            self.keep(person, &reply.json());
        }
        self.check(person, begun, &format!("way {way} to {lure}"), &text);
        self.seen.lock().unwrap().n_requests += 1;
    }

    fn stream(&self, person: usize, begun: Instant, question: &str) {
        let mut stream = self.people[person].open("/api/v1/ask", &json!({ "question": question }));
        let mut line = String::new();
        while stream.read_line(&mut line).unwrap() > 0 {
            self.check(person, begun, question, &line);
            if let Some(data) = line.strip_prefix("data: ") {
                self.keep(person, &serde_json::from_str(data).unwrap());
            }
            line.clear();
        }
        self.seen.lock().unwrap().n_requests += 1;
    }

    /// Remembers a conversation, to look at it again.
    fn keep(&self, person: usize, answer: &Value) {
        let Some(id) = answer["conversation"].as_str() else {
            return;
        };
        let kept = &mut self.seen.lock().unwrap().conversations[person];
        kept.push(id.to_owned());
        if kept.len() > 20 {
            kept.remove(0);
        }
    }

    /// Notes what is shown to someone just now who began to ask at `begun`.
    fn check(&self, person: usize, begun: Instant, what: &str, text: &str) {
        let now = Instant::now();
        let mut seen = self.seen.lock().unwrap();
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let shown: BTreeSet<&str> = words.filter(|word| word.starts_with("canary")).collect();
        for canary in shown {
            let Some(since) = seen.lost.get(&(person, canary.to_owned())).copied() else {
                seen.n_shown += 1;
                continue;
            };
            let late = now.saturating_duration_since(since);
            if begun >= since || late > LIMIT {
                let leak = format!(
                    "person-{person} is shown {canary} {late:?} after the loss by {what}: {text}"
                );
                seen.leaks.push(leak);
            } else {
                seen.longest = seen.longest.max(late);
            }
        }
    }

    /// Fails if log or metrics say anything of what documents are called or say.
    fn check_what_operators_see(&self) {
        let log = self.server.log();
        assert!(log.contains("DEBUG"), "the log has no details");
        let metrics = self.server.client.get("/metrics");
        assert_eq!(metrics.status, 200);
        let metrics = String::from_utf8(metrics.body).unwrap();
        assert!(metrics.contains("kura_search_duration_seconds"));
        for text in [log, metrics] {
            let line = text.lines().find(|line| line.contains("canary"));
            assert_eq!(line, None);
        }
    }
}

fn person(server: &Server, n: usize) -> Client {
    let body = json!({ "kind": "service", "name": format!("person-{n}") });
    let made = server.client.post("/api/v1/users", &body);
    assert_eq!(made.status, 201, "{made:?}");
    let body = json!({ "name": "test", "user": format!("person-{n}") });
    let made = server.client.post("/api/v1/api-keys", &body);
    assert_eq!(made.status, 201, "{made:?}");
    Client::new(server.client.url(), made.json()["key"].as_str())
}

fn listed(members: &BTreeSet<String>) -> Value {
    let member = |group: &String| json!({ "group": group, "role": "reader" });
    members.iter().map(member).collect()
}

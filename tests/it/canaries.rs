//! Nobody sees what they may not, by any route, command, log or metric: every document has a word that is in no other, and whoever may not read
//! the document must never be shown the word.
//!
//! Who may read is worked out here from the rules of docs/PERMISSIONS.md, not by kura's own code.
//! 5,000 questions; `KURA_TEST_QUERIES` sets another number, and `KURA_TEST_SEED` another sequence.

mod command_line;

use kura_tests::{Client, Log, Reply, TestApp, fake_models, number_from_env};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

const DOCUMENTS: usize = 500;
const GROUPS: usize = 10;
const COLLECTIONS: usize = 5;
const USERS: usize = 20;
const PASSWORD: &str = "correct horse battery";

struct Person {
    name: String,
    role: &'static str,
    /// All that access lists may name this person by.
    groups: BTreeSet<String>,
    client: Client,
    /// An API key, whether the client uses it or not.
    key: String,
    /// The positions of the documents that this person may read.
    readable: BTreeSet<usize>,
}

struct Secret {
    /// Is in the document's name, title and text, and is never asked for.
    canary: String,
    /// Is asked for.
    lure: String,
    collection: usize,
    readers: BTreeSet<String>,
    denied: BTreeSet<String>,
    id: String,
    job: String,
}

struct World {
    app: TestApp,
    log: Arc<Log>,
    people: Vec<Person>,
    secrets: Vec<Secret>,
    /// By canary, whose document it is.
    canaries: BTreeMap<String, usize>,
    /// Of each collection the groups that are its members; the first has everyone.
    members: Vec<BTreeSet<String>>,
    random: StdRng,
}

#[test]
fn no_route_shows_anybody_what_they_may_not_read() {
    let mut world = World::new(number_from_env("KURA_TEST_SEED", 5));
    let questions = number_from_env("KURA_TEST_QUERIES", 5_000);
    let mut shown = 0;
    for n in 0..questions {
        shown += world.ask(usize::try_from(n).unwrap());
    }
    // The test would be worthless if nothing was ever found.
    assert!(
        shown > questions as usize / 2,
        "{shown} canaries shown in {questions} questions"
    );

    let operations = operations();
    for person in 0..world.people.len() {
        for (method, path) in &operations {
            world.try_operation(person, method, path);
        }
    }
    let by_command = world.try_commands();

    let metrics = world.app.client.get("/metrics");
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(metrics.contains("kura_search_duration_seconds") && !metrics.contains("canary"));
    assert!(world.log.n_events() > questions, "nothing is logged");
    assert_eq!(world.log.found(), Vec::<String>::new());
    println!(
        "{questions} questions, {} operations and {} commands of {USERS} users: {} canaries shown to those who may read \
         them, 0 to others; 0 in {} events of the log and {} lines of metrics",
        operations.len(),
        by_command.tried,
        shown + by_command.shown,
        world.log.n_events(),
        metrics.lines().count()
    );
    // What people tried has changed nothing that is not theirs to change.
    for secret in &world.secrets {
        let document = world
            .app
            .client
            .get(&format!("/api/v1/documents/{}", secret.id));
        assert_eq!(document.status, 200, "{document:?}");
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let log = Log::finding("canary");
        let app = TestApp::with_log(fake_models(&[]), |_| (), Some(&log));
        let mut random = StdRng::seed_from_u64(seed);
        let groups: Vec<String> = (0..GROUPS).map(|n| format!("group-{n}")).collect();
        for name in &groups {
            let made = app.client.post("/api/v1/groups", &json!({ "name": name }));
            assert_eq!(made.status, 201, "{made:?}");
        }
        let mut members = vec![BTreeSet::from(["everyone".to_owned()])];
        for _ in 1..COLLECTIONS {
            members.push(groups.choose_multiple(&mut random, 5).cloned().collect());
        }
        for (n, groups) in members.iter().enumerate() {
            let list: Vec<Value> = groups
                .iter()
                .map(|group| json!({ "group": group, "role": "reader" }))
                .collect();
            let body = json!({ "name": format!("c{n}"), "members": list });
            let made = app.client.post("/api/v1/collections", &body);
            assert_eq!(made.status, 201, "{made:?}");
        }
        let people: Vec<Person> = (0..USERS)
            .map(|n| person(&app, n, &groups, &mut random))
            .collect();
        let mut names = groups;
        names.extend(people.iter().map(|person| format!("user:{}", person.name)));
        let secrets: Vec<Secret> = (0..DOCUMENTS)
            .map(|n| secret(&app, n, &names, &mut random))
            .collect();
        for secret in &secrets {
            assert_eq!(app.wait(&secret.job)["state"], "done");
        }
        let canaries = secrets.iter().enumerate();
        let mut world = Self {
            canaries: canaries
                .map(|(n, secret)| (secret.canary.clone(), n))
                .collect(),
            app,
            log,
            people,
            secrets,
            members,
            random,
        };
        world.tell_who_reads();
        world
    }

    fn tell_who_reads(&mut self) {
        for person in &mut self.people {
            let groups = &person.groups;
            let readable = self.secrets.iter().enumerate().filter(|(_, secret)| {
                // Who audits reads no content.
                person.role != "auditor"
                    && !groups.is_disjoint(&self.members[secret.collection])
                    && !groups.is_disjoint(&secret.readers)
                    && groups.is_disjoint(&secret.denied)
            });
            person.readable = readable.map(|(n, _)| n).collect();
        }
    }

    /// Has someone look for a document in one of several ways; returns how many canaries were shown.
    fn ask(&mut self, n: usize) -> usize {
        let person = n % self.people.len();
        let target = self.random.random_range(0..self.secrets.len());
        let way = self.random.random_range(0..10);
        let reader = &self.people[person];
        let (lure, id) = (&self.secrets[target].lure, &self.secrets[target].id);
        let collection = format!("c{}", self.secrets[target].collection);
        let client = &reader.client;
        let reply = match way {
            0..4 => client.post("/api/v1/search", &json!({ "query": lure, "limit": 50 })),
            4 => client.post(
                "/api/v1/search",
                &json!({ "query": "keeper of the gate", "limit": 50 }),
            ),
            5 => client.post(
                "/api/v1/search",
                &json!({ "query": lure, "collections": [collection] }),
            ),
            6 => client.post(
                "/api/v1/ask",
                &json!({ "question": format!("Who is {lure}?"), "stream": false }),
            ),
            7 => {
                let message = json!({ "role": "user", "content": format!("Who is {lure}?") });
                client.post(
                    "/v1/chat/completions",
                    &json!({ "model": "kura", "messages": [message] }),
                )
            }
            8 => client.get(&format!("/api/v1/documents/{id}/text")),
            _ => client.get(&format!(
                "/api/v1/documents?collection={collection}&limit=200"
            )),
        };
        let shown = self.check(person, &reply, &format!("way {way} to document {target}"));
        let is_searched = way < 4;
        if is_searched && reader.readable.contains(&target) {
            assert!(
                shown.contains(&target),
                "{} does not find its own {target}: {reply:?}",
                reader.name
            );
        }
        if way == 8 {
            let expected = if reader.readable.contains(&target) {
                200
            } else if reader.role == "auditor" {
                403
            } else {
                404
            };
            assert_eq!(reply.status, expected, "{} {target} {reply:?}", reader.name);
        }
        shown.len()
    }

    /// Fails if a reply shows what its receiver may not read, or is a failure of kura; returns what is shown.
    fn check(&self, person: usize, reply: &Reply, what: &str) -> BTreeSet<usize> {
        assert!(reply.status < 500, "{what}: {reply:?}");
        let headers = reply
            .headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\n"));
        let all = headers.collect::<String>() + &String::from_utf8_lossy(&reply.body);
        self.check_text(person, &all, what)
    }

    /// Fails if a text shows what its receiver may not read; returns what is shown.
    fn check_text(&self, person: usize, all: &str, what: &str) -> BTreeSet<usize> {
        let person = &self.people[person];
        let shown: BTreeSet<usize> = all
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter_map(|word| self.canaries.get(word).copied())
            .collect();
        let leaked: Vec<&usize> = shown.difference(&person.readable).collect();
        assert!(
            leaked.is_empty(),
            "{} ({}) is shown {leaked:?} by {what}: {all}",
            person.name,
            person.role
        );
        shown
    }

    /// Has someone try an operation on things that are not theirs.
    fn try_operation(&mut self, person: usize, method: &str, path: &str) {
        let hidden: Vec<usize> = (0..self.secrets.len())
            .filter(|n| !self.people[person].readable.contains(n))
            .collect();
        for _ in 0..3 {
            let target = &self.secrets[*hidden.choose(&mut self.random).unwrap()];
            let filled = if path.contains("/collections/") {
                path.replace("{name}", &format!("c{}", target.collection))
            } else {
                path.replace("{name}", "group-1")
            };
            let id = if path.contains("/jobs/") {
                &target.job
            } else {
                &target.id
            };
            let external = format!("lure-{}", target.lure);
            let filled = filled
                .replace("{id}", id)
                .replace("{external_id}", &external);
            let Some(body) = body(method, path, target) else {
                continue;
            };
            let client = &self.people[person].client;
            let what = format!("{method} {filled}");
            // A stream of events that is open ends with what it follows, which has ended.
            let reply = client.send(method, &filled, body);
            self.check(person, &reply, &what);
            let changes = method != "GET" && path.contains("/documents/{");
            assert!(
                !changes || reply.status >= 400,
                "{what} is let through: {reply:?}"
            );
        }
    }
}

/// What to send with an operation; `None` leaves it out, which each does for a reason. An operation that is not known here
/// fails the test: whoever adds a route says here how it could leak.
fn body(method: &str, path: &str, target: &Secret) -> Option<Option<(&'static str, Vec<u8>)>> {
    let of = |value: Value| Some(Some(("application/json", value.to_string().into_bytes())));
    let lure = &target.lure;
    match (method, path) {
        // They would end the person's own session or change the password, and show nothing.
        ("DELETE", "/api/v1/session" | "/api/v1/sessions" | "/api/v1/sessions/{id}")
        | ("PUT", "/api/v1/session/password")
        | (
            _,
            "/api/v1/session/totp" | "/api/v1/session/totp/confirm" | "/api/v1/session/totp/remove",
        ) => None,
        // An administrator may change people and groups, which would change the rules of the test.
        ("POST" | "PUT" | "PATCH" | "DELETE", path)
            if path.starts_with("/api/v1/users") || path.starts_with("/api/v1/groups") =>
        {
            None
        }
        ("POST", path) if path.starts_with("/scim/") && path.ends_with(".search") => {
            of(json!({ "filter": format!("userName co \"{lure}\"") }))
        }
        ("POST" | "PUT" | "PATCH" | "DELETE", path) if path.starts_with("/scim/") => None,
        // It would stop what other tests of this server wait for; its answer has no documents.
        ("POST", "/api/v1/jobs/pause") => None,
        ("POST", "/api/v1/session/oidc/logout") => Some(Some((
            "application/x-www-form-urlencoded",
            b"logout_token=a.b.c".to_vec(),
        ))),
        ("GET", _) | ("DELETE", _) => Some(None),
        ("POST", "/api/v1/search") => of(json!({ "query": lure })),
        ("POST", "/api/v1/search/explain") => {
            of(json!({ "query": lure, "document": target.id, "answer": true }))
        }
        ("POST", "/api/v1/ask") => {
            of(json!({ "question": format!("Who is {lure}?"), "stream": true }))
        }
        ("POST", "/v1/chat/completions") => of(json!({
            "model": "kura", "stream": true, "messages": [{ "role": "user", "content": format!("Who is {lure}?") }],
        })),
        ("POST", "/v1/embeddings") => of(json!({ "model": "fake-embedder", "input": lure })),
        ("POST", "/v1/rerank" | "/v2/rerank") => {
            of(json!({ "model": "none", "query": lure, "documents": [lure] }))
        }
        ("PUT", "/api/v1/answers/{id}/feedback") => of(json!({ "rating": "up" })),
        ("POST", "/api/v1/api-keys") => of(json!({ "name": lure })),
        ("POST", "/api/v1/api-keys/{id}/rotate")
        | (
            "POST",
            "/api/v1/jobs/resume"
            | "/api/v1/jobs/retry"
            | "/api/v1/jobs/{id}/cancel"
            | "/api/v1/jobs/{id}/retry",
        ) => Some(None),
        ("PUT", "/api/v1/audit/holds/{name}") => Some(None),
        ("POST", "/api/v1/collections") => of(json!({ "name": format!("c{}", target.collection) })),
        ("PUT", "/api/v1/collections/{name}/members") => {
            of(json!([{ "group": "everyone", "role": "editor" }]))
        }
        ("PUT", "/api/v1/collections/{name}/dictionary") => {
            Some(Some(("text/csv", b"a,b\n".to_vec())))
        }
        ("PUT", "/api/v1/collections/{name}/documents/{external_id}") => {
            Some(Some(("text/plain", b"Replaced.".to_vec())))
        }
        ("POST", "/api/v1/documents") => {
            Some(Some(("multipart/form-data; boundary=x", form(target))))
        }
        ("PATCH", "/api/v1/documents/{id}") => of(json!({ "title": "Replaced" })),
        ("PUT", "/api/v1/documents/{id}/acl") => of(json!({ "readers": ["everyone"] })),
        ("POST", "/api/v1/evaluations") => of(json!({ "kind": "retrieval", "dataset": "absent" })),
        ("POST", "/api/v1/session") => of(json!({ "name": lure, "password": lure })),
        ("POST", "/api/v1/sources") => of(json!({
            "name": lure, "kind": "folder", "location": "/nonexistent", "collection": format!("c{}", target.collection),
        })),
        ("PATCH", "/api/v1/sources/{name}") => of(json!({ "watch": false })),
        ("POST", "/api/v1/sources/{name}/scan") => of(json!({})),
        ("POST", "/api/v1/verify") => of(json!({})),
        // An administrator may erase what he may not read; he is told of it, and it stays for the others.
        ("POST", "/api/v1/forget") => of(json!({ "documents": [target.id], "dry_run": true })),
        unknown => panic!("{unknown:?} is not tried here"),
    }
}

fn form(target: &Secret) -> Vec<u8> {
    let part = |disposition: &str, body: &str| {
        format!("--x\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{body}\r\n")
    };
    let collection = part("name=\"collection\"", &format!("c{}", target.collection));
    let file = part("name=\"file\"; filename=\"new.txt\"", "A new text.");
    format!("{collection}{file}--x--\r\n").into_bytes()
}

fn operations() -> Vec<(String, String)> {
    let document = serde_json::to_value(kura::router::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let of_path = |(path, item): (&String, &Value)| {
        let methods = item.as_object().unwrap().keys();
        let named = methods.map(|method| (method.to_uppercase(), path.clone()));
        named.collect::<Vec<_>>()
    };
    paths.iter().flat_map(of_path).collect()
}

/// Makes a person of one to three groups; every second one comes with a session, the others with an API key.
fn person(app: &TestApp, n: usize, groups: &[String], random: &mut StdRng) -> Person {
    let name = format!("person-{n}");
    let role = match n {
        0..3 => "editor",
        3..5 => "admin",
        5 => "auditor",
        _ => "reader",
    };
    let count = random.random_range(1..=3);
    let groups: Vec<String> = groups.choose_multiple(random, count).cloned().collect();
    let body = json!({ "name": name, "role": role, "password": PASSWORD, "groups": groups });
    let made = app.client.post("/api/v1/users", &body);
    assert_eq!(made.status, 201, "{made:?}");
    let body = json!({ "name": name, "password": PASSWORD });
    let signed_in = app.anonymous().post("/api/v1/session", &body);
    assert_eq!(signed_in.status, 200, "{signed_in:?}");
    let cookie = signed_in
        .header("set-cookie")
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned();
    let headers = [
        ("cookie", cookie.as_str()),
        ("sec-fetch-site", "same-origin"),
    ];
    let mut client = app.anonymous().with_headers(&headers);
    let made = client.post("/api/v1/api-keys", &json!({ "name": "test" }));
    assert_eq!(made.status, 201, "{made:?}");
    let key = made.json()["key"].as_str().unwrap().to_owned();
    if n % 2 == 1 {
        client = Client::new(app.client.url(), Some(&key));
    }
    let own = ["everyone".to_owned(), format!("user:{name}")];
    Person {
        name,
        role,
        groups: groups.into_iter().chain(own).collect(),
        client,
        key,
        readable: BTreeSet::new(),
    }
}

/// Adds a document; half of them are for two groups or persons, some for everyone, some deny one.
fn secret(app: &TestApp, n: usize, names: &[String], random: &mut StdRng) -> Secret {
    let (canary, lure) = (
        format!("canary{n}q{:08x}", random.random::<u32>()),
        format!("lure{n}q{:08x}", random.random::<u32>()),
    );
    let collection = random.random_range(0..COLLECTIONS);
    let readers: BTreeSet<String> = match random.random_range(0..4) {
        0 => BTreeSet::from(["everyone".to_owned()]),
        1 => names.choose_multiple(random, 6).cloned().collect(),
        _ => names.choose_multiple(random, 2).cloned().collect(),
    };
    let n_denied = if random.random_bool(0.3) { 2 } else { 0 };
    let denied: BTreeSet<String> = names.choose_multiple(random, n_denied).cloned().collect();
    let list = |names: &BTreeSet<String>| {
        let quoted: Vec<String> = names.iter().map(|name| format!("%22{name}%22")).collect();
        format!("[{}]", quoted.join(","))
    };
    let path = format!(
        "/api/v1/collections/c{collection}/documents/{canary}?readers={}&denied={}",
        list(&readers),
        list(&denied)
    );
    let text =
        format!("# Of {canary}\n\nThe keeper of the gate is {lure}, and the word is {canary}.");
    let reply = app
        .client
        .send("PUT", &path, Some(("text/markdown", text.into_bytes())));
    assert_eq!(reply.status, 202, "{reply:?}");
    let reply = reply.json();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    Secret {
        canary,
        lure,
        collection,
        readers,
        denied,
        id: text(&reply["document"]["id"]),
        job: text(&reply["job"]["id"]),
    }
}

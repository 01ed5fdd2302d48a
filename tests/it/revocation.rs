//! What somebody loses sight of is gone at once: from answers under way, conversations and evaluations.

use kura::app::Models;
use kura_tests::{Client, SlowGenerator, TestApp, events, fake_models, number_from_env};
use serde_json::{Value, json};
use std::io::{BufRead, Read as _};
use std::sync::Arc;
use std::time::{Duration, Instant};

const QUESTION: &str = "How many days of paid leave do employees get?";
/// After which nothing may be shown any more.
const LIMIT: Duration = Duration::from_secs(1);

/// The ways to lose sight of a document.
const WAYS: [&str; 9] = [
    "denied",
    "no reader",
    "no member",
    "left the group",
    "other role",
    "deactivated",
    "key revoked",
    "deleted",
    "replaced",
];

/// Someone with a key, and a document that only their group may read.
struct Case {
    name: String,
    client: Client,
    key: String,
    document: String,
    canary: String,
}

fn app(generator: SlowGenerator) -> TestApp {
    let models = Models {
        generator: Some(Arc::new(generator)),
        ..fake_models(&[])
    };
    TestApp::with(models, |_| ())
}

fn extracting() -> TestApp {
    let models = Models {
        generator: None,
        ..fake_models(&[])
    };
    TestApp::with(models, |_| ())
}

/// Makes a service with a key, in these groups.
fn service(app: &TestApp, name: &str, role: &str, groups: &[&str]) -> (Client, String) {
    for group in groups {
        app.client.post("/api/v1/groups", &json!({ "name": group }));
    }
    let body = json!({ "kind": "service", "name": name, "role": role, "groups": groups });
    let made = app.client.post("/api/v1/users", &body);
    assert_eq!(made.status, 201, "{made:?}");
    let body = json!({ "name": "test", "user": name });
    let made = app.client.post("/api/v1/api-keys", &body);
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let client = Client::new(app.client.url(), made["key"].as_str());
    (client, made["api_key"]["id"].as_str().unwrap().to_owned())
}

impl Case {
    /// Makes a collection, a group, someone in it and a document, all of this name.
    fn new(app: &TestApp, name: &str) -> Self {
        let (client, key) = service(app, name, "reader", &[name]);
        let members =
            json!([{ "group": name, "role": "reader" }, { "group": "everyone", "role": "reader" }]);
        let body = json!({ "name": name, "members": members });
        assert_eq!(app.client.post("/api/v1/collections", &body).status, 201);
        let mut case = Self {
            name: name.to_owned(),
            client,
            key,
            document: String::new(),
            canary: format!("canary{}", name.replace('-', "")),
        };
        case.document = case.put(app, &case.canary);
        let acl = json!({ "readers": [name] });
        let path = format!("/api/v1/documents/{}/acl", case.document);
        assert_eq!(app.client.put(&path, &acl).status, 200);
        case
    }

    /// Adds the document, or another version of it; returns its id once it can be found.
    fn put(&self, app: &TestApp, canary: &str) -> String {
        let text = format!("# Leave\n\nEmployees get twenty days of paid leave, {canary}.");
        let path = format!("/api/v1/collections/{}/documents/leave.md", self.name);
        let body = Some(("text/markdown", text.into_bytes()));
        let reply = app.client.send("PUT", &path, body).json();
        assert_eq!(
            app.wait(reply["job"]["id"].as_str().unwrap())["state"],
            "done"
        );
        reply["document"]["id"].as_str().unwrap().to_owned()
    }

    fn lose(&self, app: &TestApp, way: &str) {
        let Self {
            name,
            document,
            key,
            ..
        } = self;
        let put = |path: &str, body: &Value| app.client.put(path, body);
        let acl = format!("/api/v1/documents/{document}/acl");
        let user = format!("/api/v1/users/{name}");
        let change = |body: &Value| {
            let body = body.to_string().into_bytes();
            app.client
                .send("PATCH", &user, Some(("application/json", body)))
        };
        let reply = match way {
            "denied" => put(
                &acl,
                &json!({ "readers": [name], "denied": [format!("user:{name}")] }),
            ),
            "no reader" => put(&acl, &json!({ "readers": [] })),
            "no member" => put(&format!("/api/v1/collections/{name}/members"), &json!([])),
            "left the group" => put(
                &format!("/api/v1/groups/{name}/members"),
                &json!({ "users": [] }),
            ),
            "other role" => change(&json!({ "role": "auditor" })),
            "deactivated" => change(&json!({ "active": false })),
            "key revoked" => app.client.delete(&format!("/api/v1/api-keys/{key}")),
            "deleted" => app.client.delete(&format!("/api/v1/documents/{document}")),
            "replaced" => {
                self.put(app, "another text");
                return;
            }
            other => panic!("unknown way {other}"),
        };
        assert!(reply.status < 300, "{way}: {reply:?}");
    }

    /// Asks with a stream, and returns it once the generator has written the canary.
    fn stream(&self, client: &Client, path: &str) -> impl BufRead + use<> {
        let body = match path {
            "/api/v1/ask" => json!({ "question": QUESTION, "collections": [self.name] }),
            _ => json!({
                "model": "kura", "stream": true, "stream_unverified": true, "collections": [self.name],
                "messages": [{ "role": "user", "content": QUESTION }],
            }),
        };
        let mut stream = client.open(path, &body);
        // In what was retrieved, and in what is written.
        let needed = if path == "/api/v1/ask" { 2 } else { 1 };
        read_until(&mut stream, &self.canary, needed);
        stream
    }
}

/// Reads on until `word` came that many times.
fn read_until(stream: &mut impl BufRead, word: &str, times: usize) {
    let (mut line, mut found) = (String::new(), 0);
    while found < times {
        line.clear();
        assert!(
            stream.read_line(&mut line).unwrap() > 0,
            "it ended before `{word}` came"
        );
        found += usize::from(line.contains(word));
    }
}

/// Reads a stream to its end; returns it, how long after `since` the canary came last, if it did, and when it ended.
fn rest(mut stream: impl BufRead, canary: &str, since: Instant) -> (String, Duration, Duration) {
    let (mut text, mut line, mut shown) = (String::new(), String::new(), Duration::ZERO);
    while stream.read_line(&mut line).unwrap() > 0 {
        if line.contains(canary) {
            shown = Instant::now().saturating_duration_since(since);
        }
        text.push_str(&line);
        line.clear();
    }
    (text, shown, Instant::now().saturating_duration_since(since))
}

#[test]
fn an_answer_under_way_ends_when_its_reader_may_not_read_what_it_draws_on() {
    let app = app(SlowGenerator::repeating());
    let rounds = number_from_env("KURA_TEST_REVOCATIONS", 100).div_ceil(100);
    let (mut longest, mut n) = (Duration::ZERO, 0);
    for round in 0..rounds {
        for (at, way) in WAYS.into_iter().enumerate() {
            let case = Case::new(&app, &format!("case-{round}-{at}"));
            let streams = ["/api/v1/ask", "/v1/chat/completions"].map(|path| {
                let stream = case.stream(&case.client, path);
                let (canary, way) = (case.canary.clone(), way.to_owned());
                (path, stream, canary, way)
            });
            let mut bystander = case.stream(&app.client, "/api/v1/ask");
            let begun = Instant::now();
            case.lose(&app, way);
            // A new version counts from its publication on, which is before it is told that the job is done.
            let since = if way == "replaced" {
                Instant::now()
            } else {
                begun
            };
            let ends = streams.map(|(path, stream, canary, way)| {
                std::thread::spawn(move || (path, rest(stream, &canary, since), way))
            });
            for end in ends {
                let (path, (text, shown, ended), way) = end.join().unwrap();
                assert!(
                    shown < LIMIT && ended < LIMIT,
                    "{way} {path}: {shown:?} {ended:?}"
                );
                longest = longest.max(ended);
                n += 1;
                check_end(path, &text, &case.canary, &way);
            }
            if way == "deleted" || way == "replaced" {
                let mut text = String::new();
                bystander.read_to_string(&mut text).unwrap();
                check_end("/api/v1/ask", &text, &case.canary, way);
            } else {
                // Who may still read reads on.
                let until = Instant::now() + LIMIT / 2;
                while Instant::now() < until {
                    read_until(&mut bystander, &case.canary, 1);
                }
            }
        }
    }
    println!(
        "{n} streams ended, the last of them {} ms after the change",
        longest.as_millis()
    );
}

/// Fails unless a stream says at its end that the answer was withdrawn, and not what it said.
fn check_end(path: &str, text: &str, canary: &str, way: &str) {
    let events = events(text.as_bytes());
    if path == "/api/v1/ask" {
        let last = events.last().unwrap();
        assert_eq!(last.name, "completed", "{way}: {text}");
        assert_eq!(last.data["outcome"], "withdrawn", "{way}: {text}");
        assert_eq!(last.data["citations"], json!([]), "{way}");
        assert!(!last.data.to_string().contains(canary), "{way}: {text}");
        assert!(!last.data["text"].as_str().unwrap().is_empty());
    } else {
        assert_eq!(events.last().unwrap().data, "[DONE]", "{way}: {text}");
        let end = &events[events.len() - 2].data["choices"][0];
        assert_eq!(end["finish_reason"], "content_filter", "{way}: {text}");
    }
}

#[test]
fn an_answer_under_way_ends_with_what_the_conversation_before_it_cites() {
    let slow = app(SlowGenerator::repeating());
    let case = Case::new(&slow, "told");
    let other = Case::new(&slow, "asked");
    let acl = json!({ "readers": ["told", "asked"] });
    let path = format!("/api/v1/documents/{}/acl", other.document);
    assert_eq!(slow.client.put(&path, &acl).status, 200);
    let first = json!({ "question": QUESTION, "collections": ["told"], "mode": "extractive", "stream": false });
    let first = case.client.post("/api/v1/ask", &first).json();
    assert!(
        first["text"].as_str().unwrap().contains(&case.canary),
        "{first}"
    );
    let next = json!({
        "question": QUESTION, "collections": ["asked"], "conversation": first["conversation"],
    });
    let mut stream = case.client.open("/api/v1/ask", &next);
    read_until(&mut stream, &other.canary, 2);
    let begun = Instant::now();
    case.lose(&slow, "denied");
    let (text, _, ended) = rest(stream, &case.canary, begun);
    assert!(ended < LIMIT, "{ended:?}");
    check_end("/api/v1/ask", &text, &case.canary, "denied");
}

#[test]
fn answers_that_are_kept_are_not_shown_while_their_document_is_not() {
    let app = extracting();
    let case = Case::new(&app, "kept");
    let ask = json!({ "question": QUESTION, "stream": false });
    let answer = case.client.post("/api/v1/ask", &ask).json();
    assert!(
        answer["text"].as_str().unwrap().contains(&case.canary),
        "{answer}"
    );
    let path = format!(
        "/api/v1/conversations/{}",
        answer["conversation"].as_str().unwrap()
    );
    let outcome = || {
        let kept = case.client.get(&path).json();
        let told = kept.to_string().contains(&case.canary);
        (told, kept["messages"][1]["answer"]["outcome"].clone())
    };
    assert_eq!(outcome(), (true, json!("grounded")));
    case.lose(&app, "left the group");
    assert_eq!(outcome(), (false, json!("withdrawn")));
    let members = json!({ "users": ["kept"] });
    assert_eq!(
        app.client
            .put("/api/v1/groups/kept/members", &members)
            .status,
        200
    );
    assert_eq!(outcome(), (true, json!("grounded")));
    case.lose(&app, "deleted");
    assert_eq!(outcome(), (false, json!("withdrawn")));
}

const EVALUATIONS: &str = "/api/v1/evaluations";

/// Evaluates as this client and waits until it is over; returns the id.
fn evaluate(client: &Client, body: &Value) -> String {
    let started = client.post(EVALUATIONS, body);
    assert_eq!(started.status, 202, "{started:?}");
    let id = started.json()["id"].as_str().unwrap().to_owned();
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let record = client.get(&format!("{EVALUATIONS}/{id}")).json();
        if record["state"] != "running" {
            assert_eq!(record["state"], "done", "{record}");
            return id;
        }
        assert!(Instant::now() < deadline, "it does not end: {record}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Everything that a client is shown of an evaluation, compared with itself.
fn shown(client: &Client, id: &str) -> String {
    let paths = [
        format!("{EVALUATIONS}/{id}"),
        format!("{EVALUATIONS}/{id}/report"),
        format!("{EVALUATIONS}/compare?base={id}&candidate={id}"),
    ];
    let bodies = paths.iter().map(|path| {
        let reply = client.get(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        String::from_utf8(reply.body).unwrap()
    });
    bodies.collect()
}

#[test]
fn an_evaluation_shows_nobody_what_they_may_not_read() {
    let app = extracting();
    let (eva, _) = service(&app, "eva", "admin", &["hr"]);
    let (max, _) = service(&app, "max", "admin", &[]);
    for (name, group) in [("open", "everyone"), ("closed", "hr")] {
        let members = json!([{ "group": group, "role": "reader" }]);
        let body = json!({ "name": name, "members": members });
        assert_eq!(app.client.post("/api/v1/collections", &body).status, 201);
    }
    let put = |collection: &str, name: &str, text: &str, reader: &str| {
        let path = format!(
            "/api/v1/collections/{collection}/documents/{name}?readers=%5B%22{reader}%22%5D"
        );
        let body = Some(("text/markdown", text.as_bytes().to_vec()));
        let reply = app.client.send("PUT", &path, body).json();
        app.wait(reply["job"]["id"].as_str().unwrap());
        reply["document"]["id"].as_str().unwrap().to_owned()
    };
    let leave = "# canaryleave\n\nEmployees get twenty days of paid leave, canaryleave.";
    let toner = "# canarytoner\n\nPrinter toner is kept in room 204, canarytoner.";
    let leave_id = put("open", "canaryleave.md", leave, "everyone");
    put("open", "canarytoner.md", toner, "hr");
    put(
        "closed",
        "canaryclosed.md",
        "# canaryclosed\n\nThe safe stands in room 7.",
        "everyone",
    );
    let queries = json!([
        { "id": "1", "text": "paid leave for employees canaryleave", "relevant": { "canaryleave.md": 1 } },
        { "id": "2", "text": "printer toner room canarytoner", "relevant": { "canarytoner.md": 1 } },
    ]);
    let mut body = json!({ "name": "e", "collection": "open", "queries": queries });
    let retrieval = evaluate(&eva, &body);
    body["answers"] = json!({ "mode": "extractive" });
    let answers = evaluate(&eva, &body);
    let both = [&retrieval, &answers];
    for id in both {
        let all = shown(&eva, id);
        assert!(
            all.contains("canaryleave") && all.contains("canarytoner"),
            "{all}"
        );
        let some = shown(&max, id);
        assert!(!some.contains("canarytoner"), "{some}");
        let record = max.get(&format!("{EVALUATIONS}/{id}")).json();
        assert_eq!(record["queries"][1]["withheld"], true, "{record}");
        assert!(record["queries"][1]["stages"][0]["metrics"].is_object());
    }
    // What was found of it in the other query hides that one, too; its answer rests on what both may read or on both.
    let closed = evaluate(
        &eva,
        &json!({ "name": "c", "collection": "closed",
        "queries": [{ "text": "safe", "relevant": { "canaryclosed.md": 1 } }] }),
    );
    let listed = |client: &Client| {
        let list = client.get(EVALUATIONS).json();
        list["items"].as_array().unwrap().len()
    };
    assert_eq!((listed(&eva), listed(&max)), (3, 2));
    let missing = uuid::Uuid::now_v7().to_string();
    for path in ["", "/report"] {
        let told = |id: &str| {
            let reply = max.get(&format!("{EVALUATIONS}/{id}{path}"));
            reply.assert_problem(404, "unknown_evaluation");
            reply.json()["detail"].as_str().unwrap().replace(id, "ID")
        };
        assert_eq!(told(&closed), told(&missing));
    }
    max.delete(&format!("{EVALUATIONS}/{closed}"))
        .assert_problem(404, "unknown_evaluation");
    let compared = format!("{EVALUATIONS}/compare?base={closed}&candidate={retrieval}");
    max.get(&compared).assert_problem(404, "unknown_evaluation");
    let mine = json!([{ "group": "everyone", "role": "reader" }]);
    assert_eq!(
        app.client
            .put("/api/v1/collections/closed/members", &mine)
            .status,
        200
    );
    assert!(shown(&max, &closed).contains("canaryclosed"));

    // A new version withdraws what was answered from the old one, for everyone; what was found stays.
    put(
        "open",
        "canarytoner.md",
        "# canarytoner\n\nPrinter toner is sold out.",
        "hr",
    );
    let record = eva.get(&format!("{EVALUATIONS}/{answers}")).json();
    assert_eq!(record["queries"][1]["withheld"], true, "{record}");
    assert!(!record.to_string().contains("room 204"), "{record}");
    assert!(shown(&eva, &retrieval).contains("canarytoner"));
    // What is deleted is gone for the operator, too.
    assert_eq!(
        app.client
            .delete(&format!("/api/v1/documents/{leave_id}"))
            .status,
        204
    );
    for id in both {
        let all = shown(&eva, id) + &shown(&app.client, id);
        assert!(!all.contains("canaryleave"), "{all}");
    }
}

//! The right to be forgotten: what is erased is in no byte of the data directory, and the certificate says so.

mod commands;
mod documents;

use crate::leftovers::find;
use documents::{fill, mailbox};
use kura::forget::certificate::{self, Flaw};
use kura_tests::{Client, Kura, Reply, TestApp, fake_models};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

const PASSWORD: &str = "correct horse battery";
const PATH: &str = "/api/v1/forget";

/// A word that is nowhere else: it is the same in lower case, and no stemmer changes it.
fn canary(n: usize) -> String {
    format!(
        "zq{n:02}k{:08x}qx",
        0x9e37_79b9_u32.wrapping_mul(n as u32 + 1)
    )
}

fn put(client: &Client, path: &str, media_type: &'static str, body: &[u8]) -> Reply {
    client.send("PUT", path, Some((media_type, body.to_vec())))
}

fn settle(app: &TestApp) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let summary = app.client.get("/api/v1/jobs/summary").json();
        if summary["queued"] == 0 && summary["running"] == 0 {
            return;
        }
        assert!(Instant::now() < deadline, "{summary}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn id(document: &Value) -> String {
    document["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{document}"))
        .to_owned()
}

fn data_dir(app: &TestApp) -> &Path {
    &app.app.config.data_dir
}

/// Asks for something to be forgotten, and waits until it is; returns it.
fn forget(client: &Client, request: &Value) -> Value {
    let reply = client.post(PATH, request);
    assert!([200, 202].contains(&reply.status), "{reply:?}");
    let erasure = reply.json();
    let deadline = Instant::now() + Duration::from_secs(120);
    let at = format!("{PATH}/{}", erasure["id"].as_str().unwrap());
    loop {
        let erasure = client.get(&at).json();
        if erasure["state"] == "done" {
            return erasure;
        }
        assert!(Instant::now() < deadline, "{erasure}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Fails unless no word is left, in files that are not of the audit log or that are.
fn assert_gone(data: &Path, words: &[String]) {
    let found = find(data, words);
    assert!(found.is_empty(), "{found:#?}");
}

fn number(certificate: &Value, store: &str, what: &str) -> u64 {
    let erased = certificate["erased"].as_array().unwrap();
    let found = erased
        .iter()
        .find(|erased| erased["store"] == store && erased["what"].as_str().unwrap().contains(what));
    found.map_or(0, |erased| erased["n"].as_u64().unwrap())
}

#[test]
fn twenty_documents_and_a_person_leave_no_byte_behind() {
    let app = TestApp::with(
        fake_models(&["Employees get twenty days of paid leave [1]."]),
        |_| (),
    );
    let data = data_dir(&app).to_owned();
    let kept = id(&app.add(
        "hr",
        "kept.md",
        b"# Parking\n\nVisitors park behind the house.",
    ));
    let added = fill(&app);
    // One that stays says that it stands in the place of one that goes.
    let successor = id(&app.add(
        "hr",
        "successor.md",
        b"# Doors\n\nDoors are closed at night.",
    ));
    let body = json!({ "metadata": { "supersedes": [format!("{}.md", canary(2))] } });
    let body = Some(("application/json", body.to_string().into_bytes()));
    let path = format!("/api/v1/documents/{successor}");
    assert_eq!(app.client.send("PATCH", &path, body).status, 200);

    // They are asked about, rated, and measured with.
    let [comment, correction, query, name, mail, question, key] =
        [30, 31, 32, 33, 34, 35, 36].map(canary);
    let answer = app.ask(&format!(
        "How many days of paid leave do employees of {} get?",
        canary(0)
    ));
    let answer = answer.json();
    assert_eq!(answer["outcome"], "grounded", "{answer}");
    let rating = json!({ "rating": "down", "comment": comment, "corrected_answer": correction, "document": added[&0] });
    let at = format!(
        "/api/v1/answers/{}/feedback",
        answer["id"].as_str().unwrap()
    );
    assert_eq!(
        put(
            &app.client,
            &at,
            "application/json",
            rating.to_string().as_bytes()
        )
        .status,
        200
    );
    let evaluation = json!({
        "name": "leave", "collection": "hr", "queries": [
            { "text": format!("paid leave of {query}"), "relevant": { "leave.md": 1 } },
            { "text": "where do visitors park", "relevant": { "kept.md": 1 } },
        ],
    });
    let started = app.client.post("/api/v1/evaluations", &evaluation).json();
    let evaluation = format!("/api/v1/evaluations/{}", started["id"].as_str().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    while app.client.get(&evaluation).json()["state"] == "running" {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }

    // A person asks, too, has a key, and is named by an access list.
    let login = "takezou-yamada";
    let person = json!({
        "name": login, "display_name": name, "email": format!("{mail}@example.com"), "password": PASSWORD, "role": "reader",
    });
    let person = app.client.post("/api/v1/users", &person);
    assert_eq!(person.status, 201, "{person:?}");
    let person = id(&person.json());
    let made = app
        .client
        .post("/api/v1/api-keys", &json!({ "name": key, "user": login }))
        .json();
    let theirs = Client::new(app.client.url(), made["key"].as_str());
    let asked =
        json!({ "question": format!("Where do visitors park, {question}?"), "stream": false });
    assert_eq!(theirs.post("/api/v1/ask", &asked).status, 200);
    let acl = json!({ "readers": ["everyone", format!("user:{login}")] }).to_string();
    let at = format!("/api/v1/documents/{kept}/acl");
    assert_eq!(
        put(&app.client, &at, "application/json", acl.as_bytes()).status,
        200
    );

    // All of it can be found before, or the test would see nothing.
    let canaries: Vec<String> = (0..20).map(canary).collect();
    let others = [&comment, &correction, &query, &name, &mail, &question, &key].map(Clone::clone);
    let mut words = [canaries.clone(), others.to_vec()].concat();
    let before = find(&data, &words);
    for word in &words {
        assert!(
            before.contains_key(word),
            "{word} is nowhere: {:?}",
            before.keys()
        );
    }
    for (word, place) in [
        (3, "dense"),
        (3, "terms of"),
        (0, "stored"),
        (0, "conversations.db"),
        (5, "blobs"),
        (0, "catalog.db: chunks"),
        (11, "UTF-16"),
        (9, "!1"),
        (4, "!2"),
    ] {
        let places = &before[&canary(word)];
        assert!(
            places.iter().any(|found| found.contains(place)),
            "{word} {place}: {places:?}"
        );
    }
    let named = find(&data, &[login.to_owned()]);
    assert!(
        named[login].iter().any(|place| !place.starts_with("audit")),
        "{named:?}"
    );

    // Who may not read it sees what would be done, and nothing is done.
    let documents: Vec<&String> = added.values().collect();
    let request = json!({ "documents": documents, "person": login, "dry_run": true });
    let planned = app.client.post(PATH, &request);
    assert_eq!(planned.status, 200, "{planned:?}");
    let text = String::from_utf8(planned.body.clone()).unwrap();
    assert!(
        !words.iter().any(|word| text.contains(word.as_str())),
        "{text}"
    );
    let planned = planned.json();
    assert_eq!(
        (&planned["state"], &planned["certificate"]),
        (&json!("planned"), &Value::Null)
    );
    assert_eq!(find(&data, &words).len(), words.len());

    let erasure = forget(
        &app.client,
        &json!({ "documents": documents, "person": login }),
    );
    let signed = &erasure["certificate"];
    let certificate = &signed["certificate"];
    words.push(format!("user:{login}"));
    // The audit log names who did what, which the certificate says.
    let after = find(&data, &words);
    let left: BTreeMap<_, Vec<_>> = after
        .iter()
        .map(|(word, places)| {
            (
                word,
                places
                    .iter()
                    .filter(|place| !place.starts_with("audit/"))
                    .collect::<Vec<_>>(),
            )
        })
        .filter(|(_, places)| !places.is_empty())
        .collect();
    assert!(left.is_empty(), "{left:#?}");
    // The last two: the name of the key, and the person in an access list.
    assert_gone(&data, &words[..words.len() - 2]);
    let named = find(&data, &[login.to_owned()]);
    let places = named.get(login).into_iter().flatten();
    assert!(
        places.clone().all(|place| place.starts_with("audit/")),
        "{named:?}"
    );
    let remains = certificate["remains"].as_array().unwrap();
    let audit = remains
        .iter()
        .find(|remains| remains["store"] == "audit log");
    assert!(audit.unwrap()["n"].as_u64().unwrap() > 0, "{remains:?}");

    // The certificate names what went, by ids and hashes only, and holds.
    assert_eq!(
        certificate["documents"].as_array().unwrap().len(),
        20,
        "{certificate}"
    );
    assert_eq!(certificate["person"], person.as_str());
    assert_eq!(number(certificate, "catalog", "documents"), 20);
    assert_eq!(number(certificate, "accounts", "API keys"), 1);
    assert_eq!(number(certificate, "conversations", "ratings"), 1);
    assert_eq!(number(certificate, "evaluations", "queries"), 1);
    let public = fs_err::read_to_string(certificate::public_file(&data)).unwrap();
    let compact = String::from_utf8(
        serde_json::to_vec(&serde_json::from_value::<certificate::Signed>(signed.clone()).unwrap())
            .unwrap(),
    )
    .unwrap();
    certificate::verify(&compact, &public).unwrap();
    let changed = compact.replacen("\"n\":20", "\"n\":19", 1);
    assert_ne!(changed, compact);
    assert_eq!(certificate::verify(&changed, &public), Err(Flaw::Signature));

    // All else is as it was.
    let hits = app.search("Where do visitors park?");
    assert_eq!(
        hits[0]["document"]["id"]
            .as_str()
            .or(hits[0]["document"].as_str()),
        Some(kept.as_str()),
        "{hits:?}"
    );
    let verified = app.client.post("/api/v1/verify", &json!({})).json();
    assert_eq!(verified["findings"], json!([]), "{verified}");
    let log = app.client.get("/api/v1/audit/verify").json();
    assert_eq!(log["findings"], json!([]), "{log}");
    let record = app.client.get(&evaluation).json();
    assert_eq!(record["queries"][1]["text"], "where do visitors park");
    theirs
        .get("/api/v1/session")
        .assert_problem(401, "unauthorized");
    let again = json!({ "name": login, "password": PASSWORD, "role": "reader" });
    assert_eq!(app.client.post("/api/v1/users", &again).status, 201);
    app.client
        .post(PATH, &json!({ "documents": [documents[0]] }))
        .assert_problem(404, "unknown_document");
    let listed = app.client.get(PATH).json();
    assert_eq!(listed["items"], json!([erasure]));
}

#[test]
fn words_are_forgotten_wherever_people_wrote_them() {
    let app = TestApp::with(
        fake_models(&["Visitors park behind the house [1]."]),
        |_| (),
    );
    let data = data_dir(&app).to_owned();
    app.add(
        "hr",
        "kept.md",
        b"# Parking\n\nVisitors park behind the house.",
    );
    let words = [canary(40)];
    app.ask(&format!("Who is {}?", canary(40).to_uppercase()));
    let other = app.ask("Where do visitors park?").json();
    assert!(find(&data, &words).contains_key(&words[0]));
    app.client
        .post(PATH, &json!({ "words": ["abc"] }))
        .assert_problem(400, "invalid_request");
    let erasure = forget(&app.client, &json!({ "words": words }));
    assert_eq!(erasure["certificate"]["certificate"]["n_words"], 1);
    assert_gone(&data, &words);
    let conversation = other["conversation"].as_str().unwrap();
    let kept = app
        .client
        .get(&format!("/api/v1/conversations/{conversation}"));
    assert_eq!(kept.status, 200, "{kept:?}");
}

#[test]
fn a_source_does_not_bring_back_what_is_forgotten() {
    let app = TestApp::start();
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs_err::write(&path, text).unwrap();
        let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
        let past = std::time::SystemTime::now() - Duration::from_secs(5);
        file.set_modified(past).unwrap();
    };
    let name = format!("{}.md", canary(50));
    write(&name, "# Gone\n\nThis is to be forgotten.");
    write("kept.md", "# Kept\n\nThis stays where it is.");
    let new = json!({ "name": "notes", "place": { "kind": "folder", "path": folder.path() }, "collection": "c" });
    assert_eq!(app.client.post("/api/v1/sources", &new).status, 201);
    let documents = || {
        app.client.get("/api/v1/documents").json()["items"]
            .as_array()
            .unwrap()
            .clone()
    };
    let wait = |n: usize| {
        let deadline = Instant::now() + Duration::from_secs(60);
        while documents().len() != n {
            assert!(Instant::now() < deadline, "{:?}", documents());
            std::thread::sleep(Duration::from_millis(20));
        }
        settle(&app);
    };
    wait(2);
    let gone = documents()
        .into_iter()
        .find(|document| document["source"] == name)
        .unwrap();
    let erasure = forget(&app.client, &json!({ "documents": [gone["id"]] }));
    let remains = erasure["certificate"]["certificate"]["remains"].to_string();
    assert!(remains.contains("the source `notes`"), "{remains}");
    assert_gone(data_dir(&app), &[canary(50)]);

    // Neither as it was nor changed; what is new comes in.
    write(
        &name,
        "# Gone\n\nThis was changed and is still to be forgotten.",
    );
    write("new.md", "# New\n\nThis is new.");
    assert_eq!(
        app.client
            .post("/api/v1/sources/notes/scan", &json!({}))
            .status,
        202
    );
    wait(2);
    assert!(
        documents()
            .iter()
            .all(|document| document["source"] != name)
    );
    assert_gone(data_dir(&app), &[canary(50)]);
}

#[test]
fn what_cannot_be_forgotten_is_refused_with_the_reason() {
    let app = TestApp::start();
    let box_ = app.add("hr", "all.mbox", &mailbox(&[canary(60), canary(61)]));
    settle(&app);
    let at = format!("/api/v1/documents/{}/children", id(&box_));
    let child = id(&app.client.get(&at).json()["items"][0]);
    let post = |body: Value| app.client.post(PATH, &body);
    post(json!({})).assert_problem(400, "invalid_request");
    post(json!({ "documents": ["leave.md"] })).assert_problem(404, "unknown_document");
    post(json!({ "person": "nobody" })).assert_problem(404, "unknown_user");
    let part = post(json!({ "documents": [child] }));
    part.assert_problem(409, "part_of_document");
    // One who may not read the mailbox learns which document to name, not what it is called.
    assert!(part.json()["detail"].as_str().unwrap().contains(&id(&box_)));

    let hold = |method: &str| app.client.send(method, "/api/v1/audit/holds/case-7", None);
    assert!(hold("PUT").status < 300);
    let held = post(json!({ "documents": [id(&box_)] }));
    held.assert_problem(409, "legal_hold");
    assert!(held.json()["detail"].as_str().unwrap().contains("`case-7`"));
    assert_eq!(app.client.get(PATH).json()["items"], json!([]));
    assert!(hold("DELETE").status < 300);
    let erasure = forget(&app.client, &json!({ "documents": [id(&box_)] }));
    assert_eq!(
        erasure["certificate"]["certificate"]["documents"]
            .as_array()
            .unwrap()
            .len(),
        3
    );
    assert_gone(data_dir(&app), &[canary(60), canary(61)]);
}

#[test]
fn an_administrator_erases_what_he_may_not_read_and_no_one_else_does() {
    let app = TestApp::start();
    let secret = id(&app.add(
        "hr",
        "secret.md",
        format!("# Secret\n\n{}", canary(62)).as_bytes(),
    ));
    let at = format!("/api/v1/documents/{secret}/acl");
    assert_eq!(
        put(
            &app.client,
            &at,
            "application/json",
            br#"{"readers": ["board"]}"#
        )
        .status,
        200
    );
    for role in ["reader", "editor", "auditor", "admin"] {
        let body = json!({ "name": role, "password": PASSWORD, "role": role });
        assert_eq!(app.client.post("/api/v1/users", &body).status, 201);
        let made = app
            .client
            .post("/api/v1/api-keys", &json!({ "name": "k", "user": role }))
            .json();
        let client = Client::new(app.client.url(), made["key"].as_str());
        if role == "admin" {
            client
                .get(&format!("/api/v1/documents/{secret}"))
                .assert_problem(404, "unknown_document");
            client
                .post(PATH, &json!({ "person": role }))
                .assert_problem(403, "forbidden");
            let erasure = forget(&client, &json!({ "documents": [secret] }));
            assert!(!erasure.to_string().contains("secret.md"), "{erasure}");
        } else {
            client
                .post(PATH, &json!({ "documents": [secret] }))
                .assert_problem(403, "forbidden");
        }
        let may_list = matches!(role, "admin" | "auditor");
        assert_eq!(client.get(PATH).status == 200, may_list, "{role}");
    }
    assert_gone(data_dir(&app), &[canary(62)]);
}

/// `kill -9` as soon as something is being forgotten: the next start brings it to its end.
#[test]
fn a_forgetting_that_is_killed_goes_on_at_the_next_start() {
    let kura = Kura::new().with_models();
    let data = kura.path("data");
    let mut killed_within = 0;
    for round in 0..6 {
        let words: Vec<String> = (0..5).map(|n| canary(70 + round * 5 + n)).collect();
        let server = kura.serve();
        let documents: Vec<String> = words
            .iter()
            .map(|word| {
                let text = format!("# {word}\n\nThe keeper of the gate is {word}.");
                let reply = server
                    .client
                    .upload("hr", &format!("{word}.md"), text.as_bytes());
                assert_eq!(reply.status, 202, "{reply:?}");
                id(&reply.json()["items"][0]["document"])
            })
            .collect();
        let deadline = Instant::now() + Duration::from_secs(60);
        while server.client.get("/api/v1/jobs/summary").json()["queued"] != 0
            || server.client.get("/api/v1/jobs/summary").json()["running"] != 0
        {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(find(&data, &words).len(), words.len());
        let (url, key) = (server.client.url().to_owned(), server.key.clone());
        let asking = std::thread::spawn(move || {
            let body = json!({ "documents": documents }).to_string().into_bytes();
            let client = Client::new(&url, Some(&key));
            drop(client.try_send("POST", PATH, Some(("application/json", body))));
        });
        let is_begun = || {
            let listed = server.client.get(PATH).json();
            listed["items"].as_array().unwrap().len() > round
        };
        while !is_begun() {
            assert!(Instant::now() < deadline);
        }
        std::thread::sleep(Duration::from_millis(round as u64 * 30));
        killed_within +=
            usize::from(server.client.get(PATH).json()["items"][0]["state"] == "running");
        server.kill();
        asking.join().unwrap();

        let server = kura.serve();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let listed = server.client.get(PATH).json();
            let items = listed["items"].as_array().unwrap();
            assert_eq!(items.len(), round + 1);
            if items.iter().all(|item| item["state"] == "done") {
                break;
            }
            assert!(Instant::now() < deadline, "{listed}");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_gone(&data, &words);
        let verified = server.client.post("/api/v1/verify", &json!({})).json();
        assert_eq!(verified["findings"], json!([]), "{verified}");
        assert!(server.stop());
    }
    assert!(
        killed_within > 0,
        "no kill came while something was being forgotten"
    );
    println!("{killed_within} of 6 kills came while something was being forgotten");
}

use kura_tests::{TestApp, events, fixture};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const CANARY: &str = "zirkonvogel";

#[test]
fn a_document_lives_and_dies() {
    let app = TestApp::start();
    let text = format!("# Canary\n\nThe word {CANARY} stands only here.");
    let document = app.add("handbook", "canary.md", text.as_bytes());
    assert_eq!(document["status"], "indexed", "{document}");
    assert_eq!(document["source"], "canary.md");
    assert_eq!(document["collection"], "handbook");
    assert_eq!(document["version"], 1);
    assert_eq!(document["size_bytes"], text.len());
    let id = document["id"].as_str().unwrap();

    let hits = app.search(CANARY);
    assert_eq!(hits[0]["document"], id);
    assert_eq!(hits[0]["lexical_rank"], 1);
    let extracted = app
        .client
        .get(&format!("/api/v1/documents/{id}/text"))
        .json();
    let span = &hits[0]["span"];
    let (start, end) = (
        span["start"].as_u64().unwrap() as usize,
        span["end"].as_u64().unwrap() as usize,
    );
    assert_eq!(
        hits[0]["text"],
        extracted["text"].as_str().unwrap()[start..end],
        "spans index into the text"
    );

    let content = app.client.get(&format!("/api/v1/documents/{id}/content"));
    assert_eq!(content.body, text.as_bytes());
    assert!(
        content
            .header("content-disposition")
            .unwrap()
            .starts_with("attachment; filename=\"canary.md\"")
    );
    assert!(
        content
            .header("content-security-policy")
            .unwrap()
            .starts_with("sandbox")
    );

    assert_eq!(
        app.client.delete(&format!("/api/v1/documents/{id}")).status,
        204
    );
    assert_nowhere(&app, CANARY);
    for path in [
        format!("/api/v1/documents/{id}"),
        format!("/api/v1/documents/{id}/text"),
        format!("/api/v1/documents/{id}/content"),
    ] {
        app.client
            .get(&path)
            .assert_problem(404, "unknown_document");
    }
    app.client
        .delete(&format!("/api/v1/documents/{id}"))
        .assert_problem(404, "unknown_document");
    app.client
        .get("/api/v1/documents/no-uuid")
        .assert_problem(404, "unknown_document");
}

#[test]
fn the_same_name_is_a_new_version() {
    let app = TestApp::start();
    let first = app.add(
        "handbook",
        "rules.txt",
        format!("The old rule says {CANARY}.").as_bytes(),
    );
    let again = app.client.upload(
        "handbook",
        "rules.txt",
        format!("The old rule says {CANARY}.").as_bytes(),
    );
    assert_eq!(again.json()["items"][0]["outcome"], "unchanged");
    assert_eq!(again.json()["items"][0]["job"], Value::Null);

    let second = app.add(
        "handbook",
        "rules.txt",
        b"The new rule says nothing of the kind.",
    );
    assert_eq!(first["id"], second["id"]);
    assert_eq!(second["version"], 2);
    // The job is done when the new version is served; a moment later the old one has left the disk.
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline
        && !files_with(&app.app.config.data_dir, CANARY.as_bytes()).is_empty()
    {
        std::thread::sleep(Duration::from_millis(50));
    }
    let holding = files_with(&app.app.config.data_dir, CANARY.as_bytes());
    assert!(holding.is_empty(), "{holding:?}");
    assert_nowhere(&app, CANARY);
    assert_eq!(app.search("new rule")[0]["document"], first["id"]);
    // The same name elsewhere is another document.
    let other = app.add(
        "other",
        "rules.txt",
        b"The new rule says nothing of the kind.",
    );
    assert_ne!(other["id"], first["id"]);
}

#[test]
fn a_bad_file_fails_alone_and_says_why() {
    let app = TestApp::start();
    let encrypted = fs_err::read(fixture("bad/encrypted.pdf")).unwrap();
    let document = app.add("handbook", "encrypted.pdf", &encrypted);
    assert_eq!(document["status"], "failed");
    assert!(
        document["error"].as_str().unwrap().contains("encrypted"),
        "{document}"
    );
    let good = app.add("handbook", "good.txt", b"This one is sound.");
    assert_eq!(good["status"], "indexed");
    let jobs = app.client.get("/api/v1/jobs").json();
    let states: Vec<_> = jobs["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| job["state"].as_str().unwrap())
        .collect();
    assert_eq!(states.len(), 2);
    assert!(
        states.contains(&"done") && states.contains(&"failed"),
        "{states:?}"
    );
}

#[test]
fn a_job_can_be_followed() {
    let app = TestApp::start();
    let reply = app
        .client
        .upload("handbook", "a.md", b"# Title\n\nSome text to be indexed.");
    let job = reply.json()["items"][0]["job"].clone();
    assert_eq!(job["kind"], "ingest");
    let id = job["id"].as_str().unwrap();
    let stream = app.client.get(&format!("/api/v1/jobs/{id}/events"));
    assert_eq!(stream.header("content-type"), Some("text/event-stream"));
    let events = events(stream.body.as_slice());
    assert!(events.iter().all(|event| event.name == "job"), "{events:?}");
    let last = &events.last().unwrap().data;
    assert_eq!(
        (&last["state"], &last["progress"]),
        (&json!("done"), &json!(1.0)),
        "{last}"
    );
    app.client
        .get("/api/v1/jobs/00000000-0000-4000-8000-000000000000")
        .assert_problem(404, "unknown_job");
    app.client
        .get("/api/v1/jobs/x/events")
        .assert_problem(404, "unknown_job");
}

#[test]
fn a_deleted_document_is_gone_from_kept_answers_and_from_the_disk() {
    // The fake embedder knows no meaning that could support an answer.
    let app = TestApp::with(kura_tests::fake_models(&[]), |config| {
        config.answer.min_support = 0.0;
    });
    let text = format!("# Canary\n\nThe word {CANARY} stands only here, beside the quarzlinde.");
    let document = app.add("handbook", "canary.md", text.as_bytes());
    let asked = app
        .client
        .post(
            "/api/v1/ask",
            &json!({ "question": format!("Where does the word {CANARY} stand?"), "mode": "extractive", "stream": false }),
        )
        .json();
    assert!(
        asked["text"].as_str().unwrap().contains("quarzlinde"),
        "{asked}"
    );
    let conversation = format!(
        "/api/v1/conversations/{}",
        asked["conversation"].as_str().unwrap()
    );
    assert!(
        app.client.get(&conversation).json()["messages"][1]
            .to_string()
            .contains("quarzlinde")
    );

    let id = document["id"].as_str().unwrap();
    assert_eq!(
        app.client.delete(&format!("/api/v1/documents/{id}")).status,
        204
    );
    let kept = app.client.get(&conversation).json();
    assert_eq!(kept["messages"][1]["answer"]["outcome"], "withdrawn");
    assert!(!kept.to_string().contains("quarzlinde"), "{kept}");
    let holding = files_with(&app.app.config.data_dir, b"quarzlinde");
    assert!(holding.is_empty(), "{holding:?}");
}

/// Returns the files below `dir` that hold these bytes.
fn files_with(dir: &std::path::Path, bytes: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, bytes));
        } else if fs_err::read(&path)
            .unwrap()
            .windows(bytes.len())
            .any(|window| window == bytes)
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn uploads_are_checked() {
    let app = TestApp::start();
    let multipart = |body: &str| {
        app.client.send(
            "POST",
            "/api/v1/documents",
            Some(("multipart/form-data; boundary=b", body.as_bytes().to_vec())),
        )
    };
    let part = |disposition: &str, content: &str| {
        format!("--b\r\ncontent-disposition: form-data; {disposition}\r\n\r\n{content}\r\n")
    };
    let collection = part("name=\"collection\"", "handbook");
    let file = part("name=\"file\"; filename=\"a.txt\"", "text");
    multipart(&format!("{file}{collection}--b--\r\n")).assert_problem(400, "invalid_request");
    multipart(&format!("{collection}--b--\r\n")).assert_problem(400, "invalid_request");
    multipart(&format!("{file}--b--\r\n")).assert_problem(400, "invalid_request");
    multipart(&format!(
        "{collection}{}--b--\r\n",
        part("name=\"file\"", "text")
    ))
    .assert_problem(400, "invalid_request");
    multipart(&format!(
        "{collection}{}--b--\r\n",
        part("name=\"other\"", "x")
    ))
    .assert_problem(400, "invalid_request");
    // Cut off in the middle: nothing is stored.
    multipart(&format!("{collection}{}", &file[..file.len() - 8]))
        .assert_problem(400, "invalid_request");
    assert_eq!(
        app.client.get("/api/v1/documents").json()["items"],
        json!([])
    );

    let two = format!(
        "{collection}{}{file}{}--b--\r\n",
        part("name=\"source\"", "folder/b.txt"),
        file.replace("text", "more")
    );
    let reply = multipart(&two);
    assert_eq!(reply.status, 202, "{reply:?}");
    let sources: Vec<_> = reply.json()["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["document"]["source"].clone())
        .collect();
    assert_eq!(sources, ["folder/b.txt", "a.txt"]);
    for item in reply.json()["items"].as_array().unwrap() {
        app.wait(item["job"]["id"].as_str().unwrap());
    }
    let listed = app
        .client
        .get("/api/v1/documents?collection=handbook&limit=1")
        .json();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);
    assert!(listed["next_cursor"].is_string());
    app.client
        .get("/api/v1/documents?collection=nowhere")
        .assert_problem(404, "unknown_collection");
}

#[test]
fn an_upload_over_the_limit_is_refused() {
    let app = TestApp::with(kura_tests::fake_models(&[]), |config| {
        config.server.upload_max_bytes = 1000
    });
    for size in [2_000, 32 << 20] {
        app.client
            .upload("handbook", "large.txt", &vec![b'x'; size])
            .assert_problem(413, "payload_too_large");
    }
    assert_eq!(
        app.client.get("/api/v1/documents").json()["items"],
        json!([])
    );
}

/// Fails if a word is found by any interface.
fn assert_nowhere(app: &TestApp, word: &str) {
    for hit in app.search(word) {
        assert!(!hit.to_string().contains(word), "found by search: {hit}");
    }
    let asked = app.ask(&format!("What is {word}?"));
    let answer = asked.json();
    // The question may be repeated, so only what comes from documents counts.
    assert!(
        !answer["citations"].to_string().contains(word),
        "cited: {answer}"
    );
    let chat = app.client.post(
        "/v1/chat/completions",
        &json!({ "model": "kura", "messages": [{ "role": "user", "content": format!("What is {word}?") }] }),
    );
    assert!(
        !chat.json()["choices"][0]["message"]["annotations"]
            .to_string()
            .contains(word)
    );
    let documents = app.client.get("/api/v1/documents").json();
    for document in documents["items"].as_array().unwrap() {
        let id = document["id"].as_str().unwrap();
        let text = app.client.get(&format!("/api/v1/documents/{id}/text"));
        assert!(
            !String::from_utf8_lossy(&text.body).contains(word),
            "in the text of {id}"
        );
    }
}

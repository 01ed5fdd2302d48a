//! Metadata and filters through the API and the command line.

use kura_tests::{Kura, TestApp};
use serde_json::{Value, json};

/// Uploads a file with metadata and waits for its job; returns the document.
fn add(app: &TestApp, name: &str, text: &str, metadata: &Value) -> Value {
    let reply = app
        .client
        .upload_with("rules", name, text.as_bytes(), metadata);
    assert_eq!(reply.status, 202, "{reply:?}");
    let item = &reply.json()["items"][0];
    if let Some(job) = item["job"]["id"].as_str() {
        app.wait(job);
    }
    let id = item["document"]["id"].as_str().unwrap();
    app.client.get(&format!("/api/v1/documents/{id}")).json()
}

fn patch(app: &TestApp, id: &Value, metadata: &Value) -> kura_tests::Reply {
    let body = json!({ "metadata": metadata }).to_string().into_bytes();
    let path = format!("/api/v1/documents/{}", id.as_str().unwrap());
    app.client
        .send("PATCH", &path, Some(("application/json", body)))
}

/// Returns the sources that a search finds with a filter, sorted.
fn found(app: &TestApp, filter: &Value) -> Vec<String> {
    let body = json!({ "query": "travel expenses", "filter": filter });
    let reply = app.client.post("/api/v1/search", &body);
    assert_eq!(reply.status, 200, "{reply:?}");
    let items = reply.json()["items"].as_array().unwrap().clone();
    let mut sources: Vec<String> = items
        .iter()
        .map(|hit| hit["source"].as_str().unwrap().to_owned())
        .collect();
    sources.sort();
    sources.dedup();
    sources
}

fn three_rules(app: &TestApp) -> [Value; 3] {
    let old = json!({
        "tags": ["Travel", "HR"], "author": "佐藤 花子", "date": "平成30年3月20日", "valid_from": "平成30年4月1日",
    });
    let new = json!({
        "tags": ["travel"], "author": "Tanaka; Ito", "date": "2024/3/15", "valid_from": "令和6年4月1日",
        "supersedes": ["travel-2018.md"],
    });
    [
        add(
            app,
            "travel-2018.md",
            "# Travel\n\nTravel expenses are paid in cash.",
            &old,
        ),
        add(
            app,
            "travel-2024.md",
            "# Travel\n\nTravel expenses are paid by transfer.",
            &new,
        ),
        add(
            app,
            "note.html",
            "<html><body><p>A note on travel expenses.</p></body></html>",
            &json!({}),
        ),
    ]
}

#[test]
fn searches_and_lists_are_limited_by_metadata() {
    let app = TestApp::start();
    let [old, new, note] = three_rules(&app);
    assert_eq!(
        old["metadata"]["date"], "2018-03-20",
        "eras become calendar dates"
    );
    assert_eq!(old["metadata"]["superseded_from"], Value::Null);
    let path = format!("/api/v1/documents/{}", old["id"].as_str().unwrap());
    let later = app.client.get(&path).json();
    assert_eq!(later["metadata"]["superseded_from"], "2024-04-01");
    assert_eq!(new["metadata"]["valid_from"], "2024-04-01");
    assert_eq!(note["metadata"]["tags"], json!([]));

    let (o, n, h) = ("travel-2018.md", "travel-2024.md", "note.html");
    for (filter, expected) in [
        (json!({}), vec![h, o, n]),
        (json!({ "tags": ["TRAVEL"] }), vec![o, n]),
        (json!({ "tags": ["travel", "hr"] }), vec![o]),
        (json!({ "any_tags": ["hr", "none"] }), vec![o]),
        (json!({ "authors": ["ito"] }), vec![n]),
        (json!({ "authors": ["佐藤　花子", "Tanaka"] }), vec![o, n]),
        (json!({ "types": ["html"] }), vec![h]),
        (json!({ "types": ["md", "text/html"] }), vec![h, o, n]),
        (json!({ "since": "令和元年" }), vec![n]),
        (json!({ "since": "2018", "until": "平成30年" }), vec![o]),
        (json!({ "as_of": "2018-03-31" }), vec![h]),
        (json!({ "as_of": "R6.3.31" }), vec![h, o]),
        (json!({ "as_of": "令和6年4月1日" }), vec![h, n]),
        (json!({ "as_of": "today" }), vec![h, n]),
        (
            json!({ "as_of": "2024-04-01", "include_superseded": true }),
            vec![h, o, n],
        ),
        (json!({ "include_superseded": false }), vec![h, n]),
    ] {
        assert_eq!(found(&app, &filter), expected, "{filter}");
        // Lists take the same filter.
        let query = escaped(&filter.to_string());
        let listed = app
            .client
            .get(&format!("/api/v1/documents?filter={query}"))
            .json();
        let listed: Vec<&str> = listed["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["source"].as_str().unwrap())
            .collect();
        assert_eq!(listed, expected, "{filter}");
    }

    // Lists go on page by page.
    let query = escaped(r#"{"tags":["travel"]}"#);
    let page = |cursor: &str| {
        let path = format!("/api/v1/documents?limit=1&filter={query}{cursor}");
        app.client.get(&path).json()
    };
    let first = page("");
    assert_eq!(first["items"][0]["source"], o);
    let cursor = format!(
        "&cursor={}",
        escaped(first["next_cursor"].as_str().unwrap())
    );
    let second = page(&cursor);
    assert_eq!(second["items"][0]["source"], n);
    assert_eq!(second["next_cursor"], Value::Null);
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[test]
fn metadata_is_changed_without_indexing_again() {
    let app = TestApp::start();
    let [old, new, note] = three_rules(&app);
    let reply = patch(
        &app,
        &note["id"],
        &json!({ "tags": ["memo"], "date": "R6.5.1" }),
    );
    assert_eq!(reply.status, 200, "{reply:?}");
    let changed = reply.json();
    assert_eq!(changed["metadata"]["date"], "2024-05-01");
    assert_eq!(changed["version"], note["version"]);
    assert_eq!(found(&app, &json!({ "tags": ["memo"] })), ["note.html"]);

    patch(&app, &note["id"], &json!({ "tags": null, "author": "Ito" }));
    assert_eq!(found(&app, &json!({ "tags": ["memo"] })), [""; 0]);
    assert_eq!(
        found(&app, &json!({ "authors": ["Ito"] })),
        ["note.html", "travel-2024.md"]
    );
    assert_eq!(
        found(&app, &json!({ "since": "2024-05-01" })),
        ["note.html"],
        "what was left out stays"
    );

    // A new version keeps what was said about the document.
    add(
        &app,
        "note.html",
        "<p>Another note on travel expenses.</p>",
        &json!({}),
    );
    assert_eq!(
        found(&app, &json!({ "since": "2024-05-01" })),
        ["note.html"]
    );

    // The newer rules go: the older ones count again.
    let id = new["id"].as_str().unwrap();
    let gone = app.client.delete(&format!("/api/v1/documents/{id}"));
    assert_eq!(gone.status, 204);
    assert_eq!(
        found(&app, &json!({ "as_of": "today" })),
        ["note.html", "travel-2018.md"]
    );

    for metadata in [
        json!({ "date": "soon" }),
        json!({ "author": "" }),
        json!({ "tag": ["x"] }),
        json!({ "valid_until": "2018-04-01" }),
        json!({ "supersedes": ["travel-2018.md"] }),
    ] {
        patch(&app, &old["id"], &metadata).assert_problem(400, "invalid_request");
    }
    let unknown = json!("0197f3a0-0000-7000-8000-000000000000");
    patch(&app, &unknown, &json!({})).assert_problem(404, "unknown_document");
    let path = format!("/api/v1/documents/{}", old["id"].as_str().unwrap());
    let body = json!({ "metadata": {} }).to_string().into_bytes();
    let stranger = app
        .anonymous()
        .send("PATCH", &path, Some(("application/json", body)));
    assert_eq!(stranger.status, 401);
}

#[test]
fn what_is_no_filter_is_refused_with_reason_and_remedy() {
    let app = TestApp::start();
    three_rules(&app);
    for (filter, told) in [
        (json!({ "as_of": "平成31年5月1日" }), "平成"),
        (json!({ "since": "4/1" }), "2024-04-01"),
        (
            json!({ "since": "2024-05-01", "until": "2024-04-01" }),
            "later",
        ),
        (json!({ "types": ["wpd"] }), "docx"),
        (json!({ "tags": [] }), "`tags`"),
        (json!({ "tagz": ["x"] }), "tagz"),
    ] {
        for (path, body) in [
            ("/api/v1/search", json!({ "query": "a", "filter": filter })),
            (
                "/api/v1/search/explain",
                json!({ "query": "a", "filter": filter }),
            ),
            ("/api/v1/ask", json!({ "question": "a", "filter": filter })),
        ] {
            let reply = app.client.post(path, &body);
            reply.assert_problem(400, "invalid_request");
            let detail = reply.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(told), "{detail}");
        }
    }
    app.client
        .get("/api/v1/documents?filter=x")
        .assert_problem(400, "invalid_request");
    let refused = app
        .client
        .upload_with("rules", "x.md", b"text", &json!({ "date": "soon" }));
    refused.assert_problem(400, "invalid_request");
    assert_eq!(
        app.client.get("/api/v1/documents").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        3,
        "nothing was stored"
    );
}

#[test]
fn answers_and_explanations_go_by_the_filter_and_by_permissions() {
    let app = TestApp::start();
    let [old, new, _] = three_rules(&app);
    let question = "How are travel expenses paid?";
    let ask = |filter: Value| {
        let body =
            json!({ "question": question, "mode": "extractive", "stream": true, "filter": filter });
        let events = app.ask_events(&body);
        let items = events[0].data["items"].as_array().unwrap().clone();
        let mut sources: Vec<String> = items
            .iter()
            .map(|hit| hit["source"].as_str().unwrap().to_owned())
            .collect();
        sources.sort();
        sources
    };
    for source in ask(json!({ "as_of": "today", "types": ["md"] })) {
        assert_eq!(source, "travel-2024.md");
    }
    assert_eq!(ask(json!({ "tags": ["none"] })), [""; 0]);

    let explain = |document: &Value, extra: Value| {
        let mut body = json!({ "query": "travel expenses", "document": document["id"] });
        body.as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let reply = app.client.post("/api/v1/search/explain", &body);
        assert_eq!(reply.status, 200, "{reply:?}");
        let told = reply.json();
        let text = |key: &str| told["document"][key].as_str().unwrap().to_owned();
        (text("cause"), text("reason"))
    };
    for (document, filter, words) in [
        (&old, json!({ "as_of": "today" }), "supersedes"),
        (&new, json!({ "as_of": "2024-03-31" }), "2024-04-01"),
        (&new, json!({ "tags": ["hr"] }), "`hr`"),
        (&old, json!({ "authors": ["Tanaka"] }), "佐藤"),
        (&old, json!({ "types": ["pdf"] }), "text/markdown"),
        (&old, json!({ "since": "2024" }), "2018-03-20"),
    ] {
        let (cause, reason) = explain(document, json!({ "filter": filter }));
        assert_eq!(cause, "filtered", "{filter}: {reason}");
        assert!(reason.contains(words), "{filter}: {reason}");
    }
    let passing = json!({ "filter": { "tags": ["travel"] } });
    assert_eq!(explain(&new, passing.clone()).0, "found");
    // A filter opens nothing.
    let mut nobody = passing;
    nobody["groups"] = json!([]);
    assert_eq!(explain(&new, nobody.clone()).0, "not_readable");
    nobody["query"] = json!("travel expenses");
    let told = app.client.post("/api/v1/search/explain", &nobody).json();
    assert_eq!(told["candidates"], json!([]));
}

#[test]
fn the_command_line_takes_metadata_and_filters_with_and_without_a_server() {
    let kura = Kura::new().with_models();
    let old = kura.write(
        "old.md",
        "---\nauthor: Sato\ndate: 平成30年3月20日\ntags: [travel]\n---\n# Travel\n\nTravel expenses are paid in cash.\n",
    );
    let new = kura.write(
        "new.md",
        "# Travel\n\nTravel expenses are paid by transfer.\n",
    );
    let ingest = |args: &[&str]| {
        let all = ["ingest", "--collection", "rules", "--json"].iter();
        kura.run(all.chain(args).copied())
    };
    let search = |args: &[&str]| {
        let all = ["search", "travel expenses", "--json"].iter();
        let output = kura.run(all.chain(args).copied());
        assert_eq!(output.code, 0, "{output:?}");
        let items = output.json()["items"].as_array().unwrap().clone();
        let mut sources: Vec<String> = items
            .iter()
            .map(|hit| hit["source"].as_str().unwrap().to_owned())
            .collect();
        sources.sort();
        sources
    };
    assert_eq!(ingest(&[old.to_str().unwrap()]).code, 0);
    let given = ["--tag", "travel", "--tag", "hr", "--date", "2024年3月15日"];
    let valid = ["--valid-from", "R6.4.1", "--supersedes", "old.md"];
    let file = [new.to_str().unwrap()];
    assert_eq!(ingest(&[&given[..], &valid, &file].concat()).code, 0);

    let check = || {
        assert_eq!(search(&[]), ["new.md", "old.md"]);
        assert_eq!(search(&["--author", "sato"]), ["old.md"]);
        assert_eq!(search(&["--tag", "travel", "--tag", "hr"]), ["new.md"]);
        assert_eq!(search(&["--any-tag", "hr"]), ["new.md"]);
        assert_eq!(search(&["--since", "平成31年"]), ["new.md"]);
        assert_eq!(search(&["--until", "2018"]), ["old.md"]);
        assert_eq!(search(&["--as-of", "令和6年3月31日"]), ["old.md"]);
        assert_eq!(search(&["--as-of", "today"]), ["new.md"]);
        assert_eq!(
            search(&["--as-of", "today", "--include-superseded"]),
            ["new.md", "old.md"]
        );
        assert_eq!(search(&["--type", "pdf"]), [""; 0]);
        let ask = [
            "ask",
            "How are travel expenses paid?",
            "--mode",
            "extractive",
            "--as-of",
            "today",
            "--json",
        ];
        let answer = kura.run(ask).json();
        assert_eq!(answer["outcome"], "grounded", "{answer}");
        for citation in answer["citations"].as_array().unwrap() {
            assert_eq!(citation["source"], "new.md");
        }
    };
    check();
    let explain = ["explain", "travel expenses", "--as-of", "today", "--json"];
    let documents = kura.run(["search", "paid in cash", "--json"]).json();
    let id = documents["items"][0]["document"].as_str().unwrap();
    let told = kura
        .run(explain.iter().copied().chain(["--document", id]))
        .json();
    assert_eq!(told["document"]["cause"], "filtered", "{told}");

    // The same file with other words about it is not indexed again.
    let again = ingest(&["--tag", "archive", old.to_str().unwrap()]).json();
    assert_eq!(again["summary"]["unchanged"], 1, "{again}");
    assert_eq!(search(&["--tag", "archive"]), ["old.md"]);
    assert_eq!(ingest(&["--tag", "travel", old.to_str().unwrap()]).code, 0);

    let server = kura.serve();
    check();
    let again = ingest(&["--tag", "served", old.to_str().unwrap()]).json();
    assert_eq!(again["summary"]["unchanged"], 1, "{again}");
    assert_eq!(search(&["--tag", "served"]), ["old.md"]);
    assert!(server.stop());

    kura.run(["search", "x", "--since", "4/1"])
        .assert_fails(2, &["`4/1`", "2024-04-01"]);
    kura.run(["search", "x", "--type", "wpd"])
        .assert_fails(2, &["`wpd`", "docx"]);
    ingest(&["--date", "平成31年5月1日", old.to_str().unwrap()])
        .assert_fails(2, &["平成", "2019-05-01"]);
}

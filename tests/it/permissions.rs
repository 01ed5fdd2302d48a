//! Changes of ACLs and members over the API, and what those see who are not administrators.

use kura::app::Models;
use kura::error::ApiError;
use kura::routes::select;
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::{AccessFilter, Collections, DocumentId, GroupId, SearchFilter};
use kura_tests::{Kura, Reply, TestApp, fake_models};
use serde_json::{Value, json};

fn person(groups: &[&str]) -> AccessFilter {
    let groups = groups.iter();
    AccessFilter::groups(groups.map(|name| GroupId((*name).to_owned())).collect())
}

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

fn put(app: &TestApp, path: &str, body: &Value) -> Reply {
    let body = serde_json::to_vec(body).unwrap();
    app.client
        .send("PUT", path, Some(("application/json", body)))
}

fn acl(app: &TestApp, document: &Value) -> Value {
    let id = document["id"].as_str().unwrap();
    app.client
        .get(&format!("/api/v1/documents/{id}/acl"))
        .json()
}

fn set_acl(app: &TestApp, document: &Value, body: &Value) -> Reply {
    let id = document["id"].as_str().unwrap();
    put(app, &format!("/api/v1/documents/{id}/acl"), body)
}

/// Sources that a search finds, sorted, after checking that the engines find no more than it returns.
fn found(app: &TestApp, access: &AccessFilter) -> Vec<String> {
    let request = SearchRequest {
        text: "keeper".to_owned(),
        collections: Collections::All,
        filter: SearchFilter::default(),
        limit: 20,
    };
    let pipeline = &app.app.pipeline;
    let options = pipeline.rank_options(20);
    let ranking = run(pipeline.rank(&request, &options, access)).unwrap();
    let legs = [ranking.legs.dense.clone(), ranking.legs.lexical.clone()];
    let hits = run(pipeline.search(&request, access)).unwrap().hits;
    for leg in legs {
        for hit in leg {
            let id = hit.chunk.document;
            assert!(
                hits.iter().any(|hit| hit.chunk.document == id),
                "{id} is no hit"
            );
        }
    }
    let mut sources: Vec<String> = hits.into_iter().map(|hit| hit.source).collect();
    sources.sort();
    sources
}

fn id(document: &Value) -> DocumentId {
    DocumentId(document["id"].as_str().unwrap().parse().unwrap())
}

#[test]
fn a_change_of_an_acl_counts_from_the_next_request_on() {
    let app = TestApp::start();
    let document = app.add("notes", "a.md", b"The keeper is called Ansel.");
    let other = b"Whoever works at night is another keeper, by the name of Brida.";
    app.add("notes", "b.md", other);
    let (eve, hr) = (
        person(&["everyone", "user:eve"]),
        person(&["everyone", "hr"]),
    );
    assert_eq!(
        acl(&app, &document),
        json!({ "readers": ["everyone"], "denied": [] })
    );
    assert_eq!(found(&app, &eve), ["a.md", "b.md"]);

    let denying = json!({ "readers": ["everyone"], "denied": ["user:eve"] });
    let changed = set_acl(&app, &document, &denying);
    assert_eq!((changed.status, changed.json()), (200, denying.clone()));
    assert_eq!(acl(&app, &document), denying);
    assert_eq!(found(&app, &eve), ["b.md"]);
    assert_eq!(found(&app, &hr), ["a.md", "b.md"]);
    let pipeline = &app.app.pipeline;
    let hidden = run(pipeline.document_text(id(&document), &eve)).unwrap_err();
    let missing = run(pipeline.document_text(DocumentId(uuid::Uuid::nil()), &eve)).unwrap_err();
    assert_eq!(
        hidden.to_string().replace(&id(&document).to_string(), ""),
        missing
            .to_string()
            .replace(&uuid::Uuid::nil().to_string(), "")
    );

    assert_eq!(
        set_acl(&app, &document, &json!({ "readers": ["hr"] })).status,
        200
    );
    assert_eq!(found(&app, &eve), ["b.md"]);
    assert_eq!(found(&app, &hr), ["a.md", "b.md"]);
    assert_eq!(
        set_acl(&app, &document, &json!({ "readers": [] })).status,
        200
    );
    assert_eq!(found(&app, &hr), ["b.md"]);
    assert_eq!(
        app.search("keeper").len(),
        2,
        "an administrator still finds it"
    );
    assert_eq!(
        set_acl(&app, &document, &json!({ "readers": ["everyone"] })).status,
        200
    );
    assert_eq!(found(&app, &eve), ["a.md", "b.md"]);

    // Nothing was read or embedded again for it.
    let path = format!("/api/v1/documents/{}", id(&document));
    assert_eq!(app.client.get(&path).json()["version"], 1);
    assert_eq!(
        app.client.get("/api/v1/jobs").json()["items"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let verified = app
        .client
        .post("/api/v1/verify", &json!({ "read_blobs": true }))
        .json();
    assert_eq!(verified["findings"], json!([]), "{verified}");
}

#[test]
fn a_change_of_members_counts_from_the_next_request_on() {
    let app = TestApp::start();
    let members = "/api/v1/collections/notes/members";
    let made = json!({ "name": "notes", "members": [{ "group": "hr", "role": "editor" }] });
    assert_eq!(app.client.post("/api/v1/collections", &made).status, 201);
    app.add("notes", "a.md", b"The keeper is called Ansel.");
    app.client
        .post("/api/v1/collections", &json!({ "name": "open" }));
    let (eve, hr) = (
        person(&["everyone", "user:eve"]),
        person(&["everyone", "hr"]),
    );
    assert_eq!(
        app.client.get("/api/v1/collections/open/members").json(),
        json!([{ "group": "everyone", "role": "reader" }])
    );
    assert_eq!(found(&app, &hr), ["a.md"]);
    assert!(found(&app, &eve).is_empty());

    let both =
        json!([{ "group": "hr", "role": "editor" }, { "group": "user:eve", "role": "reader" }]);
    let changed = put(&app, members, &both);
    assert_eq!((changed.status, changed.json()), (200, both.clone()));
    assert_eq!(app.client.get(members).json(), both);
    assert_eq!(found(&app, &eve), ["a.md"]);
    assert_eq!(put(&app, members, &json!([])).status, 200);
    assert!(found(&app, &hr).is_empty() && found(&app, &eve).is_empty());
    assert_eq!(
        app.search("keeper").len(),
        1,
        "an administrator is no member, and finds it"
    );
    // One that is made anew under the name has nothing of the old members.
    put(&app, members, &both);
    assert_eq!(app.client.delete("/api/v1/collections/notes").status, 204);
    app.add("notes", "a.md", b"The keeper is called Ansel.");
    assert_eq!(
        app.client.get(members).json(),
        json!([{ "group": "everyone", "role": "reader" }])
    );
}

#[test]
fn a_kept_answer_is_hidden_from_who_may_not_read_what_it_cites() {
    let extracting = Models {
        generator: None,
        ..fake_models(&[])
    };
    let app = TestApp::with(extracting, |_| ());
    let leave = b"# Leave\n\nEmployees get twenty days of paid leave.";
    let document = app.add("notes", "a.md", leave);
    let answer = app
        .ask("How many days of paid leave do employees get?")
        .json();
    let cited = &answer["citations"][0]["document"];
    assert_eq!(cited, &document["id"], "{answer}");
    let conversation = answer["conversation"].as_str().unwrap().parse().unwrap();
    let hidden = |access: &AccessFilter| {
        let hidden = run(app.app.hidden_from("admin", conversation, access)).unwrap();
        hidden.into_iter().collect::<Vec<_>>()
    };
    let eve = person(&["everyone", "user:eve"]);
    assert_eq!(hidden(&eve), []);
    let denying = json!({ "readers": ["everyone"], "denied": ["user:eve"] });
    assert_eq!(set_acl(&app, &document, &denying).status, 200);
    assert_eq!(hidden(&eve), [id(&document)]);
    assert_eq!(hidden(&person(&["everyone"])), []);
    let nobody = put(&app, "/api/v1/collections/notes/members", &json!([]));
    assert_eq!(nobody.status, 200);
    assert_eq!(hidden(&person(&["everyone"])), [id(&document)]);
    // For an administrator it stays as it was.
    let kept = app
        .client
        .get(&format!("/api/v1/conversations/{conversation}"))
        .json();
    assert_eq!(kept["messages"][1]["content"], answer["text"]);
}

#[test]
fn a_hidden_collection_cannot_be_told_from_a_missing_one() {
    let app = TestApp::start();
    let made = json!({ "name": "hidden", "members": [] });
    assert_eq!(app.client.post("/api/v1/collections", &made).status, 201);
    app.add("hidden", "a.md", b"The keeper is called Ansel.");
    app.client
        .post("/api/v1/collections", &json!({ "name": "open" }));
    let eve = person(&["everyone", "user:eve"]);
    let pipeline = &app.app.pipeline;
    let told = |name: &str| {
        let names = ["open".to_owned(), name.to_owned()];
        let error = run(select(pipeline, Some(&names), &eve)).unwrap_err();
        let error = ApiError::from(error);
        (error.code, error.detail.replace(name, "NAME"))
    };
    assert_eq!(told("hidden"), told("missing"));
    assert_eq!(
        told("hidden").1,
        "unknown collection `NAME`; existing: open"
    );
    let everything = run(select(pipeline, None, &eve)).unwrap();
    assert_eq!(everything, Collections::All);
    assert!(found(&app, &eve).is_empty());
    // What an administrator is told of the same search.
    let body = json!({ "query": "keeper", "groups": ["everyone"], "document": run(async {
        let hidden = pipeline.collection("hidden", &AccessFilter::unrestricted("test")).await.unwrap();
        let access = AccessFilter::unrestricted("test");
        let document = pipeline.document_of_source(hidden.id, "a.md", &access).await.unwrap();
        document.id.to_string()
    })});
    let explained = app.client.post("/api/v1/search/explain", &body).json();
    assert_eq!(
        explained["document"]["cause"], "not_readable",
        "{explained}"
    );
    let reason = explained["document"]["reason"].as_str().unwrap();
    assert!(reason.contains("`hidden`"), "{reason}");
    assert_eq!(explained["candidates"], json!([]));
}

#[test]
fn what_lies_in_a_document_goes_with_it() {
    let app = TestApp::start();
    let mail = "From: a@kura.example\r\nSubject: s\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain\r\n\r\nBody.\r\n\
        --b\r\nContent-Type: text/plain; name=\"k.txt\"\r\n\
        Content-Disposition: attachment; filename=\"k.txt\"\r\n\r\nThe keeper is called Ansel.\r\n--b--\r\n";
    let parent = app.add("mails", "m.eml", mail.as_bytes());
    let children = format!("/api/v1/documents/{}/children", id(&parent));
    let child = app.client.get(&children).json()["items"][0].clone();
    let jobs = app.client.get("/api/v1/jobs").json();
    for job in jobs["items"].as_array().unwrap() {
        app.wait(job["id"].as_str().unwrap());
    }
    let eve = person(&["everyone", "user:eve"]);
    assert!(found(&app, &eve).contains(&"m.eml/k.txt".to_owned()));

    let denying = json!({ "readers": ["everyone"], "denied": ["user:eve"] });
    set_acl(&app, &child, &denying).assert_problem(409, "part_of_document");
    assert!(found(&app, &eve).contains(&"m.eml/k.txt".to_owned()));
    assert_eq!(set_acl(&app, &parent, &denying).status, 200);
    assert_eq!(acl(&app, &child), denying);
    assert!(found(&app, &eve).is_empty());
    let verified = app
        .client
        .post("/api/v1/verify", &json!({ "read_blobs": true }))
        .json();
    assert_eq!(verified["findings"], json!([]), "{verified}");
}

#[test]
fn what_cannot_be_is_refused_and_changes_nothing() {
    let app = TestApp::start();
    let document = app.add("notes", "a.md", b"The keeper is called Ansel.");
    let members = "/api/v1/collections/notes/members";
    let known = app.client.get(members).json();
    let member = |group: &str, role: &str| json!([{ "group": group, "role": role }]);
    for bad in [
        member("hr", "owner"),
        member("", "reader"),
        member("team:hr", "reader"),
        member(" hr", "reader"),
        json!([{ "group": "hr" }]),
        json!([{ "group": "hr", "role": "reader" }, { "group": "hr", "role": "editor" }]),
        json!({ "group": "hr", "role": "reader" }),
    ] {
        put(&app, members, &bad).assert_problem(400, "invalid_request");
        if bad.is_array() {
            let new = json!({ "name": "other", "members": bad });
            let refused = app.client.post("/api/v1/collections", &new);
            refused.assert_problem(400, "invalid_request");
        }
    }
    assert_eq!(app.client.get(members).json(), known);
    app.client
        .get("/api/v1/collections/other")
        .assert_problem(404, "unknown_collection");
    for bad in [
        json!({}),
        json!({ "denied": [] }),
        json!({ "readers": ["a:b"] }),
        json!({ "readers": ["hr"], "denied": [""] }),
        json!({ "readers": ["hr"], "other": [] }),
    ] {
        set_acl(&app, &document, &bad).assert_problem(400, "invalid_request");
    }
    assert_eq!(acl(&app, &document)["readers"], json!(["everyone"]));
    let nil = uuid::Uuid::nil();
    app.client
        .get(&format!("/api/v1/documents/{nil}/acl"))
        .assert_problem(404, "unknown_document");
    put(&app, "/api/v1/collections/none/members", &json!([]))
        .assert_problem(404, "unknown_collection");
    for path in [
        members.to_owned(),
        format!("/api/v1/documents/{}/acl", id(&document)),
    ] {
        app.anonymous()
            .get(&path)
            .assert_problem(401, "unauthorized");
    }
}

#[test]
fn who_may_read_is_said_with_a_file_and_stays_when_it_is_not() {
    let app = TestApp::start();
    let path = "/api/v1/collections/notes/documents/a.md";
    let push = |query: &str, text: &str| {
        let headers = [("content-type", "text/markdown")];
        let text = text.as_bytes().to_vec();
        let reply = app
            .client
            .send_with("PUT", &format!("{path}{query}"), &headers, text);
        assert_eq!(reply.status, 202, "{reply:?}");
        app.wait(reply.json()["job"]["id"].as_str().unwrap());
        acl(&app, &reply.json()["document"])
    };
    let denied = "?denied=%5B%22user%3Aeve%22%5D";
    let expected = json!({ "readers": ["everyone"], "denied": ["user:eve"] });
    assert_eq!(push(denied, "The keeper is called Ansel."), expected);
    assert_eq!(push("", "The keeper is called Brida."), expected);
    let expected = json!({ "readers": ["hr"], "denied": ["user:eve"] });
    assert_eq!(
        push("?readers=%5B%22hr%22%5D", "The keeper is called Cosmo."),
        expected
    );
    // Nor does an upload by hand open it.
    let document = app.add("notes", "a.md", b"The keeper is called Dario.");
    assert_eq!(
        (acl(&app, &document), &document["version"]),
        (expected, &json!(4))
    );
    assert!(found(&app, &person(&["everyone"])).is_empty());
    let headers = [("content-type", "text/markdown")];
    for bad in ["?denied=eve", "?denied=%5B%22a%3Ab%22%5D"] {
        let reply = app
            .client
            .send_with("PUT", &format!("{path}{bad}"), &headers, b"x".to_vec());
        reply.assert_problem(400, "invalid_request");
    }
}

#[test]
fn the_command_line_says_whom_collections_and_files_are_for_with_and_without_a_server() {
    let kura = Kura::new().with_models();
    let file = kura.write("a.md", "# Keeper\n\nThe keeper is called Ansel.\n");
    let file = file.to_str().unwrap();
    let collections = |args: &[&str]| kura.run([&["collections"], args].concat());
    let members = |collection: &str| {
        let output = collections(&["members", collection, "--json"]);
        assert_eq!(output.code, 0, "{output:?}");
        output.json()
    };
    let check = |name: &str| {
        let made = collections(&[
            "create",
            name,
            "--member",
            "hr",
            "--member",
            "user:ann=editor",
        ]);
        assert_eq!(made.code, 0, "{made:?}");
        let hr = json!({ "group": "hr", "role": "reader" });
        let ann = json!({ "group": "user:ann", "role": "editor" });
        assert_eq!(members(name), json!([hr, ann]));
        collections(&["create", name]).assert_fails(1, &["exists already"]);
        assert_eq!(collections(&["members", name, "--nobody"]).code, 0);
        assert_eq!(members(name), json!([]));
        assert_eq!(
            collections(&["members", name, "--member", "everyone"]).code,
            0
        );
        assert_eq!(
            members(name),
            json!([{ "group": "everyone", "role": "reader" }])
        );
        collections(&["members", name, "--member", "a:b"]).assert_fails(2, &["user:alice"]);
        collections(&["members", "none"]).assert_fails(1, &["unknown collection `none`"]);
        let listed = collections(&["list", "--json"]).json();
        let names = listed
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].clone());
        assert!(names.into_iter().any(|listed| listed == name));

        let ingest = |args: &[&str]| {
            let all = [&["ingest", file, "--collection", name, "--json"], args].concat();
            kura.run(all)
        };
        assert_eq!(
            ingest(&["--reader", "everyone", "--deny", "user:eve"]).code,
            0
        );
        let cause = |groups: &[&str]| {
            let searched = kura
                .run(["search", "keeper", "--collection", name, "--json"])
                .json();
            let document = searched["items"][0]["document"]
                .as_str()
                .unwrap()
                .to_owned();
            let mut args = vec![
                "explain",
                "keeper",
                "--collection",
                name,
                "--json",
                "--document",
                &document,
            ];
            for group in groups {
                args.extend(["--group", group]);
            }
            let explained = kura.run(args).json();
            explained["document"]["cause"].clone()
        };
        assert_eq!(cause(&["everyone"]), "found");
        assert_eq!(cause(&["everyone", "user:eve"]), "not_readable");
        assert_eq!(cause(&["hr"]), "not_readable", "it is no member");
        ingest(&["--deny", "a:b"]).assert_fails(1, &["cannot be"]);
    };
    check("one");
    let server = kura.serve();
    check("two");
    assert!(server.stop());
}

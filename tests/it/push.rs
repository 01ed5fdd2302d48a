//! Documents that another system puts under its own ids.

use kura_tests::{Reply, TestApp};
use serde_json::{Value, json};

const ADDRESS: &str = "/api/v1/collections/wiki/documents/page%2F42";

fn put(app: &TestApp, query: &str, headers: &[(&str, &str)], text: &str) -> Reply {
    let mut all = vec![("content-type", "text/markdown")];
    all.extend_from_slice(headers);
    app.client.send_with(
        "PUT",
        &format!("{ADDRESS}{query}"),
        &all,
        text.as_bytes().to_vec(),
    )
}

/// Waits until what was put is indexed; returns the document as it is then.
fn settled(app: &TestApp, reply: &Reply) -> Value {
    assert_eq!(reply.status, 202, "{reply:?}");
    app.wait(reply.json()["job"]["id"].as_str().unwrap());
    app.client.get(ADDRESS).json()
}

#[test]
fn a_document_is_put_replaced_and_deleted_under_its_own_id() {
    let app = TestApp::start();
    let metadata = "?metadata=%7B%22tags%22%3A%5B%22rules%22%5D%7D&priority=high";
    let first = put(&app, metadata, &[], "# Page\n\nThe keeper is called Ansel.");
    assert_eq!(first.json()["outcome"], "new");
    assert_eq!(first.json()["job"]["priority"], "high");
    let document = settled(&app, &first);
    assert_eq!(
        (
            &document["source"],
            &document["version"],
            &document["status"]
        ),
        (&json!("page/42"), &json!(1), &json!("indexed"))
    );
    assert_eq!(document["metadata"]["tags"], json!(["rules"]));
    assert_eq!(document["media_type"], "text/markdown");

    let same = put(&app, "", &[], "# Page\n\nThe keeper is called Ansel.");
    assert_eq!(
        (same.status, &same.json()["outcome"]),
        (200, &json!("unchanged"))
    );
    let second = put(&app, "", &[], "# Page\n\nThe keeper is called Brida.");
    assert_eq!(second.json()["outcome"], "replaced");
    let replaced = settled(&app, &second);
    assert_eq!(
        (&replaced["id"], &replaced["version"]),
        (&document["id"], &json!(2))
    );
    assert_eq!(replaced["metadata"]["tags"], json!(["rules"]), "it stays");
    assert!(
        app.search("keeper")[0]["text"]
            .as_str()
            .unwrap()
            .contains("Brida")
    );

    assert_eq!(app.client.delete(ADDRESS).status, 204);
    app.client
        .get(ADDRESS)
        .assert_problem(404, "unknown_document");
    app.client
        .delete(ADDRESS)
        .assert_problem(404, "unknown_document");
    app.client
        .get("/api/v1/collections/nowhere/documents/x")
        .assert_problem(404, "unknown_collection");
}

#[test]
fn a_request_sent_again_does_not_bring_old_content_back() {
    let app = TestApp::start();
    let key = |key| [("idempotency-key", key)];
    let first = put(&app, "", &key("one"), "The keeper is called Ansel.");
    settled(&app, &first);
    settled(
        &app,
        &put(&app, "", &key("two"), "The keeper is called Brida."),
    );
    let again = put(&app, "", &key("one"), "The keeper is called Ansel.");
    assert_eq!(again.json()["outcome"], "new", "as it was replied before");
    assert_eq!(again.json()["job"]["id"], first.json()["job"]["id"]);
    assert_eq!(app.client.get(ADDRESS).json()["version"], 2);
    assert!(
        app.search("keeper")[0]["text"]
            .as_str()
            .unwrap()
            .contains("Brida")
    );
    put(&app, "", &key("one"), "Something else.").assert_problem(422, "idempotency_key_used");
    put(&app, "", &key(""), "Something else.").assert_problem(400, "invalid_request");
}

#[test]
fn who_may_read_stays_until_it_is_said() {
    let app = TestApp::start();
    let readers = || {
        let access = kura_indexer::AccessFilter::unrestricted("test");
        let pipeline = &app.app.pipeline;
        let document = wait_for(async {
            let wiki = pipeline.collection("wiki", &access).await.unwrap().id;
            pipeline.document_of_source(wiki, "page/42", &access).await
        });
        let readers = document.unwrap().acl.readers;
        readers.into_iter().map(|group| group.0).collect::<Vec<_>>()
    };
    settled(&app, &put(&app, "", &[], "One."));
    assert_eq!(readers(), ["everyone"]);
    settled(&app, &put(&app, "?readers=%5B%22hr%22%5D", &[], "Two."));
    assert_eq!(readers(), ["hr"]);
    settled(&app, &put(&app, "", &[], "Three."));
    assert_eq!(
        readers(),
        ["hr"],
        "a request that says nothing opens nothing"
    );
    for bad in [
        "?readers=hr",
        "?readers=%5B%5D",
        "?readers=%5B%22%22%5D",
        "?other=1",
    ] {
        put(&app, bad, &[], "Four.").assert_problem(400, "invalid_request");
    }
}

fn wait_for<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work)
}

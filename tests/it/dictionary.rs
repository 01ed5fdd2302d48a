//! A collection's own words: found from the moment they are set, by whoever may read, and gone with the collection.

use crate::handbook::index_config;
use kura_indexer::ingest::NewDocument;
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::{
    AccessFilter, Acl, Collections, GroupId, MetadataChange, Pipeline, SearchFilter,
};
use kura_models::fake::FakeEmbedder;
use kura_tests::{Kura, TestApp};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CSV: &str = "\
term,reading,synonyms,abbreviations
年次有給休暇,ねんじゆうきゅうきゅうか,年休,有休
virtual private network,,仮想専用線,VPN
オンボーディング,,入社時研修,
";

fn put(app: &TestApp, collection: &str, csv: &str) -> kura_tests::Reply {
    let path = format!("/api/v1/collections/{collection}/dictionary");
    let body = csv.as_bytes().to_vec();
    app.client.send("PUT", &path, Some(("text/csv", body)))
}

/// Returns the sources that the words of a query find, best first.
fn by_words(app: &TestApp, query: &str) -> Vec<String> {
    let mut hits: Vec<_> = app
        .search(query)
        .into_iter()
        .filter_map(|hit| {
            Some((
                hit["lexical_rank"].as_u64()?,
                hit["source"].as_str()?.to_owned(),
            ))
        })
        .collect();
    hits.sort();
    hits.into_iter().map(|(_, source)| source).collect()
}

fn with_documents() -> TestApp {
    let app = TestApp::start();
    for (name, text) in [
        (
            "leave.md",
            "# 休み\n\n年次有給休暇は勤続半年で十日付与される。",
        ),
        (
            "net.md",
            "# Access\n\nUse the virtual private network from home.",
        ),
        (
            "lan.md",
            "# Office\n\nThe network in the office is private property.",
        ),
        ("start.md", "# 新人\n\n入社時研修は三日間である。"),
        ("short.md", "# 申請\n\n有休の届けは前日までに出す。"),
    ] {
        app.add("c", name, text.as_bytes());
    }
    app
}

#[test]
fn a_dictionary_counts_from_the_next_search_on() {
    let app = with_documents();
    assert_eq!(by_words(&app, "有休"), ["short.md"]);
    assert!(by_words(&app, "VPN").is_empty());
    assert!(by_words(&app, "オンボーディング").is_empty());

    let started = Instant::now();
    let reply = put(&app, "c", CSV);
    assert_eq!(
        (reply.status, &reply.json()["n_terms"]),
        (200, &json!(3)),
        "{reply:?}"
    );
    for (query, expected) in [
        ("有休は何日", &["leave.md", "short.md"] as &[_]),
        ("年次有給休暇", &["leave.md", "short.md"]),
        ("年休", &["leave.md", "short.md"]),
        ("ねんじゆうきゅうきゅうか", &["leave.md", "short.md"]),
        ("VPN", &["net.md"]),
        ("ＶＰＮの使い方", &["net.md"]),
        ("仮想専用線", &["net.md"]),
        ("オンボーディング", &["start.md"]),
    ] {
        let found: BTreeSet<String> = by_words(&app, query).into_iter().collect();
        for source in expected {
            assert!(found.contains(*source), "{query}: {found:?}");
        }
        assert!(
            !found.contains("lan.md"),
            "a term counts as a whole: {query}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(
        by_words(&app, "virtual private network").first().unwrap(),
        "net.md"
    );

    let path = "/api/v1/collections/c/dictionary";
    let shown = app.client.get(path);
    assert_eq!(
        shown.header("content-type"),
        Some("text/csv; charset=utf-8")
    );
    assert_eq!(String::from_utf8(shown.body).unwrap(), CSV);
    assert_eq!(app.client.delete(path).status, 204);
    assert_eq!(
        app.client.delete(path).status,
        204,
        "nothing is left to remove"
    );
    assert!(by_words(&app, "VPN").is_empty());
    let empty = app.client.get(path).body;
    assert_eq!(empty, b"term,reading,synonyms,abbreviations\n");
}

#[test]
fn a_dictionary_applies_to_its_collection_only() {
    let app = with_documents();
    app.add(
        "other",
        "away.md",
        b"# Away\n\nThe virtual private network of another firm.",
    );
    put(
        &app,
        "other",
        "term,abbreviations\nvirtual private network,VPN\n",
    );
    assert_eq!(by_words(&app, "VPN"), ["away.md"]);
    let only = json!({ "query": "VPN", "collections": ["c"] });
    let hits = app.client.post("/api/v1/search", &only).json();
    let by_words = |hit: &serde_json::Value| !hit["lexical_rank"].is_null();
    assert!(
        !hits["items"].as_array().unwrap().iter().any(by_words),
        "{hits}"
    );
}

#[test]
fn what_is_wrong_is_told_and_changes_nothing() {
    let app = with_documents();
    put(&app, "c", CSV);
    let refused = put(&app, "c", "term,synonyms\n有休,年休\n,x\n");
    refused.assert_problem(400, "invalid_request");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("line 3: the term is empty"), "{detail}");
    put(&app, "c", "\u{0}\u{1}").assert_problem(400, "invalid_request");
    assert_eq!(by_words(&app, "VPN"), ["net.md"]);

    let path = "/api/v1/collections/none/dictionary";
    put(&app, "none", CSV).assert_problem(404, "unknown_collection");
    app.client
        .get(path)
        .assert_problem(404, "unknown_collection");
    app.client
        .delete(path)
        .assert_problem(404, "unknown_collection");
    app.anonymous()
        .get("/api/v1/collections/c/dictionary")
        .assert_problem(401, "unauthorized");
}

#[test]
fn a_dictionary_goes_with_its_collection() {
    let app = with_documents();
    put(&app, "c", CSV);
    assert_eq!(app.client.delete("/api/v1/collections/c").status, 204);
    app.add("c", "net.md", b"Use the virtual private network from home.");
    assert!(by_words(&app, "VPN").is_empty());
    let empty = app.client.get("/api/v1/collections/c/dictionary").body;
    assert_eq!(empty, b"term,reading,synonyms,abbreviations\n");
}

#[tokio::test]
async fn what_may_not_be_read_is_not_found_by_another_name_either() {
    let dir = tempfile::tempdir().unwrap();
    let open = || async {
        let embedder = Arc::new(FakeEmbedder::new());
        Pipeline::open(dir.path(), embedder, index_config())
            .await
            .unwrap()
    };
    let pipeline = open().await;
    let collection = pipeline.create_collection("c").await.unwrap().id;
    let board = GroupId("board".to_owned());
    for (source, readers) in [
        ("secret.md", BTreeSet::from([board.clone()])),
        ("open.md", Acl::everyone().readers),
    ] {
        let new = NewDocument {
            collection,
            source: source.to_owned(),
            media_type: None,
            bytes: b"The merger is called a virtual private network.".to_vec(),
            acl: Acl::readers(readers).into(),
            metadata: MetadataChange::default(),
        };
        pipeline.add_document(new).await.unwrap();
    }
    pipeline.run_queued(&|_, _, _| {}).await.unwrap();
    assert_eq!(
        pipeline
            .set_dictionary("c", CSV.as_bytes(), &AccessFilter::unrestricted("test"))
            .await
            .unwrap(),
        3
    );
    drop(pipeline);
    // Kept over a restart.
    let pipeline = open().await;
    let everyone = AccessFilter::groups(Acl::everyone().readers);
    let mut with_board = Acl::everyone().readers;
    with_board.insert(board);
    for (access, expected) in [
        (AccessFilter::groups(BTreeSet::new()), 0),
        (everyone, 1),
        (AccessFilter::groups(with_board), 2),
    ] {
        let request = SearchRequest {
            text: "VPN".to_owned(),
            collections: Collections::All,
            limit: 10,
            filter: SearchFilter::default(),
        };
        let legs = pipeline
            .rank(&request, &pipeline.rank_options(10), &access)
            .await
            .unwrap()
            .legs;
        assert_eq!(legs.lexical.len(), expected);
    }
}

#[test]
fn commands_set_show_and_remove_with_and_without_a_server() {
    let kura = Kura::new().with_models();
    let text = kura.write(
        "net.md",
        "# Access\n\nUse the virtual private network from home.",
    );
    let file = kura.write("words.csv", CSV);
    let bad = kura.write("bad.csv", "term\n、\n");
    let (text, file, bad) = (
        text.to_str().unwrap(),
        file.to_str().unwrap(),
        bad.to_str().unwrap(),
    );
    assert_eq!(kura.run(["ingest", text, "--collection", "規程"]).code, 0);
    let check = || {
        let set = kura.run(["dictionary", "set", "規程", file]);
        assert_eq!(set.code, 0, "{set:?}");
        assert!(set.stdout.contains("3 terms"), "{set:?}");
        kura.run(["dictionary", "set", "規程", bad])
            .assert_fails(1, &["line 2", "no letter or digit"]);
        kura.run(["dictionary", "set", "none", file])
            .assert_fails(1, &["unknown collection `none`"]);
        assert_eq!(kura.run(["dictionary", "show", "規程"]).stdout, CSV);
        let hits = kura.run(["search", "VPN", "--json"]).json();
        assert_eq!(hits["items"][0]["lexical_rank"], 1, "{hits}");
        assert_eq!(kura.run(["dictionary", "remove", "規程"]).code, 0);
        let hits = kura.run(["search", "VPN", "--json"]).json();
        assert!(hits["items"][0]["lexical_rank"].is_null(), "{hits}");
    };
    check();
    let server = kura.serve();
    check();
    assert!(server.stop());
}

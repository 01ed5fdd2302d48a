//! What is put before the reader: duplicates in one place, passages with what stands around them, questions in parts.

use crate::handbook::index_config;
use kura::app::Models;
use kura_indexer::explain::Outcome;
use kura_indexer::ingest::NewDocument;
use kura_indexer::retrieve::SearchRequest;
use kura_indexer::{
    AccessFilter, Acl, Collections, DocumentId, GroupId, MetadataChange, Pipeline, SearchFilter,
};
use kura_models::fake::FakeEmbedder;
use kura_tests::{TestApp, fake_models};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const RULE: &str =
    "Annual leave is twenty days for everybody who works here, and it is asked for in writing.";

fn extracting() -> Models {
    Models {
        generator: None,
        ..fake_models(&[])
    }
}

#[test]
fn copies_take_one_place_and_are_listed_under_it() {
    let app = TestApp::start();
    let rule = format!("# Leave\n\n{RULE}");
    app.add("notes", "leave.md", rule.as_bytes());
    let copy = app.add(
        "archive",
        "copy of leave.md",
        format!("{rule}\n").as_bytes(),
    );
    app.add(
        "notes",
        "leave-2019.md",
        rule.replace("twenty", "20").as_bytes(),
    );
    let hits = app.search("annual leave");
    let sources = |hit: &Value| hit["source"].as_str().unwrap().to_owned();
    let found: BTreeSet<String> = hits.iter().map(sources).collect();
    assert_eq!(hits.len(), 2, "{hits:?}");
    assert!(
        found.contains("leave-2019.md"),
        "another figure is another text"
    );
    let kept = hits.iter().find(|hit| hit["source"] != "leave-2019.md");
    let kept = kept.unwrap();
    let duplicates = kept["duplicates"].as_array().unwrap();
    assert_eq!(duplicates.len(), 1, "{kept}");
    let both = BTreeSet::from([sources(kept), sources(&duplicates[0])]);
    assert_eq!(
        both,
        BTreeSet::from(["leave.md", "copy of leave.md"].map(str::to_owned))
    );

    let explained = |id: &Value| {
        let body = json!({ "query": "annual leave", "document": id });
        let reply = app.client.post("/api/v1/search/explain", &body);
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    };
    let listed = duplicates[0]["document"].clone();
    let told = explained(&listed);
    assert_eq!(told["document"]["cause"], "duplicate", "{told}");
    let candidates = told["candidates"].as_array().unwrap();
    let of = |document: &Value| {
        let candidate = candidates.iter().find(|hit| hit["document"] == *document);
        candidate.unwrap().clone()
    };
    assert_eq!(of(&listed)["duplicate_of"], kept["chunk"]);
    assert_eq!(of(&listed)["rank"], of(&kept["document"])["rank"]);
    assert_eq!(of(&kept["document"])["duplicate_of"], Value::Null);
    let other = explained(&kept["document"]);
    assert_eq!(other["document"]["cause"], "found", "{other}");
    assert!([&listed, &kept["document"]].contains(&&copy["id"]));

    let app = TestApp::with(fake_models(&[]), |config| {
        config.retrieval.collapse_duplicates = false;
    });
    app.add("notes", "leave.md", rule.as_bytes());
    app.add("notes", "copy of leave.md", rule.as_bytes());
    let hits = app.search("annual leave");
    assert_eq!(hits.len(), 2, "{hits:?}");
    assert_eq!(hits[0]["duplicates"], json!([]));
}

async fn add(pipeline: &Pipeline, source: &str, text: &str, group: &str) -> DocumentId {
    let collection = pipeline.create_collection("notes").await.unwrap().id;
    let new = NewDocument {
        collection,
        source: source.to_owned(),
        media_type: None,
        bytes: text.as_bytes().to_vec(),
        metadata: MetadataChange::default(),
        acl: Acl::readers(BTreeSet::from([GroupId(group.to_owned())])).into(),
    };
    pipeline.add_document(new).await.unwrap().document.id
}

async fn open(dir: &Path) -> Arc<Pipeline> {
    Pipeline::open(dir, Arc::new(FakeEmbedder::new()), index_config())
        .await
        .unwrap()
}

fn group(name: &str) -> AccessFilter {
    let groups = ["everyone", name].map(|name| GroupId(name.to_owned()));
    AccessFilter::groups(BTreeSet::from(groups))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_one_may_not_read_is_not_named() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let open_to_staff = add(&pipeline, "leave.md", RULE, "staff").await;
    let for_the_board = add(&pipeline, "board/leave.md", RULE, "board").await;
    while !pipeline.run_queued(&|_, _, _| {}).await.unwrap().is_empty() {}
    let request = SearchRequest {
        text: "annual leave".to_owned(),
        collections: Collections::All,
        filter: SearchFilter::default(),
        limit: 1,
    };
    for (name, own) in [("staff", open_to_staff), ("board", for_the_board)] {
        let hits = pipeline.search(&request, &group(name)).await.unwrap().hits;
        assert_eq!(hits.len(), 1);
        assert_eq!(hits[0].chunk.document, own);
        assert!(hits[0].duplicates.is_empty(), "{hits:?}");
    }
    let everyone = AccessFilter::unrestricted("test");
    let hits = pipeline.search(&request, &everyone).await.unwrap().hits;
    assert_eq!(hits[0].duplicates.len(), 1);
    let listed = hits[0].duplicates[0].chunk.document;
    let explained = pipeline.explain(&request, Some(listed), &everyone).await;
    let fate = explained.unwrap().document.unwrap();
    assert!(
        matches!(fate.outcome, Outcome::Duplicate { rank: 1, of, .. } if of == hits[0].chunk),
        "{:?}",
        fate.outcome
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_around_a_chunk_is_for_those_who_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let pipeline = open(dir.path()).await;
    let id = add(&pipeline, "leave.md", RULE, "staff").await;
    while !pipeline.run_queued(&|_, _, _| {}).await.unwrap().is_empty() {}
    let around = pipeline.surroundings(id, 1, 0..=9, &group("staff")).await;
    let around = around.unwrap().unwrap();
    assert_eq!(around.text, RULE);
    assert_eq!(around.chunks.len(), 1);
    assert_eq!(around.chunks[0].span, 0..RULE.len());
    for (version, access) in [
        (1, group("board")),
        (1, AccessFilter::groups(BTreeSet::new())),
        (2, group("staff")),
    ] {
        let none = pipeline.surroundings(id, version, 0..=9, &access).await;
        assert_eq!(none.unwrap(), None);
    }
    let everyone = AccessFilter::unrestricted("test");
    pipeline.delete_document(id, &everyone).await.unwrap();
    let gone = pipeline.surroundings(id, 1, 0..=9, &group("staff")).await;
    assert_eq!(gone.unwrap(), None);
}

/// Forty sentences in one section, one of which answers.
fn manual() -> String {
    let sentences = (0..40).map(|n| match n {
        20 => "The coffee machine is repaired by the facility team.".to_owned(),
        n => format!("Rule number {n} is about the use of room {n} in the north wing."),
    });
    let paragraphs: Vec<String> = sentences.collect();
    format!("# Manual\n\n{}", paragraphs.join("\n\n"))
}

fn asked(section_tokens: usize) -> (TestApp, Value, Value) {
    let app = TestApp::with(extracting(), |config| {
        config.chunking.max_tokens = 40;
        config.chunking.overlap_tokens = 12;
        config.answer.section_tokens = section_tokens;
        config.answer.min_support = 0.0;
    });
    app.add("notes", "manual.md", manual().as_bytes());
    let events = app.ask_events(&json!({ "question": "Who repairs the coffee machine?" }));
    let (first, last) = (events[0].data.clone(), events.last().unwrap().data.clone());
    (app, first, last)
}

/// The text of a document.
fn text(app: &TestApp, document: &Value) -> String {
    let path = format!("/api/v1/documents/{}/text", document.as_str().unwrap());
    app.client.get(&path).json()["text"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn slice<'a>(text: &'a str, span: &Value) -> &'a str {
    let at = |end: &str| usize::try_from(span[end].as_u64().unwrap()).unwrap();
    &text[at("start")..at("end")]
}

#[test]
fn a_passage_is_read_with_what_stands_around_it_and_cited_by_its_own_bytes() {
    let (_app, narrow, _) = asked(0);
    let (app, wide, answer) = asked(60);
    let of = |retrieved: &Value| {
        let items = retrieved["items"].as_array().unwrap().clone();
        let fits = |hit: &&Value| hit["text"].as_str().unwrap().contains("coffee machine");
        items.iter().find(fits).unwrap().clone()
    };
    let (small, big) = (of(&narrow), of(&wide));
    let length = |hit: &Value| hit["text"].as_str().unwrap().len();
    assert!(length(&big) > length(&small), "{small} {big}");
    assert!(
        big["text"]
            .as_str()
            .unwrap()
            .contains(small["text"].as_str().unwrap())
    );

    let items = wide["items"].as_array().unwrap();
    let text = text(&app, &big["document"]);
    let mut ranges = Vec::new();
    for hit in items {
        assert_eq!(slice(&text, &hit["span"]), hit["text"]);
        ranges.push((hit["span"]["start"].as_u64(), hit["span"]["end"].as_u64()));
    }
    ranges.sort_unstable();
    let overlap = ranges.windows(2).any(|pair| pair[1].0 < pair[0].1);
    assert!(!overlap, "no text stands twice: {ranges:?}");
    for citation in answer["citations"].as_array().unwrap() {
        assert_eq!(slice(&text, &citation["quote_span"]), citation["quote"]);
    }
    assert!(
        answer["text"].as_str().unwrap().contains("facility team"),
        "{answer}"
    );
}

#[test]
fn each_part_of_a_question_is_searched_and_answered() {
    let question =
        "How many days of annual leave do employees get and who repairs the coffee machine?";
    let ask = |decompose: bool| {
        let app = TestApp::with(extracting(), |config| {
            config.answer.decompose = decompose;
            config.answer.min_support = 0.0;
        });
        app.add(
            "notes",
            "leave.md",
            b"# Leave\n\nEmployees get twenty days of annual leave.",
        );
        app.add(
            "notes",
            "coffee.md",
            b"# Coffee\n\nThe facility team repairs the coffee machine.",
        );
        let events = app.ask_events(&json!({ "question": question }));
        let explained = app.client.post(
            "/api/v1/search/explain",
            &json!({ "query": question, "answer": true }),
        );
        let parts = explained.json()["gate"]["parts"].clone();
        (
            events[0].data.clone(),
            events.last().unwrap().data.clone(),
            parts,
        )
    };
    let (retrieved, answer, explained) = ask(true);
    let queries: Vec<&str> = retrieved["parts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|part| part["query"].as_str().unwrap())
        .collect();
    assert_eq!(
        queries,
        [
            "How many days of annual leave do employees get",
            "who repairs the coffee machine?"
        ]
    );
    assert_eq!(explained, retrieved["parts"]);
    let cited: BTreeSet<&str> = answer["citations"]
        .as_array()
        .unwrap()
        .iter()
        .map(|citation| citation["source"].as_str().unwrap())
        .collect();
    assert_eq!(cited, BTreeSet::from(["leave.md", "coffee.md"]), "{answer}");

    let (retrieved, _, explained) = ask(false);
    assert_eq!((&retrieved["parts"], &explained), (&json!([]), &json!([])));
}

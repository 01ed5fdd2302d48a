use kura::app::Models;
use kura_models::fake::FakeEmbedder;
use kura_tests::{SlowGenerator, TestApp, fake_models};
use serde_json::{Value, json};
use std::io::BufRead as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const QUESTION: &str = "How many days of paid leave do employees get?";
const FACT: &str = "Employees get twenty days of paid leave.";

fn with_fact(models: Models) -> TestApp {
    let app = TestApp::with(models, |_| ());
    app.add(
        "handbook",
        "leave.md",
        format!("# Leave\n\n{FACT}").as_bytes(),
    );
    app
}

#[test]
fn events_come_in_order_and_the_answer_is_cited() {
    let app = with_fact(fake_models(&[
        "Employees get twenty days of paid leave [1].",
    ]));
    let events = app.ask_events(&json!({ "question": QUESTION }));
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names.first(), Some(&"retrieved"), "{names:?}");
    assert_eq!(names.last(), Some(&"completed"), "{names:?}");
    assert!(
        names.len() > 2
            && names[1..names.len() - 1]
                .iter()
                .all(|name| *name == "delta"),
        "{names:?}"
    );

    let retrieved = &events[0].data;
    assert_eq!(retrieved["items"][0]["source"], "leave.md");
    let answer = &events.last().unwrap().data;
    assert_eq!(answer["outcome"], "grounded", "{answer}");
    assert_eq!(answer["mode"], "generate");
    assert_eq!(answer["generator"], "fake-generator");
    assert_eq!(answer["conversation"], retrieved["conversation"]);
    check_citations(&app, answer);
}

#[test]
fn without_a_generator_answers_are_extracted() {
    let app = with_fact(Models {
        reranker: None,
        generator: None,
        ..fake_models(&[])
    });
    let reply = app.ask(QUESTION);
    assert_eq!(reply.status, 200, "{reply:?}");
    let answer = reply.json();
    assert_eq!(
        (&answer["mode"], &answer["generator"]),
        (&json!("extractive"), &Value::Null)
    );
    assert!(
        answer["text"].as_str().unwrap().contains("twenty days"),
        "{answer}"
    );
    check_citations(&app, &answer);
    app.client
        .post(
            "/api/v1/ask",
            &json!({ "question": QUESTION, "mode": "generate" }),
        )
        .assert_problem(409, "no_generator");
}

#[test]
fn no_evidence_is_an_outcome_without_sources() {
    let app = TestApp::with(fake_models(&["Anything [1]."]), |_| ());
    let events = app.ask_events(&json!({ "question": QUESTION }));
    let names: Vec<_> = events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(names, ["retrieved", "completed"]);
    assert_eq!(events[0].data["items"], json!([]));
    let answer = &events[1].data;
    assert_eq!(answer["outcome"], "no_evidence");
    assert_eq!(answer["citations"], json!([]));
}

#[test]
fn conversations_are_kept_and_deleted() {
    let app = with_fact(fake_models(&[
        "Employees get twenty days of paid leave [1].",
    ]));
    let first = app.ask(QUESTION).json();
    let id = first["conversation"].as_str().unwrap();
    let second = app.client.post(
        "/api/v1/ask",
        &json!({ "question": "And how many days of leave in the first year?", "conversation": id, "stream": false }),
    );
    assert_eq!(second.json()["conversation"], id);

    let listed = app.client.get("/api/v1/conversations").json();
    assert_eq!(listed["items"][0]["id"], id);
    assert_eq!(listed["items"][0]["title"], QUESTION);
    let kept = app
        .client
        .get(&format!("/api/v1/conversations/{id}"))
        .json();
    let roles: Vec<_> = kept["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| turn["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
    assert_eq!(kept["messages"][1]["answer"], first);

    assert_eq!(
        app.client
            .delete(&format!("/api/v1/conversations/{id}"))
            .status,
        204
    );
    app.client
        .get(&format!("/api/v1/conversations/{id}"))
        .assert_problem(404, "unknown_conversation");
    app.client
        .delete(&format!("/api/v1/conversations/{id}"))
        .assert_problem(404, "unknown_conversation");
    app.client
        .post(
            "/api/v1/ask",
            &json!({ "question": QUESTION, "conversation": id }),
        )
        .assert_problem(404, "unknown_conversation");
    app.client
        .get("/api/v1/conversations/x")
        .assert_problem(404, "unknown_conversation");
}

#[test]
fn questions_are_checked() {
    let app = TestApp::start();
    for body in [
        json!({}),
        json!({ "question": "" }),
        json!({ "question": "x", "mode": "guess" }),
    ] {
        app.client
            .post("/api/v1/ask", &body)
            .assert_problem(400, "invalid_request");
    }
    app.client
        .post(
            "/api/v1/ask",
            &json!({ "question": "x", "collections": ["nowhere"] }),
        )
        .assert_problem(404, "unknown_collection");
}

#[test]
fn a_client_that_goes_away_cancels_the_generation() {
    let generator = SlowGenerator::default();
    let (written, cancelled) = (
        Arc::clone(&generator.written),
        Arc::clone(&generator.cancelled),
    );
    let app = with_fact(Models {
        embedder: Arc::new(FakeEmbedder::new()),
        reranker: None,
        recognizer: None,
        generator: Some(Arc::new(generator)),
    });
    let mut stream = app
        .client
        .open("/api/v1/ask", &json!({ "question": QUESTION }));
    let mut line = String::new();
    while !line.contains("delta") {
        line.clear();
        assert!(
            stream.read_line(&mut line).unwrap() > 0,
            "the stream ended early"
        );
    }
    drop(stream);
    let deadline = Instant::now() + Duration::from_secs(10);
    while !cancelled.load(Ordering::SeqCst) {
        assert!(Instant::now() < deadline, "the generation goes on");
        std::thread::sleep(Duration::from_millis(20));
    }
    let so_far = written.load(Ordering::SeqCst);
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(written.load(Ordering::SeqCst), so_far);
}

/// Fails unless every citation is tied to words of a document and to a sentence of the answer.
fn check_citations(app: &TestApp, answer: &Value) {
    let citations = answer["citations"].as_array().unwrap();
    assert!(!citations.is_empty(), "{answer}");
    for citation in citations {
        let document = citation["document"].as_str().unwrap();
        let text = app
            .client
            .get(&format!("/api/v1/documents/{document}/text"))
            .json();
        assert_eq!(
            slice(&text["text"], &citation["quote_span"]),
            citation["quote"],
            "{citation}"
        );
        let sentence = slice(&answer["text"], &citation["answer_span"]);
        assert!(!sentence.is_empty(), "{citation}");
        let marker = format!("[{}]", citation["marker"]);
        assert!(
            answer["text"].as_str().unwrap().contains(&marker),
            "{answer}"
        );
    }
}

fn slice<'a>(text: &'a Value, span: &Value) -> &'a str {
    let at = |end: &str| usize::try_from(span[end].as_u64().unwrap()).unwrap();
    &text.as_str().unwrap()[at("start")..at("end")]
}

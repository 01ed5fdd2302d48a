//! What people say about their answers.

use kura::conversations::{NewFeedback, Rating};
use kura::routes::ask::AnswerBody;
use kura_tests::{Reply, TestApp, fake_models};
use serde_json::{Value, json};

const QUESTION: &str = "How many days of paid leave do employees get?";

fn with_fact() -> (TestApp, String) {
    let app = TestApp::with(
        fake_models(&["Employees get twenty days of paid leave [1]."]),
        |_| (),
    );
    let text = b"# Leave\n\nEmployees get twenty days of paid leave.";
    let document = app.add("handbook", "leave.md", text)["id"].clone();
    (app, document.as_str().unwrap().to_owned())
}

fn path(answer: &Value) -> String {
    format!(
        "/api/v1/answers/{}/feedback",
        answer["id"].as_str().unwrap()
    )
}

fn put(app: &TestApp, path: &str, body: &Value) -> Reply {
    let body = ("application/json", body.to_string().into_bytes());
    app.client.send("PUT", path, Some(body))
}

fn export(app: &TestApp) -> Vec<Value> {
    let reply = app.client.get("/api/v1/feedback");
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("content-type"), Some("application/jsonl"));
    let lines = String::from_utf8(reply.body).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn feedback_is_given_changed_exported_and_taken_back() {
    let (app, document) = with_fact();
    let answer = app.ask(QUESTION).json();
    let path = path(&answer);
    app.client
        .get(&path)
        .assert_problem(404, "unknown_feedback");
    let reply = put(&app, &path, &json!({ "rating": "up" }));
    assert_eq!(reply.status, 200, "{reply:?}");
    let first = reply.json();
    assert_eq!(
        (&first["rating"], &first["comment"]),
        (&json!("up"), &Value::Null)
    );

    let correction = json!({
        "rating": "down", "comment": "old figure", "corrected_answer": "Twenty-five days.", "document": document,
    });
    let changed = put(&app, &path, &correction).json();
    for (field, value) in correction.as_object().unwrap() {
        assert_eq!(&changed[field], value);
    }
    assert_eq!(changed["created_at"], first["created_at"]);
    assert_eq!(app.client.get(&path).json(), changed);
    let conversation = answer["conversation"].as_str().unwrap();
    let transcript = app
        .client
        .get(&format!("/api/v1/conversations/{conversation}"))
        .json();
    assert_eq!(transcript["messages"][0]["feedback"], Value::Null);
    assert_eq!(transcript["messages"][1]["feedback"], changed);

    let exported = export(&app);
    assert_eq!(exported.len(), 1);
    let row = &exported[0];
    assert_eq!(row["id"], answer["id"]);
    assert_eq!(row["question"], QUESTION);
    assert_eq!(row["outcome"], "grounded");
    let cited = json!({ "id": document, "collection": "handbook", "source": "leave.md" });
    assert_eq!(row["cited"], json!([cited]));
    assert_eq!(row["document"], cited);
    assert_eq!(row["corrected_answer"], "Twenty-five days.");
    let metrics = String::from_utf8(app.client.get("/metrics").body).unwrap();
    assert!(
        metrics.contains("kura_feedback_total{rating=\"down\"} 1"),
        "{metrics}"
    );

    // A document that is gone is still named, so that one sees what is missing.
    let deleted = app.client.delete(&format!("/api/v1/documents/{document}"));
    assert_eq!(deleted.status, 204);
    let row = export(&app).remove(0);
    assert_eq!(row["outcome"], "withdrawn");
    assert_eq!(
        row["document"],
        json!({ "id": document, "collection": null, "source": null })
    );

    assert_eq!(app.client.delete(&path).status, 204);
    app.client
        .delete(&path)
        .assert_problem(404, "unknown_feedback");
    assert_eq!(export(&app).len(), 0);
}

#[test]
fn wrong_feedback_is_refused_and_changes_nothing() {
    let (app, _) = with_fact();
    let answer = app.ask(QUESTION).json();
    let path = path(&answer);
    for body in [
        json!({}),
        json!({ "rating": "sideways" }),
        json!({ "rating": 1 }),
        json!({ "rating": "up", "comment": " " }),
        json!({ "rating": "up", "corrected_answer": "" }),
        json!({ "rating": "up", "comment": "x".repeat(40_000) }),
        json!({ "rating": "up", "stars": 5 }),
    ] {
        put(&app, &path, &body).assert_problem(400, "invalid_request");
    }
    for document in ["leave.md", "00000000-0000-4000-8000-000000000000"] {
        let body = json!({ "rating": "down", "document": document });
        put(&app, &path, &body).assert_problem(404, "unknown_document");
    }
    app.client
        .get(&path)
        .assert_problem(404, "unknown_feedback");
    for id in ["x", "00000000-0000-4000-8000-000000000000"] {
        let path = format!("/api/v1/answers/{id}/feedback");
        app.client.get(&path).assert_problem(404, "unknown_answer");
        app.client
            .delete(&path)
            .assert_problem(404, "unknown_answer");
        put(&app, &path, &json!({ "rating": "up" })).assert_problem(404, "unknown_answer");
    }
}

#[test]
fn another_persons_answer_is_unknown() {
    let (app, _) = with_fact();
    let mut body: AnswerBody = serde_json::from_value(app.ask(QUESTION).json()).unwrap();
    let id = uuid::Uuid::now_v7();
    body.id = id.to_string();
    let said = NewFeedback {
        rating: Rating::Down,
        comment: Some("mine alone".to_owned()),
        corrected_answer: None,
        document: None,
    };
    let conversations = &app.app.conversations;
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let asked = conversations
            .start("someone else", QUESTION, None)
            .await
            .unwrap();
        let (conversation, ordinal) = (asked.conversation, asked.ordinal);
        conversations
            .answer(conversation, ordinal, body)
            .await
            .unwrap();
        let rated = conversations.rate("someone else", id, said).await.unwrap();
        assert!(rated.is_some());
    });
    let path = format!("/api/v1/answers/{id}/feedback");
    app.client.get(&path).assert_problem(404, "unknown_answer");
    app.client
        .delete(&path)
        .assert_problem(404, "unknown_answer");
    put(&app, &path, &json!({ "rating": "up" })).assert_problem(404, "unknown_answer");
    // What the operator exports has it, without saying whose it is.
    let exported = export(&app);
    assert_eq!(exported[0]["comment"], "mine alone");
    assert!(!exported[0].to_string().contains("someone else"));
}

#[test]
fn feedback_is_on_disk_when_it_is_acknowledged() {
    // Another connection sees what was committed, not what a process merely has in memory.
    let (app, _) = with_fact();
    let answer = app.ask(QUESTION).json();
    assert_eq!(
        put(&app, &path(&answer), &json!({ "rating": "up" })).status,
        200
    );
    let file = app.app.config.data_dir.join("conversations.db");
    let again = kura::conversations::Conversations::open(&file).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let rated = runtime.block_on(again.rated_answers()).unwrap();
    assert_eq!(rated.len(), 1);
    assert_eq!(rated[0].feedback.content.rating, Rating::Up);
}

//! `/api/v1/search`

use kura_tests::{TestApp, fake_models};
use serde_json::json;

fn texts(app: &TestApp) {
    app.client
        .post("/api/v1/collections", &json!({ "name": "notes" }));
    app.add("notes", "leave.md", b"Annual leave is twenty days.");
    app.add("notes", "backup.md", b"The database is copied at night.");
}

#[test]
fn a_stage_without_time_is_left_out_and_the_answer_says_so() {
    let body = json!({ "query": "annual leave" });
    let app = TestApp::with(fake_models(&[]), |config| {
        config.retrieval.late_budget_ms = 0;
    });
    texts(&app);
    let hurried = app.client.post("/api/v1/search", &body).json();
    assert_eq!(hurried["dropped"], json!(["late_interaction"]));
    assert_eq!(hurried["items"][0]["source"], "leave.md");

    let app = TestApp::start();
    texts(&app);
    let whole = app.client.post("/api/v1/search", &body).json();
    assert_eq!(whole["dropped"], json!([]));
    assert_eq!(whole["items"][0]["source"], "leave.md");
    assert!(whole["timings_ms"]["late_interaction"].as_f64().unwrap() > 0.0);
}

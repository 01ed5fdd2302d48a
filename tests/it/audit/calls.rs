//! A call of each route that succeeds, with a knowledge base in which it finds what it is about.

use super::{FACT, JSON, PASSWORD, QUESTION, add_user, sign_in};
use kura_tests::TestApp;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a request is made of; the path is that of the table, filled in.
pub(super) struct Call(
    pub(super) &'static str,
    pub(super) &'static str,
    pub(super) String,
    pub(super) Option<(&'static str, Vec<u8>)>,
);

/// What is there before the first call.
pub(super) struct Made {
    pub(super) document: String,
    answer: String,
    conversation: String,
    evaluation: String,
    forgetting: String,
    keys: [String; 2],
    session: String,
    job: String,
    failed_job: String,
}

impl Made {
    pub(super) fn new(app: &TestApp) -> Self {
        let id = |made: &Value| made["id"].as_str().unwrap().to_owned();
        let text = format!("# Leave\n\n{FACT}");
        let document = id(&app.add("hr", "leave.md", text.as_bytes()));
        let answer = app.ask(QUESTION).json();
        let failed = id(&app.add("hr", "broken.pdf", b"no pdf"));
        let evaluation = app.client.post("/api/v1/evaluations", &evaluation());
        let evaluation = id(&evaluation.json());
        let deadline = Instant::now() + Duration::from_secs(60);
        while app
            .client
            .get(&format!("/api/v1/evaluations/{evaluation}"))
            .json()["state"]
            == "running"
        {
            assert!(Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(20));
        }
        let words = json!({ "words": ["zirkonvogel"] });
        let forgetting = id(&app.client.post("/api/v1/forget", &words).json());
        let service = json!({ "name": "robot", "kind": "service" });
        assert_eq!(app.client.post("/api/v1/users", &service).status, 201);
        let keys = ["one", "two"].map(|name| {
            let key = json!({ "name": name, "user": "robot" });
            id(&app.client.post("/api/v1/api-keys", &key).json()["api_key"])
        });
        add_user(app, "taro", "reader");
        sign_in(app, "taro");
        let sessions = app.client.get("/api/v1/sessions?user=taro").json();
        let jobs = app.client.get("/api/v1/jobs").json();
        let job = |of: &str| {
            let jobs = jobs["items"].as_array().unwrap();
            id(jobs.iter().find(|job| job["document"] == of).unwrap())
        };
        Self {
            answer: id(&answer),
            conversation: answer["conversation"].as_str().unwrap().to_owned(),
            evaluation,
            forgetting,
            keys,
            session: id(&sessions["items"][0]),
            job: job(&document),
            failed_job: job(&failed),
            document,
        }
    }
}

fn evaluation() -> Value {
    json!({
        "name": "one", "collection": "hr", "queries": [{ "text": "paid leave", "relevant": { "leave.md": 1 } }],
    })
}

/// Returns a call of each route, in an order in which all succeed: what some make, later ones need.
pub(super) fn calls(made: &Made, folder: &Path) -> Vec<Call> {
    let Made {
        conversation,
        evaluation: evaluation_id,
        forgetting,
        session,
        job,
        failed_job,
        ..
    } = made;
    let body = |value: Value| Some((JSON, value.to_string().into_bytes()));
    let csv = || {
        Some((
            "text/csv",
            b"term,reading,synonyms,abbreviations\nleave,,holiday,\n".to_vec(),
        ))
    };
    let plain = |method, path: &'static str, body| Call(method, path, path.to_owned(), body);
    let get = |path, filled: String| Call("GET", path, filled, None);
    let document_path = format!("/api/v1/documents/{}", made.document);
    let pushed = "/api/v1/collections/{name}/documents/{external_id}";
    let pushed_at = || "/api/v1/collections/wiki/documents/page%2F1".to_owned();
    let form = b"--x\r\nContent-Disposition: form-data; name=\"collection\"\r\n\r\nhr\r\n--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"two.md\"\r\n\r\nToner is in room 204.\r\n--x--\r\n";
    let source = json!({ "name": "notes", "place": { "kind": "folder", "path": folder }, "collection": "hr" });
    let chat = |stream: bool| json!({ "model": "kura", "stream": stream, "messages": [{ "role": "user", "content": QUESTION }] });
    let texts = json!({ "query": "leave", "documents": ["paid leave", "toner"] });
    let feedback = format!("/api/v1/answers/{}/feedback", made.answer);
    let evaluation_path = format!("/api/v1/evaluations/{evaluation_id}");
    vec![
        plain("POST", "/api/v1/search", body(json!({ "query": QUESTION }))),
        plain(
            "POST",
            "/api/v1/search/explain",
            body(json!({ "query": QUESTION })),
        ),
        plain(
            "POST",
            "/api/v1/ask",
            body(json!({ "question": QUESTION, "stream": false })),
        ),
        plain("POST", "/api/v1/ask", body(json!({ "question": QUESTION }))),
        plain("POST", "/v1/chat/completions", body(chat(false))),
        plain("POST", "/v1/chat/completions", body(chat(true))),
        get(
            "/api/v1/documents",
            "/api/v1/documents?collection=hr".into(),
        ),
        plain(
            "POST",
            "/api/v1/documents",
            Some(("multipart/form-data; boundary=x", form.to_vec())),
        ),
        get("/api/v1/documents/{id}", document_path.clone()),
        Call(
            "PATCH",
            "/api/v1/documents/{id}",
            document_path.clone(),
            body(json!({ "metadata": { "tags": ["a"] } })),
        ),
        get(
            "/api/v1/documents/{id}/children",
            format!("{document_path}/children"),
        ),
        get(
            "/api/v1/documents/{id}/text",
            format!("{document_path}/text"),
        ),
        get(
            "/api/v1/documents/{id}/content",
            format!("{document_path}/content"),
        ),
        Call(
            "PUT",
            pushed,
            pushed_at(),
            Some((
                "text/markdown",
                b"# Page\n\nThe keeper is called Ansel.".to_vec(),
            )),
        ),
        get(pushed, pushed_at()),
        Call("DELETE", pushed, pushed_at(), None),
        plain("GET", "/api/v1/collections", None),
        plain(
            "POST",
            "/api/v1/collections",
            body(json!({ "name": "fresh" })),
        ),
        get(
            "/api/v1/collections/{name}",
            "/api/v1/collections/fresh".into(),
        ),
        get(
            "/api/v1/collections/{name}/quality",
            "/api/v1/collections/hr/quality".into(),
        ),
        Call(
            "PUT",
            "/api/v1/collections/{name}/dictionary",
            "/api/v1/collections/hr/dictionary".into(),
            csv(),
        ),
        get(
            "/api/v1/collections/{name}/dictionary",
            "/api/v1/collections/hr/dictionary".into(),
        ),
        Call(
            "DELETE",
            "/api/v1/collections/{name}/dictionary",
            "/api/v1/collections/hr/dictionary".into(),
            None,
        ),
        Call(
            "DELETE",
            "/api/v1/collections/{name}",
            "/api/v1/collections/fresh".into(),
            None,
        ),
        Call(
            "PUT",
            "/api/v1/answers/{id}/feedback",
            feedback.clone(),
            body(json!({ "rating": "up" })),
        ),
        get("/api/v1/answers/{id}/feedback", feedback.clone()),
        plain("GET", "/api/v1/feedback", None),
        Call("DELETE", "/api/v1/answers/{id}/feedback", feedback, None),
        plain("GET", "/api/v1/conversations", None),
        get(
            "/api/v1/conversations/{id}",
            format!("/api/v1/conversations/{conversation}"),
        ),
        Call(
            "DELETE",
            "/api/v1/conversations/{id}",
            format!("/api/v1/conversations/{conversation}"),
            None,
        ),
        plain("GET", "/api/v1/evaluations", None),
        plain("POST", "/api/v1/evaluations", body(evaluation())),
        get("/api/v1/evaluations/{id}", evaluation_path.clone()),
        get(
            "/api/v1/evaluations/{id}/report",
            format!("{evaluation_path}/report"),
        ),
        get(
            "/api/v1/evaluations/compare",
            format!("/api/v1/evaluations/compare?base={evaluation_id}&candidate={evaluation_id}"),
        ),
        Call("DELETE", "/api/v1/evaluations/{id}", evaluation_path, None),
        plain("GET", "/api/v1/jobs", None),
        plain("GET", "/api/v1/jobs/summary", None),
        get("/api/v1/jobs/{id}", format!("/api/v1/jobs/{job}")),
        get(
            "/api/v1/jobs/{id}/events",
            format!("/api/v1/jobs/{job}/events"),
        ),
        plain("POST", "/api/v1/jobs/pause", None),
        Call(
            "POST",
            "/api/v1/jobs/{id}/retry",
            format!("/api/v1/jobs/{failed_job}/retry"),
            None,
        ),
        Call(
            "POST",
            "/api/v1/jobs/{id}/cancel",
            format!("/api/v1/jobs/{failed_job}/cancel"),
            None,
        ),
        plain("POST", "/api/v1/jobs/retry", None),
        plain("POST", "/api/v1/jobs/resume", None),
        plain("POST", "/api/v1/sources", body(source)),
        plain("GET", "/api/v1/sources", None),
        get("/api/v1/sources/{name}", "/api/v1/sources/notes".into()),
        get(
            "/api/v1/sources/{name}/items",
            "/api/v1/sources/notes/items".into(),
        ),
        Call(
            "POST",
            "/api/v1/sources/{name}/scan",
            "/api/v1/sources/notes/scan".into(),
            body(json!({})),
        ),
        Call(
            "PATCH",
            "/api/v1/sources/{name}",
            "/api/v1/sources/notes".into(),
            body(json!({ "paused": true })),
        ),
        Call(
            "DELETE",
            "/api/v1/sources/{name}",
            "/api/v1/sources/notes".into(),
            None,
        ),
        Call(
            "PUT",
            "/api/v1/audit/holds/{name}",
            "/api/v1/audit/holds/case-7".into(),
            None,
        ),
        plain("GET", "/api/v1/audit/holds", None),
        Call(
            "DELETE",
            "/api/v1/audit/holds/{name}",
            "/api/v1/audit/holds/case-7".into(),
            None,
        ),
        get(
            "/api/v1/audit",
            "/api/v1/audit?action=document&limit=2".into(),
        ),
        plain(
            "POST",
            "/api/v1/users",
            body(json!({ "name": "hanako", "password": PASSWORD })),
        ),
        plain("GET", "/api/v1/users", None),
        get("/api/v1/users/{id}", "/api/v1/users/hanako".into()),
        Call(
            "PATCH",
            "/api/v1/users/{id}",
            "/api/v1/users/hanako".into(),
            body(json!({ "role": "editor", "password": "another horse battery" })),
        ),
        Call(
            "DELETE",
            "/api/v1/users/{id}/totp",
            "/api/v1/users/hanako/totp".into(),
            None,
        ),
        plain("POST", "/api/v1/groups", body(json!({ "name": "crew" }))),
        plain("GET", "/api/v1/groups", None),
        Call(
            "PUT",
            "/api/v1/groups/{name}/members",
            "/api/v1/groups/crew/members".into(),
            body(json!({ "users": ["taro", "hanako"] })),
        ),
        get("/api/v1/groups/{name}", "/api/v1/groups/crew".into()),
        Call(
            "PUT",
            "/api/v1/collections/{name}/members",
            "/api/v1/collections/hr/members".into(),
            body(json!([{ "group": "crew", "role": "editor" }])),
        ),
        get(
            "/api/v1/collections/{name}/members",
            "/api/v1/collections/hr/members".into(),
        ),
        Call(
            "PUT",
            "/api/v1/documents/{id}/acl",
            format!("{document_path}/acl"),
            body(json!({ "readers": ["crew"], "denied": ["user:taro"] })),
        ),
        get("/api/v1/documents/{id}/acl", format!("{document_path}/acl")),
        Call(
            "DELETE",
            "/api/v1/groups/{name}",
            "/api/v1/groups/crew".into(),
            None,
        ),
        plain(
            "POST",
            "/api/v1/api-keys",
            body(
                json!({ "name": "three", "user": "robot", "role": "reader", "collections": ["hr"] }),
            ),
        ),
        get("/api/v1/api-keys", "/api/v1/api-keys?user=robot".into()),
        Call(
            "POST",
            "/api/v1/api-keys/{id}/rotate",
            format!("/api/v1/api-keys/{}/rotate", made.keys[0]),
            None,
        ),
        Call(
            "DELETE",
            "/api/v1/api-keys/{id}",
            format!("/api/v1/api-keys/{}", made.keys[1]),
            None,
        ),
        get("/api/v1/sessions", "/api/v1/sessions?user=taro".into()),
        Call(
            "DELETE",
            "/api/v1/sessions/{id}",
            format!("/api/v1/sessions/{session}"),
            None,
        ),
        Call(
            "DELETE",
            "/api/v1/sessions",
            "/api/v1/sessions?user=taro".into(),
            None,
        ),
        Call(
            "DELETE",
            "/api/v1/users/{id}",
            "/api/v1/users/hanako".into(),
            None,
        ),
        plain("GET", "/api/v1/audit/head", None),
        plain("GET", "/api/v1/audit/verify", None),
        plain("POST", "/api/v1/verify", body(json!({}))),
        plain(
            "POST",
            "/api/v1/forget",
            body(json!({ "documents": [made.document], "dry_run": true })),
        ),
        plain("GET", "/api/v1/forget", None),
        get(
            "/api/v1/forget/{id}",
            format!("/api/v1/forget/{forgetting}"),
        ),
        plain("GET", "/metrics", None),
        plain("GET", "/v1/models", None),
        plain(
            "POST",
            "/v1/embeddings",
            body(json!({ "model": "kura", "input": "x" })),
        ),
        plain("POST", "/v1/rerank", body(texts.clone())),
        plain("POST", "/v2/rerank", body(texts)),
        Call("DELETE", "/api/v1/documents/{id}", document_path, None),
    ]
}

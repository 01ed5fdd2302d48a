//! The wire format; `tests/clients` runs OpenAI's own client against it.

use kura_tests::{TestApp, fake_models};
use serde_json::{Value, json};

const QUESTION: &str = "How many days of paid leave do employees get?";

fn app() -> TestApp {
    let app = TestApp::with(
        fake_models(&["Employees get twenty days of paid leave [1]."]),
        |_| (),
    );
    app.add(
        "handbook",
        "leave.md",
        b"# Leave\n\nEmployees get twenty days of paid leave.",
    );
    app
}

fn chat(stream: bool) -> Value {
    json!({
        "model": "kura",
        "messages": [{ "role": "system", "content": "Say nothing." }, { "role": "user", "content": QUESTION }],
        "temperature": 0.2,
        "stream": stream,
        "stream_options": { "include_usage": true },
    })
}

#[test]
fn models_are_listed() {
    let list = app().client.get("/v1/models").json();
    let ids: Vec<_> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|model| model["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["kura", "fake-generator", "fake-embedder"]);
}

#[test]
fn a_completion_carries_citations_as_annotations() {
    let app = app();
    let reply = app.client.post("/v1/chat/completions", &chat(false));
    assert_eq!(reply.status, 200, "{reply:?}");
    let completion = reply.json();
    assert_eq!(completion["object"], "chat.completion");
    let choice = &completion["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    let annotation = &choice["message"]["annotations"][0];
    assert_eq!(annotation["type"], "file_citation");
    assert_eq!(annotation["file_citation"]["filename"], "leave.md");
    assert!(
        annotation["file_citation"]["quote"]
            .as_str()
            .unwrap()
            .contains("twenty days")
    );
    let usage = &completion["usage"];
    assert_eq!(
        usage["total_tokens"].as_u64().unwrap(),
        usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap()
    );
}

#[test]
fn a_stream_adds_up_to_the_same_verified_text() {
    let app = app();
    let whole = app.client.post("/v1/chat/completions", &chat(false)).json();
    let events = app.client.events("/v1/chat/completions", &chat(true));
    assert_eq!(events.last().unwrap().data, "[DONE]");
    let chunks: Vec<_> = events[..events.len() - 1]
        .iter()
        .map(|event| &event.data)
        .collect();
    assert!(
        chunks
            .iter()
            .all(|chunk| chunk["object"] == "chat.completion.chunk")
    );
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    let text: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(text, whole["choices"][0]["message"]["content"]);
    let ends: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["finish_reason"].as_str())
        .collect();
    assert_eq!(ends, ["stop"]);
    let annotated = chunks
        .iter()
        .any(|chunk| chunk["choices"][0]["delta"]["annotations"][0]["type"] == "file_citation");
    assert!(annotated, "{chunks:?}");
    assert_eq!(chunks.last().unwrap()["usage"], whole["usage"]);
}

#[test]
fn embeddings_come_as_floats_or_base64() {
    let app = app();
    let embed = |body: Value| app.client.post("/v1/embeddings", &body);
    let floats = embed(json!({ "model": "fake-embedder", "input": ["one", "two"] })).json();
    assert_eq!(floats["data"].as_array().unwrap().len(), 2);
    assert_eq!(floats["data"][1]["index"], 1);
    assert_eq!(
        floats["usage"],
        json!({ "prompt_tokens": 2, "total_tokens": 2 })
    );
    let vector = floats["data"][0]["embedding"].as_array().unwrap();
    let base64 =
        embed(json!({ "model": "kura", "input": "one", "encoding_format": "base64" })).json();
    let text = base64["data"][0]["embedding"].as_str().unwrap();
    assert_eq!(text.len(), (vector.len() * 4).div_ceil(3) * 4);
}

#[test]
fn errors_come_in_openais_envelope() {
    let app = app();
    let code = |path: &str, body: Value| {
        let reply = app.client.post(path, &body);
        let error = reply.json()["error"].clone();
        assert!(
            error["message"].is_string() && error["type"].is_string(),
            "{error}"
        );
        (reply.status, error["code"].as_str().unwrap().to_owned())
    };
    let with = |key: &str, value: Value| {
        let mut body = chat(false);
        body[key] = value;
        body
    };
    let expect = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(
        code("/v1/chat/completions", with("model", json!("gpt-4"))),
        expect(404, "unknown_model")
    );
    assert_eq!(
        code("/v1/chat/completions", with("messages", json!([]))),
        expect(400, "invalid_request")
    );
    assert_eq!(
        code("/v1/chat/completions", with("n", json!(2))),
        expect(400, "invalid_request")
    );
    assert_eq!(
        code("/v1/chat/completions", with("collections", json!(["x"]))),
        expect(404, "unknown_collection")
    );
    assert_eq!(
        code("/v1/embeddings", json!({ "model": "x", "input": "x" })),
        expect(404, "unknown_model")
    );
    assert_eq!(
        code(
            "/v1/embeddings",
            json!({ "model": "kura", "input": [1, 2] })
        ),
        expect(400, "invalid_request")
    );
    assert_eq!(
        code("/v1/embeddings", json!({ "model": "kura", "input": [] })),
        expect(400, "invalid_request")
    );
}

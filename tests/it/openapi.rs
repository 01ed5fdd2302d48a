use kura_tests::TestApp;
use std::path::PathBuf;

/// The committed document, from which the page's client types are generated.
fn snapshot() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("it/snapshots/openapi.json")
}

#[test]
fn the_committed_document_is_current() {
    let current = kura::openapi::json();
    if std::env::var_os("KURA_UPDATE").is_some() {
        fs_err::create_dir_all(snapshot().parent().unwrap()).unwrap();
        fs_err::write(snapshot(), &current).unwrap();
    }
    let committed = fs_err::read_to_string(snapshot()).unwrap();
    assert!(
        committed == current,
        "the API has changed: run `make openapi`, check the difference and commit it"
    );
}

#[test]
fn the_server_serves_it() {
    let app = TestApp::start();
    let served = app.anonymous().get("/api/openapi.json").json();
    let current: serde_json::Value = serde_json::from_str(&kura::openapi::json()).unwrap();
    assert_eq!(served, current);
    assert!(served["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(
        served["components"]["securitySchemes"]["api_key"]["scheme"],
        "bearer"
    );
}

//! What the log does while the disk takes nothing, and what is left of it after a kill.

use super::{JSON, Record, of_request, verify, wait_for};
use kura_tests::{Kura, Reply, TestApp, number_from_env};
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

#[test]
fn what_cannot_be_recorded_is_not_done() {
    let app = TestApp::with(kura_tests::fake_models(&[]), |config| {
        config.audit.reads_need_record = true;
    });
    // A folder where the first segment should be is a disk that takes nothing.
    let segment = app
        .app
        .config
        .data_dir
        .join("audit/00000000000000000001.jsonl");
    fs_err::create_dir(&segment).unwrap();
    let create = |name: &str| {
        app.client
            .post("/api/v1/collections", &json!({ "name": name }))
    };
    create("one").assert_problem(503, "audit_unavailable");
    // From now on before anything is done.
    create("two").assert_problem(503, "audit_unavailable");
    let search = || app.client.post("/api/v1/search", &json!({ "query": "x" }));
    search().assert_problem(503, "audit_unavailable");
    app.client
        .get("/api/v1/documents")
        .assert_problem(503, "audit_unavailable");
    app.anonymous()
        .post("/api/v1/session", &json!({ "name": "x", "password": "y" }))
        .assert_problem(503, "audit_unavailable");
    app.anonymous()
        .get("/api/v1/documents")
        .assert_problem(401, "unauthorized");
    assert_eq!(app.anonymous().get("/healthz").status, 200);
    let metrics = String::from_utf8(app.client.get("/metrics").body).unwrap();
    assert!(metrics.contains("kura_audit_unavailable"), "{metrics}");
    let ready = app.anonymous().get("/readyz");
    assert_eq!(
        (ready.status, &ready.json()["checks"]["audit"]),
        (503, &json!("failed"))
    );

    fs_err::remove_dir(&segment).unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while search().status == 503 {
        assert!(Instant::now() < deadline, "it does not recover");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(app.anonymous().get("/readyz").status, 200);
    let names = app.client.get("/api/v1/collections").json();
    let names: Vec<_> = names["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["name"].clone())
        .collect();
    assert_eq!(
        names,
        [json!("one")],
        "`two` was refused before it was made"
    );
    // What was done and not acknowledged is on record after all.
    let made = wait_for(&app, |record| record.action == "collection.create");
    assert_eq!(made.target["collection"], "one");
    verify(&app);
}

#[test]
fn reading_goes_on_while_the_disk_takes_nothing_and_is_recorded_later() {
    let app = TestApp::start();
    let data_dir = &app.app.config.data_dir;
    let segment = data_dir.join("audit/00000000000000000001.jsonl");
    fs_err::create_dir(&segment).unwrap();
    let search = |_| app.client.post("/api/v1/search", &json!({ "query": "x" }));
    let seen: Vec<Reply> = (0..5).map(search).collect();
    for reply in &seen {
        assert_eq!(reply.status, 200, "{reply:?}");
    }
    let create = || {
        let body = json!({ "name": "one" });
        app.client.post("/api/v1/collections", &body)
    };
    create().assert_problem(503, "audit_unavailable");

    fs_err::remove_dir(&segment).unwrap();
    for reply in &seen {
        let id = reply.header("x-request-id").unwrap();
        let record = wait_for(&app, |record| record.request.as_deref() == Some(id));
        assert_eq!(record.action, "search");
        assert_eq!(of_request(&app, reply).len(), 1);
    }
    // The log takes changes again once it has told itself that all is written.
    let deadline = Instant::now() + Duration::from_secs(10);
    while create().status != 201 {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(20));
    }
    verify(&app);
}

#[test]
fn no_acknowledged_change_is_without_its_record_after_a_kill() {
    const CLIENTS: usize = 4;
    let kura = Kura::new().with_models();
    let acknowledged: Mutex<Vec<(u16, String)>> = Mutex::default();
    let mut n_done = 0;
    for round in 0..number_from_env("KURA_TEST_KILLS", 4) {
        let server = kura.serve();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for client in 0..CLIENTS {
                let (calls, stop, acknowledged) = (server.client.clone(), &stop, &acknowledged);
                scope.spawn(move || {
                    for n in 0.. {
                        if stop.load(Ordering::SeqCst) {
                            return;
                        }
                        let path = format!("/api/v1/collections/c/documents/{round}-{client}-{n}");
                        let body = format!("Note {n} of client {client} in round {round}.");
                        let sent = match n % 3 {
                            0 | 1 => calls.try_send(
                                "PUT",
                                &path,
                                Some(("text/plain", body.into_bytes())),
                            ),
                            _ => calls.try_send(
                                "POST",
                                "/api/v1/search",
                                Some((JSON, br#"{"query":"note"}"#.to_vec())),
                            ),
                        };
                        // The server was killed.
                        let Ok(reply) = sent else { return };
                        let id = reply.header("x-request-id").unwrap().to_owned();
                        acknowledged.lock().unwrap().push((reply.status, id));
                    }
                });
            }
            std::thread::sleep(Duration::from_millis(400 + 370 * round));
            server.kill();
            stop.store(true, Ordering::SeqCst);
        });
        let seen = kura.run(["audit", "verify", "--json"]);
        assert_eq!(seen.code, 0, "round {round}: {seen:?}");
        let exported = kura.run(["audit", "export"]).stdout;
        let recorded: Vec<String> = exported
            .lines()
            .filter_map(|line| serde_json::from_str::<Record>(line).unwrap().request)
            .collect();
        let unique: BTreeSet<&String> = recorded.iter().collect();
        assert_eq!(unique.len(), recorded.len(), "one record each");
        let acknowledged = acknowledged.lock().unwrap();
        for (status, id) in acknowledged.iter() {
            assert!(
                unique.contains(id),
                "round {round}: {status} {id} has no record"
            );
        }
        let done = acknowledged
            .iter()
            .filter(|(status, _)| *status < 300)
            .count();
        println!(
            "round {round}: {done} of {} acknowledged, {} records",
            acknowledged.len(),
            recorded.len()
        );
        n_done += done;
    }
    // A busy machine may be killed before it did much; not every time.
    assert!(n_done > 10, "{n_done}");
    // What the kill left is put right, and is on record.
    let server = kura.serve();
    assert_eq!(
        server.client.get("/api/v1/audit/verify").json()["findings"],
        json!([])
    );
    assert!(server.stop());
    assert_eq!(kura.run(["audit", "verify"]).code, 0);
}

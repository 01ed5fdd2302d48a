//! `kura doctor --egress`: whom sources lead to, what the server connected to and refused, and what workers were denied.

use kura_tests::Kura;
use serde_json::{Value, json};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

/// Serves one page at every address; returns `host:port`.
fn site() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || serve(&stream.unwrap()));
        }
    });
    address
}

fn serve(mut stream: &TcpStream) {
    let mut lines = BufReader::new(stream).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    while lines
        .next()
        .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
    {}
    let (status, page) = if first.starts_with("GET / ") {
        ("200 OK", "<h1>Rooms</h1><p>The blue room seats nine.</p>")
    } else {
        ("404 Not Found", "")
    };
    let n = page.len();
    let answer = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {n}\r\nconnection: close\r\n\r\n{page}"
    );
    drop(stream.write_all(answer.as_bytes()));
}

fn report(kura: &Kura) -> Value {
    let output = kura.run(["doctor", "--egress", "--json"]);
    assert_eq!(output.code, 0, "{output:?}");
    output.json()
}

#[test]
fn the_doctor_tells_where_connections_may_lead_and_did() {
    let site = site();
    let kura = Kura::new().with_models();
    let url = format!("http://{site}/");
    let add = ["sync", "add", "web", &url, "--collection", "rooms"];
    let added = kura.run(add.into_iter().chain(["--name", "rooms"]));
    assert_eq!(added.code, 0, "{added:?}");

    let before = report(&kura);
    assert_eq!(before["offline"], true);
    assert_eq!(before["allow"], json!([]));
    assert_eq!(before["server"], Value::Null);
    let source =
        json!({ "purpose": "source", "name": "rooms", "peer": site, "allowed": "this_machine" });
    let peers = before["peers"].as_array().unwrap();
    assert!(peers.contains(&source), "{before}");
    assert!(
        peers
            .iter()
            .any(|peer| peer["purpose"] == "models" && peer["allowed"] == "on_command"),
        "{before}"
    );

    let server = kura.serve();
    let far = json!({
        "collection": "rooms",
        "place": { "kind": "web", "urls": ["http://doctor.example.com/"] },
    });
    let refused = server.client.post("/api/v1/sources", &far);
    assert_eq!(refused.status, 400, "{refused:?}");
    assert!(
        refused.json()["detail"]
            .as_str()
            .unwrap()
            .contains("network.allow"),
        "{refused:?}"
    );
    assert_eq!(kura.run(["sync", "run", "rooms"]).code, 0);
    let running = report(&kura);
    let connections = running["server"]["connections"].as_array().unwrap();
    let of = |peer: &str| connections.iter().find(|one| one["peer"] == peer).unwrap();
    assert!(of(&site)["opened"].as_u64().unwrap() > 0, "{running}");
    assert_eq!(of("doctor.example.com:80")["opened"], 0);
    assert_eq!(of("doctor.example.com:80")["refused"], 1);
    for denied in ["no_network", "no_files", "no_processes"] {
        assert_eq!(running["workers"][denied], true, "{running}");
    }
    let said = kura.run(["doctor", "--egress"]);
    for word in ["offline   yes", "sockets denied", &site, "1 refused"] {
        assert!(said.stdout.contains(word), "`{word}` is missing: {said:?}");
    }
    assert!(server.stop());

    // What is allowed is told; a rule that is none, too.
    let open = Kura::new().with_models().env(
        "KURA__NETWORK__ALLOW",
        r#"["wiki.example.com", "*.corp.example"]"#,
    );
    let open = report(&open);
    assert_eq!(open["offline"], false);
    assert_eq!(open["allow"], json!(["wiki.example.com", "*.corp.example"]));
    let wrong = Kura::new().env("KURA__NETWORK__ALLOW", r#"["https://wiki.example.com/"]"#);
    wrong
        .run(["doctor", "--egress"])
        .assert_fails(2, &["network.allow", "https://wiki.example.com/"]);
    // Where documents are read in the server itself, nothing is proved.
    let bare = Kura::new()
        .with_models()
        .env("KURA__INGEST__SANDBOX", "off");
    assert_eq!(bare.run(["doctor", "--egress"]).code, 1);
}

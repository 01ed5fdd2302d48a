//! People and programs in the audit log: signing in, accounts, and who was refused.

use super::{
    Ending, FACT, JSON, PASSWORD, Record, add_user, bytes_of, last, of_request, records, sign_in,
    verify,
};
use kura_tests::{Client, Kura, Reply, TestApp};
use serde_json::{Value, json};

#[test]
fn every_sign_in_leaves_one_record_and_no_password() {
    let app = TestApp::start();
    let taro = add_user(&app, "taro", "reader");
    let attempt_with = |client: &Client, body: &Value| {
        let before = last(&app);
        let reply = client.post("/api/v1/session", body);
        let mut found = of_request(&app, &reply);
        assert_eq!(found.len(), 1, "{reply:?}: {found:?}");
        let record = found.remove(0);
        assert_eq!((record.seq, last(&app)), (before + 1, before + 1));
        assert_eq!(record.action, "session.create");
        assert_eq!(record.outcome.status, Some(reply.status), "{record:?}");
        assert_eq!(record.peer.as_deref(), Some("127.0.0.1"));
        record
    };
    let attempt = |name: &str, password: &str| {
        let body = json!({ "name": name, "password": password });
        attempt_with(&app.anonymous(), &body)
    };
    let is_nobody = |record: &Record| {
        let unnamed = record.principal.is_none() && record.name.is_none();
        unnamed && record.credential.is_none() && record.authentication == "none"
    };

    let right = attempt("taro", PASSWORD);
    assert_eq!(right.outcome.result, Ending::Success);
    assert_eq!(right.principal.as_deref(), Some(taro.as_str()));
    assert_eq!(
        (right.name.as_deref(), right.role.as_deref()),
        (Some("taro"), Some("reader"))
    );
    let sessions = app.client.get("/api/v1/sessions?user=taro").json();
    assert_eq!(right.authentication, "session");
    assert_eq!(
        right.credential.as_deref(),
        sessions["items"][0]["id"].as_str()
    );

    let wrong = attempt("taro", "wrong guess zebrafinch");
    assert_eq!(wrong.outcome.result, Ending::Refused);
    assert_eq!(wrong.outcome.code.as_deref(), Some("invalid_credentials"));
    assert!(is_nobody(&wrong), "{wrong:?}");
    assert_eq!(
        (&wrong.target["user"], &wrong.details["name"]),
        (&taro, &json!("taro"))
    );
    // What nobody is called may be a password.
    let stranger = attempt("zebrafinch", "wrong guess");
    assert_eq!(
        stranger.outcome.code.as_deref(),
        Some("invalid_credentials")
    );
    assert!(is_nobody(&stranger), "{stranger:?}");
    assert!(
        stranger.target.is_empty() && stranger.details.is_empty(),
        "{stranger:?}"
    );
    let malformed = attempt_with(&app.anonymous(), &json!({ "name": "zebrafinch" }));
    assert_eq!(malformed.outcome.result, Ending::Refused);
    let elsewhere = app
        .anonymous()
        .with_headers(&[("origin", "http://evil.example")]);
    let body = json!({ "name": "taro", "password": PASSWORD });
    let elsewhere = attempt_with(&elsewhere, &body);
    assert_eq!(elsewhere.outcome.code.as_deref(), Some("forbidden"));
    let throttled = (0..10)
        .map(|_| attempt("taro", "wrong guess zebrafinch"))
        .find(|record| record.outcome.status == Some(429))
        .unwrap();
    assert_eq!(throttled.outcome.code.as_deref(), Some("too_many_attempts"));
    assert!(is_nobody(&throttled), "{throttled:?}");

    let bytes = bytes_of(&app);
    for secret in [PASSWORD, "zebrafinch", "wrong guess"] {
        let mut parts = bytes.windows(secret.len());
        assert!(!parts.any(|part| part == secret.as_bytes()), "{secret}");
    }
    verify(&app);
}

#[test]
fn sign_ins_that_fail_cannot_fill_the_disk_and_hide_none_that_works() {
    let app = TestApp::start();
    let taro = add_user(&app, "taro", "reader");
    for _ in 0..400 {
        let reply = app.anonymous().post("/api/v1/session", &json!({}));
        assert!((400..500).contains(&reply.status), "{reply:?}");
    }
    let n = records(&app).len();
    assert!((100..=110).contains(&n), "{n}");
    sign_in(&app, "taro");
    let record = records(&app).remove(0);
    assert_eq!(record.action, "session.create");
    assert_eq!(record.principal, Some(taro));
}

#[test]
fn what_people_do_about_themselves_is_on_record() {
    let app = TestApp::start();
    let taro = add_user(&app, "taro", "editor");
    let page = sign_in(&app, "taro");
    let before = last(&app);
    assert_eq!(page.get("/api/v1/session").status, 200);
    assert_eq!(last(&app), before, "who one is leaves no record");
    let send = |method: &str, path: &str, body: Option<Value>| {
        let body = body.map(|body| (JSON, body.to_string().into_bytes()));
        let before = last(&app);
        let reply = page.send(method, path, body);
        let mut found = of_request(&app, &reply);
        assert_eq!(found.len(), 1, "{method} {path}: {reply:?}: {found:?}");
        let record = found.remove(0);
        assert_eq!(record.seq, before + 1, "{record:?}");
        assert_eq!(record.outcome.status, Some(reply.status), "{record:?}");
        assert_eq!(record.principal, Some(taro.clone()), "{record:?}");
        assert_eq!(record.name.as_deref(), Some("taro"), "{record:?}");
        assert_eq!(record.role.as_deref(), Some("editor"), "{record:?}");
        assert_eq!(record.authentication, "session", "{record:?}");
        (record, reply)
    };
    let acted = |(record, _): (Record, Reply)| (record.action, record.outcome.status.unwrap());
    let is = |action: &str, status: u16| (action.to_owned(), status);

    let wrong = json!({ "current": "wrong guess", "new": "another horse battery" });
    let (record, _) = send("PUT", "/api/v1/session/password", Some(wrong));
    assert_eq!(record.outcome.code.as_deref(), Some("invalid_credentials"));
    assert_eq!(record.target["user"], taro);
    let right = json!({ "current": PASSWORD, "new": "another horse battery" });
    let done = send("PUT", "/api/v1/session/password", Some(right));
    assert_eq!(acted(done), is("password.change", 204));
    let proof = json!({ "password": "another horse battery" });
    let (record, enrolled) = send("POST", "/api/v1/session/totp", Some(proof.clone()));
    assert_eq!(
        (record.action.as_str(), enrolled.status),
        ("totp.enroll", 201)
    );
    let secret = enrolled.json()["secret"].as_str().unwrap().to_owned();
    let totp = totp_rs::Builder::new()
        .with_secret(totp_rs::Secret::try_from_base32(&secret).unwrap())
        .build()
        .unwrap();
    let code = json!({ "code": totp.generate_current().to_string() });
    let done = send("POST", "/api/v1/session/totp/confirm", Some(code));
    assert_eq!(acted(done), is("totp.confirm", 200));
    let body = json!({ "name": "taro", "password": "another horse battery" });
    let missing = app.anonymous().post("/api/v1/session", &body);
    missing.assert_problem(401, "code_required");
    let record = of_request(&app, &missing).remove(0);
    assert_eq!(record.outcome.code.as_deref(), Some("code_required"));
    assert_eq!(record.target["user"], taro);
    let done = send("POST", "/api/v1/session/totp/remove", Some(proof));
    assert_eq!(acted(done), is("totp.remove", 204));
    let new = json!({ "name": "mine" });
    assert_eq!(
        acted(send("POST", "/api/v1/api-keys", Some(new))),
        is("api_key.create", 201)
    );
    assert_eq!(
        acted(send("GET", "/api/v1/sessions", None)),
        is("session.list", 200)
    );
    let (record, left) = send("DELETE", "/api/v1/session", None);
    assert_eq!((record.action.as_str(), left.status), ("session.end", 204));
    assert_eq!(record.target.get("session"), record.credential.as_ref());

    let bytes = bytes_of(&app);
    for secret in [PASSWORD, "another horse battery", "wrong guess", &secret] {
        let mut parts = bytes.windows(secret.len());
        assert!(!parts.any(|part| part == secret.as_bytes()), "{secret}");
    }
    verify(&app);
}

#[test]
fn who_is_refused_for_lack_of_a_permission_is_on_record() {
    let app = TestApp::start();
    app.add("hr", "leave.md", FACT.as_bytes());
    let ids = ["reader", "admin", "auditor"].map(|role| (role, add_user(&app, role, role)));
    let clients = ["reader", "admin", "auditor"].map(|role| (role, sign_in(&app, role)));
    let client = |role: &str| &clients.iter().find(|(name, _)| *name == role).unwrap().1;
    for (role, method, path) in [
        // Metrics leave no record, save this.
        ("reader", "GET", "/metrics"),
        ("reader", "DELETE", "/api/v1/collections/hr"),
        ("admin", "GET", "/api/v1/audit"),
        ("admin", "GET", "/api/v1/audit/head"),
        ("reader", "GET", "/api/v1/audit/verify"),
        ("auditor", "PUT", "/api/v1/audit/holds/case-7"),
        ("auditor", "DELETE", "/api/v1/audit/holds/case-7"),
        ("auditor", "GET", "/api/v1/documents"),
    ] {
        let what = format!("{role}: {method} {path}");
        let before = last(&app);
        let reply = client(role).send(method, path, None);
        reply.assert_problem(403, "forbidden");
        let found = of_request(&app, &reply);
        assert_eq!(found.len(), 1, "{what}: {found:?}");
        let (record, id) = (
            &found[0],
            &ids.iter().find(|(name, _)| *name == role).unwrap().1,
        );
        assert_eq!(record.seq, before + 1, "{what}");
        assert_eq!(record.principal.as_ref(), Some(id), "{what}");
        assert_eq!(record.role.as_deref(), Some(role), "{what}");
        assert_eq!(record.outcome.result, Ending::Refused, "{what}");
        assert_eq!(record.outcome.code.as_deref(), Some("forbidden"), "{what}");
    }
    // An auditor reads of it, by the login, too.
    let seen = client("auditor")
        .get("/api/v1/audit?principal=reader&result=refused")
        .json();
    assert_eq!(seen["items"].as_array().unwrap().len(), 3, "{seen}");
    let seen = client("auditor").get("/api/v1/audit/verify").json();
    assert_eq!(seen["findings"], json!([]), "{seen}");

    // A key of a program, and what it may not.
    let service = json!({ "name": "robot", "kind": "service" });
    let robot = app.client.post("/api/v1/users", &service).json();
    let new = json!({ "name": "one", "user": "robot", "collections": ["hr"] });
    let made = app.client.post("/api/v1/api-keys", &new).json();
    let program = Client::new(app.client.url(), made["key"].as_str());
    for (path, status) in [("/api/v1/documents", 200), ("/api/v1/users", 403)] {
        let reply = program.get(path);
        assert_eq!(reply.status, status, "{reply:?}");
        let record = of_request(&app, &reply).remove(0);
        assert_eq!(record.authentication, "api_key");
        assert_eq!(record.name.as_deref(), Some("robot"));
        let key = made["api_key"]["id"].as_str().unwrap();
        assert_eq!(record.credential.as_deref(), Some(key));
        assert_eq!(record.principal, Some(format!("key:{key}")));
        assert_ne!(robot["id"], key);
    }
    // A method that an address does not have says which it has.
    let wrong = app.client.send("DELETE", "/api/v1/documents", None);
    wrong.assert_problem(405, "method_not_allowed");
    assert_eq!(wrong.header("allow"), Some("GET, POST"));
    verify(&app);
}

#[test]
fn commands_about_accounts_are_on_record_without_a_server() {
    let kura = Kura::new().with_models();
    kura.write("password", PASSWORD);
    let path = kura.path("password").display().to_string();
    let ok = |args: &[&str]| {
        let output = kura.run(args);
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        output
    };
    ok(&["groups", "add", "hr"]);
    ok(&["users", "add", "taro", "--password-file", &path]);
    ok(&["users", "role", "taro", "editor"]);
    ok(&["groups", "members", "hr", "taro"]);
    let made = ok(&["keys", "create", "taro", "--name", "first", "--json"]).json();
    ok(&["keys", "revoke", made["api_key"]["id"].as_str().unwrap()]);
    ok(&["collections", "create", "notes", "--member", "hr=editor"]);
    ok(&["collections", "members", "notes", "--member", "hr"]);
    ok(&["users", "reset-totp", "taro"]);
    ok(&["users", "delete", "taro"]);
    ok(&["groups", "delete", "hr"]);
    kura.run(["users", "delete", "nobody"])
        .assert_fails(1, &["nobody"]);

    let listed = ok(&["audit", "list", "--json"]);
    assert!(!listed.stdout.contains(PASSWORD) && !listed.stdout.contains("kura_"));
    let listed = listed.json();
    let said: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .rev()
        .map(|record| {
            assert_eq!(record["principal"], "local operator");
            (
                record["action"].as_str().unwrap(),
                record["outcome"]["result"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("group.create", "success"),
        ("user.create", "success"),
        ("user.change", "success"),
        ("group.members.set", "success"),
        ("api_key.create", "success"),
        ("api_key.revoke", "success"),
        ("collection.create", "success"),
        ("collection.members.set", "success"),
        ("totp.reset", "success"),
        ("user.delete", "success"),
        ("group.delete", "success"),
        ("user.delete", "failed"),
    ];
    assert_eq!(said, expected);
    let of = |action: &str| {
        let mut found = listed.as_array().unwrap().iter();
        found.find(|record| record["action"] == action).unwrap()
    };
    assert_eq!(of("user.change")["details"]["role"], "editor");
    assert_eq!(
        of("group.members.set")["details"]["members"],
        json!(["taro"])
    );
    assert_eq!(
        of("collection.members.set")["details"]["members"],
        json!(["hr=reader"])
    );
    assert_eq!(kura.run(["audit", "verify"]).code, 0);
}

//! Signing out: here and there, and by order of the provider.

use super::desk::{Desk, PUBLIC, person};
use super::provider::{SECRET, Script, Signer, merge};
use serde_json::{Value, json};
use std::collections::HashMap;
use url::Url;

const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The claims of an order to end a person's sessions, changed so.
fn claims(desk: &Desk, change: &Value) -> Value {
    let now = jiff::Timestamp::now().as_second();
    let mut claims = json!({
        "iss": desk.provider.url, "aud": "kura", "iat": now, "exp": now + 120,
        "jti": uuid::Uuid::now_v7().to_string(), "sub": "1", "events": { EVENT: {} },
    });
    merge(&mut claims, change);
    claims
}

/// What is wrong, how it is signed, with which claims, and for what reason it has to be refused.
type Attack = (&'static str, fn(&mut Script), Value, &'static str);

#[test]
fn signing_out_leads_to_the_provider_too() {
    let desk = Desk::new(|_| ());
    let page = desk.enter(&person("1", "taro", &[]));
    let left = page.delete("/api/v1/session");
    assert_eq!(left.status, 200, "{left:?}");
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(page.get("/api/v1/session").status, 401);
    let to = left.json()["provider_url"].as_str().unwrap().to_owned();
    assert!(
        to.starts_with(&format!("{}/logout?", desk.provider.url)),
        "{to}"
    );
    let query: HashMap<String, String> = Url::parse(&to)
        .unwrap()
        .query_pairs()
        .into_owned()
        .collect();
    assert_eq!(query["client_id"], "kura");
    assert_eq!(query["post_logout_redirect_uri"], format!("{PUBLIC}/"));
    assert_eq!(query["id_token_hint"].split('.').count(), 3);
    assert_eq!(desk.record_of(&left).action, "session.end");

    // Who came in with a password has nobody to be sent to.
    let body = json!({ "name": "hanako", "password": "correct horse battery" });
    assert_eq!(desk.app.client.post("/api/v1/users", &body).status, 201);
    let local = desk.page(&desk.app.anonymous().post("/api/v1/session", &body));
    assert_eq!(local.delete("/api/v1/session").status, 204);
    // Nor is anyone where the provider has no such place.
    let plain = Desk::new(|_| ());
    plain.provider.script().description = json!({ "end_session_endpoint": null });
    let page = plain.enter(&person("1", "taro", &[]));
    assert_eq!(page.delete("/api/v1/session").status, 204);
}

#[test]
fn the_provider_ends_sessions() {
    let desk = Desk::new(|_| ());
    let enter = |sub: &str, sid: &str| {
        let mut someone = person(sub, &format!("user-{sub}"), &[]);
        someone["sid"] = json!(sid);
        desk.enter(&someone)
    };
    let (first, second, other) = (enter("1", "a"), enter("1", "b"), enter("2", "c"));
    let holds = |page: &kura_tests::Client| page.get("/api/v1/session").status == 200;
    let end = |change: Value| {
        let reply = desk.order(&desk.provider.sign(&claims(&desk, &change)));
        assert_eq!(reply.status, 200, "{reply:?} {:?}", desk.last());
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let record = desk.record_of(&reply);
        assert_eq!(record.action, "session.revoke");
        assert_eq!(record.authentication, "identity_provider");
        record.details["n_sessions"].as_u64().unwrap()
    };
    // One session of the provider's.
    assert_eq!(end(json!({ "sub": null, "sid": "a" })), 1);
    assert!(!holds(&first) && holds(&second) && holds(&other));
    // A session that is another person's.
    assert_eq!(end(json!({ "sub": "1", "sid": "c" })), 0);
    assert_eq!(end(json!({ "sub": "nobody", "sid": "c" })), 0);
    assert_eq!(end(json!({ "sub": "nobody" })), 0);
    assert!(holds(&second) && holds(&other));
    // All of a person's; keys that were made before go on.
    let third = enter("1", "d");
    assert_eq!(end(json!({ "aud": ["another", "kura"], "exp": null })), 2);
    assert!(!holds(&second) && !holds(&third) && holds(&other));
    // Local sessions are none of its business.
    let body = json!({ "name": "hanako", "password": "correct horse battery" });
    assert_eq!(desk.app.client.post("/api/v1/users", &body).status, 201);
    let local = desk.page(&desk.app.anonymous().post("/api/v1/session", &body));
    assert_eq!(end(json!({ "sub": "hanako" })), 0);
    assert!(holds(&local));
    // A key that is new since.
    let mut script = desk.provider.script();
    script.keys = vec![(1, json!({}))];
    script.signer = Signer::Key(1);
    drop(script);
    assert_eq!(end(json!({ "sub": "2" })), 1);
}

#[test]
fn forged_orders_end_nothing() {
    let desk = Desk::new(|_| ());
    let page = desk.enter(&person("1", "taro", &[]));
    let now = jiff::Timestamp::now().as_second();
    let plain: fn(&mut Script) = |_| ();
    let attacks: Vec<Attack> = vec![
        (
            "alg none",
            |s| s.signer = Signer::Nobody,
            json!({}),
            "unsigned",
        ),
        (
            "the client's secret as key",
            |s| s.signer = Signer::Shared(SECRET.as_bytes()),
            json!({}),
            "algorithm",
        ),
        (
            "the public key as shared secret",
            |s| s.signer = Signer::PublicKey,
            json!({}),
            "algorithm",
        ),
        (
            "no algorithm",
            |s| s.header = json!({ "alg": "" }),
            json!({}),
            "algorithm",
        ),
        (
            "an algorithm that the provider does not use",
            |s| s.signer = Signer::Pss(0),
            json!({}),
            "algorithm",
        ),
        (
            "another key under the provider's name",
            |s| {
                s.signer = Signer::Key(1);
                s.header = json!({ "kid": "key-0" });
            },
            json!({}),
            "signature",
        ),
        (
            "a key that is not published",
            |s| s.signer = Signer::Key(2),
            json!({}),
            "unknown_key",
        ),
        (
            "a token of another kind",
            |s| s.header = json!({ "typ": "at+jwt" }),
            json!({}),
            "form",
        ),
        (
            "extensions that count",
            |s| s.header = json!({ "crit": ["x"] }),
            json!({}),
            "form",
        ),
        (
            "another issuer",
            plain,
            json!({ "iss": "https://evil.example" }),
            "issuer",
        ),
        ("no issuer", plain, json!({ "iss": null }), "issuer"),
        (
            "another audience",
            plain,
            json!({ "aud": "another" }),
            "audience",
        ),
        ("no audience", plain, json!({ "aud": null }), "audience"),
        (
            "expired",
            plain,
            json!({ "iat": now - 500, "exp": now - 100 }),
            "expired",
        ),
        (
            "old and without an end",
            plain,
            json!({ "iat": now - 500, "exp": null }),
            "expired",
        ),
        (
            "from the future",
            plain,
            json!({ "iat": now + 100 }),
            "not_yet_valid",
        ),
        ("of no time", plain, json!({ "iat": null }), "form"),
        ("no event", plain, json!({ "events": null }), "event"),
        (
            "another event",
            plain,
            json!({ "events": { "urn:x": {} } }),
            "event",
        ),
        (
            "an event that is none",
            plain,
            json!({ "events": { EVENT: "yes" } }),
            "event",
        ),
        (
            "events that are a list",
            plain,
            json!({ "events": [EVENT] }),
            "event",
        ),
        (
            "an ID token",
            plain,
            json!({ "events": null, "nonce": "x" }),
            "event",
        ),
        ("a nonce", plain, json!({ "nonce": "x" }), "has_nonce"),
        ("nobody's", plain, json!({ "sub": null }), "no_session"),
        ("no id", plain, json!({ "jti": null }), "no_id"),
        ("an empty id", plain, json!({ "jti": "" }), "no_id"),
    ];
    for (what, attack, change, reason) in &attacks {
        attack(&mut desk.provider.script());
        let reply = desk.order(&desk.provider.sign(&claims(&desk, change)));
        desk.provider.behave();
        reply.assert_problem(400, "invalid_request");
        let record = desk.record_of(&reply);
        assert_eq!(record.details["reason"], *reason, "{what}: {record:?}");
        assert_eq!(record.action, "session.revoke", "{what}");
    }
    for (what, token) in [
        ("no token", "x"),
        ("parts", "a.b.c"),
        ("no claims", "e30.e30"),
    ] {
        let reply = desk.order(token);
        reply.assert_problem(400, "invalid_request");
        assert_eq!(desk.record_of(&reply).details["reason"], "form", "{what}");
    }
    assert_eq!(page.get("/api/v1/session").status, 200);

    let order = desk.provider.sign(&claims(&desk, &json!({})));
    assert_eq!(desk.order(&order).status, 200);
    let again = desk.order(&order);
    again.assert_problem(400, "invalid_request");
    assert_eq!(desk.record_of(&again).details["reason"], "replayed");

    let json = Some(("application/json", b"{\"logout_token\":\"x\"}".to_vec()));
    let path = "/api/v1/session/oidc/logout";
    let reply = desk.app.anonymous().send("POST", path, json);
    reply.assert_problem(415, "unsupported_media_type");
}

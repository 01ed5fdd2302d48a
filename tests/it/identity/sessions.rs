//! Signing in and out, and what a session is good for.

use super::{PASSWORD, add_service, add_user, browser, cookie, patch, put, sign_in, sign_in_with};
use kura_tests::{Client, TestApp, fake_models};
use serde_json::json;
use std::time::Duration;

#[test]
fn a_person_signs_in_and_out() {
    let app = TestApp::start();
    let id = add_user(&app, "Taro", "editor", &[]);
    let reply = sign_in_with(&app, &json!({ "name": "ＴＡＲＯ", "password": PASSWORD }));
    assert_eq!(reply.status, 200, "{reply:?}");
    let set = reply.header("set-cookie").unwrap();
    assert!(set.starts_with("kura_session="), "{set}");
    for attribute in ["Path=/", "HttpOnly", "SameSite=Strict"] {
        assert!(set.contains(attribute), "{set}");
    }
    assert!(!set.contains("Secure"), "{set}");
    let me = reply.json();
    assert_eq!(me["id"], id);
    assert_eq!(me["name"], "taro");
    assert_eq!(me["role"], "editor");
    assert_eq!(me["kind"], "person");
    assert!(
        me["permissions"]
            .as_array()
            .unwrap()
            .contains(&json!("write"))
    );
    assert!(me["expires_at"].is_string());

    let page = browser(&app, &cookie(&reply));
    assert_eq!(page.get("/api/v1/session").json()["name"], "taro");
    assert_eq!(page.get("/api/v1/collections").status, 200);
    let sessions = page.get("/api/v1/sessions").json();
    assert_eq!(sessions["items"].as_array().unwrap().len(), 1);
    assert_eq!(sessions["items"][0]["current"], true);
    assert!(app.client.get("/api/v1/users/taro").json()["last_sign_in_at"].is_string());

    let left = page.delete("/api/v1/session");
    assert_eq!(left.status, 204, "{left:?}");
    assert!(left.header("set-cookie").unwrap().contains("Max-Age=0"));
    page.get("/api/v1/session")
        .assert_problem(401, "unauthorized");
}

#[test]
fn behind_tls_the_cookie_is_for_tls_only() {
    let app = TestApp::with(fake_models(&[]), |config| {
        config.auth.public_url = "https://kura.example".to_owned();
    });
    add_user(&app, "taro", "reader", &[]);
    let reply = sign_in_with(&app, &json!({ "name": "taro", "password": PASSWORD }));
    let set = reply.header("set-cookie").unwrap();
    assert!(
        set.starts_with("__Host-kura_session=") && set.ends_with("Secure"),
        "{set}"
    );
    let cookie = cookie(&reply);
    let page = app.anonymous();
    // The browser names the outside address.
    let with = |origin| page.with_headers(&[("cookie", &cookie), ("origin", origin)]);
    with("https://evil.example")
        .delete("/api/v1/session")
        .assert_problem(403, "forbidden");
    assert_eq!(
        with("https://kura.example")
            .delete("/api/v1/session")
            .status,
        204
    );
}

#[test]
fn what_is_wrong_with_a_sign_in_is_not_told() {
    let app = TestApp::start();
    add_user(&app, "taro", "reader", &[]);
    add_user(&app, "gone", "reader", &[]);
    patch(
        &app.client,
        "/api/v1/users/gone",
        &json!({ "active": false }),
    );
    add_service(&app, "robot", "reader", json!({}));
    let mut details = Vec::new();
    for (name, password) in [
        ("taro", "another horse battery"),
        ("taro", ""),
        ("nobody", PASSWORD),
        ("no:name at all", PASSWORD),
        ("gone", PASSWORD),
        ("robot", PASSWORD),
        ("admin-api-key", PASSWORD),
    ] {
        let reply = sign_in_with(&app, &json!({ "name": name, "password": password }));
        reply.assert_problem(401, "invalid_credentials");
        assert!(reply.header("set-cookie").is_none());
        details.push(reply.json()["detail"].as_str().unwrap().to_owned());
    }
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
    let unknown = json!({ "name": "taro", "password": PASSWORD, "remember": true });
    assert!([400, 422].contains(&sign_in_with(&app, &unknown).status));
}

#[test]
fn guessing_is_slowed_down_and_the_right_password_waits_too() {
    let app = TestApp::start();
    add_user(&app, "taro", "reader", &[]);
    add_user(&app, "hanako", "reader", &[]);
    let guess =
        |password: &str| sign_in_with(&app, &json!({ "name": "taro", "password": password }));
    for _ in 0..5 {
        guess("wrong guess number n").assert_problem(401, "invalid_credentials");
    }
    let held = guess(PASSWORD);
    held.assert_problem(429, "too_many_attempts");
    let seconds: u64 = held.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=2).contains(&seconds), "{seconds}");
    // A name that nobody has is held up the same way.
    for _ in 0..5 {
        let body = json!({ "name": "nobody", "password": "wrong guess" });
        sign_in_with(&app, &body).assert_problem(401, "invalid_credentials");
    }
    let body = json!({ "name": "nobody", "password": "wrong guess" });
    sign_in_with(&app, &body).assert_problem(429, "too_many_attempts");
    // Others are not.
    sign_in(&app, "hanako");
    std::thread::sleep(Duration::from_secs(seconds));
    assert_eq!(guess(PASSWORD).status, 200);
    // The present password is guessed no faster from within a session.
    let page = sign_in(&app, "hanako");
    let body = json!({ "current": "wrong guess", "new": "another horse battery" });
    for _ in 0..5 {
        put(&page, "/api/v1/session/password", &body).assert_problem(401, "invalid_credentials");
    }
    put(&page, "/api/v1/session/password", &body).assert_problem(429, "too_many_attempts");
}

#[test]
fn sessions_end_by_themselves() {
    let app = TestApp::with(fake_models(&[]), |config| {
        config.auth.session_idle_secs = 2;
        config.auth.session_max_secs = 4;
    });
    add_user(&app, "taro", "reader", &[]);
    let (idle, busy) = (sign_in(&app, "taro"), sign_in(&app, "taro"));
    let begun = std::time::Instant::now();
    let mut last = 200;
    while last == 200 && begun.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(300));
        last = busy.get("/api/v1/session").status;
    }
    // Used all the time, it lasts beyond the idle end and not beyond the other.
    assert_eq!(last, 401);
    assert!(
        begun.elapsed() > Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    idle.get("/api/v1/session")
        .assert_problem(401, "unauthorized");
}

#[test]
fn other_sites_change_nothing_with_the_cookie() {
    let app = TestApp::start();
    add_user(&app, "taro", "editor", &[]);
    let reply = sign_in_with(&app, &json!({ "name": "taro", "password": PASSWORD }));
    let cookie = cookie(&reply);
    let host = app.client.url().strip_prefix("http://").unwrap();
    let own = format!("http://{host}");
    let client = |headers: &[(&str, &str)]| {
        let mut all = vec![("cookie", cookie.as_str())];
        all.extend(headers);
        app.anonymous().with_headers(&all)
    };
    let create =
        |client: &Client, name: &str| client.post("/api/v1/collections", &json!({ "name": name }));
    for headers in [
        &[][..],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
    ] {
        create(&client(headers), "c").assert_problem(403, "forbidden");
        // Reading is the browser's business: it does not show the answer to other sites.
        assert_eq!(
            client(headers).get("/api/v1/session").status,
            200,
            "{headers:?}"
        );
    }
    assert_eq!(
        create(&client(&[("sec-fetch-site", "same-origin")]), "c1").status,
        201
    );
    assert_eq!(
        create(&client(&[("origin", own.as_str())]), "c2").status,
        201
    );
    // A key is no cookie: no other site has it.
    let key = format!("Bearer {}", app.key);
    let program = app
        .anonymous()
        .with_headers(&[("authorization", &key), ("sec-fetch-site", "cross-site")]);
    assert_eq!(create(&program, "c3").status, 201);
    // Nor does another site sign anyone in.
    let elsewhere = app
        .anonymous()
        .with_headers(&[("sec-fetch-site", "cross-site")]);
    let body = json!({ "name": "taro", "password": PASSWORD });
    elsewhere
        .post("/api/v1/session", &body)
        .assert_problem(403, "forbidden");
}

#[test]
fn a_second_factor_is_asked_for_once_enrolled() {
    let app = TestApp::start();
    add_user(&app, "taro", "reader", &[]);
    let page = sign_in(&app, "taro");
    let wrong = page.post(
        "/api/v1/session/totp",
        &json!({ "password": "wrong guess" }),
    );
    wrong.assert_problem(401, "invalid_credentials");
    let enrolled = page.post("/api/v1/session/totp", &json!({ "password": PASSWORD }));
    assert_eq!(enrolled.status, 201, "{enrolled:?}");
    let secret = enrolled.json()["secret"].as_str().unwrap().to_owned();
    let totp = totp_rs::Builder::new()
        .with_secret(totp_rs::Secret::try_from_base32(&secret).unwrap())
        .build()
        .unwrap();
    let confirm = |code: &str| page.post("/api/v1/session/totp/confirm", &json!({ "code": code }));
    confirm("000").assert_problem(400, "invalid_request");
    sign_in(&app, "taro");
    let confirmed = confirm(&totp.generate_current().to_string());
    assert_eq!(confirmed.status, 200, "{confirmed:?}");
    let recovery = confirmed.json()["recovery_codes"][0]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(page.get("/api/v1/session").json()["has_totp"], true);

    let attempt = |code: Option<&str>| {
        sign_in_with(
            &app,
            &json!({ "name": "taro", "password": PASSWORD, "totp": code }),
        )
    };
    attempt(None).assert_problem(401, "code_required");
    attempt(Some("no-code")).assert_problem(401, "invalid_credentials");
    assert_eq!(attempt(Some(&recovery)).status, 200);
    attempt(Some(&recovery)).assert_problem(401, "invalid_credentials");
    // Who has lost all of it asks an administrator.
    assert_eq!(app.client.delete("/api/v1/users/taro/totp").status, 204);
    assert_eq!(attempt(None).status, 200);
}

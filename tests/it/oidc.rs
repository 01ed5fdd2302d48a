//! Single sign-on against a provider that can be told to do any one thing wrong. Each attack is refused for the reason that
//! the audit log names; one that is refused for another reason fails.

mod accounts;
mod desk;
mod logout;
mod provider;
mod provisioning;
mod tokens;

use desk::{Desk, PUBLIC, person, session};
use kura_tests::Kura;
use provider::Script;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What is wrong, what makes it so, and for what reason it has to be refused.
type Attack = (&'static str, fn(&mut Script), &'static str);
/// The same, with what people are told.
type Told = (&'static str, fn(&mut Script), &'static str, &'static str);
/// What a browser comes back with: name and value.
type Answer<'a> = Vec<(&'a str, &'a str)>;

#[test]
fn a_person_signs_in_and_is_who_the_provider_says() {
    let desk = Desk::new(|oidc| {
        oidc.groups = vec!["People=hr".to_owned()];
        oidc.group_prefix = "sso-".to_owned();
        oidc.editor_groups = vec!["writers".to_owned()];
    });
    let ways = desk.app.anonymous().get("/api/v1/session/oidc").json();
    assert_eq!(ways, json!({ "offered": true, "label": null }));
    let begun = desk.begin();
    for (name, value) in [
        ("client_id", "kura"),
        ("response_type", "code"),
        ("scope", "openid"),
        ("code_challenge_method", "S256"),
        (
            "redirect_uri",
            &format!("{PUBLIC}/api/v1/session/oidc/callback"),
        ),
    ] {
        assert!(begun.asked[name].starts_with(value), "{begun:?}");
    }
    assert_eq!(begun.asked["scope"], "openid profile email");

    let page = desk.enter(&person("1", "Taro", &["People", "writers", "bad name"]));
    let me = page.get("/api/v1/session").json();
    assert_eq!(me["name"], "taro");
    assert_eq!(me["display_name"], "Taro of the provider");
    assert_eq!(me["role"], "editor");
    assert_eq!(me["groups"], json!(["hr", "sso-writers"]));
    let user = desk.app.client.get("/api/v1/users/taro").json();
    assert_eq!(user["source"], desk.provider.url.as_str());
    assert_eq!(user["email"], "Taro@example.com");

    let records = desk.records();
    let made: Vec<_> = records
        .iter()
        .filter(|record| record.action == "user.create")
        .collect();
    assert_eq!(made.len(), 1, "{made:?}");
    let signed_in = records
        .iter()
        .find(|record| record.action == "session.create")
        .unwrap();
    assert_eq!(signed_in.name.as_deref(), Some("taro"));
    assert_eq!(signed_in.authentication, "session");
    assert_eq!(signed_in.details["issuer"], desk.provider.url.as_str());
    assert_eq!(signed_in.details["subject"], "1");
}

#[test]
fn answers_that_belong_to_no_sign_in_of_this_browser_are_refused() {
    let desk = Desk::new(|_| ());
    let taro = person("1", "taro", &[]);
    let iss = desk.provider.url.clone();
    let victim = desk.begin();
    let attacker = desk.begin();
    let code = desk.provider.grant(&attacker.asked, &taro);
    let (own, foreign) = (
        victim.asked["state"].as_str(),
        attacker.asked["state"].as_str(),
    );
    let cookie = Some(victim.cookie.as_str());
    let forged = victim.cookie.replace('.', "A.");
    let with = |state| {
        vec![
            ("code", code.as_str()),
            ("state", state),
            ("iss", iss.as_str()),
        ]
    };
    let cases: Vec<(&str, Option<&str>, Answer<'_>, &str, &str)> = vec![
        (
            "another's sign-in, without a cookie",
            None,
            with(foreign),
            "browser",
            "start_again",
        ),
        (
            "another's sign-in, in a browser with one of its own",
            cookie,
            with(foreign),
            "state",
            "start_again",
        ),
        ("an empty state", cookie, with(""), "state", "start_again"),
        (
            "no state",
            cookie,
            vec![("code", &code), ("iss", &iss)],
            "state",
            "start_again",
        ),
        (
            "a cookie that somebody made",
            Some(&forged),
            with(own),
            "browser",
            "start_again",
        ),
        (
            "a session in place of the sign-in",
            Some("kura_sign_in=AAAA"),
            with(own),
            "browser",
            "start_again",
        ),
    ];
    for (what, cookie, answer, reason, shown) in cases {
        let reply = desk.come_back(cookie, &answer);
        desk.assert_refused(what, &reply, reason, shown);
    }
    // None of those has used up the victim's sign-in, or the code.
    let own_code = desk.provider.grant(&victim.asked, &taro);
    let reply = desk.redeem(&victim, &own_code);
    assert!(session(&reply).is_some(), "{reply:?}");
    let again = desk.redeem(&victim, &own_code);
    desk.assert_refused("the same answer again", &again, "used", "start_again");
    assert_eq!(desk.provider.script().hits["/token"], 1);

    let replayed = desk.redeem(&desk.begin(), &own_code);
    desk.assert_refused("a used code in a new sign-in", &replayed, "code", "refused");
    // PKCE: the code was given for another verifier.
    let injected = desk.redeem(&desk.begin(), &code);
    desk.assert_refused("another's code in one's own", &injected, "code", "refused");
    let unknown = desk.redeem(&desk.begin(), "code-of-nobody");
    desk.assert_refused("a code that nobody gave", &unknown, "code", "refused");
}

#[test]
fn answers_of_another_provider_and_refusals_are_told_apart() {
    let desk = Desk::new(|_| ());
    let taro = person("1", "taro", &[]);
    let iss = desk.provider.url.clone();
    let answers: Vec<(&str, Answer<'_>, &str, &str)> = vec![
        (
            "mix-up",
            vec![("code", "CODE"), ("iss", "https://evil.example")],
            "response_issuer",
            "refused",
        ),
        (
            "no issuer, though the provider names itself",
            vec![("code", "CODE")],
            "response_issuer",
            "refused",
        ),
        (
            "an error of another provider",
            vec![("error", "access_denied"), ("iss", "https://evil.example")],
            "response_issuer",
            "refused",
        ),
        (
            "the person said no",
            vec![("error", "access_denied"), ("iss", &iss)],
            "denied",
            "denied",
        ),
        (
            "an error beside a code",
            vec![("error", "server_error"), ("code", "CODE"), ("iss", &iss)],
            "denied",
            "denied",
        ),
        ("nothing", vec![("iss", &iss)], "no_code", "refused"),
        (
            "an empty code",
            vec![("code", ""), ("iss", &iss)],
            "no_code",
            "refused",
        ),
    ];
    for (what, answer, reason, shown) in answers {
        let begun = desk.begin();
        let code = desk.provider.grant(&begun.asked, &taro);
        let mut answer: Vec<(&str, &str)> = answer
            .into_iter()
            .map(|(name, value)| {
                (
                    name,
                    if value == "CODE" {
                        code.as_str()
                    } else {
                        value
                    },
                )
            })
            .collect();
        answer.push(("state", &begun.asked["state"]));
        let reply = desk.come_back(Some(&begun.cookie), &answer);
        desk.assert_refused(what, &reply, reason, shown);
    }
    assert_eq!(desk.provider.script().hits.get("/token"), None);
    // What comes twice has no meaning.
    let begun = desk.begin();
    let twice = [("state", "a"), ("state", "b")];
    desk.come_back(Some(&begun.cookie), &twice)
        .assert_problem(400, "invalid_request");
}

#[test]
fn nobody_is_led_elsewhere() {
    let desk = Desk::new(|_| ());
    for elsewhere in [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "javascript:alert(1)",
        "/\t/evil.example",
        "/a\r\nlocation: https://evil.example",
        "/api/v1/session/oidc/start",
        "documents",
    ] {
        let reply = desk.start(elsewhere);
        reply.assert_problem(400, "invalid_request");
        assert_eq!(reply.header("location"), None);
        assert_eq!(reply.header("set-cookie"), None);
    }
    // The address to come back to is the configured one, whatever the request says of its host.
    let begun = desk.begin();
    assert!(begun.asked["redirect_uri"].starts_with(PUBLIC), "{begun:?}");
}

#[test]
fn a_provider_that_points_elsewhere_or_is_another_is_not_used() {
    let attacks: &[Attack] = &[
        (
            "another issuer",
            |s| s.description = json!({ "issuer": "https://evil.example" }),
            "discovery",
        ),
        (
            "tokens elsewhere",
            |s| s.description = json!({ "token_endpoint": "https://evil.example/token" }),
            "discovery",
        ),
        (
            "keys elsewhere",
            |s| s.description = json!({ "jwks_uri": "https://evil.example/jwks" }),
            "discovery",
        ),
        (
            "keys in the network's own metadata",
            |s| s.description = json!({ "jwks_uri": "http://169.254.169.254/latest" }),
            "discovery",
        ),
        (
            "people elsewhere",
            |s| s.description = json!({ "authorization_endpoint": "https://evil.example/" }),
            "discovery",
        ),
        (
            "people to a script",
            |s| s.description = json!({ "authorization_endpoint": "javascript:alert(1)" }),
            "discovery",
        ),
        (
            "claims elsewhere",
            |s| s.description = json!({ "userinfo_endpoint": "https://evil.example/" }),
            "discovery",
        ),
        (
            "signing out elsewhere",
            |s| s.description = json!({ "end_session_endpoint": "https://evil.example/" }),
            "discovery",
        ),
        (
            "no token endpoint",
            |s| s.description = json!({ "token_endpoint": null }),
            "discovery",
        ),
        (
            "no signatures worth the name",
            |s| {
                s.description =
                    json!({ "id_token_signing_alg_values_supported": ["none", "HS256"] });
            },
            "discovery",
        ),
        (
            "no description",
            |s| reply_with(s, "/.well-known/openid-configuration", 200, b"{}"),
            "discovery",
        ),
        (
            "a failure",
            |s| reply_with(s, "/.well-known/openid-configuration", 500, b"{}"),
            "unreachable",
        ),
        (
            "a description without end",
            |s| {
                let large = vec![b' '; 3 << 20];
                reply_with(s, "/.well-known/openid-configuration", 200, &large);
            },
            "unreachable",
        ),
        (
            "a redirect",
            |s| {
                let to = ("location", "/jwks".to_owned());
                s.answers
                    .insert("/.well-known/openid-configuration", (302, to, Vec::new()));
            },
            "unreachable",
        ),
        (
            "keys that fail",
            |s| reply_with(s, "/jwks", 503, b"{}"),
            "unreachable",
        ),
        (
            "keys that are none",
            |s| reply_with(s, "/jwks", 200, b"[1, 2"),
            "discovery",
        ),
    ];
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for (what, attack, reason) in attacks {
        // A kura each, which has not heard of the provider.
        let desk = Desk::new(|_| ());
        attack(&mut desk.provider.script());
        let oidc = desk.app.app.oidc.as_ref().unwrap();
        let refusal = runtime.block_on(oidc.begin("/")).unwrap_err();
        assert_eq!(refusal.reason.name(), *reason, "{what}: {refusal}");
        let reply = desk.start("/");
        let location = reply.header("location");
        assert_eq!(location, Some("/?sign_in=unavailable"), "{what}");
        assert_eq!(reply.header("set-cookie"), None, "{what}");
        // kura asks again once the provider is well.
        desk.provider.behave();
        desk.enter(&person("1", "taro", &[]));
    }
}

fn reply_with(script: &mut Script, path: &'static str, status: u16, body: &[u8]) {
    let kind = ("content-type", "application/json".to_owned());
    script.answers.insert(path, (status, kind, body.to_vec()));
}

#[test]
fn a_token_endpoint_that_misbehaves_keeps_nobody_waiting() {
    let desk = Desk::new(|_| ());
    let taro = person("1", "taro", &[]);
    desk.enter(&taro);
    let attacks: &[Told] = &[
        (
            "a redirect",
            |s| {
                let to = ("location", "/jwks".to_owned());
                s.answers.insert("/token", (307, to, Vec::new()));
            },
            "token_answer",
            "refused",
        ),
        (
            "a failure",
            |s| reply_with(s, "/token", 500, b"oh no"),
            "token_answer",
            "refused",
        ),
        (
            "an answer without end",
            |s| reply_with(s, "/token", 200, &vec![b' '; 3 << 20]),
            "unreachable",
            "unavailable",
        ),
        (
            "no answer",
            |s| s.slow = Some(("/token", Duration::from_secs(60))),
            "unreachable",
            "unavailable",
        ),
    ];
    for (what, attack, reason, shown) in attacks {
        let before = desk.provider.script().hits["/jwks"];
        attack(&mut desk.provider.script());
        let begun = Instant::now();
        let reply = desk.sign_in(&taro);
        desk.assert_refused(what, &reply, reason, shown);
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        // No redirect was followed.
        assert_eq!(desk.provider.script().hits["/jwks"], before, "{what}");
        desk.provider.behave();
    }
    desk.enter(&taro);
}

#[test]
fn cookies_are_for_tls_alone_where_there_is_tls() {
    let desk = Desk::new(|_| ());
    let mut config = desk.app.app.config.auth.clone();
    config.public_url = "https://kura.example.com".to_owned();
    let set = kura::auth::cookie::set_flow("x", &config).unwrap();
    assert_eq!(
        set,
        "__Host-kura_sign_in=x; Max-Age=600; Path=/; HttpOnly; SameSite=Lax; Secure"
    );
}

#[test]
fn without_a_provider_there_is_nothing_of_it() {
    let app = kura_tests::TestApp::start();
    let ways: Value = app.anonymous().get("/api/v1/session/oidc").json();
    assert_eq!(ways, json!({ "offered": false, "label": null }));
    for path in ["start", "callback"] {
        let reply = app.anonymous().get(&format!("/api/v1/session/oidc/{path}"));
        reply.assert_problem(404, "not_found");
    }
    let body = json!({ "name": "taro", "subject": "1" });
    app.client
        .post("/api/v1/users", &body)
        .assert_problem(400, "invalid_request");
}

#[test]
fn commands_add_users_of_the_provider_and_hand_over_others() {
    let none = Kura::new();
    let refused = none.run(["users", "add", "taro", "--subject", "1"]);
    assert!(
        refused.code != 0 && refused.stderr.contains("auth.oidc"),
        "{refused:?}"
    );
    let kura = none
        .env("KURA__AUTH__PUBLIC_URL", "https://kura.example.com")
        .env("KURA__AUTH__OIDC__ISSUER", "https://login.example.com")
        .env("KURA__AUTH__OIDC__CLIENT_ID", "kura")
        .env("KURA__AUTH__OIDC__DEFAULT_ROLE", "reader");
    let made = kura.run(["users", "add", "taro", "--subject", "1", "--json"]);
    assert_eq!(made.json()["source"], "https://login.example.com");
    let file = kura.write("password", "correct horse battery\n");
    let file = file.to_str().unwrap();
    let made = kura.run(["users", "add", "hanako", "--password-file", file]);
    assert_eq!(made.code, 0, "{made:?}");
    let taken = kura.run(["users", "link", "hanako", "--subject", "1"]);
    assert!(
        taken.code != 0 && taken.stderr.contains("`taro`"),
        "{taken:?}"
    );
    let linked = kura.run(["users", "link", "hanako", "--subject", "2"]);
    assert_eq!(linked.code, 0, "{linked:?}");
    let users = kura.run(["users", "list"]);
    assert_eq!(
        users.stdout.matches("at https://login.example.com").count(),
        2,
        "{users:?}"
    );

    let broken = kura.env("KURA__AUTH__OIDC__ISSUER", "http://login.example.com");
    let refused = broken.run(["users", "list"]);
    for word in ["auth.oidc.issuer", "KURA__AUTH__OIDC__ISSUER", "https"] {
        assert!(
            refused.code != 0 && refused.stderr.contains(word),
            "{refused:?}"
        );
    }
}

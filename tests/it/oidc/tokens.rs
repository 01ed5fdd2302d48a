//! Tokens that are forged, for others or of other times, and keys that change.

use super::Attack;
use super::desk::{Desk, person};
use super::provider::{SECRET, Script, Signer, public, tampered};
use serde_json::json;

/// Signs in once with each attack, and once as it should be before, between and after.
fn try_all(desk: &Desk, attacks: &[Attack]) {
    let taro = person("1", "taro", &[]);
    desk.enter(&taro);
    for (what, attack, reason) in attacks {
        attack(&mut desk.provider.script());
        let reply = desk.sign_in(&taro);
        desk.assert_refused(what, &reply, reason, "refused");
        desk.provider.behave();
    }
    desk.enter(&taro);
    let sessions = desk.enter(&taro).get("/api/v1/sessions").json();
    assert_eq!(sessions["items"].as_array().unwrap().len(), 3, "{sessions}");
}

#[test]
fn forged_tokens_are_refused_for_what_is_wrong_with_them() {
    let desk = Desk::new(|_| ());
    let attacks: &[Attack] = &[
        ("alg none", |s| s.signer = Signer::Nobody, "unsigned"),
        (
            "alg None",
            |s| {
                s.signer = Signer::Nobody;
                s.header = json!({ "alg": "None" });
            },
            "token_answer",
        ),
        (
            "alg none over a signature",
            |s| s.header = json!({ "alg": "none" }),
            "unsigned",
        ),
        (
            "the client's secret as key",
            |s| s.signer = Signer::Shared(SECRET.as_bytes()),
            "algorithm",
        ),
        (
            "the public key as shared secret",
            |s| s.signer = Signer::PublicKey,
            "algorithm",
        ),
        (
            "a shared key among the provider's",
            |s| {
                s.keys = vec![(
                    0,
                    json!({ "kty": "oct", "k": "c2hhcmVk", "alg": "HS256", "n": null, "e": null }),
                )];
                s.signer = Signer::Shared(b"shared");
            },
            "algorithm",
        ),
        (
            "an algorithm that the provider does not use",
            |s| s.signer = Signer::Pss(0),
            "algorithm",
        ),
        (
            "another key under the provider's name",
            |s| {
                s.signer = Signer::Key(1);
                s.header = json!({ "kid": "key-0" });
            },
            "signature",
        ),
        (
            "a key that is not published",
            |s| s.signer = Signer::Key(1),
            "unknown_key",
        ),
        (
            "a key in the token itself",
            |s| {
                s.signer = Signer::Key(1);
                s.header = json!({ "kid": "key-0", "jwk": public(1) });
            },
            "signature",
        ),
        (
            "no signature",
            |s| s.mangle = |token| format!("{}.", token.rsplit_once('.').unwrap().0),
            "signature",
        ),
        (
            "claims of another token",
            |s| s.mangle = tampered,
            "signature",
        ),
        (
            "a signature with a changed bit",
            |s| {
                s.mangle = |token| {
                    let (signed, signature) = token.rsplit_once('.').unwrap();
                    let flipped = if signature.starts_with('A') { "B" } else { "A" };
                    format!("{signed}.{flipped}{}", &signature[1..])
                }
            },
            "signature",
        ),
        (
            "two keys and no name",
            |s| {
                s.header = json!({ "kid": null });
                s.keys = vec![(0, json!({})), (1, json!({}))];
                // The keys of before are known; that its one key has not signed has them asked for.
                s.signer = Signer::Key(1);
            },
            "ambiguous_key",
        ),
        (
            "a token of another kind",
            |s| s.header = json!({ "typ": "logout+jwt" }),
            "form",
        ),
        (
            "an access token",
            |s| s.header = json!({ "typ": "at+jwt" }),
            "form",
        ),
        (
            "extensions that count",
            |s| s.header = json!({ "crit": ["b64"], "b64": false }),
            "form",
        ),
        (
            "a token in a token",
            |s| s.header = json!({ "cty": "JWT" }),
            "form",
        ),
        (
            "no token",
            |s| s.tokens = json!({ "id_token": "none at all" }),
            "token_answer",
        ),
        (
            "an encrypted token",
            |s| s.tokens = json!({ "id_token": "a.b.c.d.e" }),
            "token_answer",
        ),
        (
            "no ID token",
            |s| s.tokens = json!({ "id_token": null }),
            "no_id_token",
        ),
    ];
    assert!(attacks.len() > 20);
    try_all(&desk, attacks);
}

#[test]
fn tokens_for_others_and_of_other_times_are_refused() {
    let desk = Desk::new(|_| ());
    let attacks: &[Attack] = &[
        (
            "another issuer",
            |s| s.claims = json!({ "iss": "https://evil.example" }),
            "issuer",
        ),
        (
            "nearly the issuer",
            |s| s.claims = json!({ "iss": "http://127.0.0.1/" }),
            "issuer",
        ),
        (
            "no issuer",
            |s| s.claims = json!({ "iss": null }),
            "token_answer",
        ),
        (
            "another audience",
            |s| s.claims = json!({ "aud": "another" }),
            "audience",
        ),
        (
            "no audience",
            |s| s.claims = json!({ "aud": null }),
            "audience",
        ),
        (
            "an empty audience",
            |s| s.claims = json!({ "aud": [] }),
            "audience",
        ),
        (
            "one audience too many",
            |s| s.claims = json!({ "aud": ["kura", "another"], "azp": "kura" }),
            "audience",
        ),
        (
            "another authorized party",
            |s| s.claims = json!({ "azp": "another" }),
            "authorized_party",
        ),
        (
            "another sign-in's nonce",
            |s| s.claims = json!({ "nonce": "another" }),
            "nonce",
        ),
        ("no nonce", |s| s.claims = json!({ "nonce": null }), "nonce"),
        (
            "expired",
            |s| s.claims = json!({ "iat": seconds(-700), "exp": seconds(-100) }),
            "expired",
        ),
        (
            "no end",
            |s| s.claims = json!({ "exp": null }),
            "token_answer",
        ),
        (
            "an end that is no time",
            |s| s.claims = json!({ "exp": "tomorrow" }),
            "token_answer",
        ),
        (
            "from the future",
            |s| s.claims = json!({ "iat": seconds(100) }),
            "not_yet_valid",
        ),
        (
            "not good yet",
            |s| s.claims = json!({ "nbf": seconds(100) }),
            "not_yet_valid",
        ),
        (
            "another access token",
            |s| s.claims = json!({ "at_hash": "AAAAAAAAAAAAAAAAAAAAAA" }),
            "access_token",
        ),
        (
            "an empty subject",
            |s| s.claims = json!({ "sub": "" }),
            "subject",
        ),
        (
            "no subject",
            |s| s.claims = json!({ "sub": null }),
            "token_answer",
        ),
        (
            "a subject that is too long",
            |s| s.claims = json!({ "sub": "x".repeat(256) }),
            "subject",
        ),
        (
            "a subject that is a list",
            |s| s.claims = json!({ "sub": ["1"] }),
            "token_answer",
        ),
        (
            "a subject with a line of its own",
            |s| s.claims = json!({ "sub": "1\n2" }),
            "subject",
        ),
        (
            "claims of another person",
            |s| {
                s.claims = json!({ "groups": null });
                s.user_info = json!({ "sub": "2", "groups": ["admins"] });
            },
            "user_info",
        ),
        (
            "no claims",
            |s| {
                s.claims = json!({ "groups": null });
                s.answers.insert(
                    "/userinfo",
                    (500, ("content-type", "text/plain".to_owned()), Vec::new()),
                );
            },
            "user_info",
        ),
    ];
    try_all(&desk, attacks);
}

fn seconds(from_now: i64) -> i64 {
    jiff::Timestamp::now().as_second() + from_now
}

#[test]
fn clocks_may_differ_as_far_as_is_configured() {
    let desk = Desk::new(|oidc| oidc.clock_skew_secs = 60);
    let taro = person("1", "taro", &[]);
    for claims in [
        json!({ "iat": seconds(40), "nbf": seconds(40), "exp": seconds(300) }),
        json!({ "iat": seconds(-340), "exp": seconds(-40) }),
    ] {
        desk.provider.script().claims = claims;
        desk.enter(&taro);
    }
    let exact = Desk::new(|oidc| oidc.clock_skew_secs = 0);
    for (claims, reason) in [
        (json!({ "iat": seconds(20) }), "not_yet_valid"),
        (json!({ "exp": seconds(-1) }), "expired"),
    ] {
        exact.provider.script().claims = claims;
        exact.assert_refused(reason, &exact.sign_in(&taro), reason, "refused");
    }
}

#[test]
fn keys_change_and_old_ones_are_void() {
    let desk = Desk::new(|_| ());
    let taro = person("1", "taro", &[]);
    desk.enter(&taro);
    let asked = |desk: &Desk| desk.provider.script().hits["/jwks"];
    assert_eq!(asked(&desk), 1);
    desk.enter(&taro);
    assert_eq!(asked(&desk), 1, "the keys are kept");
    // The provider goes over to another key.
    let next = |s: &mut Script| {
        s.keys = vec![(1, json!({}))];
        s.signer = Signer::Key(1);
    };
    next(&mut desk.provider.script());
    desk.enter(&taro);
    assert_eq!(asked(&desk), 2);
    // Whoever has found the old one can do nothing with it.
    desk.provider.script().signer = Signer::Key(0);
    let reply = desk.sign_in(&taro);
    desk.assert_refused("the key of before", &reply, "unknown_key", "refused");
    // Names that nobody knows have the provider asked a few times, and not as often as anyone likes.
    for _ in 0..20 {
        desk.assert_refused("a flood", &desk.sign_in(&taro), "unknown_key", "refused");
    }
    assert!((3..=7).contains(&asked(&desk)), "{}", asked(&desk));
    next(&mut desk.provider.script());
    desk.enter(&taro);
}

#[test]
fn keys_without_a_name_change_too() {
    let desk = Desk::new(|_| ());
    let taro = person("1", "taro", &[]);
    for n in [0, 1, 2] {
        let mut script = desk.provider.script();
        script.keys = vec![(n, json!({ "kid": null }))];
        script.signer = Signer::Key(n);
        script.header = json!({ "kid": null });
        drop(script);
        desk.enter(&taro);
    }
}

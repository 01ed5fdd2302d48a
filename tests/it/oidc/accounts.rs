//! Who becomes whom, and may do what.

use super::desk::{Desk, person};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

fn add_local(desk: &Desk, name: &str) {
    let body = json!({ "name": name, "password": PASSWORD, "email": "taro@example.com" });
    let made = desk.app.client.post("/api/v1/users", &body);
    assert_eq!(made.status, 201, "{made:?}");
}

fn patch(desk: &Desk, name: &str, body: &Value) -> kura_tests::Reply {
    let body = Some(("application/json", body.to_string().into_bytes()));
    let path = format!("/api/v1/users/{name}");
    desk.app.client.send("PATCH", &path, body)
}

fn groups(desk: &Desk, name: &str) -> Value {
    let user = desk.app.client.get(&format!("/api/v1/users/{name}"));
    user.json()["groups"].clone()
}

#[test]
fn a_name_or_an_address_makes_nobody_somebody_else() {
    let desk = Desk::new(|_| ());
    add_local(&desk, "taro");
    let reply = desk.sign_in(&person("1", "Ｔaro", &[]));
    desk.assert_refused("a local user's name", &reply, "name_taken", "name_taken");
    // Local passwords go on, for the day when the provider is down.
    let body = json!({ "name": "taro", "password": PASSWORD });
    let signed_in = desk.app.anonymous().post("/api/v1/session", &body);
    assert_eq!(signed_in.status, 200, "{signed_in:?}");

    // The same address, and another person.
    let mut hanako = person("2", "hanako", &[]);
    hanako["email"] = json!("taro@example.com");
    let me = desk.enter(&hanako).get("/api/v1/session").json();
    assert_eq!(me["name"], "hanako");
    // Whom the provider calls like somebody else of it.
    let reply = desk.sign_in(&person("3", "hanako", &[]));
    desk.assert_refused("another's name", &reply, "name_taken", "name_taken");
    // Who is called otherwise now is who they were.
    let me = desk.enter(&person("2", "taro", &[])).get("/api/v1/session");
    assert_eq!(me.json()["name"], "hanako");
    assert_eq!(me.json()["display_name"], "taro of the provider");

    let gone = desk.app.client.delete("/api/v1/users/hanako");
    assert_eq!(gone.status, 204, "{gone:?}");
    let reply = desk.sign_in(&person("2", "hanako", &[]));
    desk.assert_refused(
        "the name of who is gone",
        &reply,
        "name_taken",
        "name_taken",
    );
    for (name, what) in [
        ("no name", "a space"),
        ("", "empty"),
        ("local-operator", "kura's"),
    ] {
        let reply = desk.sign_in(&person("4", name, &[]));
        desk.assert_refused(what, &reply, "no_login", "name_taken");
    }
    let mut nameless = person("4", "x", &[]);
    nameless["preferred_username"] = Value::Null;
    let reply = desk.sign_in(&nameless);
    desk.assert_refused("no name", &reply, "no_login", "name_taken");
}

#[test]
fn a_disabled_user_stays_out() {
    let desk = Desk::new(|_| ());
    let taro = person("1", "taro", &[]);
    let page = desk.enter(&taro);
    assert_eq!(
        patch(&desk, "taro", &json!({ "active": false })).status,
        200
    );
    assert_eq!(page.get("/api/v1/session").status, 401);
    let reply = desk.sign_in(&taro);
    desk.assert_refused("disabled", &reply, "disabled", "disabled");
    let record = desk.record_of(&reply);
    assert!(record.target.contains_key("user"), "{record:?}");
    assert_eq!(patch(&desk, "taro", &json!({ "active": true })).status, 200);
    desk.enter(&taro);
}

#[test]
fn groups_and_role_are_those_of_the_last_sign_in() {
    let desk = Desk::new(|oidc| {
        oidc.group_prefix = "sso-".to_owned();
        oidc.groups = vec!["/People & Culture=hr".to_owned()];
        oidc.admin_groups = vec!["admins".to_owned()];
        oidc.editor_groups = vec!["writers".to_owned()];
    });
    for group in ["finance", "sso-board"] {
        let made = desk
            .app
            .client
            .post("/api/v1/groups", &json!({ "name": group }));
        assert_eq!(made.status, 201, "{made:?}");
    }
    let with = |groups: &[&str]| person("1", "taro", groups);
    // Groups that were made in kura are nobody's by the word of the provider, whatever it calls its own.
    let first = desk.enter(&with(&[
        "finance",
        "board",
        "writers",
        "/People & Culture",
        "user:x",
    ]));
    assert_eq!(
        groups(&desk, "taro"),
        json!(["hr", "sso-finance", "sso-writers"])
    );
    let record = desk.last().unwrap();
    let signed_in = desk.records();
    let signed_in = signed_in
        .iter()
        .find(|found| found.action == "session.create");
    let left_out = &signed_in.unwrap().details["groups_left_out"];
    assert_eq!(*left_out, json!(["sso-board"]), "{record:?}");

    // What an administrator gives stays; what the provider takes goes.
    let members = json!({ "users": ["taro"] }).to_string().into_bytes();
    let path = "/api/v1/groups/finance/members";
    let put = desk
        .app
        .client
        .send("PUT", path, Some(("application/json", members)));
    assert_eq!(put.status, 200, "{put:?}");
    let second = desk.enter(&with(&["writers"]));
    assert_eq!(groups(&desk, "taro"), json!(["finance", "sso-writers"]));
    assert_eq!(first.get("/api/v1/session").status, 200);

    // Another role ends the sessions of before.
    let third = desk.enter(&with(&["writers", "admins"]));
    assert_eq!(third.get("/api/v1/session").json()["role"], "admin");
    assert_eq!(second.get("/api/v1/session").status, 401);
    let last = desk.enter(&with(&[]));
    let me = last.get("/api/v1/session").json();
    assert_eq!(
        (&me["role"], &me["groups"]),
        (&json!("reader"), &json!(["finance"]))
    );

    // A list of members that is written back as it was read makes nothing of it an administrator's.
    desk.enter(&with(&["writers"]));
    let members = json!({ "users": ["taro"] }).to_string().into_bytes();
    let path = "/api/v1/groups/sso-writers/members";
    let put = desk
        .app
        .client
        .send("PUT", path, Some(("application/json", members)));
    assert_eq!(put.json()["source"], desk.provider.url.as_str());
    desk.enter(&with(&[]));
    assert_eq!(groups(&desk, "taro"), json!(["finance"]));
}

#[test]
fn without_a_role_nobody_comes_in() {
    let desk = Desk::new(|oidc| {
        oidc.default_role = String::new();
        oidc.reader_groups = vec!["staff".to_owned()];
        oidc.require_claims = vec!["hd=example.com".to_owned()];
    });
    let mut taro = person("1", "taro", &["Staff", "staff2"]);
    let reply = desk.sign_in(&taro);
    desk.assert_refused("another company", &reply, "claim", "no_role");
    taro["hd"] = json!("example.com");
    let reply = desk.sign_in(&taro);
    desk.assert_refused("no group that counts", &reply, "no_role", "no_role");
    taro["groups"] = json!(["staff"]);
    desk.enter(&taro);
    taro["groups"] = json!([]);
    let reply = desk.sign_in(&taro);
    desk.assert_refused("not any more", &reply, "no_role", "no_role");
    taro["groups"] = Value::Null;
    taro["_claim_names"] = json!({ "groups": "elsewhere" });
    // As it comes without a second source for the groups.
    desk.provider.script().user_info = json!({});
    let reply = desk.sign_in(&taro);
    desk.assert_refused("too many", &reply, "too_many_groups", "too_many_groups");
}

#[test]
fn groups_may_come_beside_the_token() {
    let desk = Desk::new(|oidc| oidc.editor_groups = vec!["writers".to_owned()]);
    let mut taro = person("1", "taro", &[]);
    taro["groups"] = Value::Null;
    taro["preferred_username"] = Value::Null;
    desk.provider.script().user_info =
        json!({ "preferred_username": "taro", "groups": ["writers"] });
    let me = desk.enter(&taro).get("/api/v1/session").json();
    assert_eq!(
        (&me["name"], &me["role"]),
        (&json!("taro"), &json!("editor"))
    );
    // What is signed counts.
    taro["groups"] = json!([]);
    let me = desk.enter(&taro).get("/api/v1/session").json();
    assert_eq!(me["role"], "reader");
}

#[test]
fn only_who_was_added_comes_in_if_that_is_wanted() {
    let desk = Desk::new(|oidc| oidc.create_users = false);
    let taro = person("1", "taro", &[]);
    desk.assert_refused("unknown", &desk.sign_in(&taro), "unknown", "unknown");
    let body = json!({ "name": "yamada", "subject": "1" });
    let made = desk.app.client.post("/api/v1/users", &body);
    assert_eq!(made.status, 201, "{made:?}");
    let me = desk.enter(&taro).get("/api/v1/session").json();
    assert_eq!(me["name"], "yamada");
    // There is no password beside it, and nobody gets one.
    patch(&desk, "yamada", &json!({ "password": PASSWORD })).assert_problem(400, "invalid_request");
    patch(&desk, "yamada", &json!({ "role": "admin" })).assert_problem(400, "invalid_request");
    let twice = json!({ "name": "other", "subject": "1" });
    let made = desk.app.client.post("/api/v1/users", &twice);
    made.assert_problem(400, "invalid_request");
}

#[test]
fn a_local_user_can_be_handed_over_to_the_provider() {
    let desk = Desk::new(|_| ());
    add_local(&desk, "taro");
    let body = json!({ "name": "taro", "password": PASSWORD });
    let local = desk.page(&desk.app.anonymous().post("/api/v1/session", &body));
    let linked = patch(&desk, "taro", &json!({ "subject": "1" }));
    assert_eq!(linked.json()["source"], desk.provider.url.as_str());
    assert_eq!(local.get("/api/v1/session").status, 401);
    let again = desk.app.anonymous().post("/api/v1/session", &body);
    again.assert_problem(401, "invalid_credentials");
    let me = desk.enter(&person("1", "taro", &[])).get("/api/v1/session");
    assert_eq!(me.json()["id"], linked.json()["id"]);
}

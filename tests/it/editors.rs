//! Who may change what: the role says what kind of thing, the membership in a collection where.

use kura_tests::{Client, Reply, TestApp};
use serde_json::json;

const PASSWORD: &str = "correct horse battery";

fn person(app: &TestApp, name: &str, role: &str) -> Client {
    let body = json!({ "name": name, "role": role, "password": PASSWORD });
    assert_eq!(app.client.post("/api/v1/users", &body).status, 201);
    let body = json!({ "name": name, "password": PASSWORD });
    let reply = app.anonymous().post("/api/v1/session", &body);
    let cookie = reply.header("set-cookie").unwrap();
    let cookie = cookie.split(';').next().unwrap();
    let headers = [("cookie", cookie), ("sec-fetch-site", "same-origin")];
    app.anonymous().with_headers(&headers)
}

fn put_members(client: &Client, collection: &str, members: &[(&str, &str)]) -> Reply {
    let members = members.iter();
    let list: Vec<_> = members
        .map(|(group, role)| json!({ "group": group, "role": role }))
        .collect();
    let path = format!("/api/v1/collections/{collection}/members");
    let body = serde_json::to_vec(&list).unwrap();
    client.send("PUT", &path, Some(("application/json", body)))
}

#[test]
fn an_editor_changes_only_where_the_collection_lets_him() {
    let app = TestApp::start();
    let (ann, ben, rita) = (
        person(&app, "ann", "editor"),
        person(&app, "ben", "editor"),
        person(&app, "rita", "reader"),
    );
    let made = ann.post(
        "/api/v1/collections",
        &json!({ "name": "plans", "members": [{ "group": "user:rita", "role": "editor" }] }),
    );
    assert_eq!(made.status, 201, "{made:?}");
    // Who makes a collection can fill it.
    let reply = ann.upload("plans", "a.txt", b"The plan of the harbor.");
    assert_eq!(reply.status, 202, "{reply:?}");
    let reply = reply.json();
    app.wait(reply["items"][0]["job"]["id"].as_str().unwrap());
    let id = reply["items"][0]["document"]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/v1/documents/{id}");

    // The role is not enough where the collection is not for one: it is as if it were not there.
    for reply in [
        ben.upload("plans", "b.txt", b"Another plan."),
        put_members(&ben, "plans", &[("user:ben", "editor")]),
        ben.delete("/api/v1/collections/plans"),
    ] {
        reply.assert_problem(404, "unknown_collection");
    }
    ben.delete(&path).assert_problem(404, "unknown_document");

    // Nor where one may only read.
    let members = [
        ("user:ann", "editor"),
        ("user:rita", "editor"),
        ("everyone", "reader"),
    ];
    assert_eq!(put_members(&ann, "plans", &members).status, 200);
    assert_eq!(ben.get(&path).status, 200);
    for reply in [
        ben.upload("plans", "b.txt", b"Another plan."),
        put_members(&ben, "plans", &[("user:ben", "editor")]),
        ben.delete("/api/v1/collections/plans"),
        ben.delete(&path),
    ] {
        reply.assert_problem(403, "forbidden");
    }

    // And an editor of the collection changes nothing without the role.
    for reply in [
        rita.upload("plans", "c.txt", b"A third plan."),
        put_members(&rita, "plans", &[("user:rita", "editor")]),
        rita.delete(&path),
    ] {
        reply.assert_problem(403, "forbidden");
    }

    // With both one may.
    let members = [("user:ann", "editor"), ("user:ben", "editor")];
    assert_eq!(put_members(&ann, "plans", &members).status, 200);
    assert_eq!(ben.delete(&path).status, 204);
    assert_eq!(rita.get(&path).status, 404);
}

#[test]
fn a_user_makes_no_collection_by_adding_to_it() {
    let app = TestApp::start();
    let ann = person(&app, "ann", "editor");
    let hidden = app.client.post(
        "/api/v1/collections",
        &json!({ "name": "hidden", "members": [] }),
    );
    assert_eq!(hidden.status, 201, "{hidden:?}");
    let [missing, hidden] = ["missing", "hidden"].map(|name| {
        let reply = ann.upload(name, "a.txt", b"A plan.");
        reply.assert_problem(404, "unknown_collection");
        let problem = reply.json()["detail"].as_str().unwrap().to_owned();
        problem.replace(name, "NAME")
    });
    assert_eq!(missing, hidden);
}

//! A directory says by SCIM who there is, and the same people sign in at the identity provider.

use super::desk::{Desk, person};
use kura::audit::operations;
use kura_tests::{Client, Reply};
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PASSWORD: &str = "correct horse battery";
const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";

/// A directory with an API key of an administrator, as one is set up.
fn directory(desk: &Desk) -> Client {
    let service = json!({ "name": "directory", "kind": "service", "role": "admin" });
    assert_eq!(desk.app.client.post("/api/v1/users", &service).status, 201);
    let key = json!({ "name": "scim", "user": "directory" });
    let made = desk.app.client.post("/api/v1/api-keys", &key).json();
    Client::new(desk.app.client.url(), made["key"].as_str())
}

fn send(client: &Client, method: &str, path: &str, body: &Value) -> Reply {
    let body = Some(("application/scim+json", body.to_string().into_bytes()));
    client.send(method, path, body)
}

fn add_user(directory: &Client, name: &str) -> String {
    let body =
        json!({ "userName": name, "externalId": format!("ext-{name}"), "displayName": name });
    id_of(&send(directory, "POST", "/scim/v2/Users", &body))
}

fn add_group(directory: &Client, name: &str, members: &[&str]) -> String {
    let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
    let body = json!({ "displayName": name, "members": members });
    id_of(&send(directory, "POST", "/scim/v2/Groups", &body))
}

fn id_of(made: &Reply) -> String {
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.header("content-type"), Some("application/scim+json"));
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let location = made.header("location").unwrap();
    assert!(location.ends_with(&format!("/{id}")), "{location}");
    id
}

fn patch(directory: &Client, path: &str, operations: &Value) -> Reply {
    let body = json!({ "schemas": [PATCH_OP], "Operations": operations });
    send(directory, "PATCH", path, &body)
}

fn assert_refused(reply: &Reply, status: u16, keyword: Option<&str>) {
    assert_eq!(reply.status, status, "{reply:?}");
    let body = reply.json();
    assert_eq!(
        body["schemas"],
        json!(["urn:ietf:params:scim:api:messages:2.0:Error"])
    );
    assert_eq!(body["status"], status.to_string());
    assert_eq!(body["scimType"].as_str(), keyword, "{body}");
    assert!(!body["detail"].as_str().unwrap().is_empty());
}

fn found(client: &Client, query: &str) -> usize {
    let reply = client.post("/api/v1/search", &json!({ "query": query }));
    assert_eq!(reply.status, 200, "{reply:?}");
    reply.json()["items"].as_array().unwrap().len()
}

fn put_document(desk: &Desk, name: &str, words: &str, reader: &str) {
    let path = format!("/api/v1/collections/c/documents/{name}?readers=[%22{reader}%22]");
    let body = Some(("text/plain", words.as_bytes().to_vec()));
    let stored = desk.app.client.send("PUT", &path, body);
    assert_eq!(stored.status, 202, "{stored:?}");
    desk.app.wait(stored.json()["job"]["id"].as_str().unwrap());
}

/// All operations of SCIM that kura describes.
fn routes() -> BTreeSet<(String, String)> {
    let document = serde_json::to_value(kura::router::openapi()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let scim = paths.iter().filter(|(path, _)| path.starts_with("/scim/"));
    scim.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys();
        methods.map(|method| (method.to_uppercase(), path.clone()))
    })
    .collect()
}

#[test]
fn who_the_directory_announces_signs_in_and_loses_all_when_it_says_so() {
    let desk = Desk::new(|oidc| oidc.create_users = false);
    let directory = directory(&desk);
    // Nobody comes in whom the directory has not announced.
    let reply = desk.sign_in(&person("1", "taro", &[]));
    desk.assert_refused("not announced", &reply, "unknown", "unknown");

    let taro = add_user(&directory, "taro");
    let hr = add_group(&directory, "People & Culture", &[&taro]);
    let page = desk.enter(&person("1", "Taro", &[]));
    let me = page.get("/api/v1/session").json();
    assert_eq!(
        (&me["name"], &me["role"]),
        (&json!("taro"), &json!("reader"))
    );
    assert_eq!(me["groups"], json!(["People-Culture"]), "{me}");
    let user = desk.app.client.get("/api/v1/users/taro").json();
    assert_eq!(user["id"], taro.as_str());
    assert_eq!(user["source"], desk.provider.url.as_str());
    // The name is good for one person: somebody else whom the provider calls so is not them.
    let reply = desk.sign_in(&person("2", "taro", &[]));
    desk.assert_refused("another of that name", &reply, "unknown", "unknown");

    // What they may read is what the directory says now.
    assert_eq!(
        desk.app
            .client
            .post("/api/v1/collections", &json!({ "name": "c" }))
            .status,
        201
    );
    put_document(&desk, "hr", "the zeppelin of hr", "People-Culture");
    assert_eq!(found(&page, "zeppelin"), 1);
    let leave = json!([{ "op": "remove", "path": format!("members[value eq \"{taro}\"]") }]);
    assert_eq!(
        patch(&directory, &format!("/scim/v2/Groups/{hr}"), &leave).status,
        200
    );
    assert_eq!(found(&page, "zeppelin"), 0);
    let join = json!([{ "op": "add", "path": "members", "value": [{ "value": taro }] }]);
    assert_eq!(
        patch(&directory, &format!("/scim/v2/Groups/{hr}"), &join).status,
        200
    );
    assert_eq!(found(&page, "zeppelin"), 1);
    // Signing in again leaves the directory's groups as they are.
    let page = desk.enter(&person("1", "taro", &[]));
    assert_eq!(found(&page, "zeppelin"), 1);
    // A group that is called otherwise is still the one that documents name.
    let rename = json!([{ "op": "replace", "path": "displayName", "value": "HR" }]);
    let renamed = patch(&directory, &format!("/scim/v2/Groups/{hr}"), &rename);
    assert_eq!(renamed.json()["displayName"], "HR");
    assert_eq!(found(&page, "zeppelin"), 1);

    // Who leaves is out at once, with session and key.
    let made = page
        .post("/api/v1/api-keys", &json!({ "name": "mine" }))
        .json();
    let key = Client::new(desk.app.client.url(), made["key"].as_str());
    assert_eq!(found(&key, "zeppelin"), 1);
    let path = format!("/scim/v2/Users/{taro}");
    let disable = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    let disabled = patch(&directory, &path, &disable);
    assert_eq!(disabled.json()["active"], false, "{disabled:?}");
    assert_eq!(page.get("/api/v1/session").status, 401);
    assert_eq!(key.get("/api/v1/session").status, 401);
    let reply = desk.sign_in(&person("1", "taro", &[]));
    desk.assert_refused("disabled", &reply, "disabled", "disabled");
    // A replacement that does not say so lets nobody in again.
    let replaced = send(&directory, "PUT", &path, &json!({ "userName": "taro" }));
    assert_eq!(replaced.json()["active"], false, "{replaced:?}");
    assert_eq!(directory.delete(&path).status, 204);
    assert_refused(&directory.get(&path), 404, None);
    let again = send(
        &directory,
        "POST",
        "/scim/v2/Users",
        &json!({ "userName": "taro" }),
    );
    assert_refused(&again, 409, Some("uniqueness"));
}

#[test]
fn what_was_made_in_kura_is_none_of_the_directorys_business() {
    let desk = Desk::new(|_| ());
    let directory = directory(&desk);
    let root = json!({ "name": "root", "role": "admin", "password": PASSWORD });
    let root = desk.app.client.post("/api/v1/users", &root).json();
    let id = root["id"].as_str().unwrap();
    assert_eq!(
        desk.app
            .client
            .post("/api/v1/groups", &json!({ "name": "hr" }))
            .status,
        201
    );

    assert_refused(&directory.get(&format!("/scim/v2/Users/{id}")), 404, None);
    let disable = json!([{ "op": "replace", "path": "active", "value": false }]);
    assert_refused(
        &patch(&directory, &format!("/scim/v2/Users/{id}"), &disable),
        404,
        None,
    );
    assert_refused(
        &directory.delete(&format!("/scim/v2/Users/{id}")),
        404,
        None,
    );
    let same = send(
        &directory,
        "POST",
        "/scim/v2/Users",
        &json!({ "userName": "ＲＯＯＴ" }),
    );
    assert_refused(&same, 409, Some("uniqueness"));
    let same = send(
        &directory,
        "POST",
        "/scim/v2/Groups",
        &json!({ "displayName": "HR" }),
    );
    assert_refused(&same, 409, Some("uniqueness"));
    let body = json!({ "displayName": "new", "members": [{ "value": id }] });
    assert_refused(
        &send(&directory, "POST", "/scim/v2/Groups", &body),
        404,
        None,
    );
    let listed = directory.get("/scim/v2/Users").json();
    assert_eq!(listed["totalResults"], 0, "{listed}");
    // Nor does anybody but an administrator act as the directory.
    let reader = json!({ "name": "reader", "kind": "service", "role": "editor" });
    assert_eq!(desk.app.client.post("/api/v1/users", &reader).status, 201);
    let key = json!({ "name": "key", "user": "reader" });
    let key = desk.app.client.post("/api/v1/api-keys", &key).json();
    let reader = Client::new(desk.app.client.url(), key["key"].as_str());
    assert_refused(&reader.get("/scim/v2/Users"), 403, None);
    assert_refused(&desk.app.anonymous().get("/scim/v2/Users"), 401, None);
}

#[test]
fn changes_at_the_same_time_lose_nobody() {
    let desk = Desk::new(|_| ());
    let directory = directory(&desk);
    let group = add_group(&directory, "all", &[]);
    let people: Vec<String> = (0..24)
        .map(|n| add_user(&directory, &format!("person-{n}")))
        .collect();
    std::thread::scope(|scope| {
        for id in &people {
            let (directory, group) = (&directory, &group);
            scope.spawn(move || {
                let join = json!([{ "op": "add", "path": "members", "value": [{ "value": id }] }]);
                let joined = patch(directory, &format!("/scim/v2/Groups/{group}"), &join);
                assert_eq!(joined.status, 200, "{joined:?}");
            });
        }
    });
    let members = directory.get(&format!("/scim/v2/Groups/{group}")).json()["members"].clone();
    assert_eq!(members.as_array().unwrap().len(), people.len());

    // Pages and filters see the same people.
    let page = directory
        .get("/scim/v2/Users?startIndex=21&count=10&attributes=userName")
        .json();
    assert_eq!(
        (&page["totalResults"], &page["itemsPerPage"]),
        (&json!(24), &json!(4))
    );
    assert!(page["Resources"][0].get("displayName").is_none(), "{page}");
    let filter = "filter=externalId%20eq%20%22ext-person-7%22";
    let one = directory.get(&format!("/scim/v2/Users?{filter}")).json();
    assert_eq!(one["Resources"][0]["userName"], "person-7");
    assert_eq!(one["Resources"][0]["groups"][0]["display"], "all");
    assert_refused(
        &directory.get("/scim/v2/Users?filter=userName"),
        400,
        Some("invalidFilter"),
    );
    assert_refused(
        &directory.get("/scim/v2/Users?count=x"),
        400,
        Some("invalidValue"),
    );
    assert_refused(&directory.get("/scim/v2/Devices"), 404, None);
    assert_refused(
        &send(&directory, "PUT", "/scim/v2/Users", &json!({})),
        405,
        None,
    );
}

#[test]
fn every_operation_of_a_directory_leaves_its_record() {
    let desk = Desk::new(|_| ());
    let directory = directory(&desk);
    let user = add_user(&directory, "taro");
    let group = add_group(&directory, "hr", &[&user]);
    let (user_path, group_path) = (
        format!("/scim/v2/Users/{user}"),
        format!("/scim/v2/Groups/{group}"),
    );
    let nothing = json!({ "Operations": [] });
    let calls = [
        (
            "GET",
            "/scim/v2/ServiceProviderConfig",
            "/scim/v2/ServiceProviderConfig",
            None,
        ),
        (
            "GET",
            "/scim/v2/ResourceTypes",
            "/scim/v2/ResourceTypes",
            None,
        ),
        (
            "GET",
            "/scim/v2/ResourceTypes/{id}",
            "/scim/v2/ResourceTypes/User",
            None,
        ),
        ("GET", "/scim/v2/Schemas", "/scim/v2/Schemas", None),
        (
            "GET",
            "/scim/v2/Schemas/{id}",
            "/scim/v2/Schemas/urn:ietf:params:scim:schemas:core:2.0:User",
            None,
        ),
        (
            "POST",
            "/scim/v2/.search",
            "/scim/v2/.search",
            Some(json!({})),
        ),
        (
            "POST",
            "/scim/v2/Users/.search",
            "/scim/v2/Users/.search",
            Some(json!({})),
        ),
        (
            "POST",
            "/scim/v2/Groups/.search",
            "/scim/v2/Groups/.search",
            Some(json!({})),
        ),
        ("GET", "/scim/v2/Users", "/scim/v2/Users", None),
        ("GET", "/scim/v2/Groups", "/scim/v2/Groups", None),
        (
            "POST",
            "/scim/v2/Users",
            "/scim/v2/Users",
            Some(json!({ "userName": "hanako" })),
        ),
        (
            "POST",
            "/scim/v2/Groups",
            "/scim/v2/Groups",
            Some(json!({ "displayName": "legal" })),
        ),
        ("GET", "/scim/v2/Users/{id}", &user_path, None),
        ("GET", "/scim/v2/Groups/{id}", &group_path, None),
        (
            "PUT",
            "/scim/v2/Users/{id}",
            &user_path,
            Some(json!({ "userName": "taro" })),
        ),
        (
            "PUT",
            "/scim/v2/Groups/{id}",
            &group_path,
            Some(json!({ "displayName": "hr" })),
        ),
        (
            "PATCH",
            "/scim/v2/Users/{id}",
            &user_path,
            Some(nothing.clone()),
        ),
        ("PATCH", "/scim/v2/Groups/{id}", &group_path, Some(nothing)),
        ("DELETE", "/scim/v2/Groups/{id}", &group_path, None),
        ("DELETE", "/scim/v2/Users/{id}", &user_path, None),
    ];
    let mut left = routes();
    for (method, path, filled, body) in calls {
        left.remove(&(method.to_owned(), path.to_owned()));
        let reply = match &body {
            Some(body) => send(&directory, method, filled, body),
            None => directory.send(method, filled, None),
        };
        assert!(reply.status < 300, "{method} {filled}: {reply:?}");
        let operation = operations::find(&method.parse().unwrap(), path).unwrap();
        let id = reply.header("x-request-id").unwrap().to_owned();
        let records = desk.records();
        let own: Vec<_> = records
            .iter()
            .filter(|record| record.request.as_deref() == Some(id.as_str()))
            .collect();
        if operation.action == "scim.describe" {
            assert!(own.is_empty(), "{own:?}");
            continue;
        }
        assert_eq!(own.len(), 1, "{method} {filled}: {own:?}");
        assert_eq!(own[0].action, operation.action);
        assert_eq!(own[0].name.as_deref(), Some("directory"));
        let is_one = path.ends_with("{id}") || (method == "POST" && !path.ends_with("search"));
        if is_one {
            let kind = if path.contains("Users") {
                "user"
            } else {
                "group"
            };
            assert_eq!(own[0].target[kind].len(), 36, "{:?}", own[0]);
        }
    }
    assert!(left.is_empty(), "not tried: {left:?}");
}

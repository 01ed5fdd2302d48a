//! Users and groups as a directory sees them, and what it says of them as kura stores it.

use super::schema::{GROUP, Schema, USER};
use super::{Attributes, Error};
use crate::identity::{GroupProvision, ProvisionedGroup, ProvisionedUser, UserProvision};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Returns a person as the directory sees them.
#[must_use]
pub fn user(found: &ProvisionedUser, base: &str) -> Attributes {
    let mut resource = user_attributes(found);
    let groups: Vec<Value> = found
        .groups
        .iter()
        .map(
            |(id, name)| json!({ "value": id, "$ref": address(base, &GROUP, id), "display": name }),
        )
        .collect();
    if !groups.is_empty() {
        resource.insert("groups".to_owned(), Value::Array(groups));
    }
    let user = &found.user;
    let times = (user.created_at, user.updated_at);
    finish(resource, &USER, &user.id.to_string(), times, base)
}

/// Returns what a directory has said of a person, or would have.
#[must_use]
pub fn user_attributes(found: &ProvisionedUser) -> Attributes {
    let user = &found.user;
    let mut attributes = match &found.attributes {
        Some(text) => parsed(text),
        None => {
            let mut own = Attributes::new();
            own.insert("userName".to_owned(), user.name.as_str().into());
            own.insert("displayName".to_owned(), user.display_name.as_str().into());
            if let Some(email) = &user.email {
                let emails = json!([{ "value": email, "primary": true }]);
                own.insert("emails".to_owned(), emails);
            }
            own
        }
    };
    // An administrator may have changed that.
    attributes.insert("active".to_owned(), user.active.into());
    attributes
}

/// Returns what is stored of a person. Who is not said to be active stays what they are: `was_active`.
///
/// # Errors
/// When it cannot be written down.
pub fn user_provision(
    mut attributes: Attributes,
    was_active: bool,
) -> Result<UserProvision, Error> {
    let active = attributes
        .get("active")
        .and_then(Value::as_bool)
        .unwrap_or(was_active);
    attributes.insert("active".to_owned(), active.into());
    let text = |value: Option<&Value>| {
        let text = value.and_then(Value::as_str).map(str::trim);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let name = |part: &str| text(attributes.get("name").and_then(|name| name.get(part)));
    let of_parts = || {
        let parts: Vec<String> = ["givenName", "familyName"]
            .into_iter()
            .filter_map(name)
            .collect();
        (!parts.is_empty()).then(|| parts.join(" "))
    };
    let display_name = text(attributes.get("displayName"))
        .or_else(|| name("formatted"))
        .or_else(of_parts);
    let emails = attributes.get("emails").and_then(Value::as_array);
    let emails = emails.map(Vec::as_slice).unwrap_or_default();
    let email = emails
        .iter()
        .find(|email| email.get("primary") == Some(&Value::Bool(true)))
        .or(emails.first());
    Ok(UserProvision {
        user_name: text(attributes.get("userName")).unwrap_or_default(),
        display_name: display_name.unwrap_or_default(),
        email: email.and_then(|email| text(email.get("value"))),
        active,
        attributes: written(&attributes)?,
    })
}

/// Returns a group as the directory sees it.
#[must_use]
pub fn group(found: &ProvisionedGroup, base: &str) -> Attributes {
    let mut resource = group_attributes(found);
    if let Some(Value::Array(members)) = resource.get_mut("members") {
        for member in members {
            let id = member.get("value").and_then(Value::as_str);
            let id = id.unwrap_or_default().to_owned();
            *member = json!({ "value": id, "$ref": address(base, &USER, &id), "type": USER.name });
        }
    }
    finish(
        resource,
        &GROUP,
        &found.id,
        (found.created_at, found.updated_at),
        base,
    )
}

/// Returns what a directory has said of a group.
#[must_use]
pub fn group_attributes(found: &ProvisionedGroup) -> Attributes {
    let mut attributes = parsed(&found.attributes);
    if !found.members.is_empty() {
        let members = found.members.iter();
        let members = members
            .map(|id| json!({ "value": id.to_string() }))
            .collect();
        attributes.insert("members".to_owned(), Value::Array(members));
    }
    attributes
}

/// Returns what is stored of a group.
///
/// # Errors
/// When a member is not a person, or it cannot be written down.
pub fn group_provision(mut attributes: Attributes) -> Result<GroupProvision, Error> {
    let members = match attributes.remove("members") {
        Some(Value::Array(members)) => members,
        _ => Vec::new(),
    };
    let members = members.iter().map(member).collect::<Result<_, _>>()?;
    let display_name = attributes.get("displayName").and_then(Value::as_str);
    Ok(GroupProvision {
        display_name: display_name.unwrap_or_default().to_owned(),
        members,
        attributes: written(&attributes)?,
    })
}

/// Returns a member's id.
fn member(given: &Value) -> Result<String, Error> {
    let text = |name: &str| given.get(name).and_then(Value::as_str);
    let reference = text("$ref").unwrap_or_default();
    let is_group = text("type").is_some_and(|kind| kind.eq_ignore_ascii_case(GROUP.name))
        || reference.contains(&format!("{}/", GROUP.endpoint));
    if is_group {
        return Err(Error::value(
            "groups within groups are not taken; send the people who are in them",
        ));
    }
    let id = text("value").or_else(|| reference.rsplit('/').next());
    id.filter(|id| !id.is_empty())
        .map(str::to_owned)
        .ok_or_else(|| Error::value("a member has a `value`: the person's id"))
}

fn finish(
    mut resource: Attributes,
    schema: &Schema,
    id: &str,
    (created, changed): (Timestamp, Timestamp),
    base: &str,
) -> Attributes {
    resource.insert("schemas".to_owned(), json!([schema.id]));
    resource.insert("id".to_owned(), id.into());
    let meta = json!({
        "resourceType": schema.name,
        "created": created.to_string(),
        "lastModified": changed.to_string(),
        "location": address(base, schema, id),
    });
    resource.insert("meta".to_owned(), meta);
    resource
}

fn address(base: &str, schema: &Schema, id: &str) -> String {
    format!("{base}{}/{id}", schema.endpoint)
}

/// What is stored was checked before it was.
fn parsed(text: &str) -> Attributes {
    serde_json::from_str(text).unwrap_or_default()
}

fn written(attributes: &Attributes) -> Result<String, Error> {
    serde_json::to_string(attributes).map_err(|error| Error::value(error.to_string()))
}

/// Which attributes a directory wants.
#[derive(Debug, Default)]
pub struct Selection {
    only: Vec<String>,
    without: Vec<String>,
}

impl Selection {
    /// Reads the two lists of a request; they exclude each other.
    ///
    /// # Errors
    /// When there are both.
    pub fn new(only: Vec<String>, without: Vec<String>) -> Result<Self, Error> {
        let listed = |list: Vec<String>| -> Vec<String> {
            let names = list.iter().map(|name| bare(name));
            names.filter(|name| !name.is_empty()).collect()
        };
        let (only, without) = (listed(only), listed(without));
        if !only.is_empty() && !without.is_empty() {
            let detail = "send `attributes` or `excludedAttributes`, not both";
            return Err(Error::value(detail));
        }
        Ok(Self { only, without })
    }

    /// Returns whether an attribute is wanted, so that it need not be looked up otherwise.
    #[must_use]
    pub fn apply(&self, resource: Attributes) -> Attributes {
        let always = |name: &str| name == "id" || name == "schemas";
        let mut kept = Attributes::new();
        for (name, value) in resource {
            let lower = name.to_ascii_lowercase();
            if always(&lower) || (self.only.is_empty() && !self.without.contains(&lower)) {
                let value = without_parts(value, &lower, &self.without);
                kept.insert(name, value);
            } else if self.only.contains(&lower) {
                kept.insert(name, value);
            } else if let Some(value) = only_parts(&value, &lower, &self.only) {
                kept.insert(name, value);
            }
        }
        kept
    }
}

/// Returns an attribute's path in lower case, without the schema in front.
fn bare(path: &str) -> String {
    let path = path.trim().to_ascii_lowercase();
    let own = [&USER, &GROUP].into_iter().find_map(|schema| {
        let rest = path.strip_prefix(&schema.id.to_ascii_lowercase())?;
        rest.strip_prefix(':').map(str::to_owned)
    });
    own.unwrap_or(path)
}

fn each(value: Value, change: &dyn Fn(Attributes) -> Attributes) -> Value {
    match value {
        Value::Object(one) => Value::Object(change(one)),
        Value::Array(values) => {
            let values = values.into_iter().map(|value| each(value, change));
            Value::Array(values.collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

fn without_parts(value: Value, name: &str, without: &[String]) -> Value {
    each(value, &|one| {
        let is_left = |part: &String| {
            let path = format!("{name}.{}", part.to_ascii_lowercase());
            !without.contains(&path)
        };
        one.into_iter().filter(|(part, _)| is_left(part)).collect()
    })
}

fn only_parts(value: &Value, name: &str, only: &[String]) -> Option<Value> {
    let start = format!("{name}.");
    let parts: Vec<&str> = only
        .iter()
        .filter_map(|path| path.strip_prefix(start.as_str()))
        .collect();
    (!parts.is_empty()).then(|| {
        each(value.clone(), &|one| {
            let is_meant = |part: &String| parts.iter().any(|name| part.eq_ignore_ascii_case(name));
            one.into_iter().filter(|(part, _)| is_meant(part)).collect()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_gets_the_attributes_that_it_wants() {
        let resource = || {
            let full = json!({
                "schemas": [USER.id], "id": "1", "userName": "taro", "active": true,
                "name": { "familyName": "a", "givenName": "b" }, "emails": [{ "value": "x", "type": "work" }],
            });
            full.as_object().unwrap().clone()
        };
        let selected = |only: &[&str], without: &[&str]| {
            let list = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let selection = Selection::new(list(only), list(without)).unwrap();
            Value::Object(selection.apply(resource()))
        };
        assert_eq!(selected(&[], &[]), Value::Object(resource()));
        let only = selected(
            &[
                "USERNAME",
                "name.familyName",
                "urn:ietf:params:scim:schemas:core:2.0:User:active",
            ],
            &[],
        );
        let expected = json!({
            "schemas": [USER.id], "id": "1", "userName": "taro", "active": true, "name": { "familyName": "a" },
        });
        assert_eq!(only, expected);
        let without = selected(&[], &["emails.type", "name", "id"]);
        let expected = json!({
            "schemas": [USER.id], "id": "1", "userName": "taro", "active": true, "emails": [{ "value": "x" }],
        });
        assert_eq!(without, expected);
        assert!(Selection::new(vec!["id".to_owned()], vec!["name".to_owned()]).is_err());
    }

    #[test]
    fn what_is_stored_of_a_person_is_the_best_of_what_is_said() {
        let provision =
            |said: Value| user_provision(said.as_object().unwrap().clone(), true).unwrap();
        let plain = provision(json!({ "userName": "taro" }));
        assert_eq!(
            (plain.display_name.as_str(), plain.email, plain.active),
            ("", None, true)
        );
        let full = provision(json!({
            "userName": "taro", "active": false, "name": { "givenName": "太郎", "familyName": "山田" },
            "emails": [{ "value": "a@example.com" }, { "value": "b@example.com", "primary": true }],
        }));
        assert_eq!(full.display_name, "太郎 山田");
        assert_eq!(
            (full.email.as_deref(), full.active),
            (Some("b@example.com"), false)
        );
    }

    #[test]
    fn groups_within_groups_are_refused() {
        for member in [
            json!({ "value": "1", "type": "Group" }),
            json!({ "$ref": "https://kura.example.com/scim/v2/Groups/1" }),
            json!({}),
        ] {
            let said = json!({ "displayName": "x", "members": [member] });
            assert!(group_provision(said.as_object().unwrap().clone()).is_err());
        }
        let said =
            json!({ "displayName": "x", "members": [{ "$ref": "https://k/scim/v2/Users/7" }] });
        let said = group_provision(said.as_object().unwrap().clone()).unwrap();
        assert_eq!(said.members, ["7"]);
    }
}

//! Changing a resource: PATCH of RFC 7644, section 3.5.2, with what Entra ID and Okta make of it.

use super::filter::is_among;
use super::schema::{Attribute, Kind, Mutability, Schema};
use super::{Attributes, Error};
use scim_v2::filter::{
    AttrExp, AttrPath, CompValue, CompareOp, PatchPath, PatchValuePath, ValFilter,
};
use serde_json::{Value, json};

/// Most operations in one request.
const MAX_OPERATIONS: usize = 1000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Replace,
    Remove,
}

/// Changes a resource as a request says; the caller stores it, or nothing of it.
///
/// # Errors
/// When the request is none, or cannot be done.
pub fn apply(schema: &Schema, resource: &mut Attributes, request: &Value) -> Result<(), Error> {
    let operations = request
        .as_object()
        .and_then(|body| {
            body.iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("Operations"))
        })
        .and_then(|(_, operations)| operations.as_array());
    let operations = operations.ok_or_else(|| Error::syntax("send `Operations`, a list"))?;
    if operations.len() > MAX_OPERATIONS {
        let detail = format!("send {MAX_OPERATIONS} operations at most");
        return Err(Error::syntax(detail));
    }
    for operation in operations {
        apply_one(schema, resource, operation)?;
    }
    schema.check(resource)
}

fn apply_one(schema: &Schema, resource: &mut Attributes, operation: &Value) -> Result<(), Error> {
    let action = operation.get("op").and_then(Value::as_str);
    let action = match action.map(str::to_ascii_lowercase).as_deref() {
        Some("add") => Action::Add,
        Some("replace") => Action::Replace,
        Some("remove") => Action::Remove,
        _ => return Err(Error::syntax("`op` is `add`, `replace` or `remove`")),
    };
    let value = operation.get("value");
    if value.is_none() && action != Action::Remove {
        return Err(Error::value("there is no `value`"));
    }
    match operation.get("path") {
        Some(Value::String(path)) => change(schema, resource, action, path, value),
        None | Some(Value::Null) => {
            if action == Action::Remove {
                let detail = "say with `path` what to remove";
                return Err(Error::refused(400, "noTarget", detail));
            }
            let Some(Value::Object(members)) = value else {
                return Err(Error::value("without `path` the `value` is an object"));
            };
            // Entra ID writes `name.givenName` here, too.
            for (name, value) in members {
                change(schema, resource, action, name, Some(value))?;
            }
            Ok(())
        }
        Some(_) => Err(Error::refused(400, "invalidPath", "`path` is a text")),
    }
}

fn change(
    schema: &Schema,
    resource: &mut Attributes,
    action: Action,
    path: &str,
    value: Option<&Value>,
) -> Result<(), Error> {
    // The resource's own schema is understood; what belongs to another one is not kept.
    let own = path
        .get(..schema.id.len())
        .filter(|start| start.eq_ignore_ascii_case(schema.id));
    let path = match own {
        Some(own) => path
            .get(own.len()..)
            .unwrap_or_default()
            .trim_start_matches(':'),
        None if path.to_ascii_lowercase().starts_with("urn:") => return Ok(()),
        None => path,
    };
    if matches!(path, "schemas") {
        return Ok(());
    }
    // A name with `$`, as in `members.$ref`, is none for the grammar.
    let parsed: PatchPath = path.replace("$ref", "ref").parse().map_err(|_| {
        Error::refused(
            400,
            "invalidPath",
            format!("`{path}` is no path to an attribute"),
        )
    })?;
    let named = match &parsed {
        PatchPath::Attr(path) => path,
        PatchPath::Value(path) => &path.attr,
    };
    let Some(attribute) = schema.attribute(&named.name) else {
        return Ok(());
    };
    if attribute.mutability == Mutability::ReadOnly {
        let detail = format!("`{}` is kept by kura", attribute.name);
        return Err(Error::refused(400, "mutability", detail));
    }
    let none = Value::Null;
    let value = value.unwrap_or(&none);
    let before = primaries(resource.get(attribute.name));
    match &parsed {
        PatchPath::Attr(path) => change_attribute(resource, attribute, action, path, value)?,
        PatchPath::Value(path) => change_values(resource, attribute, action, path, value)?,
    }
    keep_one_primary(resource.get_mut(attribute.name), &before);
    Ok(())
}

fn change_attribute(
    resource: &mut Attributes,
    attribute: &'static Attribute,
    action: Action,
    path: &AttrPath,
    value: &Value,
) -> Result<(), Error> {
    let name = attribute.name;
    if let Some(part) = &path.sub_attr {
        let part = if part.eq_ignore_ascii_case("ref") {
            "$ref"
        } else {
            part
        };
        return match attribute.part(part) {
            Some(part) => change_part(resource, attribute, action, part, value),
            None => Ok(()),
        };
    }
    if action == Action::Remove && attribute.required {
        let detail = format!("`{name}` is required and cannot be removed");
        return Err(Error::refused(400, "mutability", detail));
    }
    if action == Action::Remove {
        // Entra ID names the members to remove so.
        if let (Some(Value::Array(present)), Value::Array(gone)) = (resource.get_mut(name), value) {
            let is_gone = |one: &Value| gone.iter().any(|other| is_same(attribute, one, other));
            present.retain(|one| !is_gone(one));
        } else {
            resource.remove(name);
        }
        return Ok(());
    }
    let given = attribute.read(value)?;
    let merged = match (resource.remove(name), given) {
        (Some(Value::Array(mut present)), Some(Value::Array(new))) if action == Action::Add => {
            for value in new {
                if !present.iter().any(|one| is_same(attribute, one, &value)) {
                    present.push(value);
                }
            }
            Some(Value::Array(present))
        }
        (Some(Value::Object(mut present)), Some(Value::Object(new))) => {
            present.extend(new);
            Some(Value::Object(present))
        }
        (present, None) if action == Action::Add => present,
        (_, given) => given,
    };
    resource.extend(merged.map(|value| (name.to_owned(), value)));
    Ok(())
}

/// Changes a part, of all values if there are several.
fn change_part(
    resource: &mut Attributes,
    attribute: &'static Attribute,
    action: Action,
    part: &'static Attribute,
    value: &Value,
) -> Result<(), Error> {
    let value = part.read_one(value)?.filter(|_| action != Action::Remove);
    let present = resource.remove(attribute.name);
    let changed = match present {
        Some(Value::Array(mut values)) => {
            for one in &mut values {
                set(one, part, value.as_ref());
            }
            Some(Value::Array(values))
        }
        Some(mut one) => {
            set(&mut one, part, value.as_ref());
            Some(one)
        }
        None => value.map(|value| {
            let mut one = Attributes::new();
            one.insert(part.name.to_owned(), value);
            if attribute.many {
                json!([one])
            } else {
                Value::Object(one)
            }
        }),
    };
    resource.extend(changed.map(|value| (attribute.name.to_owned(), value)));
    Ok(())
}

/// Changes those of several values that a filter in brackets picks.
fn change_values(
    resource: &mut Attributes,
    attribute: &'static Attribute,
    action: Action,
    path: &PatchValuePath,
    value: &Value,
) -> Result<(), Error> {
    if !attribute.many {
        let detail = format!("`{}` has one value only", attribute.name);
        return Err(Error::refused(400, "invalidPath", detail));
    }
    let part = match &path.sub_attr {
        Some(name) => match attribute.part(name) {
            Some(part) => Some(part),
            None => return Ok(()),
        },
        None => None,
    };
    let mut values = match resource.remove(attribute.name) {
        Some(Value::Array(values)) => values,
        _ => Vec::new(),
    };
    let is_meant = |one: &Value| is_among(attribute, &path.filter, one);
    match (action, part) {
        (Action::Remove, None) => values.retain(|one| !is_meant(one)),
        (Action::Remove, Some(part)) => {
            for one in values.iter_mut().filter(|one| is_meant(one)) {
                set(one, part, None);
            }
        }
        (Action::Add | Action::Replace, part) => {
            let given = match part {
                Some(part) => {
                    let value = part.read_one(value)?;
                    let pair = value.map(|value| (part.name.to_owned(), value));
                    pair.into_iter().collect()
                }
                None => match attribute.read_one(value)? {
                    Some(Value::Object(given)) => given,
                    _ => Attributes::new(),
                },
            };
            let mut n_changed = 0_usize;
            for one in values.iter_mut().filter(|one| is_meant(one)) {
                n_changed += 1;
                if let Value::Object(one) = one {
                    one.extend(given.clone());
                }
            }
            if n_changed == 0 {
                // Entra ID adds to what is not there yet, and means that it be made.
                let mut new = match (action, equalities(attribute, &path.filter)) {
                    (Action::Add, Some(new)) => new,
                    _ => {
                        let detail =
                            format!("no value of `{}` is meant by that path", attribute.name);
                        return Err(Error::refused(400, "noTarget", detail));
                    }
                };
                new.extend(given);
                values.push(Value::Object(new));
            }
        }
    }
    if !values.is_empty() {
        resource.insert(attribute.name.to_owned(), Value::Array(values));
    }
    Ok(())
}

/// Returns the value that a filter describes, if it says nothing but what parts are equal to.
fn equalities(attribute: &'static Attribute, filter: &ValFilter) -> Option<Attributes> {
    match filter {
        ValFilter::Attr(AttrExp::Comparison(path, CompareOp::Eq, wanted)) => {
            let part = attribute.part(&path.name)?;
            let value = match (part.kind, wanted) {
                (Kind::Text, CompValue::Str(text)) => Value::from(text.as_str()),
                (Kind::Flag, CompValue::True) => Value::from(true),
                (Kind::Flag, CompValue::False) => Value::from(false),
                _ => return None,
            };
            Some([(part.name.to_owned(), value)].into_iter().collect())
        }
        ValFilter::And(all) => {
            let mut found = Attributes::new();
            for part in all.as_slice() {
                found.extend(equalities(attribute, part)?);
            }
            Some(found)
        }
        ValFilter::Attr(_) | ValFilter::Not(_) | ValFilter::Or(_) => None,
    }
}

fn set(one: &mut Value, part: &Attribute, value: Option<&Value>) {
    let Value::Object(one) = one else { return };
    match value {
        Some(value) => one.insert(part.name.to_owned(), value.clone()),
        None => one.remove(part.name),
    };
}

/// Returns whether two values are one: by their `value` if they have one.
fn is_same(attribute: &Attribute, a: &Value, b: &Value) -> bool {
    if attribute.part("value").is_none() {
        return a == b;
    }
    match (a.get("value"), b.get("value")) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

fn is_primary(value: &Value) -> bool {
    value.get("primary") == Some(&Value::Bool(true))
}

fn primaries(values: Option<&Value>) -> Vec<Value> {
    let values = values.and_then(Value::as_array).into_iter().flatten();
    values.filter(|value| is_primary(value)).cloned().collect()
}

/// The last one that was made the primary value is that.
fn keep_one_primary(values: Option<&mut Value>, before: &[Value]) {
    let Some(Value::Array(values)) = values else {
        return;
    };
    let n = values.iter().filter(|value| is_primary(value)).count();
    if n < 2 {
        return;
    }
    let newest = values
        .iter()
        .rposition(|value| is_primary(value) && !before.contains(value))
        .or_else(|| values.iter().rposition(is_primary));
    for (i, value) in values.iter_mut().enumerate() {
        if Some(i) != newest
            && is_primary(value)
            && let Value::Object(value) = value
        {
            value.insert("primary".to_owned(), false.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::schema::{GROUP, USER};
    use super::*;

    fn patched(schema: &Schema, resource: Value, operations: Value) -> Result<Value, Error> {
        let Value::Object(mut resource) = resource else {
            panic!()
        };
        apply(schema, &mut resource, &json!({ "Operations": operations }))?;
        Ok(Value::Object(resource))
    }

    fn taro() -> Value {
        json!({
            "userName": "taro", "active": true, "name": { "familyName": "山田" },
            "emails": [{ "value": "a@example.com", "type": "work", "primary": true }],
        })
    }

    #[test]
    fn operations_do_what_the_standard_says() {
        let operations = json!([
            { "op": "replace", "path": "userName", "value": "taro2" },
            { "op": "add", "path": "name.givenName", "value": "太郎" },
            { "op": "add", "path": "emails", "value": [{ "value": "b@example.com", "type": "home", "primary": true }] },
            { "op": "add", "path": "emails", "value": [{ "value": "a@example.com" }] },
            { "op": "replace", "path": "emails[type eq \"home\"].value", "value": "c@example.com" },
            { "op": "replace", "value": { "displayName": "Taro", "externalId": "7", "title": "Dr." } },
        ]);
        let expected = json!({
            "userName": "taro2", "active": true, "displayName": "Taro", "externalId": "7",
            "name": { "familyName": "山田", "givenName": "太郎" },
            "emails": [
                { "value": "a@example.com", "type": "work", "primary": false },
                { "value": "c@example.com", "type": "home", "primary": true },
            ],
        });
        assert_eq!(patched(&USER, taro(), operations).unwrap(), expected);
        let operations = json!([
            { "op": "remove", "path": "name" },
            { "op": "remove", "path": "emails[value ew \"example.com\"]" },
            { "op": "replace", "path": "active", "value": false },
        ]);
        let expected = json!({ "userName": "taro", "active": false });
        assert_eq!(patched(&USER, taro(), operations).unwrap(), expected);
    }

    #[test]
    fn operations_of_large_directories_do_what_they_mean() {
        let operations = json!([
            { "op": "Replace", "path": "active", "value": "False" },
            { "op": "Add", "path": "emails[type eq \"other\"].value", "value": "o@example.com" },
            { "op": "Add", "value": { "name.givenName": "太郎" } },
            { "op": "Add", "path": "urn:ietf:params:scim:schemas:core:2.0:User:displayName", "value": "太郎" },
            { "op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "x" },
            { "op": "Add", "path": "phoneNumbers[type eq \"work\"].value", "value": "1" },
        ]);
        let expected = json!({
            "userName": "taro", "active": false, "displayName": "太郎",
            "name": { "familyName": "山田", "givenName": "太郎" },
            "emails": [
                { "value": "a@example.com", "type": "work", "primary": true },
                { "type": "other", "value": "o@example.com" },
            ],
        });
        assert_eq!(patched(&USER, taro(), operations).unwrap(), expected);

        let group = json!({ "displayName": "HR", "members": [{ "value": "1" }, { "value": "2" }, { "value": "3" }] });
        let operations = json!([
            { "op": "remove", "path": "members[value eq \"1\"]" },
            { "op": "Remove", "path": "members", "value": [{ "value": "3" }, { "value": "9" }] },
            { "op": "add", "path": "members", "value": [{ "value": "2" }, { "value": "4" }] },
        ]);
        let expected =
            json!({ "displayName": "HR", "members": [{ "value": "2" }, { "value": "4" }] });
        assert_eq!(patched(&GROUP, group, operations).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_standards_keyword() {
        for (operation, keyword) in [
            (
                json!({ "op": "move", "path": "active", "value": true }),
                "invalidSyntax",
            ),
            (json!({ "op": "add", "path": "active" }), "invalidValue"),
            (
                json!({ "op": "add", "path": "active", "value": "x" }),
                "invalidValue",
            ),
            (json!({ "op": "remove" }), "noTarget"),
            (
                json!({ "op": "add", "path": "a b c", "value": 1 }),
                "invalidPath",
            ),
            (
                json!({ "op": "replace", "path": 7, "value": 1 }),
                "invalidPath",
            ),
            (
                json!({ "op": "replace", "path": "id", "value": "x" }),
                "mutability",
            ),
            (
                json!({ "op": "add", "path": "groups", "value": [{ "value": "x" }] }),
                "mutability",
            ),
            (json!({ "op": "remove", "path": "userName" }), "mutability"),
            (json!({ "op": "remove", "path": "active" }), "mutability"),
            (
                json!({ "op": "replace", "path": "userName", "value": "" }),
                "invalidValue",
            ),
            (
                json!({ "op": "replace", "path": "emails[type eq \"home\"].value", "value": "x" }),
                "noTarget",
            ),
            (json!({ "op": "add", "value": "x" }), "invalidValue"),
        ] {
            let Error::Refused(refused) = patched(&USER, taro(), json!([operation])).unwrap_err()
            else {
                panic!("{operation}")
            };
            assert_eq!(
                (refused.status, refused.kind),
                (400, Some(keyword)),
                "{operation}"
            );
        }
        let mut resource = Attributes::new();
        for body in [
            json!({}),
            json!([]),
            json!({ "Operations": 1 }),
            Value::Null,
        ] {
            assert!(apply(&USER, &mut resource, &body).is_err());
        }
    }
}

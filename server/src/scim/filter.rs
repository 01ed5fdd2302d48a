//! Which resources a directory asks for: filters of RFC 7644, section 3.4.2.2.

use super::schema::{Attribute, Schema};
use super::{Attributes, Error};
use jiff::Timestamp;
use scim_v2::filter::{AttrExp, AttrPath, CompValue, CompareOp, Filter, ValFilter};
use serde_json::Value;
use std::cmp::Ordering;

/// Reads a filter.
///
/// # Errors
/// When it is none.
pub fn parse(text: &str) -> Result<Filter, Error> {
    text.parse().map_err(|_| {
        let detail = "the filter cannot be read; write one such as `userName eq \"taro\"`";
        Error::refused(400, "invalidFilter", detail)
    })
}

/// Returns whether a resource is one of those that a filter asks for. What it has not got is like nothing.
#[must_use]
pub fn matches(schema: &Schema, filter: &Filter, resource: &Attributes) -> bool {
    match filter {
        Filter::Attr(test) => holds(test, &|path| values_of(schema, path, resource)),
        Filter::ValuePath(path) => {
            let Some((attribute, values)) = attribute_of(schema, &path.attr, resource) else {
                return false;
            };
            values
                .iter()
                .any(|value| is_among(attribute, &path.filter, value))
        }
        Filter::Not(inner) => !matches(schema, inner, resource),
        Filter::And(all) => all
            .as_slice()
            .iter()
            .all(|part| matches(schema, part, resource)),
        Filter::Or(any) => any
            .as_slice()
            .iter()
            .any(|part| matches(schema, part, resource)),
    }
}

/// Returns whether one value of an attribute with several is one of those that a filter in brackets asks for.
#[must_use]
pub fn is_among(attribute: &'static Attribute, filter: &ValFilter, value: &Value) -> bool {
    match filter {
        ValFilter::Attr(test) => holds(test, &|path| {
            let part = attribute.part(&path.name)?;
            Some((part, value.get(part.name).into_iter().collect()))
        }),
        ValFilter::Not(inner) => !is_among(attribute, inner, value),
        ValFilter::And(all) => all
            .as_slice()
            .iter()
            .all(|part| is_among(attribute, part, value)),
        ValFilter::Or(any) => any
            .as_slice()
            .iter()
            .any(|part| is_among(attribute, part, value)),
    }
}

type Found<'a> = Option<(&'static Attribute, Vec<&'a Value>)>;

fn holds<'a>(test: &AttrExp, find: &dyn Fn(&AttrPath) -> Found<'a>) -> bool {
    match test {
        AttrExp::Present(path) => find(path).is_some_and(|(_, values)| !values.is_empty()),
        AttrExp::Comparison(path, operator, wanted) => {
            let Some((attribute, values)) = find(path) else {
                return false;
            };
            match (operator, wanted) {
                (CompareOp::Eq, CompValue::Null) => values.is_empty(),
                (CompareOp::Ne, CompValue::Null) => !values.is_empty(),
                (CompareOp::Ne, _) => !values
                    .iter()
                    .any(|value| compares(attribute, CompareOp::Eq, value, wanted)),
                _ => values
                    .iter()
                    .any(|value| compares(attribute, operator.clone(), value, wanted)),
            }
        }
    }
}

fn compares(attribute: &Attribute, operator: CompareOp, value: &Value, wanted: &CompValue) -> bool {
    match (value, wanted) {
        (Value::Bool(is), CompValue::True) => operator == CompareOp::Eq && *is,
        (Value::Bool(is), CompValue::False) => operator == CompareOp::Eq && !*is,
        (Value::Bool(is), CompValue::Str(text)) => {
            operator == CompareOp::Eq && text.eq_ignore_ascii_case(&is.to_string())
        }
        (Value::String(text), CompValue::Str(wanted)) => {
            let folded = |text: &str| {
                if attribute.case_exact {
                    text.to_owned()
                } else {
                    text.to_lowercase()
                }
            };
            let (text, wanted) = (folded(text), folded(wanted));
            match operator {
                CompareOp::Eq => text == wanted,
                CompareOp::Ne => text != wanted,
                CompareOp::Co => text.contains(&wanted),
                CompareOp::Sw => text.starts_with(&wanted),
                CompareOp::Ew => text.ends_with(&wanted),
                CompareOp::Gt => order(&text, &wanted).is_gt(),
                CompareOp::Ge => order(&text, &wanted).is_ge(),
                CompareOp::Lt => order(&text, &wanted).is_lt(),
                CompareOp::Le => order(&text, &wanted).is_le(),
            }
        }
        _ => false,
    }
}

/// Times by when they are, other texts by their letters.
fn order(a: &str, b: &str) -> Ordering {
    let time = |text: &str| text.to_uppercase().parse::<Timestamp>();
    match (time(a), time(b)) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => a.cmp(b),
    }
}

fn attribute_of<'a>(schema: &Schema, path: &AttrPath, resource: &'a Attributes) -> Found<'a> {
    if path
        .uri
        .as_deref()
        .is_some_and(|uri| !uri.eq_ignore_ascii_case(schema.id))
    {
        return None;
    }
    let attribute = schema.attribute(&path.name)?;
    let values = match resource.get(attribute.name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(values)) => values.iter().collect(),
        Some(one) => vec![one],
    };
    Some((attribute, values))
}

fn values_of<'a>(schema: &Schema, path: &AttrPath, resource: &'a Attributes) -> Found<'a> {
    let (attribute, values) = attribute_of(schema, path, resource)?;
    let part = match &path.sub_attr {
        Some(name) => attribute.part(name)?,
        // Of several objects their values are meant.
        None if attribute.many => match attribute.part("value") {
            Some(part) => part,
            None => return Some((attribute, values)),
        },
        None => return Some((attribute, values)),
    };
    let values = values.iter().filter_map(|value| value.get(part.name));
    Some((part, values.collect()))
}

#[cfg(test)]
mod tests {
    use super::super::schema::USER;
    use super::*;
    use serde_json::json;

    #[test]
    fn filters_find_what_they_ask_for() {
        let taro = json!({
            "id": "0197", "externalId": "AbC", "userName": "Taro@Example.com", "active": true,
            "name": { "familyName": "山田" }, "emails": [{ "value": "taro@example.com", "type": "work" }],
            "meta": { "created": "2026-11-30T10:00:00Z", "resourceType": "User" },
        });
        let taro = taro.as_object().unwrap();
        let is_found = |text: &str| matches(&USER, &parse(text).unwrap(), taro);
        for yes in [
            "userName eq \"taro@example.COM\"",
            "urn:ietf:params:scim:schemas:core:2.0:User:userName sw \"taro\"",
            "externalId eq \"AbC\"",
            "active eq true",
            "active eq \"True\"",
            "name.familyName co \"山\"",
            "emails eq \"taro@example.com\"",
            "emails.value ew \"example.com\" and emails[type eq \"work\"]",
            "emails[type eq \"work\" and value co \"taro\"]",
            "meta.created ge \"2026-11-30T18:59:59+09:00\"",
            "meta.created lt \"2026-12-01T00:00:00Z\"",
            "displayName eq null and name pr",
            "not (displayName pr) and userName ne \"hanako\"",
            "title eq \"x\" or id eq \"0197\"",
        ] {
            assert!(is_found(yes), "{yes}");
        }
        for no in [
            "userName eq \"taro\"",
            "externalId eq \"abc\"",
            "active eq false",
            "emails[type eq \"home\"]",
            "emails[type eq \"work\" and value co \"hanako\"]",
            "meta.created gt \"2026-11-30T10:00:00Z\"",
            "title pr",
            "urn:other:userName pr",
            "userName eq \"taro@example.com\" and active eq false",
        ] {
            assert!(!is_found(no), "{no}");
        }
        for bad in [
            "",
            "userName",
            "userName eq",
            "userName is \"x\"",
            "(userName pr",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}

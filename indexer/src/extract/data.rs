//! JSON, JSON lines and XML: what each value is, under the names that lead to it.
//!
//! Records that are alike become tables with their keys as the header; other records become headings and `key: value`
//! lines, so that a chunk says where its values belong.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::ooxml::{self, Element, Node};
use crate::extract::outline::Outline;
use crate::extract::table::add_rows;
use crate::extract::text;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A cell with more characters is text of its own, which no table should hold.
const MAX_CELL_CHARS: usize = 200;

/// Most columns of a table of records.
const MAX_COLUMNS: usize = 40;

/// Keys whose value names a record.
const NAMES: [&str; 8] = [
    "name", "title", "label", "id", "key", "subject", "名称", "件名",
];

/// A value with its parts in the order of the file.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    /// Empty for null.
    Text(String),
    List(Vec<Value>),
    Record(Vec<(String, Value)>),
}

/// Extracts one JSON value.
pub(crate) fn extract_json(bytes: &[u8]) -> Result<Extracted> {
    let (text, _) = text::decode(bytes);
    let text = text.trim_start_matches('\u{FEFF}');
    match serde_json::from_str(text) {
        Ok(value) => Ok(extract(&value)),
        Err(error) if error.to_string().contains("recursion limit") => Err(Error::Malformed {
            format: "JSON",
            reason: "nested too deeply".to_owned(),
        }),
        // Settings are often JSON with comments, and a file that was cut off can still be searched.
        Err(error) => {
            let mut outline = Outline::default();
            outline.warn(format!(
                "it is not valid JSON ({error}) and was read as text"
            ));
            outline.code(text);
            Ok(outline.finish())
        }
    }
}

/// Extracts one JSON value a line. A line that is none is reported.
pub(crate) fn extract_json_lines(bytes: &[u8]) -> Extracted {
    let (text, _) = text::decode(bytes);
    let mut outline = Outline::default();
    let mut values: Vec<Value> = Vec::new();
    let mut bad = Vec::new();
    for (number, line) in (1..).zip(text.trim_start_matches('\u{FEFF}').lines()) {
        if line.trim().is_empty() {
            continue;
        }
        match serde_json::from_str(line) {
            Ok(value) => values.push(value),
            Err(_) => bad.push(number),
        }
    }
    if let Some(first) = bad.first() {
        outline.warn(format!(
            "lines that are no JSON: {}, the first of them line {first}",
            bad.len()
        ));
    }
    add_list(
        &mut outline,
        "record",
        &values.iter().collect::<Vec<_>>(),
        1,
    );
    outline.finish()
}

/// Extracts the elements of an XML document by their names.
pub(crate) fn extract_xml(bytes: &[u8]) -> Result<Extracted> {
    let root = ooxml::parse(bytes, "XML", "document")?;
    let value = of_element(&root);
    let mut outline = Outline::default();
    let is_title = |(key, _): &&(String, Value)| key.eq_ignore_ascii_case("title");
    if let Value::Record(members) = &value
        && let Some((_, Value::Text(title))) = members.iter().find(is_title)
    {
        outline.set_title(title);
    }
    add(&mut outline, &root.name, &value, 1);
    Ok(outline.finish())
}

fn extract(value: &Value) -> Extracted {
    let mut outline = Outline::default();
    let title = match value {
        Value::Record(members) => name_of(members),
        Value::Text(_) | Value::List(_) => None,
    };
    if let Some(title) = title {
        outline.set_title(title);
    }
    match value {
        Value::Record(members) => add_members(&mut outline, members, 1),
        Value::List(values) => add_list(&mut outline, "", &values.iter().collect::<Vec<_>>(), 1),
        Value::Text(text) => outline.paragraph(text),
    }
    outline.finish()
}

/// Adds a value under its name; `level` is that of a heading for it.
fn add(outline: &mut Outline, name: &str, value: &Value, level: u8) {
    match value {
        Value::Text(text) if text.trim().is_empty() => {}
        Value::Text(text) => outline.paragraph(&format!("{name}: {text}")),
        Value::List(values) => add_list(outline, name, &values.iter().collect::<Vec<_>>(), level),
        Value::Record(members) => {
            outline.heading(level, name);
            add_members(outline, members, level.saturating_add(1));
        }
    }
}

/// Adds the members of a record: what is short on lines of its own first, so that it is not read as part of what is long.
fn add_members(outline: &mut Outline, members: &[(String, Value)], level: u8) {
    let is_short = |value: &Value| matches!(value, Value::Text(_)) || inline(value).is_some();
    for (key, value) in members.iter().filter(|(_, value)| is_short(value)) {
        let text = inline(value).unwrap_or_default();
        add(outline, key, &Value::Text(text), level);
    }
    let mut long = members
        .iter()
        .filter(|(_, value)| !is_short(value))
        .peekable();
    while let Some((key, value)) = long.next() {
        // Elements of one name that follow each other are a list, as far as XML knows lists.
        let mut alike = vec![value];
        while let Some((_, next)) = long.next_if(|(next, _)| next == key) {
            alike.push(next);
        }
        if alike.len() > 1 {
            add_list(outline, key, &alike, level);
        } else {
            add(outline, key, value, level);
        }
    }
}

fn add_list(outline: &mut Outline, name: &str, values: &[&Value], level: u8) {
    if let Some(table) = table(values) {
        outline.heading(level, name);
        add_rows(outline, table);
        return;
    }
    if values.iter().all(|value| matches!(value, Value::Text(_))) {
        outline.heading(level, name);
        for value in values {
            if let Value::Text(text) = value {
                outline.list_item("-", text);
            }
        }
        return;
    }
    for (number, value) in (1..).zip(values) {
        let own = match value {
            Value::Record(members) => name_of(members),
            Value::Text(_) | Value::List(_) => None,
        };
        let numbered = format!("{name} {number}");
        let name = match own {
            Some(own) if name.is_empty() => own.to_owned(),
            Some(own) => format!("{name}: {own}"),
            None => numbered.trim().to_owned(),
        };
        add(outline, &name, value, level);
    }
}

/// The rows of records with few short values, their keys above them; `None` when the values are not so.
fn table(values: &[&Value]) -> Option<Vec<Vec<String>>> {
    if values.len() < 2 {
        return None;
    }
    let mut header: Vec<&str> = Vec::new();
    let mut rows = Vec::with_capacity(values.len() + 1);
    for value in values {
        let Value::Record(members) = value else {
            return None;
        };
        let mut row = vec![String::new(); header.len()];
        for (key, value) in members {
            let text = inline(value).filter(|text| text.chars().count() <= MAX_CELL_CHARS)?;
            match header.iter().position(|known| known == key) {
                // An element may stand twice in a record.
                Some(at) if !row[at].is_empty() => row[at].push_str(&format!("; {text}")),
                Some(at) => row[at] = text,
                None => {
                    header.push(key);
                    row.push(text);
                }
            }
        }
        if header.len() > MAX_COLUMNS {
            return None;
        }
        rows.push(row);
    }
    rows.insert(0, header.into_iter().map(str::to_owned).collect());
    Some(rows)
}

/// A value that fits a line: text, or a few texts.
fn inline(value: &Value) -> Option<String> {
    match value {
        Value::Text(text) => Some(text.clone()),
        Value::List(values) => {
            let texts = values.iter().map(|value| match value {
                Value::Text(text) => Some(text.as_str()),
                Value::List(_) | Value::Record(_) => None,
            });
            let joined = texts.collect::<Option<Vec<&str>>>()?.join(", ");
            (joined.chars().count() <= MAX_CELL_CHARS).then_some(joined)
        }
        Value::Record(_) => None,
    }
}

fn name_of(members: &[(String, Value)]) -> Option<&str> {
    NAMES.iter().find_map(|name| {
        let (_, value) = members
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))?;
        match value {
            Value::Text(text) if !text.is_empty() => Some(text.as_str()),
            Value::Text(_) | Value::List(_) | Value::Record(_) => None,
        }
    })
}

/// An element as a value: its attributes and elements, or its text where it has text of its own.
fn of_element(element: &Element) -> Value {
    let has_text = element.children.iter().any(|node| match node {
        Node::Text(text) => !text.trim().is_empty(),
        Node::Element(_) => false,
    });
    let attributes = element.attrs.iter().filter(|(name, _)| !is_technical(name));
    let attributes = attributes.map(|(name, value)| (name.clone(), Value::Text(value.clone())));
    let mut members: Vec<(String, Value)> = attributes.collect();
    if has_text || element.elements().next().is_none() {
        let text = Value::Text(element.text());
        if members.is_empty() {
            return text;
        }
        members.push(("text".to_owned(), text));
    } else {
        let elements = element
            .elements()
            .map(|child| (child.name.clone(), of_element(child)));
        members.extend(elements);
    }
    Value::Record(members)
}

/// Attributes that speak to programs.
fn is_technical(name: &str) -> bool {
    matches!(
        name,
        "xmlns"
            | "schemaLocation"
            | "noNamespaceSchemaLocation"
            | "space"
            | "lang"
            | "style"
            | "class"
    )
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        struct Ordered;

        impl<'de> Visitor<'de> for Ordered {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON value")
            }

            fn visit_unit<E>(self) -> std::result::Result<Value, E> {
                Ok(Value::Text(String::new()))
            }

            fn visit_bool<E>(self, value: bool) -> std::result::Result<Value, E> {
                Ok(Value::Text(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> std::result::Result<Value, E> {
                Ok(Value::Text(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> std::result::Result<Value, E> {
                Ok(Value::Text(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> std::result::Result<Value, E> {
                Ok(Value::Text(value.to_string()))
            }

            fn visit_str<E>(self, value: &str) -> std::result::Result<Value, E> {
                Ok(Value::Text(value.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(
                self,
                mut values: A,
            ) -> std::result::Result<Value, A::Error> {
                let mut list = Vec::new();
                while let Some(value) = values.next_element()? {
                    list.push(value);
                }
                Ok(Value::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(
                self,
                mut members: A,
            ) -> std::result::Result<Value, A::Error> {
                let mut record = Vec::new();
                while let Some(member) = members.next_entry()? {
                    record.push(member);
                }
                Ok(Value::Record(record))
            }
        }

        deserializer.deserialize_any(Ordered)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::BlockKind;

    fn texts(extracted: &Extracted) -> Vec<(BlockKind, &str)> {
        extracted
            .blocks
            .iter()
            .map(|block| (block.kind, block.text.as_str()))
            .collect()
    }

    #[test]
    fn json_keeps_its_order_and_the_names_that_lead_to_a_value() {
        let json = r#"{"title":"Plan","zeta":1.5,"alpha":{"owner":"Sato","tags":["a","b"],"deep":{"x":true}},
            "items":[{"pen":"red","n":1},{"pen":"blue","n":null}]}"#;
        let extracted = extract_json(json.as_bytes()).unwrap();
        assert_eq!(extracted.title.as_deref(), Some("Plan"));
        assert_eq!(
            texts(&extracted),
            [
                (BlockKind::Paragraph, "title: Plan"),
                (BlockKind::Paragraph, "zeta: 1.5"),
                (BlockKind::Heading(1), "alpha"),
                (BlockKind::Paragraph, "owner: Sato"),
                (BlockKind::Paragraph, "tags: a, b"),
                (BlockKind::Heading(2), "deep"),
                (BlockKind::Paragraph, "x: true"),
                (BlockKind::Heading(1), "items"),
                (
                    BlockKind::Table,
                    "| pen | n |\n| --- | --- |\n| red | 1 |\n| blue | |"
                ),
            ]
        );
        assert_eq!(extracted.blocks[6].locator.headings, ["alpha", "deep"]);
    }

    #[test]
    fn records_with_long_texts_are_not_squeezed_into_a_table() {
        let long = "a sentence of some length. ".repeat(10);
        let lines = format!(
            "{{\"title\":\"A\",\"body\":\"{long}\"}}\n\nno json\n{{\"title\":\"B\",\"body\":\"{long}\"}}\n"
        );
        let extracted = extract_json_lines(lines.as_bytes());
        assert_eq!(extracted.blocks[0].text, "record: A");
        assert_eq!(extracted.blocks.len(), 6);
        assert_eq!(
            extracted.warnings[0].message,
            "lines that are no JSON: 1, the first of them line 3"
        );
    }

    #[test]
    fn xml_elements_are_named_and_mixed_text_stays_whole() {
        let xml = "<?xml version='1.0' encoding='UTF-8'?><order id='7'><title>T</title><note>Read <b>this</b> now.</note>\
            <line sku='a'><n>1</n></line><line sku='b'><n>2</n></line></order>";
        let extracted = extract_xml(xml.as_bytes()).unwrap();
        assert_eq!(
            texts(&extracted),
            [
                (BlockKind::Heading(1), "order"),
                (BlockKind::Paragraph, "id: 7"),
                (BlockKind::Paragraph, "title: T"),
                (BlockKind::Paragraph, "note: Read this now."),
                (BlockKind::Heading(2), "line"),
                (
                    BlockKind::Table,
                    "| sku | n |\n| --- | --- |\n| a | 1 |\n| b | 2 |"
                ),
            ]
        );
    }

    #[test]
    fn deep_json_is_refused() {
        let deep = "[".repeat(1_000_000);
        assert!(matches!(
            extract_json(deep.as_bytes()),
            Err(Error::Malformed { format: "JSON", .. })
        ));
    }
}

//! The block at the head of a Markdown file that describes it: YAML (`key: value`) or TOML (`key = "value"`), as far as
//! title and metadata need it.

use crate::extract::outline::Outline;

/// Takes title and metadata from front matter. What is written in another way than `key: value`, `key: [a, b]` or a list
/// of `- a` lines is passed over, as are other keys.
pub(crate) fn read(outline: &mut Outline, text: &str) {
    for (key, values) in entries(text) {
        let first = values.first().map_or("", String::as_str);
        match key.as_str() {
            "title" => outline.set_title(first),
            "author" | "authors" => outline.set_author(&values.join("; ")),
            "date" => outline.set_date(first),
            "tags" | "keywords" => outline.add_tags(&values.join(",")),
            "valid_from" => outline.metadata().valid_from = day(first),
            "valid_until" => outline.metadata().valid_until = day(first),
            "supersedes" => outline.metadata().supersedes.extend(values),
            _ => {}
        }
    }
}

fn day(text: &str) -> Option<jiff::civil::Date> {
    crate::date::parse_day(text).ok()
}

/// Returns the keys at the margin with their values.
fn entries(text: &str) -> Vec<(String, Vec<String>)> {
    let mut entries: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if let Some(item) = line.trim_start().strip_prefix("- ") {
            if let Some((_, values)) = entries.last_mut() {
                values.extend(scalar(item));
            }
            continue;
        }
        let Some(at) = line.find([':', '=']) else {
            continue;
        };
        if line.starts_with(char::is_whitespace) {
            continue;
        }
        let key = line[..at].trim().to_lowercase().replace('-', "_");
        let value = line[at + 1..].trim();
        let list = value.strip_prefix('[').and_then(|v| v.strip_suffix(']'));
        let values = match list {
            Some(list) => list.split(',').filter_map(scalar).collect(),
            None => scalar(value).into_iter().collect(),
        };
        entries.push((key, values));
    }
    entries
}

/// Returns a value without quotes; `None` when it is empty.
fn scalar(text: &str) -> Option<String> {
    let text = text.trim();
    let quoted = ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote));
    let plain = quoted.unwrap_or_else(|| text.split(" #").next().unwrap_or(text).trim());
    (!plain.is_empty()).then(|| plain.to_owned())
}

#[cfg(test)]
mod tests {
    use crate::extract::outline::Outline;
    use crate::metadata::Metadata;
    use jiff::civil::date;

    fn read(text: &str) -> (Option<String>, Metadata) {
        let mut outline = Outline::default();
        super::read(&mut outline, text);
        let extracted = outline.finish();
        (extracted.title, extracted.metadata)
    }

    #[test]
    fn yaml_and_toml_say_the_same() {
        let yaml = "title: \"旅費: 規程\"\nauthor: 佐藤 # head of HR\ndate: 令和6年4月1日\ntags:\n  - 人事\n  - 'travel'\n\
            valid-from: 2024-05-01\nvalid_until: 2025/5/1\nsupersedes: [old.md, \"older.md\"]\nother:\n  date: 2001-01-01\n";
        let toml = "title = \"旅費: 規程\"\nauthor = \"佐藤\"\ndate = 2024-04-01\ntags = [\"人事\", \"travel\"]\n\
            valid_from = 2024-05-01\nvalid_until = 2025-05-01\nsupersedes = [\"old.md\", \"older.md\"]\n";
        let set = |items: [&str; 2]| items.iter().map(|item| (*item).to_owned()).collect();
        for text in [yaml, toml] {
            let (title, metadata) = read(text);
            assert_eq!(title.as_deref(), Some("旅費: 規程"));
            let expected = Metadata {
                tags: set(["人事", "travel"]),
                author: Some("佐藤".to_owned()),
                date: Some(date(2024, 4, 1)),
                valid_from: Some(date(2024, 5, 1)),
                valid_until: Some(date(2025, 5, 1)),
                supersedes: set(["old.md", "older.md"]),
            };
            assert_eq!(metadata, expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        let (title, metadata) =
            read("- a\ntitle:\ndate: soon\ntags: []\nauthor: ''\nno key here\n:\n= x\n");
        assert_eq!((title, metadata), (None, Metadata::default()));
    }
}

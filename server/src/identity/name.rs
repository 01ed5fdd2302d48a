//! What users and groups may be called.

use super::{Error, Result};
use unicase::UniCase;
use unicode_normalization::UnicodeNormalization as _;

/// Longest name, in characters.
const MAX_CHARS: usize = 64;
/// Longest text beside a name, in characters.
const MAX_TEXT_CHARS: usize = 200;
/// What the principals that are no users are called.
const RESERVED_USERS: [&str; 2] = ["admin-api-key", "local-operator"];
/// The group of everyone who signs in.
const RESERVED_GROUPS: [&str; 1] = [kura_indexer::Acl::EVERYONE];

/// Returns a login as it is stored: however it is typed, on a Japanese keyboard too, it is the same.
///
/// # Errors
/// When it is no name.
pub(super) fn user(text: &str) -> Result<String> {
    let name = fold(text.trim());
    let is_valid = |c: char| c.is_alphanumeric() || "-_.@+".contains(c);
    if !is_of(&name, is_valid) {
        return Err(Error::Invalid(format!(
            "`{text}` is no name of a user; use 1 to {MAX_CHARS} letters, digits, `-`, `_`, `.`, `@` or `+`"
        )));
    }
    if RESERVED_USERS.contains(&name.as_str()) {
        return Err(Error::Invalid(format!(
            "`{name}` stands for another way in and cannot be a user; choose another name"
        )));
    }
    Ok(name)
}

/// Returns a group's name as it is stored, and folded.
///
/// # Errors
/// When it is no name.
pub(super) fn group(text: &str) -> Result<(String, String)> {
    let name: String = text.trim().nfkc().collect();
    if !is_of(&name, is_of_group) {
        return Err(Error::Invalid(format!(
            "`{text}` is no name of a group; use 1 to {MAX_CHARS} letters, digits, `-`, `_` or `.`"
        )));
    }
    let folded = fold(&name);
    if RESERVED_GROUPS.contains(&folded.as_str()) {
        return Err(Error::Invalid(format!(
            "`{folded}` is the group of all who sign in and cannot be made or changed"
        )));
    }
    Ok((name, folded))
}

/// Returns a group's name for what a directory calls it, such as `Legal-Team` for `Legal Team`.
///
/// # Errors
/// When nothing of it can be in a name.
pub(super) fn group_of(display_name: &str) -> Result<(String, String)> {
    let composed: String = display_name.nfkc().collect();
    let mut name = String::new();
    for c in composed.chars() {
        if is_of_group(c) {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    let name: String = name.chars().take(MAX_CHARS).collect();
    group(name.trim_end_matches('-'))
}

/// Returns whether a group can be called so.
pub(crate) fn is_group(text: &str) -> bool {
    group(text).is_ok()
}

/// Returns a text for people as it is stored: one line, not too long.
///
/// # Errors
/// When it is none.
pub(super) fn text(field: &str, text: &str) -> Result<String> {
    let text = text.trim();
    if text.chars().any(char::is_control) {
        return Err(Error::Invalid(format!(
            "`{field}` has control characters; write one line of plain text"
        )));
    }
    if text.chars().count() > MAX_TEXT_CHARS {
        return Err(Error::Invalid(format!(
            "`{field}` is longer than {MAX_TEXT_CHARS} characters"
        )));
    }
    Ok(text.to_owned())
}

fn is_of(name: &str, is_valid: impl Fn(char) -> bool) -> bool {
    (1..=MAX_CHARS).contains(&name.chars().count()) && name.chars().all(is_valid)
}

fn is_of_group(c: char) -> bool {
    c.is_alphanumeric() || "-_.".contains(c)
}

/// NFKC and case folding, until neither changes anything.
fn fold(text: &str) -> String {
    let once = |text: &str| -> String {
        let composed: String = text.nfkc().collect();
        UniCase::new(composed.as_str()).to_folded_case()
    };
    once(&once(text)).nfkc().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_name_however_it_is_typed() {
        for typed in ["Tarō", "TARŌ", "ｔａｒｏ\u{304}", " tarō "] {
            assert_eq!(user(typed).unwrap(), "tarō", "{typed}");
        }
        assert_eq!(user("Straße").unwrap(), user("STRASSE").unwrap());
        assert_eq!(user("ΟΔΟΣ").unwrap(), user("οδος").unwrap());
        assert_eq!(user("山田").unwrap(), "山田");
        assert_eq!(user("Taro@Example.com").unwrap(), "taro@example.com");
    }

    #[test]
    fn what_would_mean_something_else_is_no_name() {
        for bad in [
            "",
            " ",
            "a b",
            "user:x",
            "a/b",
            "local-operator",
            "Admin-API-Key",
            &"x".repeat(65),
        ] {
            assert!(user(bad).is_err(), "{bad}");
        }
        for bad in [
            "",
            "a b",
            "user:x",
            "a/b",
            "Everyone",
            "ｅveryone",
            &"x".repeat(65),
        ] {
            assert!(group(bad).is_err(), "{bad}");
        }
        assert_eq!(group("HR").unwrap(), ("HR".to_owned(), "hr".to_owned()));
        assert!(group("人事部").is_ok());
    }

    #[test]
    fn a_directorys_groups_have_names_that_access_lists_can_write() {
        let name = |text: &str| group_of(text).map(|(name, _)| name).ok();
        assert_eq!(name("Legal Team").as_deref(), Some("Legal-Team"));
        assert_eq!(
            name(" /Staff/人事 (東京) ").as_deref(),
            Some("Staff-人事-東京")
        );
        assert_eq!(name("hr").as_deref(), Some("hr"));
        assert_eq!(name("///"), None);
        assert_eq!(name("Everyone"), None);
        assert!(name(&"長い ".repeat(60)).is_some());
    }
}

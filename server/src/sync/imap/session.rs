//! What is asked of a mailbox. Nothing here changes it: folders are opened by `EXAMINE`, messages read by `BODY.PEEK`.

use super::connection::{Bounds, Connection, LINE, Trouble};
use super::names;
use imap_proto::{
    AttributeValue, MailboxDatum, NameAttribute, Response, ResponseCode, StatusAttribute,
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// Longest time until all messages of a folder are listed.
const LISTING: Duration = Duration::from_secs(60 * 60);
/// Longest time until a message is read.
const READING: Duration = Duration::from_secs(10 * 60);

/// A connection on which someone is signed in, and the folder that is open.
pub(super) struct Session {
    connection: Connection,
    open: Option<(String, u32)>,
}

/// A folder that may have messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    /// As the server calls it.
    pub(super) name: String,
    /// As people do, with `/`.
    pub(super) path: String,
    /// Whether it is for drafts, junk or trash, or shows messages of other folders (RFC 6154).
    pub(super) is_special: bool,
}

/// What says whether a folder has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Another one means that the same uids are other messages.
    pub(super) uidvalidity: u32,
    /// Messages in it.
    pub(super) n_messages: u32,
    /// The uid that the next new message gets.
    pub(super) uidnext: Option<u32>,
    /// Grows with every change, also of flags; only where the server keeps count (RFC 7162).
    pub(super) modseq: Option<u64>,
}

/// A message in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) uid: u32,
    pub(super) size_bytes: u64,
    /// When it came, such as `17-Jul-2024 02:44:25 +0900`.
    pub(super) came: String,
    /// Whether it waits to be expunged.
    pub(super) is_deleted: bool,
}

impl Session {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            open: None,
        }
    }

    /// Returns the folders that may have messages, by name.
    pub(super) fn folders(&mut self) -> Result<Vec<Folder>, Trouble> {
        let (can_say, can_be_asked) = (
            self.connection.can("SPECIAL-USE"),
            self.connection.can("LIST-EXTENDED"),
        );
        let list = if can_say && can_be_asked {
            r#"LIST "" "*" RETURN (SPECIAL-USE)"#
        } else {
            r#"LIST "" "*""#
        };
        let mut folders = Vec::new();
        self.connection
            .command(list, Bounds::SHORT, &mut |response| {
                if let Response::MailboxData(MailboxDatum::List(list)) = response {
                    let delimiter = list.delimiter.as_deref().map(names::unquoted);
                    let name = names::unquoted(&list.name);
                    if may_have_messages(&list.name_attributes) && names::quoted(&name).is_some() {
                        folders.push(Folder {
                            path: names::path(&name, delimiter.as_deref()),
                            name,
                            is_special: is_special(&list.name_attributes),
                        });
                    }
                }
                Ok(())
            })?;
        folders.sort_by(|a, b| a.name.cmp(&b.name));
        folders.dedup_by(|a, b| a.name == b.name);
        Ok(folders)
    }

    /// Returns the validity of a folder's uids without opening it, if it can be asked for.
    pub(super) fn uidvalidity(&mut self, name: &str) -> Result<Option<u32>, Trouble> {
        let mut found = None;
        let status = format!("STATUS {} (UIDVALIDITY)", quoted(name)?);
        let asked = self
            .connection
            .command(&status, Bounds::SHORT, &mut |response| {
                if let Response::MailboxData(MailboxDatum::Status { status, .. }) = response {
                    for attribute in status {
                        if let StatusAttribute::UidValidity(uidvalidity) = attribute {
                            found = Some(uidvalidity);
                        }
                    }
                }
                Ok(())
            });
        match asked {
            Ok(()) => Ok(found),
            Err(Trouble::Refused(_)) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Opens a folder for reading.
    pub(super) fn examine(&mut self, name: &str) -> Result<State, Trouble> {
        let has_modseq = self.connection.can("CONDSTORE");
        let condstore = if has_modseq { " (CONDSTORE)" } else { "" };
        let examine = format!("EXAMINE {}{condstore}", quoted(name)?);
        self.open = None;
        let (mut uidvalidity, mut n_messages, mut uidnext, mut modseq) = (None, 0, None, None);
        self.connection
            .command(&examine, Bounds::SHORT, &mut |response| {
                if let Response::MailboxData(MailboxDatum::Exists(n)) = response {
                    n_messages = n;
                } else if let Response::Data { outcome, .. } = response {
                    match outcome.code {
                        Some(ResponseCode::UidValidity(value)) => uidvalidity = Some(value),
                        Some(ResponseCode::UidNext(uid)) => uidnext = Some(uid),
                        Some(ResponseCode::HighestModSeq(value)) if has_modseq => {
                            modseq = Some(value)
                        }
                        Some(_) | None => {}
                    }
                }
                Ok(())
            })?;
        let Some(uidvalidity) = uidvalidity else {
            let cause = "the server does not say how long its uids hold (UIDVALIDITY)";
            return Err(Trouble::Refused(cause.to_owned()));
        };
        self.open = Some((name.to_owned(), uidvalidity));
        Ok(State {
            uidvalidity,
            n_messages,
            uidnext,
            modseq,
        })
    }

    /// Lists the messages of the folder opened last; returns how many there are, or were until they were expunged
    /// meanwhile. An error of `each` must be [`Trouble::Broken`].
    pub(super) fn messages(
        &mut self,
        each: &mut dyn FnMut(Message) -> Result<(), Trouble>,
    ) -> Result<u32, Trouble> {
        let bounds = Bounds {
            bytes: LINE,
            time: LISTING,
        };
        let (mut n_listed, mut n_expunged) = (0, 0);
        let fetch = "UID FETCH 1:* (UID FLAGS INTERNALDATE RFC822.SIZE)";
        self.connection.command(fetch, bounds, &mut |response| {
            let Response::Fetch(_, attributes) = response else {
                n_expunged += u32::from(matches!(response, Response::Expunge(_)));
                return Ok(());
            };
            match message(&attributes) {
                Some(message) => {
                    n_listed += 1;
                    each(message)
                }
                // A message that is not understood must not look as if it were not there.
                None if attributes.contains(&AttributeValue::Unknown) => {
                    let cause = "what the server says of a message is not understood";
                    Err(Trouble::Broken(cause.to_owned()))
                }
                // News about a message's flags.
                None => Ok(()),
            }
        })?;
        Ok(n_listed + n_expunged)
    }

    /// Reads a message; `None` if it is not there any more.
    pub(super) fn read(
        &mut self,
        folder: &str,
        uidvalidity: u32,
        uid: u32,
        max_bytes: u64,
    ) -> Result<Option<Vec<u8>>, Trouble> {
        let validity = match &self.open {
            Some((open, validity)) if open == folder => *validity,
            Some(_) | None => self.examine(folder)?.uidvalidity,
        };
        if validity != uidvalidity {
            return Ok(None);
        }
        let bounds = Bounds {
            bytes: max_bytes.saturating_add(LINE),
            time: READING,
        };
        let mut found = None;
        let fetch = format!("UID FETCH {uid} (UID BODY.PEEK[])");
        self.connection.command(&fetch, bounds, &mut |response| {
            if let Response::Fetch(_, attributes) = response
                && attributes.contains(&AttributeValue::Uid(uid))
            {
                found = attributes.into_iter().find_map(body).or(found.take());
            }
            Ok(())
        })?;
        Ok(found)
    }
}

fn quoted(name: &str) -> Result<String, Trouble> {
    names::quoted(name).ok_or_else(|| Trouble::Refused("its name cannot be sent".to_owned()))
}

/// Returns what a response says of a message, if it is one of a listing.
fn message(attributes: &[AttributeValue<'_>]) -> Option<Message> {
    let (mut uid, mut size, mut came, mut flags) = (None, None, None, None);
    for attribute in attributes {
        if let AttributeValue::Uid(value) = attribute {
            uid = Some(*value);
        } else if let AttributeValue::Rfc822Size(value) = attribute {
            size = Some(u64::from(*value));
        } else if let AttributeValue::InternalDate(value) = attribute {
            came = Some(value.to_string());
        } else if let AttributeValue::Flags(value) = attribute {
            flags = Some(value);
        }
    }
    let is_deleted = |flag: &Cow<'_, str>| flag.eq_ignore_ascii_case("\\Deleted");
    Some(Message {
        uid: uid?,
        size_bytes: size?,
        came: came.unwrap_or_default(),
        is_deleted: flags.is_some_and(|flags| flags.iter().any(is_deleted)),
    })
}

fn body(attribute: AttributeValue<'_>) -> Option<Vec<u8>> {
    if let AttributeValue::BodySection {
        section: None,
        index: None,
        data,
    } = attribute
    {
        data.map(Cow::into_owned)
    } else {
        None
    }
}

fn may_have_messages(attributes: &[NameAttribute<'_>]) -> bool {
    let is_missing = |attribute: &NameAttribute<'_>| {
        matches!(attribute, NameAttribute::NoSelect)
            || matches!(attribute, NameAttribute::Extension(name) if name.eq_ignore_ascii_case("\\NonExistent"))
    };
    !attributes.iter().any(is_missing)
}

fn is_special(attributes: &[NameAttribute<'_>]) -> bool {
    attributes.iter().any(|attribute| {
        matches!(
            attribute,
            NameAttribute::All
                | NameAttribute::Drafts
                | NameAttribute::Flagged
                | NameAttribute::Junk
                | NameAttribute::Trash
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attributes(text: &str) -> Vec<AttributeValue<'static>> {
        let line = format!("* 7 FETCH ({text})\r\n");
        let (_, response) = Response::parse(line.as_bytes()).unwrap();
        let Response::Fetch(7, attributes) = response.into_owned() else {
            panic!("no message");
        };
        attributes
    }

    #[test]
    fn a_listing_has_what_is_needed_of_each_message() {
        let listed = attributes(
            r#"UID 42 FLAGS (\Seen \DELETED) INTERNALDATE " 7-Jul-2024 02:44:25 +0900" RFC822.SIZE 1234 MODSEQ (9)"#,
        );
        let expected = Message {
            uid: 42,
            size_bytes: 1234,
            came: " 7-Jul-2024 02:44:25 +0900".to_owned(),
            is_deleted: true,
        };
        assert_eq!(message(&listed), Some(expected));
        assert_eq!(message(&attributes(r"UID 42 FLAGS (\Seen)")), None);
        let odd = attributes(r"UID 42 FLAGS () RFC822.SIZE 99999999999");
        assert!(
            message(&odd).is_none() && odd.contains(&AttributeValue::Unknown),
            "{odd:?}"
        );
    }
}

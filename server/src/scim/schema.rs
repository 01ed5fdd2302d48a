//! Which attributes kura keeps of people and groups. What else a directory sends is left out, as RFC 7644 allows: a
//! telephone number is of no use here, and what is not kept cannot leak.

use super::{Attributes, Error};
use serde_json::{Value, json};

/// Longest text of one attribute, in characters.
const MAX_CHARS: usize = 1000;
/// Most values of an attribute that is no list of members.
const MAX_VALUES: usize = 100;

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// The address of a resource of this type.
    Reference(&'static str),
    /// Yes or no.
    Flag,
    /// Attributes of its own.
    Parts(&'static [Attribute]),
}

/// Who may write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// The directory.
    ReadWrite,
    /// The directory, with the value that it is part of.
    Immutable,
    /// kura.
    ReadOnly,
}

/// An attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: &'static str,
    description: &'static str,
    /// What its values are.
    pub kind: Kind,
    /// Whether it may have several.
    pub many: bool,
    /// Whether there must be one.
    pub required: bool,
    /// Who may write it.
    pub mutability: Mutability,
    /// Whether upper and lower case differ.
    pub case_exact: bool,
    /// Whether no two resources have the same.
    unique: bool,
    /// Values that one would expect.
    canonical: &'static [&'static str],
}

/// A kind of resource.
#[derive(Debug, PartialEq, Eq)]
pub struct Schema {
    /// Its URN.
    pub id: &'static str,
    /// Its name, as in `meta.resourceType`.
    pub name: &'static str,
    /// Where its resources are.
    pub endpoint: &'static str,
    description: &'static str,
    attributes: &'static [Attribute],
}

const fn attribute(name: &'static str, kind: Kind, description: &'static str) -> Attribute {
    Attribute {
        name,
        description,
        kind,
        many: false,
        required: false,
        mutability: Mutability::ReadWrite,
        case_exact: false,
        unique: false,
        canonical: &[],
    }
}

const fn text(name: &'static str, description: &'static str) -> Attribute {
    attribute(name, Kind::Text, description)
}

/// Part of every resource.
const COMMON: &[Attribute] = &[
    Attribute {
        case_exact: true,
        ..text("externalId", "What the directory knows it by.")
    },
    Attribute {
        case_exact: true,
        mutability: Mutability::ReadOnly,
        ..text("id", "What kura knows it by.")
    },
    Attribute {
        mutability: Mutability::ReadOnly,
        ..attribute("meta", Kind::Parts(META), "What kura says of it.")
    },
];

const META: &[Attribute] = &[
    text("resourceType", "What it is."),
    text("created", "Since when it has been there."),
    text("lastModified", "When it last changed."),
];

/// A person.
pub const USER: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:User",
    name: "User",
    endpoint: "/Users",
    description: "A person who signs in at the identity provider.",
    attributes: &[
        Attribute {
            required: true,
            unique: true,
            ..text(
                "userName",
                "What the person signs in as; the login of who is new.",
            )
        },
        attribute(
            "name",
            Kind::Parts(&[
                text("formatted", "The whole name."),
                text("familyName", "The family name."),
                text("givenName", "The given name."),
            ]),
            "The name and its parts.",
        ),
        text("displayName", "The name to show."),
        // Everybody is the one or the other: who is not said to be either is active when new, and stays what they are later.
        Attribute {
            required: true,
            ..attribute(
                "active",
                Kind::Flag,
                "Whether the person may do anything: sessions and API keys end with it.",
            )
        },
        Attribute {
            many: true,
            ..attribute(
                "emails",
                Kind::Parts(&[
                    text("value", "The address."),
                    Attribute {
                        canonical: &["work", "home", "other"],
                        ..text("type", "What it is for.")
                    },
                    attribute(
                        "primary",
                        Kind::Flag,
                        "Whether it is the one to write to; one is at most.",
                    ),
                ]),
                "Where to write to.",
            )
        },
        Attribute {
            many: true,
            mutability: Mutability::ReadOnly,
            ..attribute(
                "groups",
                Kind::Parts(&[
                    Attribute {
                        mutability: Mutability::ReadOnly,
                        ..text("value", "The group's id.")
                    },
                    Attribute {
                        mutability: Mutability::ReadOnly,
                        ..attribute("$ref", Kind::Reference("Group"), "The group's address.")
                    },
                    Attribute {
                        mutability: Mutability::ReadOnly,
                        ..text("display", "The group's name in access lists.")
                    },
                ]),
                "Groups of the directory that the person is in.",
            )
        },
    ],
};

/// A group.
pub const GROUP: Schema = Schema {
    id: "urn:ietf:params:scim:schemas:core:2.0:Group",
    name: "Group",
    endpoint: "/Groups",
    description: "People whom access lists name together.",
    attributes: &[
        Attribute {
            required: true,
            ..text(
                "displayName",
                "What it is called. The name in access lists is made from the first one, and stays.",
            )
        },
        Attribute {
            many: true,
            ..attribute(
                "members",
                Kind::Parts(&[
                    Attribute {
                        mutability: Mutability::Immutable,
                        case_exact: true,
                        ..text("value", "The person's id.")
                    },
                    Attribute {
                        mutability: Mutability::Immutable,
                        ..attribute("$ref", Kind::Reference("User"), "The person's address.")
                    },
                    Attribute {
                        mutability: Mutability::Immutable,
                        canonical: &["User"],
                        ..text("type", "What the member is: a person.")
                    },
                ]),
                "Who is in it. Groups within groups are not taken.",
            )
        },
    ],
};

/// All kinds of resources.
pub const ALL: [&Schema; 2] = [&USER, &GROUP];

impl Schema {
    /// Returns an attribute of this name, in whatever case it is written.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&'static Attribute> {
        named(self.attributes, name).or_else(|| named(COMMON, name))
    }

    /// Returns what a directory says of a new resource, or in place of an old one, as kura keeps it.
    ///
    /// # Errors
    /// When a value does not fit its attribute, or what is required is not there.
    pub fn read(&self, given: &Attributes) -> Result<Attributes, Error> {
        let mut kept = Attributes::new();
        for (name, value) in given {
            let Some(attribute) = self.attribute(name) else {
                continue;
            };
            if attribute.mutability == Mutability::ReadOnly {
                continue;
            }
            if attribute.many && !value.is_array() && !value.is_null() {
                return Err(Error::value(format!("`{}` is not a list", attribute.name)));
            }
            if let Some(value) = attribute.read(value)? {
                kept.insert(attribute.name.to_owned(), value);
            }
        }
        self.check(&kept)?;
        Ok(kept)
    }

    /// Fails unless all is there that must be.
    ///
    /// # Errors
    /// When something is missing.
    pub fn check(&self, kept: &Attributes) -> Result<(), Error> {
        let is_asked_for =
            |attribute: &&Attribute| attribute.required && attribute.kind == Kind::Text;
        let required = self.attributes.iter().filter(is_asked_for);
        for attribute in required {
            let is_there = kept
                .get(attribute.name)
                .and_then(Value::as_str)
                .is_some_and(|text| !text.trim().is_empty());
            if !is_there {
                return Err(Error::value(format!("`{}` is required", attribute.name)));
            }
        }
        Ok(())
    }

    /// Returns the description that directories read.
    #[must_use]
    pub fn describe(&self, base: &str) -> Value {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Schema"],
            "id": self.id,
            "name": self.name,
            "description": self.description,
            "attributes": self.attributes.iter().map(Attribute::describe).collect::<Vec<_>>(),
            "meta": { "resourceType": "Schema", "location": format!("{base}/Schemas/{}", self.id) },
        })
    }

    /// Returns the description of its resources that directories read.
    #[must_use]
    pub fn describe_type(&self, base: &str) -> Value {
        json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ResourceType"],
            "id": self.name,
            "name": self.name,
            "description": self.description,
            "endpoint": self.endpoint,
            "schema": self.id,
            "schemaExtensions": [],
            "meta": { "resourceType": "ResourceType", "location": format!("{base}/ResourceTypes/{}", self.name) },
        })
    }
}

impl Attribute {
    /// Returns a part of this name.
    #[must_use]
    pub fn part(&self, name: &str) -> Option<&'static Attribute> {
        match self.kind {
            Kind::Parts(parts) => named(parts, name),
            Kind::Text | Kind::Reference(_) | Kind::Flag => None,
        }
    }

    /// Returns all of its values as kura keeps them; `None` if there are none.
    ///
    /// # Errors
    /// When a value does not fit.
    pub fn read(&self, given: &Value) -> Result<Option<Value>, Error> {
        if !self.many {
            return self.read_one(given);
        }
        if given.is_null() {
            return Ok(None);
        }
        let values = given
            .as_array()
            .map_or(std::slice::from_ref(given), Vec::as_slice);
        if self.name != "members" && values.len() > MAX_VALUES {
            return Err(Error::value(format!(
                "`{}` has more than {MAX_VALUES} values",
                self.name
            )));
        }
        let mut kept = Vec::new();
        for value in values {
            if value.is_null() {
                return Err(Error::value(format!(
                    "`{}` has a value that is none",
                    self.name
                )));
            }
            kept.extend(self.read_one(value)?);
        }
        let is_primary = |value: &&Value| value.get("primary") == Some(&Value::Bool(true));
        if kept.iter().filter(is_primary).count() > 1 {
            let detail = format!("several values of `{}` are the primary one", self.name);
            return Err(Error::value(detail));
        }
        Ok((!kept.is_empty()).then_some(Value::Array(kept)))
    }

    /// Returns one value as kura keeps it; `None` if it is none.
    pub(super) fn read_one(&self, given: &Value) -> Result<Option<Value>, Error> {
        let unfit = |wanted: &str| Error::value(format!("`{}` is not {wanted}", self.name));
        Ok(match (self.kind, given) {
            (_, Value::Null) => None,
            (Kind::Text | Kind::Reference(_), Value::String(text)) => {
                if text.chars().count() > MAX_CHARS {
                    return Err(unfit(&format!("{MAX_CHARS} characters at most")));
                }
                if text.chars().any(char::is_control) {
                    return Err(unfit("one line of plain text"));
                }
                Some(given.clone())
            }
            (Kind::Text | Kind::Reference(_), _) => return Err(unfit("a text")),
            (Kind::Flag, Value::Bool(_)) => Some(given.clone()),
            // As Entra ID writes them.
            (Kind::Flag, Value::String(text)) if text.eq_ignore_ascii_case("true") => {
                Some(true.into())
            }
            (Kind::Flag, Value::String(text)) if text.eq_ignore_ascii_case("false") => {
                Some(false.into())
            }
            (Kind::Flag, _) => return Err(unfit("`true` or `false`")),
            (Kind::Parts(parts), Value::Object(given)) => {
                let mut kept = Attributes::new();
                for (name, value) in given {
                    if let Some(part) = named(parts, name)
                        && part.mutability != Mutability::ReadOnly
                        && let Some(value) = part.read_one(value)?
                    {
                        kept.insert(part.name.to_owned(), value);
                    }
                }
                (!kept.is_empty()).then_some(Value::Object(kept))
            }
            (Kind::Parts(_), _) => return Err(unfit("an object")),
        })
    }

    fn describe(&self) -> Value {
        let (kind, parts, references) = match self.kind {
            Kind::Text => ("string", None, None),
            Kind::Reference(to) => ("reference", None, Some(json!([to]))),
            Kind::Flag => ("boolean", None, None),
            Kind::Parts(parts) => {
                let parts: Vec<Value> = parts.iter().map(Self::describe).collect();
                ("complex", Some(json!(parts)), None)
            }
        };
        let mutability = match self.mutability {
            Mutability::ReadWrite => "readWrite",
            Mutability::Immutable => "immutable",
            Mutability::ReadOnly => "readOnly",
        };
        let mut described = json!({
            "name": self.name,
            "description": self.description,
            "type": kind,
            "multiValued": self.many,
            "required": self.required,
            "caseExact": self.case_exact,
            "mutability": mutability,
            "returned": "default",
            "uniqueness": if self.unique { "server" } else { "none" },
        });
        if let Value::Object(described) = &mut described {
            let canonical = (!self.canonical.is_empty()).then(|| json!(self.canonical));
            for (name, value) in [
                ("subAttributes", parts),
                ("referenceTypes", references),
                ("canonicalValues", canonical),
            ] {
                described.extend(value.map(|value| (name.to_owned(), value)));
            }
        }
        described
    }
}

fn named(attributes: &'static [Attribute], name: &str) -> Option<&'static Attribute> {
    attributes
        .iter()
        .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: Value) -> Result<Value, Error> {
        USER.read(given.as_object().unwrap()).map(Value::Object)
    }

    #[test]
    fn what_kura_keeps_is_kept_however_it_is_written_and_nothing_else() {
        let kept = read(json!({
            "schemas": [USER.id], "id": "mine", "groups": [{ "value": "admins" }],
            "USERNAME": "taro@example.com", "active": "False", "title": "Dr.", "displayName": null,
            "name": { "familyname": "山田", "honorificPrefix": "Dr.", "givenName": "" },
            "emails": [{ "value": "taro@example.com", "primary": "True" }], "phoneNumbers": [],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "人事" },
        }))
        .unwrap();
        let expected = json!({
            "userName": "taro@example.com", "active": false, "name": { "familyName": "山田", "givenName": "" },
            "emails": [{ "value": "taro@example.com", "primary": true }],
        });
        assert_eq!(kept, expected);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_its_name() {
        for (bad, name) in [
            (json!({}), "userName"),
            (json!({ "userName": " " }), "userName"),
            (json!({ "userName": 7 }), "userName"),
            (json!({ "userName": "a\u{0}b" }), "userName"),
            (json!({ "userName": "a", "active": "perhaps" }), "active"),
            (json!({ "userName": "a", "name": "Taro" }), "name"),
            (
                json!({ "userName": "a", "emails": { "value": "a@example.com" } }),
                "emails",
            ),
            (json!({ "userName": "a", "emails": [null] }), "emails"),
            (
                json!({ "userName": "a", "emails": ["a@example.com"] }),
                "emails",
            ),
            (
                json!({ "userName": "a", "emails": [{ "value": "a", "primary": true }, { "value": "b", "primary": true }] }),
                "emails",
            ),
            (
                json!({ "userName": "a", "displayName": "x".repeat(1001) }),
                "displayName",
            ),
        ] {
            let Error::Refused(refused) = read(bad.clone()).unwrap_err() else {
                panic!("{bad}")
            };
            assert_eq!((refused.status, refused.kind), (400, Some("invalidValue")));
            assert!(refused.detail.contains(name), "{bad}: {}", refused.detail);
        }
    }
}

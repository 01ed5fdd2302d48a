//! What directories send and get, for the API's description. It is read by [`crate::scim::schema`], which knows the same
//! attributes and takes them as directories write them.

#![expect(dead_code, reason = "only described")]

use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::openapi::{ContentBuilder, Object, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// What an operation answers with: a resource or a list under this status, or why not.
pub(super) struct Answer<const STATUS: u16>;

impl<const STATUS: u16> IntoResponses for Answer<STATUS> {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let object = ContentBuilder::new().schema(Some(Object::new())).build();
        let object = ResponseBuilder::new()
            .content("application/scim+json", object)
            .build();
        let answer = match STATUS {
            204 => Response::default(),
            _ => object.clone(),
        };
        [(STATUS.to_string(), answer), ("default".to_owned(), object)]
            .map(|(status, response)| (status, RefOr::T(response)))
            .into()
    }
}

/// A person.
#[derive(ToSchema)]
#[schema(as = ScimUser, rename_all = "camelCase")]
pub(super) struct User {
    /// What the person signs in as; the login of who is new.
    user_name: String,
    /// What the directory knows them by.
    external_id: Option<String>,
    /// The name to show.
    display_name: Option<String>,
    /// The name and its parts.
    name: Option<Name>,
    /// Whether they may do anything.
    active: Option<bool>,
    /// Where to write to.
    emails: Option<Vec<Email>>,
}

/// A name.
#[derive(ToSchema)]
#[schema(as = ScimName, rename_all = "camelCase")]
struct Name {
    formatted: Option<String>,
    family_name: Option<String>,
    given_name: Option<String>,
}

/// An address.
#[derive(ToSchema)]
#[schema(as = ScimEmail)]
struct Email {
    value: Option<String>,
    r#type: Option<String>,
    primary: Option<bool>,
}

/// A group.
#[derive(ToSchema)]
#[schema(as = ScimGroup, rename_all = "camelCase")]
pub(super) struct Group {
    /// What it is called.
    display_name: String,
    /// What the directory knows it by.
    external_id: Option<String>,
    /// Who is in it.
    members: Option<Vec<Member>>,
}

/// Someone in a group.
#[derive(ToSchema)]
#[schema(as = ScimMember)]
struct Member {
    /// The person's id.
    value: String,
    /// `User`.
    r#type: Option<String>,
}

/// Changes of a person or a group.
#[derive(ToSchema)]
#[schema(as = ScimPatchOp)]
pub(super) struct PatchOp {
    #[schema(rename = "Operations")]
    operations: Vec<Operation>,
}

/// A change.
#[derive(ToSchema)]
#[schema(as = ScimOperation)]
struct Operation {
    op: Action,
    /// The attribute, such as `name.familyName` or `members[value eq "…"]`.
    path: Option<String>,
    value: Option<Value>,
}

/// What to do.
#[derive(ToSchema)]
#[schema(as = ScimAction, rename_all = "lowercase")]
enum Action {
    Add,
    Replace,
    Remove,
}

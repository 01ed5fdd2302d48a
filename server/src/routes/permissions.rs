//! `/api/v1/collections/{name}/members` and `/api/v1/documents/{id}/acl`: whom collections are for, and who may read a
//! document in them. docs/PERMISSIONS.md says what follows from it.

use super::{Json, Path, Problems, document_id};
use crate::app::{App, AppState};
use crate::audit::Audited;
use crate::auth::Principal;
use crate::error::{ApiError, Code};
use axum::extract::State;
use kura_indexer::{Acl, CollectionId, GroupId, Member, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A group that a collection is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = CollectionMember)]
pub struct CollectionMember {
    /// Name of the group; `everyone` are all who sign in, `user:alice` is one person.
    pub group: String,
    /// What it may do.
    pub role: MemberRole,
}

/// What a member of a collection may do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum MemberRole {
    /// See that it exists, and read those of its documents that it may read.
    Reader,
    /// Change it and its documents, too.
    Editor,
}

/// Who may read a document: whoever is in one of its readers and in none of its denied groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DocumentAcl {
    /// Groups that may read it; without any nobody may, save who may read everything.
    pub readers: Vec<String>,
    /// Groups that may not, whatever other groups let them.
    #[serde(default)]
    pub denied: Vec<String>,
}

impl From<Member> for CollectionMember {
    fn from(member: Member) -> Self {
        Self {
            group: member.group.0,
            role: match member.role {
                Role::Reader => MemberRole::Reader,
                Role::Editor => MemberRole::Editor,
            },
        }
    }
}

impl From<Acl> for DocumentAcl {
    fn from(acl: Acl) -> Self {
        let names = |groups: std::collections::BTreeSet<GroupId>| {
            groups.into_iter().map(|group| group.0).collect()
        };
        Self {
            readers: names(acl.readers),
            denied: names(acl.denied),
        }
    }
}

/// Returns members as the catalog takes them.
///
/// # Errors
/// [`kura_indexer::Error::InvalidAccess`] for a name that no group can have.
pub fn members(given: &[CollectionMember]) -> kura_indexer::Result<Vec<Member>> {
    let member = |member: &CollectionMember| {
        Ok(Member {
            group: GroupId::named(&member.group)?,
            role: match member.role {
                MemberRole::Reader => Role::Reader,
                MemberRole::Editor => Role::Editor,
            },
        })
    };
    given.iter().map(member).collect()
}

/// Notes whom a collection is for from now on.
pub(crate) fn note_members(audited: &Audited, members: &[CollectionMember]) {
    for member in members {
        let role = match member.role {
            MemberRole::Reader => "reader",
            MemberRole::Editor => "editor",
        };
        audited.add("members", format!("{}={role}", member.group));
    }
}

/// Fails unless a principal may change this collection, its documents and who may read them: an editor of the collection,
/// or one who reads everything. That its role lets it change documents at all was seen before.
///
/// Ask only about a collection that the principal may read: this says that there is one.
pub(crate) async fn may_change(
    app: &App,
    principal: &Principal,
    collection: CollectionId,
) -> Result<(), ApiError> {
    let access = principal.access();
    let Some(groups) = access.as_groups() else {
        return Ok(());
    };
    let writable = app.pipeline.writable_collections(groups).await?;
    if writable.contains(&collection) {
        return Ok(());
    }
    Err(ApiError::new(
        Code::Forbidden,
        "you may read this collection, but not change it; one of its editors can make you one, too",
    ))
}

/// Returns the collection that a principal adds documents to. One that is missing is made only by who may read everything:
/// for others it is answered as one that is hidden.
pub(crate) async fn collection_to_fill(
    app: &App,
    principal: &Principal,
    name: &str,
) -> Result<CollectionId, ApiError> {
    let access = principal.access();
    if access.as_groups().is_none() {
        return Ok(app.pipeline.create_collection(name).await?.id);
    }
    let collection = app.pipeline.collection(name, &access).await?.id;
    may_change(app, principal, collection).await?;
    Ok(collection)
}

/// Lists whom a collection is for.
#[utoipa::path(get, path = "/api/v1/collections/{name}/members", tag = "collections",
    params(("name" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Vec<CollectionMember>), Problems))]
pub async fn list_members(
    State(app): State<AppState>,
    principal: Principal,
    Path(name): Path<String>,
) -> Result<axum::Json<Vec<CollectionMember>>, ApiError> {
    let access = principal.access();
    let collection = app.pipeline.collection(&name, &access).await?;
    may_change(&app, &principal, collection.id).await?;
    let members = app.pipeline.members(&name, &access).await?;
    Ok(axum::Json(members.into_iter().map(Into::into).collect()))
}

/// Replaces whom a collection is for. For others it does not exist, from their next request on.
///
/// Without any member it is only for those who may read everything.
#[utoipa::path(put, path = "/api/v1/collections/{name}/members", tag = "collections",
    request_body = Vec<CollectionMember>,
    params(("name" = String, Path, description = "The collection's name")),
    responses((status = 200, body = Vec<CollectionMember>), Problems))]
pub async fn put_members(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(name): Path<String>,
    Json(given): Json<Vec<CollectionMember>>,
) -> Result<axum::Json<Vec<CollectionMember>>, ApiError> {
    let access = principal.access();
    let collection = app.pipeline.collection(&name, &access).await?;
    may_change(&app, &principal, collection.id).await?;
    let members = members(&given)?;
    note_members(&audited, &given);
    app.pipeline.set_members(&name, members, &access).await?;
    let members = app.pipeline.members(&name, &access).await?;
    Ok(axum::Json(members.into_iter().map(Into::into).collect()))
}

/// Returns who may read a document.
#[utoipa::path(get, path = "/api/v1/documents/{id}/acl", tag = "documents",
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 200, body = DocumentAcl), Problems))]
pub async fn get_acl(
    State(app): State<AppState>,
    principal: Principal,
    Path(id): Path<String>,
) -> Result<axum::Json<DocumentAcl>, ApiError> {
    let document = app
        .pipeline
        .document(document_id(&id)?, &principal.access())
        .await?;
    may_change(&app, &principal, document.collection).await?;
    Ok(axum::Json(document.acl.into()))
}

/// Changes who may read a document and what lies in it, from their next request on. Nothing is embedded again.
///
/// What lies in another document has that one's readers, and no ACL of its own to change.
#[utoipa::path(put, path = "/api/v1/documents/{id}/acl", tag = "documents", request_body = DocumentAcl,
    params(("id" = String, Path, description = "The document's id")),
    responses((status = 200, body = DocumentAcl), Problems))]
pub async fn put_acl(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(id): Path<String>,
    Json(given): Json<DocumentAcl>,
) -> Result<axum::Json<DocumentAcl>, ApiError> {
    let (id, access) = (document_id(&id)?, principal.access());
    let document = app.pipeline.document(id, &access).await?;
    may_change(&app, &principal, document.collection).await?;
    let acl = Acl {
        readers: GroupId::all_named(&given.readers)?,
        denied: GroupId::all_named(&given.denied)?,
    };
    for (name, groups) in [("readers", &acl.readers), ("denied", &acl.denied)] {
        for group in groups {
            audited.add(name, group.0.as_str());
        }
    }
    app.pipeline.set_acl(id, acl.clone(), &access).await?;
    Ok(axum::Json(acl.into()))
}

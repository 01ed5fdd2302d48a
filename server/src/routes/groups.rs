//! `/api/v1/groups`

use super::{Json, List, Path, Problems};
use crate::app::AppState;
use crate::audit::Audited;
use crate::auth::Principal;
use crate::error::{ApiError, Problem};
use crate::identity;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Users whom access lists name together.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Group {
    /// As access lists write it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Who made it: `local`, or the issuer of an identity provider.
    pub source: String,
    /// Who belongs to it.
    pub members: Vec<Member>,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    pub created_at: jiff::Timestamp,
}

/// Someone who belongs to a group.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(as = GroupMember)]
pub struct Member {
    /// The user's id.
    pub id: String,
    /// The login.
    pub name: String,
}

/// What to create.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// 1 to 64 letters, digits, `-`, `_` or `.`; no two differ in case only.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub description: String,
}

/// Who belongs to a group from now on.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// Ids or logins of users.
    pub users: Vec<String>,
}

impl From<identity::Group> for Group {
    fn from(group: identity::Group) -> Self {
        let members = group.members.into_iter().map(|(id, name)| Member {
            id: id.to_string(),
            name,
        });
        Self {
            members: members.collect(),
            name: group.name,
            description: group.description,
            source: group.source,
            created_at: group.created_at,
        }
    }
}

/// Lists the groups by name. `everyone`, to which all belong who sign in, is not among them.
#[utoipa::path(get, path = "/api/v1/groups", tag = "users",
    responses((status = 200, body = List<Group>), Problems))]
pub async fn list_groups(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
) -> Result<axum::Json<List<Group>>, ApiError> {
    let groups = app.identity.groups().await?;
    audited.items(groups.len());
    Ok(axum::Json(List {
        items: groups.into_iter().map(Into::into).collect(),
        next_cursor: None,
    }))
}

/// Creates a group without members.
#[utoipa::path(post, path = "/api/v1/groups", tag = "users", request_body = NewGroup,
    responses((status = 201, body = Group),
        (status = 409, body = Problem, content_type = "application/problem+json"), Problems))]
pub async fn create_group(
    State(app): State<AppState>,
    _principal: Principal,
    audited: Audited,
    Json(new): Json<NewGroup>,
) -> Result<(StatusCode, axum::Json<Group>), ApiError> {
    audited.target("group", &new.name);
    let group = app.identity.add_group(&new.name, &new.description).await?;
    Ok((StatusCode::CREATED, axum::Json(group.into())))
}

/// Returns a group.
#[utoipa::path(get, path = "/api/v1/groups/{name}", tag = "users",
    params(("name" = String, Path, description = "The group's name")),
    responses((status = 200, body = Group), Problems))]
pub async fn get_group(
    State(app): State<AppState>,
    _principal: Principal,
    Path(name): Path<String>,
) -> Result<axum::Json<Group>, ApiError> {
    Ok(axum::Json(app.identity.group(&name).await?.into()))
}

/// Deletes a group; its members can no longer read what only it could. Access lists keep the name: a group made under
/// it later has the same rights.
#[utoipa::path(delete, path = "/api/v1/groups/{name}", tag = "users",
    params(("name" = String, Path, description = "The group's name")),
    responses((status = 204, description = "Deleted"), Problems))]
pub async fn delete_group(
    State(app): State<AppState>,
    _principal: Principal,
    Path(name): Path<String>,
) -> Result<StatusCode, ApiError> {
    app.identity.delete_group(&name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes these users the members of a group, in place of those before. It counts from their next request on.
#[utoipa::path(put, path = "/api/v1/groups/{name}/members", tag = "users", request_body = Members,
    params(("name" = String, Path, description = "The group's name")),
    responses((status = 200, body = Group), Problems))]
pub async fn put_group_members(
    State(app): State<AppState>,
    principal: Principal,
    audited: Audited,
    Path(name): Path<String>,
    Json(members): Json<Members>,
) -> Result<axum::Json<Group>, ApiError> {
    let group = app.identity.set_members(&name, members.users).await?;
    note_members(&audited, &group);
    tracing::info!(
        principal.id = principal.id(),
        group.name = group.name,
        "the members of a group were set"
    );
    Ok(axum::Json(group.into()))
}

/// Notes who belongs to a group now.
pub(crate) fn note_members(audited: &Audited, group: &identity::Group) {
    for (_, name) in &group.members {
        audited.add("members", name.as_str());
    }
}

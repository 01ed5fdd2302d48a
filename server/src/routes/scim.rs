//! `/scim/v2`: SCIM 2.0, by which a directory keeps users and groups up to date.
//!
//! The directory has an API key of an administrator. It sees what it has made and people of the identity provider, and
//! nothing that was made in kura: see [`crate::identity`]'s provisioning.

mod wire;

use crate::app::{App, AppState};
use crate::audit::Audited;
use crate::error::ApiError;
use crate::identity::{ProvisionedGroup, ProvisionedUser, Role};
use crate::scim::resource::{self, Selection};
use crate::scim::schema::{self, GROUP, Schema, USER};
use crate::scim::{Attributes, Error, Refusal, error_body, filter, patch};
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::extract::{FromRequestParts, Path, Query, State};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use std::convert::Infallible;
use utoipa::{IntoParams, ToSchema};

/// Resources in a list when the directory does not say how many.
const DEFAULT_COUNT: usize = 100;
/// Most resources in a list.
const MAX_COUNT: usize = 1000;
const CONTENT_TYPE: &str = "application/scim+json";

/// Which parts of a resource to return.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct SelectionQuery {
    /// Attributes to return, separated by commas; all when absent.
    pub attributes: Option<String>,
    /// Attributes to leave out, separated by commas.
    pub excluded_attributes: Option<String>,
}

/// Which resources to return.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(rename_all = "camelCase")]
pub struct ListQuery {
    /// Attributes to return, separated by commas; all when absent.
    pub attributes: Option<String>,
    /// Attributes to leave out, separated by commas.
    pub excluded_attributes: Option<String>,
    /// Such as `userName eq "taro"`.
    pub filter: Option<String>,
    /// The first to return, counted from 1.
    pub start_index: Option<i64>,
    /// Most to return, up to 1000; 100 when absent.
    pub count: Option<i64>,
}

/// The same in a body.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ScimSearchRequest)]
pub struct SearchRequest {
    /// Attributes to return; all when absent.
    attributes: Option<Vec<String>>,
    /// Attributes to leave out.
    excluded_attributes: Option<Vec<String>>,
    /// Such as `userName eq "taro"`.
    filter: Option<String>,
    /// The first to return, counted from 1.
    start_index: Option<i64>,
    /// Most to return, up to 1000; 100 when absent.
    count: Option<i64>,
}

fn split(list: Option<&str>) -> Vec<String> {
    let names = list.unwrap_or_default().split(',');
    names.map(str::to_owned).collect()
}

type Reply = Result<Response, Error>;
type Body = Result<axum::Json<Value>, JsonRejection>;

/// The address of SCIM, as the directory knows it.
pub struct Base(String);

impl FromRequestParts<AppState> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Infallible> {
        let public = app.config.auth.public_url.trim_end_matches('/');
        if !public.is_empty() {
            return Ok(Self(format!("{public}/scim/v2")));
        }
        let host = parts
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let host = host.unwrap_or("localhost");
        Ok(Self(format!("http://{host}/scim/v2")))
    }
}

/// How a resource is shown: with addresses as the directory knows them, and with the parts that it asks for.
pub struct View {
    base: String,
    selection: Selection,
}

impl FromRequestParts<AppState> for View {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, app: &AppState) -> Result<Self, Error> {
        let Ok(Base(base)) = Base::from_request_parts(parts, app).await;
        let Query(query) = Query::<SelectionQuery>::from_request_parts(parts, app)
            .await
            .map_err(|rejection| Error::value(rejection.body_text()))?;
        let selection = Selection::new(
            split(query.attributes.as_deref()),
            split(query.excluded_attributes.as_deref()),
        )?;
        Ok(Self { base, selection })
    }
}

impl View {
    fn user(&self, user: &ProvisionedUser) -> Response {
        self.show(StatusCode::OK, resource::user(user, &self.base))
    }

    fn group(&self, group: &ProvisionedGroup) -> Response {
        self.show(StatusCode::OK, resource::group(group, &self.base))
    }

    /// Shows what was added, and says where it is.
    fn created(&self, resource: Attributes) -> Response {
        let location = resource.get("meta").and_then(|meta| meta.get("location"));
        let location = location
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned();
        let shown = self.show(StatusCode::CREATED, resource);
        ([(header::LOCATION, location)], shown).into_response()
    }

    fn show(&self, status: StatusCode, resource: Attributes) -> Response {
        reply(status, &Value::Object(self.selection.apply(resource)))
    }
}

/// Returns what of SCIM kura can do.
#[utoipa::path(get, path = "/scim/v2/ServiceProviderConfig", tag = "scim", responses(wire::Answer<200>))]
pub async fn get_scim_config(Base(base): Base) -> Response {
    let supported = |is: bool| json!({ "supported": is });
    let config = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig"],
        "patch": supported(true),
        "bulk": { "supported": false, "maxOperations": 0, "maxPayloadSize": 0 },
        "filter": { "supported": true, "maxResults": MAX_COUNT },
        "changePassword": supported(false),
        "sort": supported(false),
        "etag": supported(false),
        "authenticationSchemes": [{
            "type": "oauthbearertoken",
            "name": "API key",
            "description": "An API key of an administrator, as `Authorization: Bearer KEY`.",
            "primary": true,
        }],
        "meta": {
            "resourceType": "ServiceProviderConfig",
            "location": format!("{base}/ServiceProviderConfig"),
        },
    });
    reply(StatusCode::OK, &config)
}

/// Lists the kinds of resources.
#[utoipa::path(get, path = "/scim/v2/ResourceTypes", tag = "scim", responses(wire::Answer<200>))]
pub async fn list_scim_resource_types(Base(base): Base) -> Response {
    let types = schema::ALL.map(|schema| schema.describe_type(&base));
    list(types.to_vec(), 1, types.len())
}

/// Returns a kind of resource.
#[utoipa::path(get, path = "/scim/v2/ResourceTypes/{id}", tag = "scim", params(("id" = String, Path, description = "`User` or `Group`")),
    responses(wire::Answer<200>))]
pub async fn get_scim_resource_type(Base(base): Base, Path(id): Path<String>) -> Reply {
    let found = schema::ALL.into_iter().find(|schema| schema.name == id);
    let schema = found.ok_or_else(|| missing(&id))?;
    let described = schema.describe_type(&base);
    Ok(reply(StatusCode::OK, &described))
}

/// Lists the schemas.
#[utoipa::path(get, path = "/scim/v2/Schemas", tag = "scim", responses(wire::Answer<200>))]
pub async fn list_scim_schemas(Base(base): Base) -> Response {
    let schemas = schema::ALL.map(|schema| schema.describe(&base));
    list(schemas.to_vec(), 1, schemas.len())
}

/// Returns a schema.
#[utoipa::path(get, path = "/scim/v2/Schemas/{id}", tag = "scim", params(("id" = String, Path, description = "Its URN")),
    responses(wire::Answer<200>))]
pub async fn get_scim_schema(Base(base): Base, Path(id): Path<String>) -> Reply {
    let found = schema::ALL
        .into_iter()
        .find(|schema| schema.id.eq_ignore_ascii_case(&id));
    let schema = found.ok_or_else(|| missing(&id))?;
    Ok(reply(StatusCode::OK, &schema.describe(&base)))
}

/// Lists people.
#[utoipa::path(get, path = "/scim/v2/Users", tag = "scim", params(ListQuery), responses(wire::Answer<200>))]
pub async fn list_scim_users(
    State(app): State<AppState>,
    audited: Audited,
    Base(base): Base,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Reply {
    search(&app, &audited, &[&USER], list_request(query)?, &base).await
}

/// Lists people, with the query in the body.
#[utoipa::path(post, path = "/scim/v2/Users/.search", tag = "scim", request_body = SearchRequest,
    responses(wire::Answer<200>))]
pub async fn search_scim_users(
    State(app): State<AppState>,
    audited: Audited,
    Base(base): Base,
    body: Body,
) -> Reply {
    search(&app, &audited, &[&USER], search_request(body)?, &base).await
}

/// Lists groups.
#[utoipa::path(get, path = "/scim/v2/Groups", tag = "scim", params(ListQuery), responses(wire::Answer<200>))]
pub async fn list_scim_groups(
    State(app): State<AppState>,
    audited: Audited,
    Base(base): Base,
    query: Result<Query<ListQuery>, QueryRejection>,
) -> Reply {
    search(&app, &audited, &[&GROUP], list_request(query)?, &base).await
}

/// Lists groups, with the query in the body.
#[utoipa::path(post, path = "/scim/v2/Groups/.search", tag = "scim", request_body = SearchRequest,
    responses(wire::Answer<200>))]
pub async fn search_scim_groups(
    State(app): State<AppState>,
    audited: Audited,
    Base(base): Base,
    body: Body,
) -> Reply {
    search(&app, &audited, &[&GROUP], search_request(body)?, &base).await
}

/// Lists people and groups, with the query in the body.
#[utoipa::path(post, path = "/scim/v2/.search", tag = "scim", request_body = SearchRequest,
    responses(wire::Answer<200>))]
pub async fn search_scim(
    State(app): State<AppState>,
    audited: Audited,
    Base(base): Base,
    body: Body,
) -> Reply {
    search(&app, &audited, &schema::ALL, search_request(body)?, &base).await
}

/// Adds a person, who signs in at the identity provider.
#[utoipa::path(post, path = "/scim/v2/Users", tag = "scim", params(SelectionQuery), request_body = wire::User,
    responses(wire::Answer<201>))]
pub async fn create_scim_user(
    State(app): State<AppState>,
    audited: Audited,
    view: View,
    body: Body,
) -> Reply {
    let attributes = USER.read(&object(body)?)?;
    let new = resource::user_provision(attributes, true)?;
    let role = app.config.auth.oidc.role_of(&[]).unwrap_or(Role::Reader);
    let user = app.identity.provision_user(new, role).await?;
    note_user(&audited, &user);
    audited.detail("role", role.as_str());
    Ok(view.created(resource::user(&user, &view.base)))
}

/// Returns a person.
#[utoipa::path(get, path = "/scim/v2/Users/{id}", tag = "scim", params(("id" = String, Path), SelectionQuery),
    responses(wire::Answer<200>))]
pub async fn get_scim_user(
    State(app): State<AppState>,
    audited: Audited,
    Path(id): Path<String>,
    view: View,
) -> Reply {
    audited.target("user", &id);
    let user = app.identity.provisioned_user(id).await?;
    Ok(view.user(&user))
}

/// Replaces what is known of a person.
#[utoipa::path(put, path = "/scim/v2/Users/{id}", tag = "scim", params(("id" = String, Path), SelectionQuery), request_body = wire::User,
    responses(wire::Answer<200>))]
pub async fn put_scim_user(
    State(app): State<AppState>,
    audited: Audited,
    Path(id): Path<String>,
    view: View,
    body: Body,
) -> Reply {
    audited.target("user", &id);
    let attributes = USER.read(&object(body)?)?;
    let change = move |before: &ProvisionedUser| -> Result<_, Error> {
        resource::user_provision(attributes, before.user.active)
    };
    let user = app.identity.change_provisioned_user(id, change).await?;
    note_user(&audited, &user);
    Ok(view.user(&user))
}

/// Changes what is known of a person.
#[utoipa::path(patch, path = "/scim/v2/Users/{id}", tag = "scim", params(("id" = String, Path), SelectionQuery), request_body = wire::PatchOp,
    responses(wire::Answer<200>))]
pub async fn patch_scim_user(
    State(app): State<AppState>,
    audited: Audited,
    Path(id): Path<String>,
    view: View,
    body: Body,
) -> Reply {
    audited.target("user", &id);
    let request = Value::Object(object(body)?);
    let change = move |before: &ProvisionedUser| -> Result<_, Error> {
        let mut attributes = resource::user_attributes(before);
        patch::apply(&USER, &mut attributes, &request)?;
        resource::user_provision(attributes, before.user.active)
    };
    let user = app.identity.change_provisioned_user(id, change).await?;
    note_user(&audited, &user);
    Ok(view.user(&user))
}

/// Deletes a person with sessions, API keys and memberships; nobody gets the name again.
#[utoipa::path(delete, path = "/scim/v2/Users/{id}", tag = "scim", params(("id" = String, Path)),
    responses(wire::Answer<204>))]
pub async fn delete_scim_user(
    State(app): State<AppState>,
    audited: Audited,
    Path(id): Path<String>,
) -> Reply {
    audited.target("user", &id);
    let user = app.identity.provisioned_user(id).await?.user;
    audited.detail("name", user.name.as_str());
    match super::users::remove(&app, user.id).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) => Ok(error.into_response()),
    }
}

/// Adds a group.
#[utoipa::path(post, path = "/scim/v2/Groups", tag = "scim", params(SelectionQuery), request_body = wire::Group,
    responses(wire::Answer<201>))]
pub async fn create_scim_group(
    State(app): State<AppState>,
    audited: Audited,
    view: View,
    body: Body,
) -> Reply {
    let new = resource::group_provision(GROUP.read(&object(body)?)?)?;
    let group = app.identity.provision_group(new).await?;
    note_group(&audited, &group);
    Ok(view.created(resource::group(&group, &view.base)))
}

/// Returns a group.
#[utoipa::path(get, path = "/scim/v2/Groups/{id}", tag = "scim", params(("id" = String, Path), SelectionQuery),
    responses(wire::Answer<200>))]
pub async fn get_scim_group(
    State(app): State<AppState>,
    audited: Audited,
    Path(id): Path<String>,
    view: View,
) -> Reply {
    audited.target("group", &id);
    let group = app.identity.provisioned_group(id).await?;
    Ok(view.group(&group))
}

/// Replaces what is known of a group: who is not among its members leaves it.
#[utoipa::path(put, path = "/scim/v2/Groups/{id}", tag = "scim", params(("id" = String, Path), SelectionQuery), request_body = wire::Group,
    responses(wire::Answer<200>))]
pub async fn put_scim_group(
    State(app): State<AppState>,
    audited: Audited,
    Path(id): Path<String>,
    view: View,
    body: Body,
) -> Reply {
    audited.target("group", &id);
    let attributes = GROUP.read(&object(body)?)?;
    let change = move |_: &ProvisionedGroup| resource::group_provision(attributes);
    let group = app.identity.change_provisioned_group(id, change).await?;
    note_group(&audited, &group);
    Ok(view.group(&group))
}

/// Changes a group: above all, who is in it.
#[utoipa::path(patch, path = "/scim/v2/Groups/{id}", tag = "scim", params(("id" = String, Path), SelectionQuery), request_body = wire::PatchOp,
    responses(wire::Answer<200>))]
pub async fn patch_scim_group(
    State(app): State<AppState>,
    audited: Audited,
    Path(id): Path<String>,
    view: View,
    body: Body,
) -> Reply {
    audited.target("group", &id);
    let request = Value::Object(object(body)?);
    let change = move |before: &ProvisionedGroup| -> Result<_, Error> {
        let mut attributes = resource::group_attributes(before);
        patch::apply(&GROUP, &mut attributes, &request)?;
        resource::group_provision(attributes)
    };
    let group = app.identity.change_provisioned_group(id, change).await?;
    note_group(&audited, &group);
    Ok(view.group(&group))
}

/// Deletes a group. Documents that name it as a reader keep the name.
#[utoipa::path(delete, path = "/scim/v2/Groups/{id}", tag = "scim", params(("id" = String, Path)),
    responses(wire::Answer<204>))]
pub async fn delete_scim_group(
    State(app): State<AppState>,
    audited: Audited,
    Path(id): Path<String>,
) -> Reply {
    audited.target("group", &id);
    let group = app.identity.provisioned_group(id).await?;
    audited.detail("name", group.name.as_str());
    app.identity.delete_group(&group.name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Returns one page of the resources that a request asks for.
async fn search(
    app: &App,
    audited: &Audited,
    schemas: &[&'static Schema],
    request: SearchRequest,
    base: &str,
) -> Reply {
    let selection = Selection::new(
        request.attributes.unwrap_or_default(),
        request.excluded_attributes.unwrap_or_default(),
    )?;
    let filter = request.filter.filter(|text| !text.trim().is_empty());
    let filter = filter.as_deref().map(filter::parse).transpose()?;
    let mut found = Vec::new();
    for schema in schemas {
        let all: Vec<Attributes> = if **schema == USER {
            let users = app.identity.provisioned_users().await?;
            users
                .iter()
                .map(|user| resource::user(user, base))
                .collect()
        } else {
            let groups = app.identity.provisioned_groups().await?;
            groups
                .iter()
                .map(|group| resource::group(group, base))
                .collect()
        };
        found.extend(all.into_iter().filter(|one| {
            filter
                .as_ref()
                .is_none_or(|filter| filter::matches(schema, filter, one))
        }));
    }
    let total = found.len();
    let whole = |number: i64| usize::try_from(number).unwrap_or(0);
    let start = request.start_index.map_or(1, whole).max(1);
    let count = request.count.map_or(DEFAULT_COUNT, whole).min(MAX_COUNT);
    let page = found.into_iter().skip(start - 1).take(count);
    let page: Vec<Value> = page
        .map(|one| Value::Object(selection.apply(one)))
        .collect();
    audited.items(page.len());
    Ok(list(page, start, total))
}

fn list(page: Vec<Value>, start: usize, total: usize) -> Response {
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:ListResponse"],
        "totalResults": total,
        "startIndex": start,
        "itemsPerPage": page.len(),
        "Resources": page,
    });
    reply(StatusCode::OK, &body)
}

fn reply(status: StatusCode, body: &Value) -> Response {
    let headers = [(header::CONTENT_TYPE, CONTENT_TYPE)];
    (status, headers, body.to_string()).into_response()
}

fn note_user(audited: &Audited, user: &ProvisionedUser) {
    audited.target("user", &user.user.id.to_string());
    audited.detail("name", user.user.name.as_str());
    audited.detail("active", user.user.active);
}

fn note_group(audited: &Audited, group: &ProvisionedGroup) {
    audited.target("group", &group.id);
    audited.detail("name", group.name.as_str());
    audited.detail("n_members", group.members.len());
}

fn object(body: Body) -> Result<Attributes, Error> {
    match body {
        Ok(axum::Json(Value::Object(object))) => Ok(object),
        Ok(_) => Err(Error::syntax("send a JSON object")),
        Err(rejection) => Err(Error::refused(
            rejection.status().as_u16(),
            "invalidSyntax",
            rejection.body_text(),
        )),
    }
}

fn search_request(body: Body) -> Result<SearchRequest, Error> {
    let body = Value::Object(object(body)?);
    serde_json::from_value(body).map_err(|error| Error::syntax(error.to_string()))
}

fn list_request(query: Result<Query<ListQuery>, QueryRejection>) -> Result<SearchRequest, Error> {
    let Query(query) = query.map_err(|rejection| Error::value(rejection.body_text()))?;
    Ok(SearchRequest {
        attributes: Some(split(query.attributes.as_deref())),
        excluded_attributes: Some(split(query.excluded_attributes.as_deref())),
        filter: query.filter,
        start_index: query.start_index,
        count: query.count,
    })
}

fn missing(id: &str) -> Error {
    Error::refused(404, "", format!("there is no `{id}`"))
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(Refusal {
                status,
                kind,
                detail,
            }) => {
                let body = error_body(status, kind, &detail);
                let status = StatusCode::from_u16(status);
                reply(status.unwrap_or(StatusCode::BAD_REQUEST), &body)
            }
            // Written by the layer that writes all failures.
            Self::Failed(error) => ApiError::from(error).into_response(),
        }
    }
}

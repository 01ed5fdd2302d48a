//! The table: every operation, with what it needs.

use super::Permission;
use axum::http::Method;

/// What an operation does about keys that are limited to some collections, and about jobs of unreadable documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// It touches no documents.
    Nothing,
    /// `{name}` in its path is a collection.
    Collection,
    /// `{id}` in its path is a document.
    Document,
    /// `{id}` in its path is a job.
    Job,
    /// Its handler keeps to the key's collections.
    Handled,
    /// It cannot be kept to some collections, so it is not for such keys.
    Everything,
}

pub(super) struct Rule {
    pub(super) method: Method,
    pub(super) path: &'static str,
    pub(super) permission: Permission,
    pub(super) reach: Reach,
}

const fn rule(method: Method, path: &'static str, permission: Permission, reach: Reach) -> Rule {
    Rule {
        method,
        path,
        permission,
        reach,
    }
}

/// What every operation needs. `HEAD` needs what `GET` does.
pub(super) const TABLE: &[Rule] = {
    use Permission as P;
    use Reach as R;
    const GET: Method = Method::GET;
    const PUT: Method = Method::PUT;
    const POST: Method = Method::POST;
    const PATCH: Method = Method::PATCH;
    const DELETE: Method = Method::DELETE;
    &[
        rule(GET, "/healthz", P::Anyone, R::Nothing),
        rule(GET, "/readyz", P::Anyone, R::Nothing),
        rule(GET, "/metrics", P::ReadSettings, R::Everything),
        // Who one is.
        rule(POST, "/api/v1/session", P::Anyone, R::Nothing),
        rule(GET, "/api/v1/session/oidc", P::Anyone, R::Nothing),
        rule(GET, "/api/v1/session/oidc/start", P::Anyone, R::Nothing),
        rule(GET, "/api/v1/session/oidc/callback", P::Anyone, R::Nothing),
        rule(POST, "/api/v1/session/oidc/logout", P::Anyone, R::Nothing),
        rule(GET, "/api/v1/session", P::Own, R::Nothing),
        rule(DELETE, "/api/v1/session", P::Own, R::Nothing),
        rule(PUT, "/api/v1/session/password", P::Account, R::Nothing),
        rule(POST, "/api/v1/session/totp", P::Account, R::Nothing),
        rule(POST, "/api/v1/session/totp/confirm", P::Account, R::Nothing),
        rule(POST, "/api/v1/session/totp/remove", P::Account, R::Nothing),
        // Of others only with `manage_identity`, which the handlers ask for.
        rule(GET, "/api/v1/sessions", P::Own, R::Everything),
        rule(DELETE, "/api/v1/sessions", P::Own, R::Everything),
        rule(DELETE, "/api/v1/sessions/{id}", P::Own, R::Everything),
        rule(GET, "/api/v1/api-keys", P::Own, R::Everything),
        rule(POST, "/api/v1/api-keys", P::Own, R::Everything),
        rule(DELETE, "/api/v1/api-keys/{id}", P::Own, R::Everything),
        rule(POST, "/api/v1/api-keys/{id}/rotate", P::Own, R::Nothing),
        // Who else there is.
        rule(GET, "/api/v1/users", P::ReadSettings, R::Everything),
        rule(POST, "/api/v1/users", P::ManageIdentity, R::Everything),
        rule(GET, "/api/v1/users/{id}", P::ReadSettings, R::Everything),
        rule(
            PATCH,
            "/api/v1/users/{id}",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(
            DELETE,
            "/api/v1/users/{id}",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(
            DELETE,
            "/api/v1/users/{id}/totp",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(GET, "/api/v1/groups", P::ReadSettings, R::Everything),
        rule(POST, "/api/v1/groups", P::ManageIdentity, R::Everything),
        rule(GET, "/api/v1/groups/{name}", P::ReadSettings, R::Everything),
        rule(
            DELETE,
            "/api/v1/groups/{name}",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(
            PUT,
            "/api/v1/groups/{name}/members",
            P::ManageIdentity,
            R::Everything,
        ),
        // What a directory does.
        rule(
            GET,
            "/scim/v2/ServiceProviderConfig",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(
            GET,
            "/scim/v2/ResourceTypes",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(
            GET,
            "/scim/v2/ResourceTypes/{id}",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(GET, "/scim/v2/Schemas", P::ManageIdentity, R::Everything),
        rule(
            GET,
            "/scim/v2/Schemas/{id}",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(POST, "/scim/v2/.search", P::ManageIdentity, R::Everything),
        rule(GET, "/scim/v2/Users", P::ManageIdentity, R::Everything),
        rule(
            POST,
            "/scim/v2/Users/.search",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(POST, "/scim/v2/Users", P::ManageIdentity, R::Everything),
        rule(GET, "/scim/v2/Users/{id}", P::ManageIdentity, R::Everything),
        rule(PUT, "/scim/v2/Users/{id}", P::ManageIdentity, R::Everything),
        rule(
            PATCH,
            "/scim/v2/Users/{id}",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(
            DELETE,
            "/scim/v2/Users/{id}",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(GET, "/scim/v2/Groups", P::ManageIdentity, R::Everything),
        rule(
            POST,
            "/scim/v2/Groups/.search",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(POST, "/scim/v2/Groups", P::ManageIdentity, R::Everything),
        rule(
            GET,
            "/scim/v2/Groups/{id}",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(
            PUT,
            "/scim/v2/Groups/{id}",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(
            PATCH,
            "/scim/v2/Groups/{id}",
            P::ManageIdentity,
            R::Everything,
        ),
        rule(
            DELETE,
            "/scim/v2/Groups/{id}",
            P::ManageIdentity,
            R::Everything,
        ),
        // Documents.
        rule(GET, "/api/v1/collections", P::Read, R::Handled),
        rule(POST, "/api/v1/collections", P::Write, R::Everything),
        rule(GET, "/api/v1/collections/{name}", P::Read, R::Collection),
        rule(
            DELETE,
            "/api/v1/collections/{name}",
            P::Write,
            R::Collection,
        ),
        rule(
            GET,
            "/api/v1/collections/{name}/dictionary",
            P::Read,
            R::Collection,
        ),
        rule(
            PUT,
            "/api/v1/collections/{name}/dictionary",
            P::Write,
            R::Collection,
        ),
        rule(
            DELETE,
            "/api/v1/collections/{name}/dictionary",
            P::Write,
            R::Collection,
        ),
        rule(
            GET,
            "/api/v1/collections/{name}/members",
            P::Write,
            R::Collection,
        ),
        rule(
            PUT,
            "/api/v1/collections/{name}/members",
            P::Write,
            R::Collection,
        ),
        rule(
            GET,
            "/api/v1/collections/{name}/quality",
            P::Read,
            R::Collection,
        ),
        rule(
            GET,
            "/api/v1/collections/{name}/documents/{external_id}",
            P::Read,
            R::Collection,
        ),
        rule(
            PUT,
            "/api/v1/collections/{name}/documents/{external_id}",
            P::Write,
            R::Collection,
        ),
        rule(
            DELETE,
            "/api/v1/collections/{name}/documents/{external_id}",
            P::Write,
            R::Collection,
        ),
        rule(GET, "/api/v1/documents", P::Read, R::Handled),
        rule(POST, "/api/v1/documents", P::Write, R::Handled),
        rule(GET, "/api/v1/documents/{id}", P::Read, R::Document),
        rule(PATCH, "/api/v1/documents/{id}", P::Write, R::Document),
        rule(DELETE, "/api/v1/documents/{id}", P::Write, R::Document),
        rule(GET, "/api/v1/documents/{id}/acl", P::Write, R::Document),
        rule(PUT, "/api/v1/documents/{id}/acl", P::Write, R::Document),
        rule(GET, "/api/v1/documents/{id}/children", P::Read, R::Document),
        rule(GET, "/api/v1/documents/{id}/content", P::Read, R::Document),
        rule(GET, "/api/v1/documents/{id}/text", P::Read, R::Document),
        // Questions.
        rule(POST, "/api/v1/search", P::Read, R::Handled),
        rule(POST, "/api/v1/search/explain", P::Diagnose, R::Everything),
        rule(POST, "/api/v1/ask", P::Read, R::Handled),
        rule(GET, "/api/v1/conversations", P::Read, R::Nothing),
        rule(GET, "/api/v1/conversations/{id}", P::Read, R::Nothing),
        rule(DELETE, "/api/v1/conversations/{id}", P::Read, R::Nothing),
        rule(GET, "/api/v1/answers/{id}/feedback", P::Read, R::Nothing),
        rule(PUT, "/api/v1/answers/{id}/feedback", P::Read, R::Everything),
        rule(DELETE, "/api/v1/answers/{id}/feedback", P::Read, R::Nothing),
        rule(GET, "/api/v1/feedback", P::Operate, R::Everything),
        rule(GET, "/v1/models", P::Read, R::Nothing),
        rule(POST, "/v1/chat/completions", P::Read, R::Handled),
        rule(POST, "/v1/embeddings", P::Read, R::Nothing),
        rule(POST, "/v1/rerank", P::Read, R::Nothing),
        rule(POST, "/v2/rerank", P::Read, R::Nothing),
        // Work.
        rule(GET, "/api/v1/jobs", P::WatchJobs, R::Handled),
        rule(GET, "/api/v1/jobs/summary", P::WatchJobs, R::Everything),
        rule(POST, "/api/v1/jobs/pause", P::ManageJobs, R::Everything),
        rule(POST, "/api/v1/jobs/resume", P::ManageJobs, R::Everything),
        rule(POST, "/api/v1/jobs/retry", P::ManageJobs, R::Everything),
        rule(GET, "/api/v1/jobs/{id}", P::WatchJobs, R::Job),
        rule(GET, "/api/v1/jobs/{id}/events", P::WatchJobs, R::Job),
        rule(POST, "/api/v1/jobs/{id}/cancel", P::WatchJobs, R::Job),
        rule(POST, "/api/v1/jobs/{id}/retry", P::WatchJobs, R::Job),
        // Running kura.
        rule(GET, "/api/v1/sources", P::ReadSettings, R::Everything),
        rule(POST, "/api/v1/sources", P::ManageSources, R::Everything),
        rule(
            GET,
            "/api/v1/sources/{name}",
            P::ReadSettings,
            R::Everything,
        ),
        rule(
            PATCH,
            "/api/v1/sources/{name}",
            P::ManageSources,
            R::Everything,
        ),
        rule(
            DELETE,
            "/api/v1/sources/{name}",
            P::ManageSources,
            R::Everything,
        ),
        rule(
            GET,
            "/api/v1/sources/{name}/items",
            P::ManageSources,
            R::Everything,
        ),
        rule(
            POST,
            "/api/v1/sources/{name}/scan",
            P::ManageSources,
            R::Everything,
        ),
        rule(GET, "/api/v1/evaluations", P::Evaluate, R::Everything),
        rule(POST, "/api/v1/evaluations", P::Evaluate, R::Everything),
        rule(
            GET,
            "/api/v1/evaluations/compare",
            P::Evaluate,
            R::Everything,
        ),
        rule(GET, "/api/v1/evaluations/{id}", P::Evaluate, R::Everything),
        rule(
            DELETE,
            "/api/v1/evaluations/{id}",
            P::Evaluate,
            R::Everything,
        ),
        rule(
            GET,
            "/api/v1/evaluations/{id}/report",
            P::Evaluate,
            R::Everything,
        ),
        rule(POST, "/api/v1/verify", P::Diagnose, R::Everything),
        // What is gone for good. The certificates name nobody.
        rule(GET, "/api/v1/forget", P::ReadSettings, R::Everything),
        rule(POST, "/api/v1/forget", P::Forget, R::Everything),
        rule(GET, "/api/v1/forget/{id}", P::ReadSettings, R::Everything),
        // What was done here, and by whom.
        rule(GET, "/api/v1/audit", P::ReadAudit, R::Everything),
        rule(GET, "/api/v1/audit/head", P::ReadAudit, R::Everything),
        rule(GET, "/api/v1/audit/verify", P::ReadAudit, R::Everything),
        rule(GET, "/api/v1/audit/holds", P::ReadAudit, R::Everything),
        rule(PUT, "/api/v1/audit/holds/{name}", P::Operate, R::Everything),
        rule(
            DELETE,
            "/api/v1/audit/holds/{name}",
            P::Operate,
            R::Everything,
        ),
    ]
};

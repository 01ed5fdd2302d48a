//! The one table of what requests do: a route that is not here is refused.

use axum::http::Method;

/// What kind of thing an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Changes something. Recorded; refused while nothing can be recorded.
    Mutating,
    /// Shows what documents, questions or answers say, or which there are. Recorded and refused alike.
    Reading,
    /// Looks at how kura is set up and whether all is well. Recorded; not refused, since it is how an operator finds out
    /// what is wrong.
    Administrative,
    /// Tells of work and capacity only, and is asked every few seconds; or works on the caller's own text. Not recorded.
    Unrecorded,
}

/// What a route does.
#[derive(Debug)]
pub struct Operation {
    method: &'static str,
    path: &'static str,
    /// The stable name in records.
    pub action: &'static str,
    /// Its kind.
    pub class: Class,
}

use Class::{Administrative, Mutating, Reading, Unrecorded};

/// Every guarded route, and those by which people sign in.
#[rustfmt::skip]
pub const OPERATIONS: &[Operation] = &[
    route("POST", "/api/v1/session", "session.create", Mutating),
    route("GET", "/api/v1/session/oidc", "session.ways", Unrecorded),
    route("GET", "/api/v1/session/oidc/start", "session.start", Unrecorded),
    route("GET", "/api/v1/session/oidc/callback", "session.create", Mutating),
    route("POST", "/api/v1/session/oidc/logout", "session.revoke", Mutating),
    route("GET", "/api/v1/session", "session.show", Unrecorded),
    route("DELETE", "/api/v1/session", "session.end", Mutating),
    route("PUT", "/api/v1/session/password", "password.change", Mutating),
    route("POST", "/api/v1/session/totp", "totp.enroll", Mutating),
    route("POST", "/api/v1/session/totp/confirm", "totp.confirm", Mutating),
    route("POST", "/api/v1/session/totp/remove", "totp.remove", Mutating),
    route("GET", "/api/v1/sessions", "session.list", Administrative),
    route("DELETE", "/api/v1/sessions", "session.revoke", Mutating),
    route("DELETE", "/api/v1/sessions/{id}", "session.revoke", Mutating),
    route("GET", "/api/v1/api-keys", "api_key.list", Administrative),
    route("POST", "/api/v1/api-keys", "api_key.create", Mutating),
    route("DELETE", "/api/v1/api-keys/{id}", "api_key.revoke", Mutating),
    route("POST", "/api/v1/api-keys/{id}/rotate", "api_key.rotate", Mutating),

    route("GET", "/api/v1/users", "user.list", Administrative),
    route("POST", "/api/v1/users", "user.create", Mutating),
    route("GET", "/api/v1/users/{id}", "user.show", Administrative),
    route("PATCH", "/api/v1/users/{id}", "user.change", Mutating),
    route("DELETE", "/api/v1/users/{id}", "user.delete", Mutating),
    route("DELETE", "/api/v1/users/{id}/totp", "totp.reset", Mutating),
    route("GET", "/api/v1/groups", "group.list", Administrative),
    route("POST", "/api/v1/groups", "group.create", Mutating),
    route("GET", "/api/v1/groups/{name}", "group.show", Administrative),
    route("DELETE", "/api/v1/groups/{name}", "group.delete", Mutating),
    route("PUT", "/api/v1/groups/{name}/members", "group.members.set", Mutating),

    route("GET", "/scim/v2/ServiceProviderConfig", "scim.describe", Unrecorded),
    route("GET", "/scim/v2/ResourceTypes", "scim.describe", Unrecorded),
    route("GET", "/scim/v2/ResourceTypes/{id}", "scim.describe", Unrecorded),
    route("GET", "/scim/v2/Schemas", "scim.describe", Unrecorded),
    route("GET", "/scim/v2/Schemas/{id}", "scim.describe", Unrecorded),
    route("POST", "/scim/v2/.search", "scim.search", Administrative),
    route("GET", "/scim/v2/Users", "user.list", Administrative),
    route("POST", "/scim/v2/Users/.search", "user.list", Administrative),
    route("POST", "/scim/v2/Users", "user.create", Mutating),
    route("GET", "/scim/v2/Users/{id}", "user.show", Administrative),
    route("PUT", "/scim/v2/Users/{id}", "user.change", Mutating),
    route("PATCH", "/scim/v2/Users/{id}", "user.change", Mutating),
    route("DELETE", "/scim/v2/Users/{id}", "user.delete", Mutating),
    route("GET", "/scim/v2/Groups", "group.list", Administrative),
    route("POST", "/scim/v2/Groups/.search", "group.list", Administrative),
    route("POST", "/scim/v2/Groups", "group.create", Mutating),
    route("GET", "/scim/v2/Groups/{id}", "group.show", Administrative),
    route("PUT", "/scim/v2/Groups/{id}", "group.change", Mutating),
    route("PATCH", "/scim/v2/Groups/{id}", "group.change", Mutating),
    route("DELETE", "/scim/v2/Groups/{id}", "group.delete", Mutating),

    route("POST", "/api/v1/search", "search", Reading),
    route("POST", "/api/v1/search/explain", "search.explain", Reading),
    route("POST", "/api/v1/ask", "question.ask", Reading),
    route("POST", "/v1/chat/completions", "chat.complete", Reading),

    route("GET", "/api/v1/documents", "document.list", Reading),
    route("POST", "/api/v1/documents", "document.create", Mutating),
    route("GET", "/api/v1/documents/{id}", "document.show", Reading),
    route("PATCH", "/api/v1/documents/{id}", "document.change", Mutating),
    route("DELETE", "/api/v1/documents/{id}", "document.delete", Mutating),
    route("GET", "/api/v1/documents/{id}/acl", "document.acl.read", Administrative),
    route("PUT", "/api/v1/documents/{id}/acl", "document.acl.set", Mutating),
    route("GET", "/api/v1/documents/{id}/children", "document.children", Reading),
    route("GET", "/api/v1/documents/{id}/text", "document.read", Reading),
    route("GET", "/api/v1/documents/{id}/content", "document.download", Reading),
    route("GET", "/api/v1/collections/{name}/documents/{external_id}", "document.show", Reading),
    route("PUT", "/api/v1/collections/{name}/documents/{external_id}", "document.put", Mutating),
    route("DELETE", "/api/v1/collections/{name}/documents/{external_id}", "document.delete", Mutating),

    route("GET", "/api/v1/collections", "collection.list", Unrecorded),
    route("POST", "/api/v1/collections", "collection.create", Mutating),
    route("GET", "/api/v1/collections/{name}", "collection.show", Unrecorded),
    route("DELETE", "/api/v1/collections/{name}", "collection.delete", Mutating),
    route("GET", "/api/v1/collections/{name}/members", "collection.members.read", Administrative),
    route("PUT", "/api/v1/collections/{name}/members", "collection.members.set", Mutating),
    route("GET", "/api/v1/collections/{name}/quality", "collection.quality", Reading),
    route("GET", "/api/v1/collections/{name}/dictionary", "dictionary.read", Reading),
    route("PUT", "/api/v1/collections/{name}/dictionary", "dictionary.set", Mutating),
    route("DELETE", "/api/v1/collections/{name}/dictionary", "dictionary.delete", Mutating),

    route("GET", "/api/v1/conversations", "conversation.list", Reading),
    route("GET", "/api/v1/conversations/{id}", "conversation.read", Reading),
    route("DELETE", "/api/v1/conversations/{id}", "conversation.delete", Mutating),
    route("GET", "/api/v1/answers/{id}/feedback", "feedback.read", Reading),
    route("PUT", "/api/v1/answers/{id}/feedback", "feedback.give", Mutating),
    route("DELETE", "/api/v1/answers/{id}/feedback", "feedback.withdraw", Mutating),
    route("GET", "/api/v1/feedback", "feedback.export", Reading),

    route("GET", "/api/v1/evaluations", "evaluation.list", Reading),
    route("POST", "/api/v1/evaluations", "evaluation.create", Mutating),
    route("GET", "/api/v1/evaluations/compare", "evaluation.compare", Reading),
    route("GET", "/api/v1/evaluations/{id}", "evaluation.read", Reading),
    route("DELETE", "/api/v1/evaluations/{id}", "evaluation.delete", Mutating),
    route("GET", "/api/v1/evaluations/{id}/report", "evaluation.report", Reading),

    route("GET", "/api/v1/jobs", "job.list", Unrecorded),
    route("GET", "/api/v1/jobs/summary", "job.summarize", Unrecorded),
    route("GET", "/api/v1/jobs/{id}", "job.show", Unrecorded),
    route("GET", "/api/v1/jobs/{id}/events", "job.follow", Unrecorded),
    route("POST", "/api/v1/jobs/pause", "job.pause", Mutating),
    route("POST", "/api/v1/jobs/resume", "job.resume", Mutating),
    route("POST", "/api/v1/jobs/retry", "job.retry", Mutating),
    route("POST", "/api/v1/jobs/{id}/cancel", "job.cancel", Mutating),
    route("POST", "/api/v1/jobs/{id}/retry", "job.retry", Mutating),

    route("GET", "/api/v1/sources", "source.list", Administrative),
    route("POST", "/api/v1/sources", "source.create", Mutating),
    route("GET", "/api/v1/sources/{name}", "source.show", Unrecorded),
    route("PATCH", "/api/v1/sources/{name}", "source.change", Mutating),
    route("DELETE", "/api/v1/sources/{name}", "source.delete", Mutating),
    route("POST", "/api/v1/sources/{name}/scan", "source.scan", Mutating),
    route("GET", "/api/v1/sources/{name}/items", "source.items", Reading),

    route("GET", "/api/v1/audit", "audit.list", Administrative),
    route("GET", "/api/v1/audit/head", "audit.head", Unrecorded),
    route("GET", "/api/v1/audit/verify", "audit.verify", Administrative),
    route("GET", "/api/v1/audit/holds", "audit.hold.list", Administrative),
    route("PUT", "/api/v1/audit/holds/{name}", "audit.hold.add", Mutating),
    route("DELETE", "/api/v1/audit/holds/{name}", "audit.hold.release", Mutating),

    route("POST", "/api/v1/verify", "data.verify", Administrative),
    route("GET", "/api/v1/forget", "data.forget.list", Administrative),
    route("POST", "/api/v1/forget", "data.forget", Mutating),
    route("GET", "/api/v1/forget/{id}", "data.forget.show", Administrative),
    route("GET", "/metrics", "metrics.read", Unrecorded),
    route("GET", "/v1/models", "model.list", Unrecorded),
    route("POST", "/v1/embeddings", "text.embed", Unrecorded),
    route("POST", "/v1/rerank", "text.rerank", Unrecorded),
    route("POST", "/v2/rerank", "text.rerank", Unrecorded),
];

/// Returns what a route does; `None` for one that is not in the table.
#[must_use]
pub fn find(method: &Method, path: &str) -> Option<&'static Operation> {
    // A route for GET answers HEAD, too.
    let method = match method.as_str() {
        "HEAD" => "GET",
        method => method,
    };
    OPERATIONS
        .iter()
        .find(|operation| operation.method == method && operation.path == path)
}

/// Returns what a path parameter names: `/documents/{id}` a document.
pub(super) fn kind_of(path: &str, parameter: &str) -> String {
    if !matches!(parameter, "id" | "name") {
        return parameter.to_owned();
    }
    let before = path.split('/').zip(path.split('/').skip(1));
    let folder = before
        .filter(|(_, segment)| {
            segment
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'))
                == Some(parameter)
        })
        .map(|(folder, _)| folder)
        .next();
    let folder = folder.unwrap_or(parameter);
    let kind = folder.strip_suffix('s').unwrap_or(folder).replace('-', "_");
    // SCIM writes `/Users/{id}`.
    kind.to_ascii_lowercase()
}

const fn route(
    method: &'static str,
    path: &'static str,
    action: &'static str,
    class: Class,
) -> Operation {
    Operation {
        method,
        path,
        action,
        class,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Routes that everyone may call.
    const OPEN: [&str; 2] = ["/healthz", "/readyz"];

    #[test]
    fn the_table_has_every_guarded_route_once_and_no_other() {
        let document = serde_json::to_value(crate::router::openapi()).unwrap();
        let mut routes = BTreeSet::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                if !OPEN.contains(&path.as_str()) {
                    routes.insert((method.to_uppercase(), path.clone()));
                }
            }
        }
        let table: Vec<_> = OPERATIONS
            .iter()
            .map(|operation| (operation.method.to_owned(), operation.path.to_owned()))
            .collect();
        assert_eq!(table.iter().cloned().collect::<BTreeSet<_>>(), routes);
        assert_eq!(table.len(), routes.len());
    }

    #[test]
    fn what_changes_something_says_so() {
        for operation in OPERATIONS {
            let safe = operation.method == "GET" || operation.class != Class::Unrecorded;
            let own_text = operation.action.starts_with("text.");
            assert!(safe || own_text, "{operation:?}");
            if matches!(operation.method, "PUT" | "PATCH" | "DELETE") {
                assert_eq!(operation.class, Class::Mutating, "{operation:?}");
            }
        }
        assert!(find(&Method::HEAD, "/api/v1/documents").is_some());
        assert!(find(&Method::GET, "/api/v1/ask").is_none());
    }

    #[test]
    fn parameters_are_named_by_what_they_stand_for() {
        let kind = |path, parameter| kind_of(path, parameter);
        assert_eq!(kind("/api/v1/documents/{id}/text", "id"), "document");
        assert_eq!(kind("/api/v1/audit/holds/{name}", "name"), "hold");
        assert_eq!(kind("/api/v1/api-keys/{id}/rotate", "id"), "api_key");
        let pushed = "/api/v1/collections/{name}/documents/{external_id}";
        assert_eq!(kind(pushed, "name"), "collection");
        assert_eq!(kind(pushed, "external_id"), "external_id");
    }
}

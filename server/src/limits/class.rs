//! What kind of work a request is, for the places it needs.

use axum::http::Method;

/// What kind of work a request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Never refused: it is how one finds out what is wrong.
    Free,
    /// Reads or changes a little.
    Light,
    /// Searches.
    Search,
    /// Answers a question: seconds, and one after the other where a model writes.
    Answer,
    /// Runs a model on the caller's own texts.
    Embed,
    /// Brings files, and holds them in memory.
    Upload,
}

impl Class {
    /// Returns the class of a route; what is not named here is light.
    #[must_use]
    pub fn of(method: &Method, path: &str) -> Self {
        match (method.as_str(), path) {
            (_, "/metrics") => Self::Free,
            ("POST", "/api/v1/search" | "/api/v1/search/explain") => Self::Search,
            ("POST", "/api/v1/ask" | "/v1/chat/completions") => Self::Answer,
            ("POST", "/v1/embeddings" | "/v1/rerank" | "/v2/rerank") => Self::Embed,
            ("POST", "/api/v1/documents" | "/api/v1/evaluations")
            | ("PUT", "/api/v1/collections/{name}/documents/{external_id}") => Self::Upload,
            _ => Self::Light,
        }
    }

    /// Returns whether it costs tokens of a model.
    #[must_use]
    pub fn costs_tokens(self) -> bool {
        matches!(self, Self::Answer | Self::Embed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_route_named_exists_and_the_ones_that_run_models_are_named() {
        let document = serde_json::to_value(crate::router::openapi()).unwrap();
        let mut named = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys() {
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let class = Class::of(&method, path);
                if class != Class::Light {
                    named.push(format!("{method} {path}"));
                }
            }
        }
        named.sort();
        assert_eq!(
            named,
            [
                "GET /metrics",
                "POST /api/v1/ask",
                "POST /api/v1/documents",
                "POST /api/v1/evaluations",
                "POST /api/v1/search",
                "POST /api/v1/search/explain",
                "POST /v1/chat/completions",
                "POST /v1/embeddings",
                "POST /v1/rerank",
                "POST /v2/rerank",
                "PUT /api/v1/collections/{name}/documents/{external_id}",
            ]
        );
    }
}

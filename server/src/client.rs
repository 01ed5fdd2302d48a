//! Talks to the server that holds the data directory, for commands. Blocking: callers use the blocking pool.

mod accounts;
mod collections;
mod jobs;
mod sources;

use crate::error::{Code, Problem};
use crate::evaluate::record::{Record, Summary};
use crate::routes::List;
use crate::routes::ask::{AnswerBody, AskRequest};
use crate::routes::documents::{Document, DocumentText, Upload, Uploads};
use crate::routes::evaluations::NewEvaluation;
use crate::routes::explain::{ExplainRequest, ExplainResponse};
use crate::routes::feedback::RatedAnswer;
use crate::routes::forget::{Erasure, ForgetRequest};
use crate::routes::jobs::Priority;
use crate::routes::metadata::MetadataChange;
use crate::routes::search::{SearchRequest, SearchResponse};
use crate::routes::verify::{Verification, VerifyRequest};
use crate::run_file::RunFile;
use anyhow::{Context as _, bail};
use kura_egress::multipart::{Form, Part};
use kura_egress::types::{Response, StatusCode};
use kura_egress::{Body, Egress, Http, HttpError, HttpOptions, Purpose, Rule};
use kura_indexer::AclChange;
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::BufRead;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How long a command waits for a server that has too much to do.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server on this machine.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Http,
    url: String,
    token: String,
}

/// A problem that the server answered with.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.detail)]
pub struct Refused(pub Problem);

/// What is said about a file that is uploaded.
#[derive(Debug, Clone, Copy)]
pub struct Said<'a> {
    /// What is known about it.
    pub metadata: &'a MetadataChange,
    /// Who may read it.
    pub acl: &'a AclChange,
    /// Which jobs its job goes before.
    pub priority: Priority,
}

impl Client {
    /// Returns a client of the server that wrote `run`.
    #[must_use]
    pub fn new(run: &RunFile) -> Self {
        Self::with(&Egress::offline(), run)
    }

    fn with(egress: &Egress, run: &RunFile) -> Self {
        let options = HttpOptions {
            connect: Some(Duration::from_secs(2)),
            ..HttpOptions::default()
        };
        Self {
            agent: egress.http(Purpose::Server, &options),
            url: run.url.clone(),
            token: run.token.clone(),
        }
    }

    /// Returns a client of the server at this address with a user's API key.
    #[must_use]
    pub fn with_key(url: &str, key: &SecretString) -> Self {
        let run = RunFile {
            pid: 0,
            url: url.to_owned(),
            token: key.expose_secret().to_owned(),
        };
        // Whoever names a server allows it.
        let host = kura_egress::Peer::of_url(url).map(|peer| Rule::Host {
            host: peer.host().to_owned(),
            port: Some(peer.port()),
        });
        Self::with(&Egress::to(host.into_iter().collect()), &run)
    }

    /// Returns whether the server answers and takes our token.
    #[must_use]
    pub fn answers(&self) -> bool {
        let request = self
            .agent
            .get(format!("{}/api/v1/collections?limit=1", self.url))
            .header("authorization", self.authorization())
            .config()
            .timeout_global(Some(Duration::from_secs(5)))
            .build();
        request
            .call()
            .is_ok_and(|response| response.status() == StatusCode::OK)
    }

    /// Returns the server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Searches.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn search(&self, request: &SearchRequest) -> anyhow::Result<SearchResponse> {
        read(self.post("/api/v1/search", request)?)
    }

    /// Explains a search.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn explain(&self, request: &ExplainRequest) -> anyhow::Result<ExplainResponse> {
        read(self.post("/api/v1/search/explain", request)?)
    }

    /// Asks. Streaming, because a long answer would pass the time limit
    /// of a plain request. The conversation that the server opens for it is removed again.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer or breaks off.
    pub fn ask(&self, request: &AskRequest) -> anyhow::Result<AnswerBody> {
        let response = self.post("/api/v1/ask", request)?;
        if response.status() != StatusCode::OK {
            return Err(refused(response));
        }
        let reader = std::io::BufReader::new(response.into_body().into_reader());
        let answer = last_event(reader)?;
        if let Some(conversation) = &answer.conversation {
            self.delete(&format!("/api/v1/conversations/{conversation}"))?;
        }
        Ok(answer)
    }

    /// Uploads one file under `source`, with what is said about it.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn upload(
        &self,
        collection: &str,
        source: &str,
        said: Said<'_>,
        bytes: &[u8],
    ) -> anyhow::Result<Upload> {
        let metadata = serde_json::to_string(said.metadata)?;
        let priority = serde_json::to_value(said.priority)?;
        let groups = [("readers", &said.acl.readers), ("denied", &said.acl.denied)];
        let mut lists = Vec::new();
        for (name, groups) in groups {
            if let Some(groups) = groups {
                lists.push((name, serde_json::to_string(groups)?));
            }
        }
        let response = self.patiently(|| {
            let mut form = Form::new()
                .text("collection", collection)
                .text("source", source)
                .text("metadata", &metadata)
                .text("priority", priority.as_str().unwrap_or_default());
            for (name, list) in &lists {
                form = form.text(name, list);
            }
            let part = Part::bytes(bytes).file_name("file");
            let form = form.part("file", part.mime_str("application/octet-stream")?);
            self.agent
                .post(format!("{}/api/v1/documents", self.url))
                .header("authorization", self.authorization())
                .send(form)
        })?;
        let uploads: Uploads = read(response)?;
        uploads
            .items
            .into_iter()
            .next()
            .context("the server's reply has no document")
    }

    /// Returns the metrics as Prometheus reads them.
    ///
    /// # Errors
    /// When the server does not answer, or does not give them.
    pub fn metrics(&self) -> anyhow::Result<String> {
        let mut response = self.get("/metrics")?;
        if response.status() != StatusCode::OK {
            return Err(refused(response));
        }
        Ok(response.body_mut().read_to_string()?)
    }

    /// Returns a document.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn document(&self, id: &str) -> anyhow::Result<Document> {
        read(self.get(&format!("/api/v1/documents/{id}"))?)
    }

    /// Returns all documents of a collection.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn documents(&self, collection: &str) -> anyhow::Result<Vec<Document>> {
        let path = format!(
            "/api/v1/documents?limit=200&collection={}",
            escape(collection)
        );
        self.all(&path)
    }

    /// Returns all documents that lie in a document.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn children(&self, id: &str) -> anyhow::Result<Vec<Document>> {
        self.all(&format!("/api/v1/documents/{id}/children?limit=200"))
    }

    /// Returns a document's text.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn document_text(&self, id: &str) -> anyhow::Result<DocumentText> {
        read(self.get(&format!("/api/v1/documents/{id}/text"))?)
    }

    /// Returns every rated answer.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn rated_answers(&self) -> anyhow::Result<Vec<RatedAnswer>> {
        let response = self.get("/api/v1/feedback")?;
        if response.status() != StatusCode::OK {
            return Err(refused(response));
        }
        let lines = std::io::BufReader::new(response.into_body().into_reader()).lines();
        lines
            .map(|line| {
                Ok(serde_json::from_str(
                    &line.context("the server broke off")?,
                )?)
            })
            .collect()
    }

    /// Starts an evaluation.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn start_evaluation(&self, request: &NewEvaluation) -> anyhow::Result<Summary> {
        read(self.post("/api/v1/evaluations", request)?)
    }

    /// Returns an evaluation.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn evaluation(&self, id: Uuid) -> anyhow::Result<Record> {
        read(self.get(&format!("/api/v1/evaluations/{id}"))?)
    }

    /// Compares all parts of the data directory.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn verify(&self, request: VerifyRequest) -> anyhow::Result<Verification> {
        read(self.post("/api/v1/verify", &request)?)
    }

    /// Adds a hold on the audit log.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn add_audit_hold(&self, name: &str) -> anyhow::Result<()> {
        let response = self
            .agent
            .put(format!("{}{}", self.url, hold_path(name)))
            .header("authorization", self.authorization())
            .send_empty()
            .with_context(|| self.silent())?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(refused(response))
        }
    }

    /// Releases a hold on the audit log.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn release_audit_hold(&self, name: &str) -> anyhow::Result<()> {
        self.delete(&hold_path(name))
    }

    /// Erases for good, or says what that would be.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn forget(&self, request: &ForgetRequest) -> anyhow::Result<Erasure> {
        read(self.post("/api/v1/forget", request)?)
    }

    /// Returns where an erasure stands.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn erasure(&self, id: &str) -> anyhow::Result<Erasure> {
        read(self.get(&format!("/api/v1/forget/{}", escape(id)))?)
    }

    /// Returns all erasures, the latest first.
    ///
    /// # Errors
    /// [`Refused`], or when the server does not answer.
    pub fn erasures(&self) -> anyhow::Result<Vec<Erasure>> {
        self.all("/api/v1/forget?limit=200")
    }

    /// Returns the items of all pages of a list; `path` has a query.
    fn all<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Vec<T>> {
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let page: List<T> = read(self.get(&format!("{path}{cursor}"))?)?;
            items.extend(page.items);
            match page.next_cursor {
                Some(next) => cursor = format!("&cursor={}", escape(&next)),
                None => return Ok(items),
            }
        }
    }

    fn get(&self, path: &str) -> anyhow::Result<Response<Body>> {
        self.patiently(|| {
            self.agent
                .get(format!("{}{path}", self.url))
                .header("authorization", self.authorization())
                .call()
        })
    }

    fn post<T: Serialize>(&self, path: &str, body: &T) -> anyhow::Result<Response<Body>> {
        self.patiently(|| {
            self.agent
                .post(format!("{}{path}", self.url))
                .header("authorization", self.authorization())
                .send_json(body)
        })
    }

    /// Sends a request, and again for a while as long as the server has too much to do: nothing was done of it then.
    fn patiently(
        &self,
        send: impl Fn() -> Result<Response<Body>, HttpError>,
    ) -> anyhow::Result<Response<Body>> {
        let until = Instant::now() + PATIENCE;
        loop {
            let response = send().with_context(|| self.silent())?;
            let Some(pause) = pause(&response) else {
                return Ok(response);
            };
            let error = refused(response);
            let is_passing = error
                .downcast_ref::<Refused>()
                .is_some_and(|Refused(problem)| {
                    matches!(problem.code, Code::Overloaded | Code::RateLimited)
                });
            if !is_passing || Instant::now() + pause > until {
                return Err(error);
            }
            std::thread::sleep(pause);
        }
    }

    fn delete(&self, path: &str) -> anyhow::Result<()> {
        let response = self
            .agent
            .delete(format!("{}{path}", self.url))
            .header("authorization", self.authorization())
            .call()
            .with_context(|| self.silent())?;
        if response.status().is_success() {
            Ok(())
        } else {
            Err(refused(response))
        }
    }

    fn authorization(&self) -> String {
        format!("Bearer {}", self.token)
    }

    fn silent(&self) -> String {
        format!("the kura server at {} does not answer", self.url)
    }
}

fn hold_path(name: &str) -> String {
    format!("/api/v1/audit/holds/{}", escape(name))
}

/// Names of collections may have any letters, so that a path or a query has them escaped.
fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

fn read<T: DeserializeOwned>(mut response: Response<Body>) -> anyhow::Result<T> {
    if !response.status().is_success() {
        return Err(refused(response));
    }
    // Hits and texts of a search are larger than the default limit allows in the worst case.
    let body = response.body_mut().with_config().limit(256 * 1024 * 1024);
    body.read_json().context(
        "the server's reply is not understood; do server and command have the same version?",
    )
}

/// Returns when to try again, if the server says so.
fn pause(response: &Response<Body>) -> Option<Duration> {
    let is_busy = matches!(
        response.status(),
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
    );
    let after = response.headers().get("retry-after").filter(|_| is_busy)?;
    after.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

fn refused(mut response: Response<Body>) -> anyhow::Error {
    let status = response.status();
    match response.body_mut().read_json::<Problem>() {
        Ok(problem) => Refused(problem).into(),
        Err(_) => anyhow::anyhow!("the server answered with status {status}"),
    }
}

/// Reads server-sent events until the answer.
fn last_event(reader: impl BufRead) -> anyhow::Result<AnswerBody> {
    let mut name = String::new();
    for line in reader.lines() {
        let line = line.context("the server broke off")?;
        if let Some(value) = line.strip_prefix("event: ") {
            value.clone_into(&mut name);
        } else if let Some(data) = line.strip_prefix("data: ") {
            match name.as_str() {
                "completed" => return Ok(serde_json::from_str(data)?),
                "failed" => return Err(Refused(serde_json::from_str(data)?).into()),
                _ => {}
            }
        }
    }
    bail!("the server broke off before the answer was complete; its log may say why")
}

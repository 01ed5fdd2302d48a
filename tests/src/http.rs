use serde_json::Value;
use std::io::BufRead;
use std::time::Duration;
use ureq::http::Response;
use ureq::unversioned::multipart::{Form, Part};
use ureq::{Agent, Body};

/// Calls one server, with or without a key or a session.
#[derive(Debug, Clone)]
pub struct Client {
    agent: Agent,
    url: String,
    headers: Vec<(String, String)>,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Header names in lower case, with values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A server-sent event.
#[derive(Debug, Clone)]
pub struct Event {
    /// `message` when it has none.
    pub name: String,
    /// The data; a string when it is no JSON.
    pub data: Value,
}

impl Client {
    /// Returns a client of `url` that sends `key`, if there is one.
    #[must_use]
    pub fn new(url: &str, key: Option<&str>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect is an answer like others.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(300)))
            .build();
        Self {
            agent: config.into(),
            url: url.to_owned(),
            headers: key
                .map(|key| ("authorization".to_owned(), format!("Bearer {key}")))
                .into_iter()
                .collect(),
        }
    }

    /// Returns a client that sends these headers and nothing else of its own.
    #[must_use]
    pub fn with_headers(&self, headers: &[(&str, &str)]) -> Self {
        let owned = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            headers: owned.collect(),
            ..self.clone()
        }
    }

    /// Returns the server's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// GET.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        self.send("GET", path, None)
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> Reply {
        self.send("DELETE", path, None)
    }

    /// PUT of JSON.
    pub fn put(&self, path: &str, body: &Value) -> Reply {
        self.send(
            "PUT",
            path,
            Some(("application/json", body.to_string().into_bytes())),
        )
    }

    /// POST of JSON.
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        self.send(
            "POST",
            path,
            Some(("application/json", body.to_string().into_bytes())),
        )
    }

    /// Any request.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn send(&self, method: &str, path: &str, body: Option<(&str, Vec<u8>)>) -> Reply {
        self.try_send(method, path, body).unwrap()
    }

    /// Any request, to a server that may go away meanwhile.
    ///
    /// # Errors
    /// When there is no answer, or not all of it.
    pub fn try_send(
        &self,
        method: &str,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> Result<Reply, ureq::Error> {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = match body {
            Some((content_type, bytes)) => self
                .agent
                .run(request.header("content-type", content_type).body(bytes)?),
            None => self.agent.run(request.body(())?),
        };
        reply(response?)
    }

    /// Any request with headers of its own.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Reply {
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        reply(self.agent.run(request.body(body).unwrap()).unwrap()).unwrap()
    }

    /// Uploads one file.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn upload(&self, collection: &str, name: &str, bytes: &[u8]) -> Reply {
        self.upload_with(collection, name, bytes, &Value::Object(Default::default()))
    }

    /// Uploads one file, with what is known about it.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn upload_with(
        &self,
        collection: &str,
        name: &str,
        bytes: &[u8],
        metadata: &Value,
    ) -> Reply {
        self.try_upload(collection, name, bytes, metadata).unwrap()
    }

    /// Uploads one file to a server that may go away meanwhile.
    ///
    /// # Errors
    /// When there is no answer, or not all of it.
    pub fn try_upload(
        &self,
        collection: &str,
        name: &str,
        bytes: &[u8],
        metadata: &Value,
    ) -> Result<Reply, ureq::Error> {
        let metadata = metadata.to_string();
        let form = Form::new()
            .text("collection", collection)
            .text("metadata", &metadata)
            .part("file", Part::bytes(bytes).file_name(name));
        let mut request = self.agent.post(format!("{}/api/v1/documents", self.url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        reply(request.send(form)?)
    }

    /// POST of JSON whose answer is a stream of events; returns them all.
    ///
    /// # Panics
    /// When the answer is something else.
    pub fn events(&self, path: &str, body: &Value) -> Vec<Event> {
        let reply = self.post(path, body);
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("text/event-stream"));
        events(reply.body.as_slice())
    }

    /// POST of JSON whose answer is read by the caller.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn open(&self, path: &str, body: &Value) -> impl BufRead + use<> {
        let mut request = self.agent.post(format!("{}{path}", self.url));
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let response = request.send_json(body).unwrap();
        std::io::BufReader::new(response.into_body().into_reader())
    }
}

impl Reply {
    /// Returns a header, if it is there.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Returns the body as JSON.
    ///
    /// # Panics
    /// When it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("no JSON ({error}): {}", String::from_utf8_lossy(&self.body))
        })
    }

    /// Fails unless this is a problem with `status` and `code`.
    ///
    /// # Panics
    /// Then.
    pub fn assert_problem(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem = self.json();
        assert_eq!(problem["code"], code, "{problem}");
        assert_eq!(problem["status"], status, "{problem}");
        assert_eq!(
            problem["type"],
            format!("urn:kura:problem:{code}"),
            "{problem}"
        );
        assert!(!problem["title"].as_str().unwrap().is_empty(), "{problem}");
        let detail = problem["detail"].as_str().unwrap();
        assert!(!detail.is_empty() && !detail.ends_with('.'), "{problem}");
        let id = self.header("x-request-id").unwrap();
        assert_eq!(
            problem["instance"],
            format!("urn:kura:request:{id}"),
            "{problem}"
        );
    }
}

/// Returns the events of a stream that has ended.
///
/// # Panics
/// When it breaks off.
pub fn events(stream: impl BufRead) -> Vec<Event> {
    let mut events = Vec::new();
    let mut name = "message".to_owned();
    for line in stream.lines() {
        let line = line.unwrap();
        if let Some(value) = line.strip_prefix("event: ") {
            value.clone_into(&mut name);
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data =
                serde_json::from_str(data).unwrap_or_else(|_| Value::String(data.to_owned()));
            events.push(Event {
                name: std::mem::replace(&mut name, "message".to_owned()),
                data,
            });
        }
    }
    events
}

fn reply(mut response: Response<Body>) -> Result<Reply, ureq::Error> {
    Ok(Reply {
        status: response.status().as_u16(),
        headers: response
            .headers()
            .iter()
            .map(|(name, value)| {
                (
                    name.to_string(),
                    value.to_str().unwrap_or_default().to_owned(),
                )
            })
            .collect(),
        body: response.body_mut().read_to_vec()?,
    })
}

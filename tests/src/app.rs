use crate::http::{Client, Event, Reply};
use crate::log::Log;
use kura::app::{App, AppState, Models, Started};
use kura::config::{Config, Flags, SandboxName};
use kura::router;
use kura_models::fake::{FakeEmbedder, FakeGenerator};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// Longest time a job of a small file may take; generous, because tests share the machine.
const JOB_TIMEOUT: Duration = Duration::from_secs(60);

/// The real server with an empty data directory of its own. Dropping it stops the server, and fails the test if jobs
/// were left unfinished.
pub struct TestApp {
    /// Calls with the admin key.
    pub client: Client,
    /// The admin key.
    pub key: String,
    /// The running app.
    pub app: AppState,
    runtime: Option<Runtime>,
    _dir: TempDir,
}

/// Returns models without weights; the generator answers with `script`.
#[must_use]
pub fn fake_models(script: &[&str]) -> Models {
    Models {
        embedder: Arc::new(FakeEmbedder::new()),
        reranker: None,
        generator: Some(Arc::new(FakeGenerator::new(script.iter().copied()))),
    }
}

impl TestApp {
    /// Starts with fake models; the generator repeats the last message.
    #[must_use]
    pub fn start() -> Self {
        Self::with(fake_models(&[]), |_| ())
    }

    /// Starts with these models and a changed configuration.
    ///
    /// # Panics
    /// When the server does not start.
    #[must_use]
    pub fn with(models: Models, configure: impl FnOnce(&mut Config)) -> Self {
        Self::with_log(models, configure, None)
    }

    /// The same, with what is logged in detail by the server's threads going to `log`.
    ///
    /// # Panics
    /// When the server does not start.
    #[must_use]
    pub fn with_log(
        models: Models,
        configure: impl FnOnce(&mut Config),
        log: Option<&Arc<Log>>,
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kura.toml");
        // Named, so that a configuration of this machine has no say.
        fs_err::write(&file, "").unwrap();
        let flags = Flags {
            config: Some(file),
            data_dir: Some(dir.path().join("data")),
            ..Flags::default()
        };
        let mut config = kura::config::load(&flags).unwrap().config;
        // This program has no worker to start; the tests of the binary have.
        config.ingest.sandbox = SandboxName::Off;
        // The models are no real ones, which work on one thing after the other.
        config.limits.answers = 64;
        configure(&mut config);

        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all();
        if let Some(log) = log {
            log.take_from(&mut builder);
        }
        let runtime = builder.build().unwrap();
        let (app, key, address) = runtime.block_on(async {
            let Started { app, admin_key, .. } = App::start(config, models).await.unwrap();
            let key = admin_key.unwrap().expose_secret().to_owned();
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            drop(app.spawn_worker());
            drop(app.spawn_sync());
            drop(app.spawn_forgetter());
            drop(tokio::spawn(router::serve(app.clone(), listener)));
            (app, key, address)
        });
        Self {
            client: Client::new(&format!("http://{address}"), Some(&key)),
            key,
            app,
            runtime: Some(runtime),
            _dir: dir,
        }
    }

    /// Returns a client without a key.
    #[must_use]
    pub fn anonymous(&self) -> Client {
        Client::new(self.client.url(), None)
    }

    /// Uploads a file and waits until it is indexed; returns the document as it is then.
    ///
    /// # Panics
    /// When it is refused, or its job does not end.
    pub fn add(&self, collection: &str, name: &str, bytes: &[u8]) -> Value {
        let reply = self.client.upload(collection, name, bytes);
        assert_eq!(reply.status, 202, "{reply:?}");
        let item = &reply.json()["items"][0];
        if let Some(job) = item["job"]["id"].as_str() {
            self.wait(job);
        }
        let id = item["document"]["id"].as_str().unwrap();
        self.client.get(&format!("/api/v1/documents/{id}")).json()
    }

    /// Waits until a job is over; returns it.
    ///
    /// # Panics
    /// When it takes too long.
    pub fn wait(&self, job: &str) -> Value {
        let deadline = Instant::now() + JOB_TIMEOUT;
        loop {
            let job = self.client.get(&format!("/api/v1/jobs/{job}")).json();
            match job["state"].as_str() {
                Some("done" | "failed" | "cancelled") => return job,
                Some("queued" | "running") => {}
                other => panic!("unknown state {other:?} of {job}"),
            }
            assert!(Instant::now() < deadline, "the job does not end: {job}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Searches; returns the hits.
    pub fn search(&self, query: &str) -> Vec<Value> {
        let reply = self
            .client
            .post("/api/v1/search", &json!({ "query": query }));
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()["items"].as_array().unwrap().clone()
    }

    /// Asks without streaming.
    pub fn ask(&self, question: &str) -> Reply {
        self.client.post(
            "/api/v1/ask",
            &json!({ "question": question, "stream": false }),
        )
    }

    /// Asks with streaming; returns all events.
    pub fn ask_events(&self, body: &Value) -> Vec<Event> {
        self.client.events("/api/v1/ask", body)
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        let unfinished = runtime.block_on(self.app.pipeline.next_job());
        self.app.stopping.cancel();
        runtime.shutdown_timeout(Duration::from_secs(10));
        if !std::thread::panicking() {
            assert_eq!(unfinished.unwrap(), None, "the test left jobs unfinished");
        }
    }
}

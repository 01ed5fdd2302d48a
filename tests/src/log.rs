use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tracing::dispatcher::{self, Dispatch};
use tracing_subscriber::fmt::MakeWriter;

/// What a server in this process logs at the level `debug`: how much, and what of it has a word.
pub struct Log {
    word: &'static str,
    n_events: AtomicU64,
    found: Mutex<Vec<String>>,
}

impl Log {
    /// Returns an empty log that keeps what has `word`.
    #[must_use]
    pub fn finding(word: &'static str) -> Arc<Self> {
        Arc::new(Self {
            word,
            n_events: AtomicU64::new(0),
            found: Mutex::default(),
        })
    }

    /// Returns how much was logged.
    #[must_use]
    pub fn n_events(&self) -> u64 {
        self.n_events.load(Ordering::SeqCst)
    }

    /// Returns what has the word.
    ///
    /// # Panics
    /// When a thread that logged has panicked.
    #[must_use]
    pub fn found(&self) -> Vec<String> {
        self.found.lock().unwrap().clone()
    }

    /// Takes what the threads of a runtime log. Other tests of this process go on logging nowhere.
    pub(crate) fn take_from(self: &Arc<Self>, builder: &mut tokio::runtime::Builder) {
        let subscriber = tracing_subscriber::fmt()
            .with_env_filter("debug")
            .with_ansi(false)
            .with_writer(Writer(Arc::clone(self)))
            .finish();
        let dispatch = Dispatch::new(subscriber);
        builder.on_thread_start(move || {
            // Until the thread ends.
            std::mem::forget(dispatcher::set_default(&dispatch));
        });
    }
}

struct Writer(Arc<Log>);

impl<'a> MakeWriter<'a> for Writer {
    type Writer = &'a Log;

    fn make_writer(&'a self) -> Self::Writer {
        &self.0
    }
}

impl Write for &Log {
    /// Is given one event.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        self.n_events.fetch_add(1, Ordering::SeqCst);
        let text = String::from_utf8_lossy(event);
        if text.contains(self.word) {
            self.found.lock().unwrap().push(text.into_owned());
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

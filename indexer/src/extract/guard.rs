//! Keeps a parser that panics, overflows its stack or never ends from taking kura with it.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::Tools;
use crate::extract::detect::MediaType;
use crate::extract::unpacked;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Longest time for one file, or for one step of it that says when it is done.
const TIMEOUT: Duration = Duration::from_secs(120);

/// Address space of the parsers' stack; memory is used only as deep as they go.
const STACK_SIZE: usize = 256 << 20;

const THREAD_NAME: &str = "extract";

type Extractor = fn(&[u8], &MediaType, &Tools) -> Result<Extracted>;

/// Runs `extractor` on a thread of its own; a panic is [`Error::Malformed`], a timeout [`Error::TooLarge`].
///
/// A part of another file runs on that file's thread, under its timeout. In a process whose owner ends it when a file
/// takes too long, the caller's thread does: small files would wait for another one longer than reading them takes.
pub(crate) fn run(
    bytes: &[u8],
    media_type: &MediaType,
    is_part: bool,
    tools: &Tools,
    extractor: Extractor,
) -> Result<Extracted> {
    if is_part {
        return caught(media_type.format(), || extractor(bytes, media_type, tools));
    }
    if tools.is_watched {
        unpacked::begin(bytes.len());
        return caught(media_type.format(), || extractor(bytes, media_type, tools));
    }
    let (sender, receiver) = mpsc::channel();
    let bytes: Arc<[u8]> = bytes.into();
    let format = media_type.format();
    let media_type = media_type.clone();
    let tools = tools.for_one_file();
    let watched = tools.clone();
    spawn(move || {
        unpacked::begin(bytes.len());
        // The receiver is gone only after a timeout; then nobody waits for the outcome.
        let _ = sender.send(caught(format, || extractor(&bytes, &media_type, &tools)));
    })?;
    let mut n_steps = 0;
    loop {
        match receiver.recv_timeout(TIMEOUT) {
            Ok(outcome) => return outcome,
            Err(_) if watched.steps() > n_steps => n_steps = watched.steps(),
            Err(_) => {
                return Err(Error::TooLarge {
                    reason: format!("reading it took longer than {} s", TIMEOUT.as_secs()),
                });
            }
        }
    }
}

/// Runs `work` on a thread that parsers can run on: their stack is deep, and their panics are silent.
pub(crate) fn spawn<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> std::io::Result<JoinHandle<T>> {
    silence_parsers();
    std::thread::Builder::new()
        .name(THREAD_NAME.to_owned())
        .stack_size(STACK_SIZE)
        .spawn(work)
}

/// Turns a panic of a parser into [`Error::Malformed`]. The panic's message stays out: it may quote the document.
pub(crate) fn caught<T>(format: &'static str, f: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(f)).unwrap_or_else(|_| {
        Err(Error::Malformed {
            format,
            reason: "its structure is damaged".to_owned(),
        })
    })
}

/// Keeps the panics of parsers off stderr, where their messages could show what a document says.
fn silence_parsers() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let report = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(THREAD_NAME) {
                tracing::debug!(location = ?panic.location(), "a parser panicked");
            } else {
                report(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_malformed_file() {
        let outcome = run(
            b"x",
            &MediaType::Pdf,
            false,
            &Tools::default(),
            |_, _, _| panic!("boom"),
        );
        assert!(matches!(
            outcome,
            Err(Error::Malformed { format: "PDF", .. })
        ));
    }
}

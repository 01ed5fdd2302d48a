//! The worker's side: reads one file after the other until its input ends.

use super::sandbox::{self, Protection};
use super::wire::{Refusal, Request, Tag, read_request, write_frame, write_inner};
use crate::Result;
use crate::extract::{InnerFile, Taker, Tools, guard};
use serde::Serialize;
use std::io::{BufWriter, Read, Stdout, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

/// Serves requests from standard input until it ends. Confines this process first, for good.
///
/// `tools` must need no file that is not open yet.
///
/// # Errors
/// When the process cannot be confined as `protection` demands; when the other side is gone.
pub fn serve(protection: Protection, tools: Tools) -> std::io::Result<()> {
    let confinement = sandbox::confine(protection)?;
    let output = Output::default();
    output.write(Tag::Ready, &confinement)?;
    let steps = output.clone();
    let tools = tools.watched().with_progress(Arc::new(move || {
        // If the server is gone, the answer will show it.
        drop(steps.write(Tag::Step, &()));
    }));
    let serving = guard::spawn(move || {
        let mut input = std::io::stdin().lock();
        while let Some(request) = read_request(&mut input)? {
            answer(&request, &mut input, &output, &tools)?;
        }
        Ok(())
    })?;
    let lost = |_| Err(std::io::Error::other("the thread that reads has panicked"));
    serving.join().unwrap_or_else(lost)
}

fn answer(
    request: &Request,
    input: &mut impl Read,
    output: &Output,
    tools: &Tools,
) -> std::io::Result<()> {
    sandbox::limit_memory(request.memory_bytes)?;
    let n_bytes = usize::try_from(request.n_bytes).map_err(std::io::Error::other)?;
    let mut bytes = Vec::with_capacity(n_bytes);
    input.take(request.n_bytes).read_to_end(&mut bytes)?;
    if bytes.len() != n_bytes {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let media_type = request.media_type.as_deref();
    let mut tools = tools.for_one_file();
    if request.hands_out {
        let files = output.clone();
        tools = tools.with_taker(Taker::new(move |_, file| files.write_inner(file)));
    }
    match crate::extract::extract(&bytes, &request.name, media_type, &tools) {
        Ok(extracted) => output.write(Tag::Extracted, &extracted),
        Err(error) => output.write(Tag::Refused, &Refusal::from(error)),
    }
}

/// Standard output, for one frame at a time.
#[derive(Clone)]
struct Output(Arc<Mutex<BufWriter<Stdout>>>);

impl Default for Output {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(BufWriter::new(std::io::stdout()))))
    }
}

impl Output {
    fn write(&self, tag: Tag, content: &impl Serialize) -> std::io::Result<()> {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write_frame(&mut *output, tag, content)?;
        output.flush()
    }

    fn write_inner(&self, file: InnerFile<'_>) -> Result<()> {
        let mut output = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        write_inner(&mut *output, file)
    }
}

//! The worker's side: reads one file after the other until its input ends.

use super::sandbox::{self, Protection};
use super::wire::{Refusal, Request, Tag, read_request, write_frame};
use std::io::{BufWriter, Read, Write};

/// Serves requests from standard input until it ends. Confines this process first, for good.
///
/// # Errors
/// When the process cannot be confined as `protection` demands; when the other side is gone.
pub fn serve(protection: Protection) -> std::io::Result<()> {
    let confinement = sandbox::confine(protection)?;
    let (mut input, mut output) = (
        std::io::stdin().lock(),
        BufWriter::new(std::io::stdout().lock()),
    );
    write_frame(&mut output, Tag::Ready, &confinement)?;
    while let Some(request) = read_request(&mut input)? {
        answer(&request, &mut input, &mut output)?;
    }
    Ok(())
}

fn answer(
    request: &Request,
    input: &mut impl Read,
    output: &mut impl Write,
) -> std::io::Result<()> {
    sandbox::limit_memory(request.memory_bytes)?;
    let n_bytes = usize::try_from(request.n_bytes).map_err(std::io::Error::other)?;
    let mut bytes = vec![0; n_bytes];
    input.read_exact(&mut bytes)?;
    match crate::extract::extract(&bytes, &request.name, request.media_type.as_deref()) {
        Ok(extracted) => write_frame(output, Tag::Extracted, &extracted),
        Err(error) => write_frame(output, Tag::Refused, &Refusal::from(error)),
    }
}

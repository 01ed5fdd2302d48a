//! What server and worker say to each other, over the worker's standard input and output.
//!
//! A request is a length (u32), a JSON header of that length, and the file's bytes. A reply is a sequence of frames:
//! a tag, a length (u64) and that many bytes of JSON; those of a file that lies in the file begin with a header as a request
//! does. Integers are little-endian.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::inner::MAX_FILE_BYTES;
use crate::extract::{InnerFile, MediaType};
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};

/// Longest header of a request, which carries a file's name.
const MAX_HEADER: u32 = 1 << 20;

/// Longest frame with a file in it.
pub(super) const MAX_INNER: u64 = MAX_FILE_BYTES + MAX_HEADER as u64 + 4;

/// Leads a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tag {
    /// The worker is ready: a [`Confinement`](super::Confinement).
    Ready = b'r' as isize,
    /// A picture's text is about to be recognized, or was: `null`.
    Step = b's' as isize,
    /// A file that lies in the file: an [`InnerHeader`] and its bytes.
    Inner = b'i' as isize,
    /// The file was read: an [`Extracted`].
    Extracted = b'e' as isize,
    /// The file was not read: a [`Refusal`].
    Refused = b'f' as isize,
}

impl Tag {
    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        let all = [
            Self::Ready,
            Self::Step,
            Self::Inner,
            Self::Extracted,
            Self::Refused,
        ];
        all.into_iter().find(|tag| *tag as u8 == byte)
    }
}

/// Says what bytes follow.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    pub(super) name: String,
    pub(super) media_type: Option<String>,
    pub(super) n_bytes: u64,
    /// Memory the worker may use for this file.
    pub(super) memory_bytes: u64,
    /// Whether files that lie in it are handed out.
    pub(super) hands_out: bool,
}

/// Says what a file is that lies in the file.
#[derive(Debug, Serialize, Deserialize)]
struct InnerHeader {
    path: String,
    media_type: String,
}

/// Why a file was not read: those errors of extraction that are about the file.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub(super) enum Refusal {
    UnsupportedFormat { media_type: String },
    EmptyFile,
    NoText,
    NoRecognizer,
    Encrypted,
    Malformed { format: String, reason: String },
    TooLarge { reason: String },
    Other { reason: String },
}

impl From<Error> for Refusal {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "extraction has no other errors that are about the file"
    )]
    fn from(error: Error) -> Self {
        match error {
            Error::UnsupportedFormat { media_type } => Self::UnsupportedFormat { media_type },
            Error::EmptyFile => Self::EmptyFile,
            Error::NoText => Self::NoText,
            Error::NoRecognizer => Self::NoRecognizer,
            Error::Encrypted => Self::Encrypted,
            Error::Malformed { format, reason } => Self::Malformed {
                format: format.to_owned(),
                reason,
            },
            Error::TooLarge { reason } => Self::TooLarge { reason },
            other => Self::Other {
                reason: other.to_string(),
            },
        }
    }
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::UnsupportedFormat { media_type } => Self::UnsupportedFormat { media_type },
            Refusal::EmptyFile => Self::EmptyFile,
            Refusal::NoText => Self::NoText,
            Refusal::NoRecognizer => Self::NoRecognizer,
            Refusal::Encrypted => Self::Encrypted,
            Refusal::Malformed { format, reason } => Self::Malformed {
                format: MediaType::format_named(&format),
                reason,
            },
            Refusal::TooLarge { reason } => Self::TooLarge { reason },
            Refusal::Other { reason } => Self::ReaderEnded { reason },
        }
    }
}

/// Returns the header of a request as it is sent.
pub(super) fn request_head(request: &Request) -> Result<Vec<u8>> {
    header(request)
}

/// Returns a header with its length before it.
fn header(content: &impl Serialize) -> Result<Vec<u8>> {
    let header = serde_json::to_vec(content).map_err(std::io::Error::from)?;
    let length = u32::try_from(header.len())
        .ok()
        .filter(|length| *length <= MAX_HEADER)
        .ok_or_else(|| Error::TooLarge {
            reason: "its name is longer than a name can be".to_owned(),
        })?;
    Ok([&length.to_le_bytes()[..], &header].concat())
}

/// Reads a request's header; `None` at the end of the input.
pub(super) fn read_request(input: &mut impl Read) -> std::io::Result<Option<Request>> {
    let mut length = [0; 4];
    match input.read_exact(&mut length) {
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(None),
        outcome => outcome?,
    }
    let length = u32::from_le_bytes(length);
    if length > MAX_HEADER {
        return Err(std::io::Error::other("a header that is none"));
    }
    let mut header = vec![0; length as usize];
    input.read_exact(&mut header)?;
    Ok(Some(serde_json::from_slice(&header)?))
}

/// Writes a frame.
pub(super) fn write_frame(
    output: &mut impl Write,
    tag: Tag,
    content: &impl Serialize,
) -> std::io::Result<()> {
    let content = serde_json::to_vec(content)?;
    output.write_all(&[tag as u8])?;
    output.write_all(&(content.len() as u64).to_le_bytes())?;
    output.write_all(&content)?;
    output.flush()
}

/// Writes a frame with a file that lies in the file.
pub(super) fn write_inner(output: &mut impl Write, file: InnerFile<'_>) -> Result<()> {
    let header = header(&InnerHeader {
        path: file.path.to_owned(),
        media_type: file.media_type.to_owned(),
    })?;
    let n_bytes = header.len() as u64 + file.bytes.len() as u64;
    output.write_all(&[Tag::Inner as u8])?;
    output.write_all(&n_bytes.to_le_bytes())?;
    output.write_all(&header)?;
    output.write_all(file.bytes)?;
    Ok(())
}

/// Has `take` called with the file in a frame.
pub(super) fn read_inner(
    content: &[u8],
    take: impl FnOnce(InnerFile<'_>) -> Result<()>,
) -> Result<()> {
    let (length, rest) = content.split_first_chunk().ok_or_else(senseless)?;
    let length = u32::from_le_bytes(*length) as usize;
    let (header, bytes) = rest.split_at_checked(length).ok_or_else(senseless)?;
    let header: InnerHeader = serde_json::from_slice(header).map_err(|_| senseless())?;
    take(InnerFile {
        path: &header.path,
        media_type: &header.media_type,
        bytes,
    })
}

fn senseless() -> Error {
    Error::ReaderEnded {
        reason: "what it handed out makes no sense".to_owned(),
    }
}

/// Returns what a frame that ends a reply says.
pub(super) fn outcome(tag: Tag, content: &[u8]) -> Result<Extracted> {
    let broken = |error: serde_json::Error| Error::ReaderEnded {
        reason: format!("its answer makes no sense: {error}"),
    };
    match tag {
        Tag::Extracted => serde_json::from_slice(content).map_err(broken),
        Tag::Refused => Err(serde_json::from_slice::<Refusal>(content)
            .map_err(broken)?
            .into()),
        Tag::Ready | Tag::Step | Tag::Inner => Err(Error::ReaderEnded {
            reason: "it answered out of turn".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_arrive_as_they_were_meant() {
        let errors = || {
            [
                Error::UnsupportedFormat {
                    media_type: "image/x-none".to_owned(),
                },
                Error::EmptyFile,
                Error::NoText,
                Error::NoRecognizer,
                Error::Encrypted,
                Error::Malformed {
                    format: "DOCX",
                    reason: "cut off".to_owned(),
                },
                Error::TooLarge {
                    reason: "of a bomb".to_owned(),
                },
            ]
        };
        for (sent, meant) in errors().into_iter().zip(errors()) {
            let arrived = Error::from(Refusal::from(sent));
            assert_eq!(format!("{arrived:?}"), format!("{meant:?}"));
        }
    }

    #[test]
    fn requests_are_read_until_the_end() {
        let request = Request {
            name: "規則.md".to_owned(),
            media_type: None,
            n_bytes: 3,
            memory_bytes: 1,
            hands_out: false,
        };
        let mut input = request_head(&request).unwrap();
        input.extend_from_slice(b"abc");
        let mut input = input.as_slice();
        let read = read_request(&mut input).unwrap().unwrap();
        assert_eq!((read.name.as_str(), read.n_bytes), ("規則.md", 3));
        assert_eq!(input, b"abc");
        assert!(read_request(&mut &b""[..]).unwrap().is_none());
        assert!(read_request(&mut &b"\xFF\xFF\xFF\xFF"[..]).is_err());
    }

    #[test]
    fn inner_files_arrive_as_they_were_sent() {
        let sent = InnerFile {
            path: "a/規則.md",
            media_type: "text/markdown",
            bytes: b"\0any",
        };
        let mut frame = Vec::new();
        write_inner(&mut frame, sent).unwrap();
        assert_eq!(frame[0], Tag::Inner as u8);
        assert_eq!(frame[1..9], (frame.len() as u64 - 9).to_le_bytes());
        let mut seen = false;
        read_inner(&frame[9..], |file| {
            seen = (file.path, file.media_type, file.bytes)
                == (sent.path, sent.media_type, sent.bytes);
            Ok(())
        })
        .unwrap();
        assert!(seen);
        for bad in [&b""[..], b"\xFF\xFF\0\0{}", b"\x02\0\0\0{}x"] {
            assert!(read_inner(bad, |_| panic!("no file")).is_err());
        }
    }
}

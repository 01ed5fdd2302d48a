//! Zip archives: each member is a file of its own; the archive itself is the list of them.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::inner::{Unpacking, join, too_deep};
use crate::extract::{Tools, text, unpacked};
use encoding_rs::SHIFT_JIS;
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// Most members that are read.
const MAX_MEMBERS: usize = 2000;

/// Extracts the list of members, and hands these out.
pub(crate) fn extract(bytes: &[u8], tools: &Tools) -> Result<Extracted> {
    let Some(mut files) = Unpacking::begin(tools, bytes.len()) else {
        unpack(&mut Unpacking::in_vain(tools, bytes.len()), bytes, "", 0)?;
        return Err(too_deep());
    };
    unpack(&mut files, bytes, "", 0)?;
    Ok(files.into_list())
}

/// Hands out the members of the archive at `at`, which lies `depth` files deep.
///
/// # Errors
/// Also when there is nothing to hand out: [`Error::Encrypted`], [`Error::NoText`] or [`Error::Malformed`].
pub(crate) fn unpack(
    files: &mut Unpacking<'_>,
    bytes: &[u8],
    at: &str,
    depth: usize,
) -> Result<()> {
    let malformed = |reason: String| Error::Malformed {
        format: "ZIP",
        reason,
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| malformed(format!("not a readable zip archive: {error}")))?;
    let names = names(&mut archive);
    let (n_files, n_warnings) = (files.paths().len(), files.n_warnings());
    let (mut n_read, mut n_encrypted) = (0, 0);
    for (index, name) in names.iter().enumerate().filter(|(_, name)| is_wanted(name)) {
        if n_read == MAX_MEMBERS {
            files.warn(format!("only the first {MAX_MEMBERS} members were read"));
            break;
        }
        n_read += 1;
        let path = join(at, name);
        match read(&mut archive, index) {
            Ok(content) => files.hand_out(&content, &path, None, depth + 1)?,
            Err(error @ Error::TooLarge { .. }) => return Err(error),
            Err(error) => {
                n_encrypted += usize::from(matches!(error, Error::Encrypted));
                files.warn(format!("member `{path}`: {error}"));
            }
        }
    }
    if files.paths().len() > n_files {
        return Ok(());
    }
    let reasons = files.take_back(n_warnings);
    Err(match reasons.first() {
        Some(_) if n_encrypted == reasons.len() => Error::Encrypted,
        Some(first) => malformed(format!("none of its {n_read} members can be read; {first}")),
        None => Error::NoText,
    })
}

/// Whether a member is a file that its author put there.
fn is_wanted(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or_default();
    let is_leftover = path.starts_with("__MACOSX/")
        || file.starts_with("._")
        || matches!(file, ".DS_Store" | "Thumbs.db");
    !file.is_empty() && !is_leftover
}

/// The members' paths. Archives made on Japanese Windows have them in code page 932 and do not say so.
fn names(archive: &mut ZipArchive<Cursor<&[u8]>>) -> Vec<String> {
    let raw: Vec<Vec<u8>> = (0..archive.len())
        .map(|index| {
            archive
                .by_index_raw(index)
                .map(|member| member.name_raw().to_vec())
                .unwrap_or_default()
        })
        .collect();
    // What one name leaves open, all of them together tell.
    let all = raw.join(&b'\n');
    let is_utf8 = std::str::from_utf8(&all).is_ok();
    let is_932 = !is_utf8 && !SHIFT_JIS.decode_without_bom_handling(&all).1;
    let decoded = raw.iter().map(|name| {
        let name = match std::str::from_utf8(name) {
            Ok(name) => name.to_owned(),
            Err(_) if is_932 => SHIFT_JIS.decode_without_bom_handling(name).0.into_owned(),
            Err(_) => text::decode(name).0,
        };
        name.replace('\\', "/")
    });
    decoded.collect()
}

fn read(archive: &mut ZipArchive<Cursor<&[u8]>>, index: usize) -> Result<Vec<u8>> {
    let malformed = |error: &dyn std::fmt::Display| Error::Malformed {
        format: "ZIP",
        reason: format!("it cannot be unpacked: {error}"),
    };
    if archive
        .by_index_raw(index)
        .is_ok_and(|member| member.encrypted())
    {
        return Err(Error::Encrypted);
    }
    let member = archive.by_index(index).map_err(|error| malformed(&error))?;
    let mut content = Vec::new();
    let limit = unpacked::left();
    let outcome = member.take(limit + 1).read_to_end(&mut content);
    // What was unpacked counts, whether or not it broke off.
    unpacked::spend(content.len() as u64)?;
    outcome.map_err(|error| malformed(&error))?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::inner::tests::{extract_with_files, paths};
    use std::io::Write;
    use zip::write::SimpleFileOptions;

    fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
        let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in members {
            writer
                .start_file(*name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn members_are_handed_out_and_listed_under_their_paths() {
        let inner = zip(&[("deep.md", b"# Deep\n\ntext".as_slice())]);
        let bytes = zip(&[
            ("a/prices.csv", b"item,price\npen,100\n".as_slice()),
            ("__MACOSX/a/._prices.csv", b"\0\0"),
            ("inner.zip", &inner),
            ("empty.txt", b""),
            ("x.ps", b"%!PS"),
            ("broken.zip", b"PK\x05\x06 and no more"),
        ]);
        let (extracted, files) = extract_with_files(&bytes, "all.zip");
        let expected = ["a/prices.csv", "inner.zip/deep.md", "broken.zip"];
        assert_eq!(paths(&files), expected);
        assert_eq!(files[0].1, b"item,price\npen,100\n");
        let extracted = extracted.unwrap();
        let texts: Vec<&str> = extracted
            .blocks
            .iter()
            .map(|block| block.text.as_str())
            .collect();
        assert_eq!(texts, expected.map(|path| format!("- {path}")));
        assert_eq!(extracted.warnings.len(), 1);
        assert!(
            extracted.warnings[0].message.contains("`x.ps`"),
            "{:?}",
            extracted.warnings
        );
    }

    #[test]
    fn names_without_an_encoding_are_read_as_japanese() {
        let sound = zip(&[("AAAA.txt", b"text".as_slice())]);
        let (name, _, _) = SHIFT_JIS.encode("規則");
        let bytes: Vec<u8> = {
            let mut bytes = sound;
            for at in 0..bytes.len() - 4 {
                if bytes[at..at + 4] == *b"AAAA" {
                    bytes[at..at + 4].copy_from_slice(&name);
                }
            }
            bytes
        };
        assert_eq!(paths(&extract_with_files(&bytes, "a.zip").1), ["規則.txt"]);
    }

    #[test]
    fn archives_in_archives_end_somewhere() {
        let mut bytes = zip(&[("a.txt", b"text".as_slice())]);
        for _ in 0..6 {
            bytes = zip(&[("inner.zip", &bytes)]);
        }
        let (_, files) = extract_with_files(&bytes, "a.zip");
        assert_eq!(paths(&files), ["inner.zip/inner.zip/inner.zip"]);
        // By itself it is left whole, and says so.
        let left = crate::extract::extract(&files[0].1, "inner.zip", None, &Tools::default());
        assert!(
            matches!(&left, Err(Error::TooLarge { reason }) if reason.contains("3 archives")),
            "{left:?}"
        );
    }

    #[test]
    fn bombs_are_refused_by_what_comes_out_of_them() {
        let zeros = vec![b'0'; 20 << 20];
        let bomb = zip(&[("a.txt", &zeros)]);
        assert!(bomb.len() < 100_000);
        assert!(matches!(
            extract_with_files(&bomb, "a.zip").0,
            Err(Error::TooLarge { .. })
        ));
        // Each layer alone is below the ratio, both together are not.
        let half = vec![b'0'; 3 << 20];
        let members: Vec<(String, &[u8])> = (0..20)
            .map(|at| (format!("{at}.txt"), half.as_slice()))
            .collect();
        let members: Vec<(&str, &[u8])> = members
            .iter()
            .map(|(name, content)| (name.as_str(), *content))
            .collect();
        let nested = zip(&[("inner.zip", &zip(&members))]);
        assert!(matches!(
            extract_with_files(&nested, "a.zip").0,
            Err(Error::TooLarge { .. })
        ));
    }
}

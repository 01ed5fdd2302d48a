//! Zip archives: each member is read as a file of its own, within bounds.

use crate::document::Extracted;
use crate::error::{Error, Result};
use crate::extract::outline::Outline;
use crate::extract::{Tools, extract_nested, text, unpacked};
use encoding_rs::SHIFT_JIS;
use std::io::{Cursor, Read};
use zip::ZipArchive;

/// Most members that are read.
const MAX_MEMBERS: usize = 2000;

/// Deepest an archive may lie in archives and mails.
const MAX_DEPTH: usize = 3;

/// Extracts the members, each under a heading with its path.
pub(crate) fn extract(bytes: &[u8], depth: usize, tools: &Tools) -> Result<Extracted> {
    if depth >= MAX_DEPTH {
        return Err(Error::TooLarge {
            reason: format!("it lies more than {MAX_DEPTH} archives or mails deep"),
        });
    }
    let malformed = |reason: String| Error::Malformed {
        format: "ZIP",
        reason,
    };
    let mut archive = ZipArchive::new(Cursor::new(bytes))
        .map_err(|error| malformed(format!("not a readable zip archive: {error}")))?;
    let names = names(&mut archive);
    let mut outline = Outline::default();
    let mut n_encrypted = 0;
    let mut n_read = 0;
    let mut reasons: Vec<String> = Vec::new();
    for (index, name) in names.iter().enumerate().filter(|(_, name)| is_wanted(name)) {
        if n_read == MAX_MEMBERS {
            outline.warn(format!("only the first {MAX_MEMBERS} members were read"));
            break;
        }
        n_read += 1;
        let content = match read(&mut archive, index) {
            Err(error @ Error::TooLarge { .. }) => return Err(error),
            content => content,
        };
        match content.and_then(|content| extract_nested(&content, name, None, depth + 1, tools)) {
            Ok(extracted) => {
                outline.heading(1, name);
                outline.nest(extracted, &format!("member `{name}`"));
            }
            Err(Error::EmptyFile) => {}
            Err(error) => {
                n_encrypted += usize::from(matches!(error, Error::Encrypted));
                reasons.push(format!("`{name}`: {error}"));
            }
        }
    }
    if outline.is_empty() && n_read > 0 {
        return Err(match reasons.first() {
            Some(_) if n_encrypted == reasons.len() => Error::Encrypted,
            Some(first) => malformed(format!("none of its {n_read} members can be read; {first}")),
            None => Error::NoText,
        });
    }
    for reason in reasons {
        outline.warn(format!("member {reason}"));
    }
    Ok(outline.finish())
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
    use crate::extract::extract;
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
    fn members_are_read_as_files_under_their_paths() {
        let inner = zip(&[("deep.md", b"# Deep\n\ntext".as_slice())]);
        let bytes = zip(&[
            ("a/prices.csv", b"item,price\npen,100\n".as_slice()),
            ("__MACOSX/a/._prices.csv", b"\0\0"),
            ("inner.zip", &inner),
            ("x.png", b"\x89PNG\r\n\x1a\n"),
        ]);
        let extracted = extract(&bytes, "all.zip", None, &crate::Tools::default()).unwrap();
        let texts: Vec<&str> = extracted
            .blocks
            .iter()
            .map(|block| block.text.as_str())
            .collect();
        let table = "| item | price |\n| --- | --- |\n| pen | 100 |";
        assert_eq!(
            texts,
            [
                "a/prices.csv",
                table,
                "inner.zip",
                "deep.md",
                "Deep",
                "text"
            ]
        );
        assert_eq!(
            extracted.blocks[5].locator.headings,
            ["inner.zip", "deep.md", "Deep"]
        );
        assert_eq!(extracted.warnings.len(), 1);
        assert!(
            extracted.warnings[0].message.contains("`x.png`"),
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
        let extracted = extract(&bytes, "a.zip", None, &crate::Tools::default()).unwrap();
        assert_eq!(extracted.blocks[0].text, "規則.txt");
    }

    #[test]
    fn archives_in_archives_end_somewhere() {
        let mut bytes = zip(&[("a.txt", b"text".as_slice())]);
        for _ in 0..6 {
            bytes = zip(&[("inner.zip", &bytes)]);
        }
        assert!(extract(&bytes, "a.zip", None, &crate::Tools::default()).is_err());
    }

    #[test]
    fn bombs_are_refused_by_what_comes_out_of_them() {
        let zeros = vec![b'0'; 20 << 20];
        let bomb = zip(&[("a.txt", &zeros)]);
        assert!(bomb.len() < 100_000);
        assert!(matches!(
            extract(&bomb, "a.zip", None, &crate::Tools::default()),
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
            extract(&nested, "a.zip", None, &crate::Tools::default()),
            Err(Error::Malformed { .. } | Error::TooLarge { .. })
        ));
    }
}

//! Files of a model hub repository over HTTP, resumable.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::time::Duration;

use super::Progress;
use crate::{Error, ModelSpec, Result};
use kura_egress::{Egress, Http, HttpOptions, Purpose};

/// Where to fetch from.
pub(super) struct Repository<'a> {
    pub(super) endpoint: &'a str,
    pub(super) repo: &'a str,
    pub(super) revision: &'a str,
    /// Installed name to path, where the two differ.
    pub(super) paths: &'a BTreeMap<String, String>,
    /// Where connections may lead.
    pub(super) egress: &'a Egress,
}

const CHUNK: usize = 1 << 17;
/// Progress is told about once per this many bytes.
const TELL_EVERY: u64 = 4 << 20;

/// Fetches the model's files into `folder`. What is there already is kept; `NAME.part` is continued.
pub(super) fn fetch(
    spec: &ModelSpec,
    repository: &Repository<'_>,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let http = http(repository.egress);
    for file in &spec.files {
        if folder.join(&file.name).is_file() {
            continue;
        }
        let url = repository.url(&file.name);
        let mut tell = |received, total| {
            progress(Progress::File {
                name: file.name.clone(),
                received,
                total,
            })
        };
        let failed = |reason: String| Error::Fetch {
            id: spec.id.0.clone(),
            what: url.clone(),
            reason,
        };
        let part = folder.join(format!("{}.part", file.name));
        download(&http, &url, &part, &mut tell).map_err(failed)?;
        let size = fs_err::metadata(&part)?.len();
        if let Some(expected) = file.size_bytes.filter(|&e| e > size) {
            return Err(failed(format!(
                "got {size} of {expected} bytes; pull again to go on from there"
            )));
        }
        fs_err::rename(&part, folder.join(&file.name))?;
    }
    Ok(())
}

impl Repository<'_> {
    fn url(&self, name: &str) -> String {
        let path = self.paths.get(name).map_or(name, String::as_str);
        let (repo, revision, path) =
            split_foreign(path).unwrap_or((self.repo, self.revision, path));
        format!("{}/{repo}/resolve/{revision}/{path}", self.endpoint)
    }
}

/// Splits `owner/name@revision:path`.
fn split_foreign(path: &str) -> Option<(&str, &str, &str)> {
    let (place, path) = path.split_once(':')?;
    let (repo, revision) = place.split_once('@')?;
    Some((repo, revision, path))
}

/// The hub sends requests on to the servers that keep the files.
fn http(egress: &Egress) -> Http {
    let options = HttpOptions {
        redirects: 10,
        proxy_from_env: true,
        connect: Some(Duration::from_secs(30)),
        answer: Some(Duration::from_secs(60)),
        ..HttpOptions::default()
    };
    egress.http(Purpose::Models, &options)
}

/// Fetches `url` into `part`, going on where an earlier call stopped.
fn download(
    http: &Http,
    url: &str,
    part: &Path,
    tell: &mut dyn FnMut(u64, Option<u64>),
) -> std::result::Result<(), String> {
    let have = fs_err::metadata(part).map_or(0, |m| m.len());
    let mut request = http.get(url);
    if have > 0 {
        request = request.header("range", format!("bytes={have}-"));
    }
    let mut response = request.call().map_err(|e| {
        format!(
            "{e}; check the network, or install the model with `kura models import` from a copy"
        )
    })?;
    let header = |name: &str| {
        response
            .headers()
            .get(name)
            .and_then(|v| v.to_str().ok())
            .map(str::to_owned)
    };
    let length: Option<u64> = header("content-length").and_then(|v| v.parse().ok());
    let range = header("content-range");
    let start = match response.status().as_u16() {
        200 => 0,
        206 if range.as_deref().is_some_and(|r| r.starts_with(&format!("bytes {have}-"))) => have,
        // What is there is already everything, or more than the file has.
        416 if range.as_deref().is_some_and(|r| r == format!("bytes */{have}")) => return Ok(()),
        206 | 416 if have > 0 => {
            fs_err::remove_file(part).map_err(|e| e.to_string())?;
            return download(http, url, part, tell);
        }
        401 | 403 => return Err("the hub refuses it (HTTP 401 or 403): accept the license there and use a mirror or `kura models import`".to_owned()),
        404 => return Err("the hub does not have it (HTTP 404); check repository, revision and path in registry.toml".to_owned()),
        status => return Err(format!("the hub answered HTTP {status}; retry later")),
    };
    let mut file = fs_err::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(start == 0)
        .append(start > 0)
        .open(part)
        .map_err(|e| e.to_string())?;
    let total = length.map(|l| l + start);
    let (mut received, mut told) = (start, start);
    let mut body = response.body_mut().as_reader();
    let mut buffer = vec![0; CHUNK];
    loop {
        let n = body
            .read(&mut buffer)
            .map_err(|e| format!("the transfer broke off after {received} bytes ({e}); pull again to go on from there"))?;
        if n == 0 {
            break;
        }
        file.write_all(&buffer[..n]).map_err(|e| e.to_string())?;
        received += n as u64;
        if received - told >= TELL_EVERY {
            told = received;
            tell(received, total);
        }
    }
    file.flush().map_err(|e| e.to_string())?;
    tell(received, total);
    match total {
        Some(total) if received < total => Err(format!(
            "the transfer broke off after {received} of {total} bytes; pull again to go on from there"
        )),
        Some(_) | None => Ok(()),
    }
}

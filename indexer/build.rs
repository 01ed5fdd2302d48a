//! Finds the Japanese segmentation model that ships inside the `qdrant-edge` crate and hands its path to
//! `src/analyze/japanese.rs`, so that the file need not be kept twice. Works with registries and vendored sources.

use std::path::{Path, PathBuf};
use std::process::Command;

const CRATE: &str = "qdrant-edge";
const MODEL: &str = "tokenizer/bccwj-suw_c1.0.model";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../Cargo.lock");
    let model = match locate() {
        Ok(path) => path,
        Err(reason) => panic!(
            "the Japanese segmentation model `{MODEL}` of the crate `{CRATE}` was not found: {reason}; \
             run `cargo fetch` and build again"
        ),
    };
    println!("cargo::rerun-if-changed={}", model.display());
    println!("cargo::rustc-env=KURA_JAPANESE_MODEL={}", model.display());
}

fn locate() -> Result<PathBuf, String> {
    let manifest = crate_manifest()?;
    let model = Path::new(&manifest)
        .parent()
        .map(|dir| dir.join(MODEL))
        .ok_or_else(|| format!("`{manifest}` has no parent directory"))?;
    if model.is_file() {
        Ok(model)
    } else {
        Err(format!("`{}` does not exist", model.display()))
    }
}

/// Asks cargo, the only one who knows where a dependency's sources lie.
fn crate_manifest() -> Result<String, String> {
    let env = |name: &str| std::env::var(name).map_err(|_| format!("`{name}` is not set"));
    #[expect(clippy::disallowed_methods, reason = "it runs when kura is built")]
    let output = Command::new(env("CARGO")?)
        // Not `--offline`: the resolution includes what only tests depend on, which a plain build on a bare machine has not
        // fetched. Nothing is asked of the network when all of it is there.
        .args(["metadata", "--format-version=1", "--filter-platform"])
        .arg(env("TARGET")?)
        .current_dir(env("CARGO_MANIFEST_DIR")?)
        .output()
        .map_err(|error| format!("`cargo metadata` did not start: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "`cargo metadata` failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        ));
    }
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("`cargo metadata` gave no JSON: {error}"))?;
    metadata["packages"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|package| package["name"] == CRATE)
        .and_then(|package| package["manifest_path"].as_str())
        .map(str::to_owned)
        .ok_or_else(|| "it is not among the dependencies".to_owned())
}

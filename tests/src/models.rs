//! Real models for tests, loaded once per process.

use kura_models::registry::Installed;
use kura_models::{
    DeviceChoice, EmbedConfig, Embedder, Generator, Registry, load_embedder, load_generator,
};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// Returns the folder of installed models: `KURA_MODELS_DIR`, which `make test` sets.
///
/// # Panics
/// When it is not set.
#[must_use]
pub fn dir() -> PathBuf {
    PathBuf::from(
        std::env::var_os("KURA_MODELS_DIR")
            .expect("set KURA_MODELS_DIR, or run `make test`, which pulls the models"),
    )
}

/// Returns an installed embedder.
///
/// # Panics
/// When it is not installed or cannot be loaded.
#[must_use]
pub fn embedder(id: &str) -> Arc<dyn Embedder> {
    static LOADED: OnceLock<Mutex<HashMap<String, Arc<dyn Embedder>>>> = OnceLock::new();
    let mut loaded = LOADED
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let load = || {
        let installed = installed(id);
        load_embedder(&installed, &DeviceChoice::Cpu, &EmbedConfig::default())
            .expect("the embedder loads")
    };
    Arc::clone(loaded.entry(id.to_owned()).or_insert_with(load))
}

/// Returns an installed generator.
///
/// # Panics
/// When it is not installed or cannot be loaded.
#[must_use]
pub fn generator(id: &str) -> Arc<dyn Generator> {
    load_generator(&installed(id), &DeviceChoice::Cpu).expect("the generator loads")
}

fn installed(id: &str) -> Installed {
    Registry::open(&dir())
        .expect("the registry is valid")
        .locate(id)
        .expect("run `make models-test` first")
}

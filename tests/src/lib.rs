//! Helpers of kura's integration tests.
//!
//! - [`TestApp`]: the real server on a loopback port of its own, with an empty data directory, in this process.
//! - [`Kura`]: the real binary.
//! - [`models_dir`]: where the real models are, for tests that need them.

mod app;
mod binary;
mod http;
mod slow;

pub use app::{TestApp, fake_models};
pub use binary::{Kura, Output, Server};
pub use http::{Client, Event, Reply, events};
pub use slow::SlowGenerator;

use std::path::PathBuf;

/// Returns the folder with the real models.
///
/// # Panics
/// When the environment does not name it: a test that needs models never passes by leaving them out.
#[must_use]
pub fn models_dir() -> PathBuf {
    let dir = std::env::var_os("KURA_MODELS_DIR").map(PathBuf::from);
    let dir = dir.expect(
        "KURA_MODELS_DIR is not set; run the tests with `make test`, which pulls the models first",
    );
    assert!(
        dir.is_dir(),
        "KURA_MODELS_DIR `{}` is no folder; run `make models-test`",
        dir.display()
    );
    dir
}

/// Returns a file of `tests/fixtures`.
///
/// # Panics
/// When it does not exist.
#[must_use]
pub fn fixture(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("fixtures")
        .join(name);
    assert!(path.exists(), "no fixture `{}`", path.display());
    path
}

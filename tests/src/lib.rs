//! Helpers of kura's integration tests.
//!
//! - [`TestApp`]: the real server on a loopback port of its own, with an empty data directory, in this process.
//! - [`Kura`]: the real binary.
//! - [`models`]: the real models, for tests that need them.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod app;
mod binary;
mod http;
pub mod models;
mod slow;

pub use app::{TestApp, fake_models};
pub use binary::{Kura, Output, Server};
pub use http::{Client, Event, Reply, events};
pub use models::dir as models_dir;
pub use slow::SlowGenerator;

use std::path::PathBuf;

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

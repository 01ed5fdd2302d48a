//! Helpers of kura's integration tests.
//!
//! - [`TestApp`]: the real server on a loopback port of its own, with an empty data directory, in this process.
//! - [`Kura`]: the real binary.
//! - [`models`]: the real models, for tests that need them.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod app;
mod binary;
mod http;
mod log;
pub mod models;
pub mod network;
pub mod power;
mod slow;

pub use app::{TestApp, fake_models};
pub use binary::{Kura, Output, Server};
pub use http::{Client, Event, Reply, events};
pub use log::Log;
pub use models::dir as models_dir;
pub use slow::SlowGenerator;

use std::path::PathBuf;

/// Returns a number that an environment variable sets, else `default`.
///
/// # Panics
/// When it is no number.
#[must_use]
pub fn number_from_env(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: `{text}`"))
    })
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

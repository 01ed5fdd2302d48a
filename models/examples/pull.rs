//! Installs models: `cargo run --release -p kura-models --example pull -- MODELS_DIR ID…`

use std::path::Path;

use kura_models::{Progress, Registry};

#[expect(clippy::print_stderr, reason = "a command")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().ok_or("usage: pull MODELS_DIR ID…")?;
    let registry = Registry::open(Path::new(&folder))?;
    for id in arguments {
        let mut tell = |progress: Progress| match progress {
            Progress::Source { source } => eprintln!("{id}: from {source}"),
            Progress::File {
                name,
                received,
                total,
            } => eprintln!("{id}: {name} {received} of {total:?} bytes"),
            Progress::Checking => eprintln!("{id}: checking"),
            Progress::Failed { source, reason } => eprintln!("{id}: {source} failed: {reason}"),
        };
        let installed = registry.pull(&id, &mut tell)?;
        eprintln!("{id}: installed in {}", installed.dir.display());
    }
    Ok(())
}

//! The `kura` binary: parse, configure, start logging, dispatch.

use clap::Parser as _;
use kura::cli::Cli;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kura::commands::run(Cli::parse())
}

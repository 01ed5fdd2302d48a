//! kura as a whole: the real router in this process, and the real binary.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails fails its test; tables of figures are read by people"
)]

mod ask;
mod auth;
mod cli;
mod cli_server;
mod collections;
mod crash;
mod dictionary;
mod disk_full;
mod documents;
mod eval;
mod evaluations;
mod explain;
mod formats;
mod handbook;
mod keyword_leg;
mod openai;
mod openapi;
mod problems;
mod repair;
mod rerank;
mod search;

//! kura as a whole: the real router in this process, and the real binary.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper that fails fails its test; tables of figures are read by people"
)]

mod ask;
mod audit;
mod auth;
mod bombs;
mod canaries;
mod children;
mod cli;
mod cli_server;
mod collections;
mod crash;
mod crash_mixed;
mod datasets;
mod dictionary;
mod disk_full;
mod disk_read_only;
mod doctor_egress;
mod documents;
mod editors;
mod egress;
mod eval;
mod eval_answers;
mod eval_languages;
mod eval_regressions;
mod evaluations;
mod explain;
mod feedback;
mod filters;
mod forget;
mod formats;
mod handbook;
mod identity;
mod jobs;
mod keyword_leg;
mod ledger;
mod leftovers;
mod limits;
mod oidc;
mod openai;
mod openapi;
mod overload;
mod permissions;
mod power_cut;
mod problems;
mod push;
mod quality;
mod repair;
mod rerank;
mod revocation;
mod revocation_load;
mod search;
mod sections;
mod security_table;
mod sources;
mod supply_chain;
mod sync_folder;
mod sync_git;
mod sync_imap;
mod sync_s3;
mod sync_web;
mod tls;

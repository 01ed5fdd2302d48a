//! The kura server: a private knowledge assistant.
//!
//! In reading order:
//! - [`cli`] and [`commands`]: the command line; [`config`]: what it runs with.
//! - [`app`]: everything a request needs; [`router`]: every route and layer; [`auth`]: who is asking and
//!   what they may do; [`identity`]: users, groups, sessions and keys.
//! - `connections`: sockets, time-outs and TLS; `headers`: what every response says to browsers; [`limits`]: how much may be
//!   done at the same time, and by whom.
//! - [`routes`], one module per resource, and [`openai`]: handlers and wire types; [`openapi`] describes them.
//! - [`answer`]: questions to cited answers, as one stream of events that every interface renders; `watch` ends it when
//!   its reader may no longer read what it draws on.
//! - [`jobs`]: the background worker; [`sync`]: sources kept in step; [`conversations`]: past questions and answers.
//! - [`evaluate`]: quality on labelled data; [`evaluations`]: the same in the background of a server.
//! - [`audit`]: who did what, on record before it counts; [`forget`]: documents and people leave every store.
//! - [`error`]: the only place that knows both kura's errors and HTTP; [`telemetry`]: logs and metrics.
//! - [`run_file`] and [`client`]: how commands find and use a server that holds the data directory.
//!
//! Invariants: only this crate reads configuration or environment; handlers are thin and never block; a
//! failure is never an empty result; wire types are not core types.

pub mod answer;
pub mod app;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod client;
pub mod cohere;
pub mod commands;
pub mod config;
mod connections;
pub mod conversations;
pub mod error;
pub mod evaluate;
pub mod evaluations;
pub mod forget;
mod headers;
pub mod identity;
pub mod jobs;
pub mod limits;
pub mod openai;
pub mod openapi;
pub mod router;
pub mod routes;
pub mod run_file;
pub mod scim;
pub mod sync;
pub mod telemetry;
mod tls;
mod watch;
pub mod web;

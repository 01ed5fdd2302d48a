//! The kura server: a private knowledge assistant.

pub mod answer;
pub mod evaluate;

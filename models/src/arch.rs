//! Model architectures, one module per family.

pub(crate) mod attention;
pub(crate) mod cache;
pub(crate) mod config;
pub(crate) mod decoder;
pub(crate) mod rope;
pub(crate) mod weights;

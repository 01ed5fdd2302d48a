//! How often this process connected to whom, and was refused.

use crate::{Peer, Purpose};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Peers that are counted one by one; the rest together.
const PEERS: usize = 1000;
const OTHERS: &str = "others";

/// What became of the connections to one peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Count {
    /// What they were for.
    pub purpose: Purpose,
    /// `host:port`, or `others`.
    pub peer: String,
    /// Connections that were tried; one for each address of a host.
    pub opened: u64,
    /// Those that were refused.
    pub refused: u64,
}

type Table = BTreeMap<(Purpose, String), (u64, u64)>;

static COUNTS: Mutex<Table> = Mutex::new(BTreeMap::new());

/// Returns what was counted since the process began.
#[must_use]
pub fn counts() -> Vec<Count> {
    let table = table();
    let counts = table
        .iter()
        .map(|((purpose, peer), (opened, refused))| Count {
            purpose: *purpose,
            peer: peer.clone(),
            opened: *opened,
            refused: *refused,
        });
    counts.collect()
}

pub(crate) fn opened(purpose: Purpose, peer: &Peer) {
    count(purpose, peer, |(opened, _)| *opened += 1);
}

pub(crate) fn refused(purpose: Purpose, peer: &Peer) {
    count(purpose, peer, |(_, refused)| *refused += 1);
}

fn count(purpose: Purpose, peer: &Peer, change: impl FnOnce(&mut (u64, u64))) {
    let mut table = table();
    let mut key = (purpose, peer.to_string());
    if table.len() >= PEERS && !table.contains_key(&key) {
        OTHERS.clone_into(&mut key.1);
    }
    change(table.entry(key).or_default());
}

fn table() -> MutexGuard<'static, Table> {
    COUNTS.lock().unwrap_or_else(PoisonError::into_inner)
}

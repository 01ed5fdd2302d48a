//! Requests that carried a key, so that one which comes again does nothing.

use super::adding::{NewlyAdded, RequestKey};
use super::job::JobId;
use super::{corrupt, rows};
use crate::ingest::AddOutcome;
use crate::{DocumentId, Error, Result};
use jiff::Timestamp;
use rusqlite::{OptionalExtension, Transaction, params};

/// How long a key is known, in milliseconds: longer than a client goes on trying.
const KEPT_MS: i64 = 24 * 60 * 60 * 1000;

/// Returns what became of a request with this key.
///
/// # Errors
/// [`Error::RequestKeyUsed`] when that was another request.
pub(super) fn known(
    tx: &Transaction<'_>,
    request: Option<&RequestKey<'_>>,
) -> Result<Option<NewlyAdded>> {
    let Some(RequestKey { key, hash }) = request else {
        return Ok(None);
    };
    let row: Option<(Vec<u8>, String, Option<String>, String)> = tx
        .query_row(
            "SELECT request, document_id, job_id, outcome FROM idempotency_keys WHERE key = ?1",
            [key],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )
        .optional()?;
    let Some((request, document, job, outcome)) = row else {
        return Ok(None);
    };
    if request != hash {
        return Err(Error::RequestKeyUsed {
            key: (*key).to_owned(),
        });
    }
    let job = job.map(|id| rows::uuid(&id).map(JobId)).transpose()?;
    let outcome = OUTCOMES.into_iter().find(|known| name(*known) == outcome);
    let outcome = outcome.ok_or_else(|| corrupt("outcome of a request"))?;
    Ok(Some((DocumentId(rows::uuid(&document)?), job, outcome)))
}

/// Notes what became of a request, and forgets those of long ago.
pub(super) fn note(
    tx: &Transaction<'_>,
    request: Option<&RequestKey<'_>>,
    (document, job, outcome): &NewlyAdded,
) -> Result<()> {
    let Some(RequestKey { key, hash }) = request else {
        return Ok(());
    };
    let now = Timestamp::now().as_millisecond();
    tx.execute(
        "DELETE FROM idempotency_keys WHERE created_at < ?1",
        [now - KEPT_MS],
    )?;
    tx.execute(
        "INSERT INTO idempotency_keys (key, request, document_id, job_id, outcome, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            key,
            hash.as_slice(),
            document.to_string(),
            job.map(|id| id.to_string()),
            name(*outcome),
            now
        ],
    )?;
    Ok(())
}

const OUTCOMES: [AddOutcome; 3] = [AddOutcome::New, AddOutcome::Replaced, AddOutcome::Unchanged];

fn name(outcome: AddOutcome) -> &'static str {
    match outcome {
        AddOutcome::New => "new",
        AddOutcome::Replaced => "replaced",
        AddOutcome::Unchanged => "unchanged",
    }
}

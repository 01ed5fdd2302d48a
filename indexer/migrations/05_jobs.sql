-- Jobs can be cancelled, wait for another attempt, go before others, and say why they ended. A check cannot be changed,
-- so the table is made anew; ids, and with them the order, stay.
CREATE TABLE jobs_05 (
    id              TEXT PRIMARY KEY,
    document_id     TEXT NOT NULL,
    version         INTEGER NOT NULL,
    source          TEXT NOT NULL,
    collection      TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    -- Higher goes first.
    priority        INTEGER NOT NULL DEFAULT 0,
    -- Why it failed, was cancelled, or waits for another attempt: a word for programs, and a sentence.
    code            TEXT,
    error           TEXT,
    -- How often it was tried and ended without result.
    attempts        INTEGER NOT NULL DEFAULT 0,
    -- Unix time in milliseconds before which it is not tried again.
    next_attempt_at INTEGER,
    -- How often the process ended while it ran.
    interrupted     INTEGER NOT NULL DEFAULT 0,
    -- Size of the file.
    n_bytes         INTEGER NOT NULL DEFAULT 0,
    -- Chunks of the version, once it is done; and how many of them kept a vector that was there.
    n_chunks        INTEGER NOT NULL DEFAULT 0,
    n_reused        INTEGER NOT NULL DEFAULT 0,
    created_at      TEXT NOT NULL,
    started_at      TEXT,
    finished_at     TEXT
) STRICT;
INSERT INTO jobs_05 (id, document_id, version, source, collection, state, code, error, interrupted, n_bytes, n_chunks,
                     created_at, started_at, finished_at)
SELECT j.id, j.document_id, j.version, j.source, j.collection,
       CASE WHEN j.error IN ('replaced by a newer version', 'the document was deleted', 'the collection was deleted',
                             'the document was deleted or replaced meanwhile')
            THEN 'cancelled' ELSE j.state END,
       CASE j.error WHEN 'replaced by a newer version' THEN 'replaced'
                    WHEN 'the document was deleted or replaced meanwhile' THEN 'replaced'
                    WHEN 'the document was deleted' THEN 'deleted'
                    WHEN 'the collection was deleted' THEN 'deleted' END,
       j.error, j.interrupted, coalesce(v.size_bytes, 0), coalesce(v.n_chunks, 0), j.created_at, j.started_at, j.finished_at
FROM jobs j LEFT JOIN versions v ON v.document_id = j.document_id AND v.version = j.version;
DROP TABLE jobs;
ALTER TABLE jobs_05 RENAME TO jobs;
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_queue ON jobs (priority DESC, id) WHERE state = 'queued';
CREATE INDEX jobs_by_document ON jobs (document_id);

-- Sha256 of what was embedded for the chunk, by which its vector is found again; NULL where made before, and filled
-- when the document or its bytes come again.
ALTER TABLE chunks ADD COLUMN hash BLOB;
CREATE INDEX chunks_by_hash ON chunks (hash) WHERE hash IS NOT NULL;

-- Requests to add a document that carried a key, and what became of them: the same request again does nothing.
CREATE TABLE idempotency_keys (
    key         TEXT PRIMARY KEY,
    -- Sha256 of what was asked for.
    request     BLOB NOT NULL,
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    job_id      TEXT,
    outcome     TEXT NOT NULL,
    -- Unix time in milliseconds.
    created_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_keys_by_document ON idempotency_keys (document_id);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys (created_at);

-- The catalog: the source of truth. Indexes are rebuilt from it, never the other way round.
CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

CREATE TABLE collections (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    created_at TEXT NOT NULL,
    deleted_at TEXT
) STRICT;

-- One row per document. `visible_version` is what searches see; NULL until the first version is indexed.
CREATE TABLE documents (
    id              TEXT PRIMARY KEY,
    collection_id   TEXT NOT NULL REFERENCES collections (id),
    source          TEXT NOT NULL,
    title           TEXT NOT NULL,
    status          TEXT NOT NULL CHECK (status IN ('pending', 'indexed', 'failed')),
    error           TEXT,
    warnings        TEXT NOT NULL DEFAULT '[]',
    latest_version  INTEGER NOT NULL,
    visible_version INTEGER,
    created_at      TEXT NOT NULL,
    updated_at      TEXT NOT NULL,
    deleted_at      TEXT
) STRICT;
-- A deleted document's row stays until every store has dropped it; its source may be used again at once.
CREATE UNIQUE INDEX documents_by_source ON documents (collection_id, source) WHERE deleted_at IS NULL;
CREATE INDEX documents_deleted ON documents (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE readers (
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    group_id    TEXT NOT NULL,
    PRIMARY KEY (document_id, group_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    version     INTEGER NOT NULL,
    sha256      TEXT NOT NULL,
    size_bytes  INTEGER NOT NULL,
    media_type  TEXT NOT NULL,
    title       TEXT,
    text        TEXT,
    n_chunks    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (document_id, version)
) STRICT;
CREATE INDEX versions_by_blob ON versions (sha256);

CREATE TABLE chunks (
    document_id TEXT NOT NULL,
    version     INTEGER NOT NULL,
    ordinal     INTEGER NOT NULL,
    text        TEXT NOT NULL,
    context     TEXT NOT NULL,
    n_tokens    INTEGER NOT NULL,
    span_start  INTEGER NOT NULL,
    span_end    INTEGER NOT NULL,
    locator     TEXT NOT NULL,
    -- Little-endian f32, unit norm, of the embedder named in meta.embedder.
    vector      BLOB NOT NULL,
    PRIMARY KEY (document_id, version, ordinal),
    FOREIGN KEY (document_id, version) REFERENCES versions (document_id, version) ON DELETE CASCADE
) STRICT;

CREATE TABLE jobs (
    id          TEXT PRIMARY KEY,
    document_id TEXT NOT NULL,
    version     INTEGER NOT NULL,
    source      TEXT NOT NULL,
    collection  TEXT NOT NULL,
    state       TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed')),
    stage       TEXT,
    progress    REAL NOT NULL DEFAULT 0,
    error       TEXT,
    -- How often the process ended while it ran.
    interrupted INTEGER NOT NULL DEFAULT 0,
    created_at  TEXT NOT NULL,
    started_at  TEXT,
    finished_at TEXT
) STRICT;
CREATE INDEX jobs_open ON jobs (state, id) WHERE state IN ('queued', 'running');
CREATE INDEX jobs_by_document ON jobs (document_id);

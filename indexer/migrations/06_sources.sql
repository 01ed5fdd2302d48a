-- Places that kura keeps in step with, and what it has taken in from each.
CREATE TABLE sources (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL UNIQUE,
    kind            TEXT NOT NULL,
    collection_id   TEXT NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    location        TEXT NOT NULL,
    -- What this kind needs besides, as JSON. Never a secret: at most where one is to be read.
    settings        TEXT NOT NULL DEFAULT '{}',
    include         TEXT NOT NULL DEFAULT '[]',
    exclude         TEXT NOT NULL DEFAULT '[]',
    readers         TEXT NOT NULL,
    interval_secs   INTEGER NOT NULL,
    watch           INTEGER NOT NULL DEFAULT 0,
    paused          INTEGER NOT NULL DEFAULT 0,
    -- What told the root from another one when it was last read whole.
    root            TEXT,
    created_at      TEXT NOT NULL,
    last_scan_at    TEXT,
    last_success_at TEXT,
    -- Why the last scan did not succeed: the source is stale.
    last_error      TEXT,
    -- What the last scan did, as JSON.
    last_scan       TEXT
) STRICT;
CREATE INDEX sources_by_collection ON sources (collection_id);

-- One row per file, message or page. Written only after its document is durable, so that a scan can be run twice.
CREATE TABLE source_items (
    source_id   TEXT NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    key         TEXT NOT NULL,
    -- NULL: not taken in, for the reason in `error`; or the document was deleted by someone else.
    document_id TEXT REFERENCES documents (id) ON DELETE SET NULL,
    -- Changes when the content may have changed.
    marker      TEXT NOT NULL,
    size_bytes  INTEGER,
    sha256      TEXT,
    -- What may follow a file that is moved, such as its inode.
    hint        TEXT,
    -- What the connector wants to know again.
    note        TEXT,
    link        TEXT NOT NULL,
    error       TEXT,
    PRIMARY KEY (source_id, key)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX source_items_by_document ON source_items (document_id);

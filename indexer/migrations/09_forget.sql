-- What is to be forgotten: noted before it begins, so that a crash does not end it. `request` says what, and is emptied
-- when all is done; it may hold the very names that are to go.
CREATE TABLE erasures (
    id          TEXT PRIMARY KEY,
    request     TEXT NOT NULL,
    created_at  TEXT NOT NULL,
    -- Signed, as JSON. It counts from `finished_at` on.
    certificate TEXT,
    finished_at TEXT
) STRICT, WITHOUT ROWID;

-- Items of sources that are not taken in again, by sha256 of their key.
CREATE TABLE forgotten_items (
    source_id TEXT NOT NULL REFERENCES sources (id) ON DELETE CASCADE,
    key       BLOB NOT NULL,
    PRIMARY KEY (source_id, key)
) STRICT, WITHOUT ROWID;

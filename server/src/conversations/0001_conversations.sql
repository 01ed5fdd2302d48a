CREATE TABLE conversations (
    id         TEXT PRIMARY KEY,          -- UUIDv7: sorts by creation
    owner      TEXT NOT NULL,             -- principal id
    title      TEXT NOT NULL,
    created_at TEXT NOT NULL,             -- RFC 3339, UTC
    updated_at TEXT NOT NULL
) STRICT;
CREATE INDEX conversations_by_owner ON conversations (owner, id);

CREATE TABLE messages (
    conversation TEXT NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
    ordinal      INTEGER NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('user', 'assistant')),
    content      TEXT NOT NULL,
    answer       TEXT,                    -- JSON: the whole answer as it went over the wire
    question     INTEGER,                 -- of an answer: the ordinal of its question
    created_at   TEXT NOT NULL,
    PRIMARY KEY (conversation, ordinal)
) STRICT, WITHOUT ROWID;

-- What kept answers rest on, so that they can be withdrawn with it.
CREATE TABLE citations (
    document     TEXT NOT NULL,
    version      INTEGER NOT NULL,
    conversation TEXT NOT NULL,
    ordinal      INTEGER NOT NULL,
    PRIMARY KEY (document, version, conversation, ordinal),
    FOREIGN KEY (conversation, ordinal) REFERENCES messages (conversation, ordinal) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
    id              TEXT PRIMARY KEY,                 -- UUIDv7: sorts by creation
    kind            TEXT NOT NULL CHECK (kind IN ('person', 'service')),
    name            TEXT NOT NULL UNIQUE,             -- the login: NFKC, case folded
    display_name    TEXT NOT NULL,
    email           TEXT,
    role            TEXT NOT NULL CHECK (role IN ('reader', 'editor', 'admin', 'auditor')),
    active          INTEGER NOT NULL CHECK (active IN (0, 1)),
    password        TEXT,                             -- PHC string of argon2id; services have none
    source          TEXT NOT NULL DEFAULT 'local',    -- who keeps this row: kura, or later an identity provider
    external_id     TEXT,                             -- its id there
    created_at      TEXT NOT NULL,                    -- RFC 3339, UTC
    updated_at      TEXT NOT NULL,
    last_sign_in_at TEXT,
    UNIQUE (source, external_id),
    CHECK (kind = 'person' OR password IS NULL)
) STRICT;

-- Names of deleted users. A document may still name `user:<name>` as a reader, so nobody gets the name again.
CREATE TABLE retired_names (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

CREATE TABLE groups (
    name        TEXT PRIMARY KEY,                     -- as access lists write it
    folded      TEXT NOT NULL UNIQUE,                 -- no two differ in case only
    description TEXT NOT NULL,
    source      TEXT NOT NULL DEFAULT 'local',
    external_id TEXT,
    created_at  TEXT NOT NULL,
    UNIQUE (source, external_id)
) STRICT;

CREATE TABLE memberships (
    user       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    group_name TEXT NOT NULL REFERENCES groups (name) ON DELETE CASCADE,
    PRIMARY KEY (user, group_name)
) STRICT, WITHOUT ROWID;
CREATE INDEX memberships_by_group ON memberships (group_name);

CREATE TABLE sessions (
    id         TEXT PRIMARY KEY,                      -- UUIDv7
    user       TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    token      BLOB NOT NULL UNIQUE,                  -- SHA-256 of the 256 random bits in the cookie
    user_agent TEXT NOT NULL,
    created_at TEXT NOT NULL,
    seen_at    TEXT NOT NULL,                         -- to the minute
    revoked_at TEXT
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user);

CREATE TABLE api_keys (
    id           TEXT PRIMARY KEY,                    -- UUIDv7
    user         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name         TEXT NOT NULL,
    key          BLOB NOT NULL UNIQUE,                -- SHA-256 of the key
    prefix       TEXT NOT NULL,                       -- what is shown of it
    role         TEXT CHECK (role IN ('reader', 'editor', 'admin', 'auditor')), -- no more than this role; NULL: the user's
    collections  TEXT,                                -- JSON array of names; NULL: all
    created_at   TEXT NOT NULL,
    expires_at   TEXT,
    last_used_at TEXT,                                -- to the minute
    revoked_at   TEXT
) STRICT;
CREATE INDEX api_keys_by_user ON api_keys (user);

CREATE TABLE totp (
    user         TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    secret       BLOB NOT NULL,                       -- needed in the clear to compute codes
    confirmed_at TEXT,                                -- from then on codes are asked for
    last_step    INTEGER NOT NULL DEFAULT 0           -- a code is good once
) STRICT;

CREATE TABLE recovery_codes (
    user TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    code BLOB NOT NULL,                               -- SHA-256 of 80 random bits; deleted when used
    PRIMARY KEY (user, code)
) STRICT, WITHOUT ROWID;

-- `users.source` and `groups.source` hold the issuer of an identity provider, and `external_id` its `sub` or group.

-- Who made someone a member: an administrator, or the provider at the last sign-in.
ALTER TABLE memberships ADD COLUMN source TEXT NOT NULL DEFAULT 'local';

ALTER TABLE sessions ADD COLUMN issuer TEXT;          -- of the provider that vouched; NULL: a password
ALTER TABLE sessions ADD COLUMN sid TEXT;             -- what the provider calls its own session
ALTER TABLE sessions ADD COLUMN id_token TEXT;        -- shown to the provider on signing out; gone with the session
CREATE INDEX sessions_by_sid ON sessions (issuer, sid) WHERE sid IS NOT NULL;

-- Logout tokens that were used, until they would be refused for their age.
CREATE TABLE logout_tokens (
    issuer     TEXT NOT NULL,
    jti        TEXT NOT NULL,
    keep_until TEXT NOT NULL,                         -- RFC 3339, UTC
    PRIMARY KEY (issuer, jti)
) STRICT, WITHOUT ROWID;

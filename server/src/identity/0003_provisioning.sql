-- What a directory keeps up to date by SCIM. `users.source` and `groups.source` are `scim` for what it made; a user of that
-- source gets the issuer of the identity provider at the first sign-in.

ALTER TABLE users ADD COLUMN user_name TEXT;          -- what the directory calls them now, folded; the login stays
ALTER TABLE users ADD COLUMN provisioned TEXT;        -- JSON: the attributes that it set
CREATE UNIQUE INDEX users_by_user_name ON users (user_name) WHERE user_name IS NOT NULL;

ALTER TABLE groups ADD COLUMN id TEXT;                -- UUIDv7: what the directory calls it, however it is renamed
ALTER TABLE groups ADD COLUMN provisioned TEXT;       -- JSON: the attributes that it set
ALTER TABLE groups ADD COLUMN updated_at TEXT;
CREATE UNIQUE INDEX groups_by_id ON groups (id) WHERE id IS NOT NULL;

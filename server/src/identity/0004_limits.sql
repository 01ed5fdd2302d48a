-- Tokens spent on the day (UTC) that is named; of another day they do not count any more.
ALTER TABLE users ADD COLUMN tokens_day TEXT;
ALTER TABLE users ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;
ALTER TABLE api_keys ADD COLUMN tokens_day TEXT;
ALTER TABLE api_keys ADD COLUMN tokens INTEGER NOT NULL DEFAULT 0;

-- Limits of a key of its own; NULL: those of the configuration.
ALTER TABLE api_keys ADD COLUMN requests_per_minute INTEGER CHECK (requests_per_minute > 0);
ALTER TABLE api_keys ADD COLUMN tokens_per_day INTEGER CHECK (tokens_per_day > 0);

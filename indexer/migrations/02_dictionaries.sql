-- A collection's own words, as they were given. Queries use them; no index depends on them.
CREATE TABLE dictionaries (
    collection_id TEXT PRIMARY KEY REFERENCES collections (id),
    csv           TEXT NOT NULL,
    updated_at    TEXT NOT NULL
) STRICT;

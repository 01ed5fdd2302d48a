-- Groups that may not read a document, whatever its readers say. Documents of earlier versions deny nobody.
CREATE TABLE denied (
    document_id TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    group_id    TEXT NOT NULL,
    PRIMARY KEY (document_id, group_id)
) STRICT, WITHOUT ROWID;

-- Whom a collection is for. To others it does not exist.
CREATE TABLE collection_members (
    collection_id TEXT NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    group_id      TEXT NOT NULL,
    -- An editor may read, too.
    role          TEXT NOT NULL CHECK (role IN ('reader', 'editor')),
    PRIMARY KEY (collection_id, group_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX collection_members_by_group ON collection_members (group_id);
-- Collections of earlier versions were for everyone.
INSERT INTO collection_members SELECT id, 'everyone', 'reader' FROM collections WHERE deleted_at IS NULL;

-- Who may not read what a source brings.
ALTER TABLE sources ADD COLUMN denied TEXT NOT NULL DEFAULT '[]';

-- What is known about a document besides its text, as JSON: given by people, and found in the file of the visible
-- version. What was given counts where both speak: json_patch(found, given).
ALTER TABLE documents ADD COLUMN given TEXT NOT NULL DEFAULT '{}';
ALTER TABLE documents ADD COLUMN found TEXT NOT NULL DEFAULT '{}';

-- Which document stands in the place of which source of its collection, and from when on; 0000-01-01: since ever.
-- Kept beside the metadata it comes from, to ask from the other end.
CREATE TABLE successions (
    document_id   TEXT NOT NULL REFERENCES documents (id) ON DELETE CASCADE,
    collection_id TEXT NOT NULL,
    source        TEXT NOT NULL,
    since         TEXT NOT NULL,
    PRIMARY KEY (document_id, source)
) STRICT, WITHOUT ROWID;
CREATE INDEX successions_by_source ON successions (collection_id, source);

-- Documents whose attributes changed since the stores were told. `change` grows, so that what comes in while they are
-- told is not taken for done.
CREATE TABLE unindexed_attributes (
    document_id TEXT PRIMARY KEY REFERENCES documents (id) ON DELETE CASCADE,
    change      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
-- Vector indexes of earlier versions do not know the media type.
INSERT INTO unindexed_attributes SELECT id, 1 FROM documents WHERE visible_version IS NOT NULL;

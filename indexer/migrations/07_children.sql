-- Files that lie in others, such as attachments, are documents of their own: children of the document they lie in. They
-- have its readers, and go when it goes.
ALTER TABLE documents ADD COLUMN parent_id TEXT REFERENCES documents (id);
-- Where a child lies in its parent; its source is the parent's, `/` and this.
ALTER TABLE documents ADD COLUMN part TEXT;
CREATE INDEX documents_by_parent ON documents (parent_id) WHERE parent_id IS NOT NULL;

-- What lies in a version that is not published yet: children are made of it when it is.
CREATE TABLE inner_files (
    document_id TEXT NOT NULL,
    version     INTEGER NOT NULL,
    ordinal     INTEGER NOT NULL,
    part        TEXT NOT NULL,
    sha256      TEXT NOT NULL,
    size_bytes  INTEGER NOT NULL,
    media_type  TEXT NOT NULL,
    PRIMARY KEY (document_id, version, ordinal),
    FOREIGN KEY (document_id, version) REFERENCES versions (document_id, version) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
CREATE INDEX inner_files_by_blob ON inner_files (sha256);

-- Whether the stores have to be told who may read the document, too.
ALTER TABLE unindexed_attributes ADD COLUMN readers INTEGER NOT NULL DEFAULT 0;

-- Whether files that lie in the version were read as parts of its text, as kura did before. Such a version is read anew
-- when the same file is added again.
ALTER TABLE versions ADD COLUMN holds_parts INTEGER NOT NULL DEFAULT 0;
UPDATE versions SET holds_parts = 1 WHERE text IS NOT NULL
    AND media_type IN ('message/rfc822', 'application/vnd.ms-outlook', 'application/mbox', 'application/zip');

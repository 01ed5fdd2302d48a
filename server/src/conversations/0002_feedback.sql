-- Of a question: the names of the collections searched, a JSON array; NULL means all.
ALTER TABLE messages ADD COLUMN collections TEXT;

-- An answer is found by the id that went over the wire with it.
CREATE INDEX messages_by_answer ON messages (json_extract(answer, '$.id')) WHERE answer IS NOT NULL;

-- What the person who asked thinks of an answer. It goes with the conversation.
CREATE TABLE feedback (
    conversation     TEXT NOT NULL,
    ordinal          INTEGER NOT NULL,    -- of the answer
    rating           TEXT NOT NULL CHECK (rating IN ('up', 'down')),
    comment          TEXT,
    corrected_answer TEXT,
    document         TEXT,                -- id of the document that should have been cited
    question         TEXT NOT NULL,       -- as retrieval saw it: with what a follow-up leans on
    cited            TEXT NOT NULL,       -- JSON array of document ids; stays when the answer is withdrawn
    created_at       TEXT NOT NULL,
    updated_at       TEXT NOT NULL,
    PRIMARY KEY (conversation, ordinal),
    FOREIGN KEY (conversation, ordinal) REFERENCES messages (conversation, ordinal) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

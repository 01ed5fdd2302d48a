-- Documents that kept answers rest on, or did before they were withdrawn: so that what is forgotten is found.
CREATE TABLE rested (
    document     TEXT NOT NULL,
    conversation TEXT NOT NULL,
    ordinal      INTEGER NOT NULL,        -- of the answer
    PRIMARY KEY (document, conversation, ordinal),
    FOREIGN KEY (conversation, ordinal) REFERENCES messages (conversation, ordinal) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
INSERT INTO rested SELECT DISTINCT document, conversation, ordinal FROM citations;
INSERT OR IGNORE INTO rested SELECT c.value, f.conversation, f.ordinal FROM feedback f, json_each(f.cited) c;

-- Codes of the chunk's tokens for late interaction, by the center in meta.token_center; NULL where made before.
ALTER TABLE chunks ADD COLUMN tokens BLOB;
CREATE INDEX chunks_without_tokens ON chunks (document_id, version) WHERE tokens IS NULL;

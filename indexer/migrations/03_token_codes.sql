-- Codes of the chunk's tokens for late interaction, by the center in meta.token_center; NULL where made before.
ALTER TABLE chunks ADD COLUMN tokens BLOB;

-- Until when a document is kept that nobody has named yet; 0: for good.
ALTER TABLE document ADD COLUMN expires_us BIGINT NOT NULL DEFAULT 0;
CREATE INDEX document_expires ON document (expires_us) WHERE expires_us > 0;

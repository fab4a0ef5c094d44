-- Documents of a tenant. The bytes of a small one are in its row, so that many
-- are made durable together; those of a large one are an object named by the
-- same hash. The body comes last: lists do not read over it.
CREATE TABLE document (
    tenant TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    media_type TEXT NOT NULL,
    filename TEXT NOT NULL,
    size_bytes BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    body BYTEA,
    PRIMARY KEY (tenant, sha256)
);
CREATE INDEX document_newest ON document (tenant, created_us DESC, sha256 DESC);
-- Which objects are still named by somebody.
CREATE INDEX document_sha256 ON document (sha256);

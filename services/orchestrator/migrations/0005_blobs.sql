-- Documents that executions name, written in the commit of what names them.
-- States: 0 is still to be kept for good, 1 is kept, 2 was gone.
CREATE TABLE blobs (
    tenant TEXT NOT NULL,
    sha256 BYTEA NOT NULL,
    execution BYTEA NOT NULL,
    state BIGINT NOT NULL,
    PRIMARY KEY (tenant, sha256, execution)
)
--sqlite: WITHOUT ROWID
;
CREATE INDEX blobs_named ON blobs (tenant, sha256) WHERE state = 0;

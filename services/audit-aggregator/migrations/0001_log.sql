-- The log. Entries are added and never changed; the unique index on event ids
-- also stops a second writer that did not see the first.
CREATE TABLE entry (
--sqlite:    idx INTEGER PRIMARY KEY,
--postgres:    idx BIGINT PRIMARY KEY,
    event_id BYTEA NOT NULL,
    tenant TEXT NOT NULL,
    case_name TEXT NOT NULL,
    action TEXT NOT NULL,
    leaf BYTEA NOT NULL
);
CREATE UNIQUE INDEX entry_event ON entry (event_id);
CREATE INDEX entry_case ON entry (tenant, case_name, idx) WHERE case_name <> '';

-- Up to 256 hashes of one level, 32 bytes each. Only the last of a level grows.
CREATE TABLE tile (
    level BIGINT NOT NULL,
    idx BIGINT NOT NULL,
    hashes BYTEA NOT NULL,
    PRIMARY KEY (level, idx)
);
-- Hashes cannot be compressed: spare the attempt.
--postgres:ALTER TABLE tile ALTER COLUMN hashes SET STORAGE EXTERNAL;

-- Every head that was ever signed.
CREATE TABLE checkpoint (
--sqlite:    size INTEGER PRIMARY KEY,
--postgres:    size BIGINT PRIMARY KEY,
    time_us BIGINT NOT NULL,
    note TEXT NOT NULL
);

-- One row: a writer moves it from the size it knows, or loses.
CREATE TABLE log_head (
    id BIGINT PRIMARY KEY,
    size BIGINT NOT NULL
);
INSERT INTO log_head (id, size) VALUES (1, 0);

-- Executions whose definition limits how many run: those that wait for a place
-- (admitted = 0) and those that have one, until they end. Written with their turns.
CREATE TABLE lines (
    execution BYTEA NOT NULL PRIMARY KEY,
    shard BIGINT NOT NULL,
    tenant TEXT NOT NULL,
    definition TEXT NOT NULL,
    version TEXT NOT NULL,
    key TEXT NOT NULL,
    priority BIGINT NOT NULL,
    admitted BIGINT NOT NULL,
    since_us BIGINT NOT NULL
);
CREATE INDEX lines_shard ON lines (shard, since_us);

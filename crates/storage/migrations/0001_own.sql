-- Audit events on their way to the log. Two tables take turns: rows that were
-- handed on are never deleted one by one, their table is emptied as a whole.
CREATE TABLE probity_outbox_0 (seq BIGINT NOT NULL PRIMARY KEY, event TEXT NOT NULL);
CREATE TABLE probity_outbox_1 (seq BIGINT NOT NULL PRIMARY KEY, event TEXT NOT NULL);
-- One row. Whoever takes numbers holds it until the commit, so the order of
-- numbers is the order of commits, whatever the number of processes.
--   active:   the table that takes new rows
--   boundary: the first number in it; everything below is in the other table
--   spare:    1 when the other table is empty
CREATE TABLE probity_outbox_state (
    id BIGINT NOT NULL PRIMARY KEY,
    next_seq BIGINT NOT NULL,
    acknowledged BIGINT NOT NULL,
    active BIGINT NOT NULL,
    boundary BIGINT NOT NULL,
    spare BIGINT NOT NULL
)
--postgres: WITH (fillfactor = 50)
;
INSERT INTO probity_outbox_state (id, next_seq, acknowledged, active, boundary, spare) VALUES (1, 1, 0, 0, 1, 1);
-- Answers to requests with an idempotency key, stored with their effect.
CREATE TABLE probity_idempotency (
    tenant TEXT NOT NULL,
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    body_sha256 BYTEA NOT NULL,
    response BYTEA NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, operation, key)
);
CREATE INDEX probity_idempotency_age ON probity_idempotency (created_us);

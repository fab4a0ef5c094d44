-- Requests with an idempotency key whose effect is not in this store: whoever runs
-- one has a lease, and its answer is kept when it ends well.
--   state: 1 processing, 2 completed, 3 failed
CREATE TABLE probity_idempotency_run (
    tenant TEXT NOT NULL,
    operation TEXT NOT NULL,
    key TEXT NOT NULL,
    body_sha256 BYTEA NOT NULL,
    state BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    lease_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    response BYTEA NOT NULL,
    PRIMARY KEY (tenant, operation, key)
);
CREATE INDEX probity_idempotency_run_expiry ON probity_idempotency_run (expires_us);

-- Steps that failed for good, a row each; made from the journal in the commit of
-- their incidents. The id is the execution, the step and the item, if any.
-- States: 1 failed, 2 reviewing (open); 3 requeued, 4 discarded (finished).
CREATE TABLE dead_letters (
    tenant TEXT NOT NULL,
    id BYTEA NOT NULL,
    execution TEXT NOT NULL,
    of_case TEXT NOT NULL,
    definition TEXT NOT NULL,
    step TEXT NOT NULL,
    item BIGINT,
    state BIGINT NOT NULL,
    code TEXT NOT NULL,
    error TEXT NOT NULL,
    template TEXT NOT NULL,
    peer TEXT NOT NULL,
    operation TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    payload TEXT NOT NULL,
    payload_bytes BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    opened_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    reviewer TEXT NOT NULL,
    note TEXT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX dead_letters_open ON dead_letters (tenant, state, opened_us) WHERE state < 3;
CREATE INDEX dead_letters_finished ON dead_letters (updated_us) WHERE state >= 3;

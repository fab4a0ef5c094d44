-- Schedules: how each is written down, what it starts, and what it remembers. Who
-- changes a row says which revision it read; of two that decide at once one is
-- refused. `next_us` is the greatest number when nothing comes by itself.
CREATE TABLE schedules (
    tenant TEXT NOT NULL,
    id TEXT NOT NULL,
    uid BYTEA NOT NULL,
    definition TEXT NOT NULL,
    timing TEXT NOT NULL,
    zone TEXT NOT NULL,
    owner TEXT NOT NULL,
    paused BIGINT NOT NULL,
    note TEXT NOT NULL,
    spec TEXT NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL,
    revision BIGINT NOT NULL,
    next_us BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE UNIQUE INDEX schedules_uid ON schedules (uid);
CREATE INDEX schedules_next ON schedules (next_us);

-- Their runs: written in the transaction that decides them, so each is there once;
-- `id` follows from the schedule and the time. States as in the contract: 1 is to be
-- started, 2 runs, from 3 on it is over.
CREATE TABLE schedule_runs (
    tenant TEXT NOT NULL,
    id BYTEA NOT NULL,
    schedule BYTEA NOT NULL,
    run_key TEXT NOT NULL,
    at_us BIGINT NOT NULL,
    triggered BIGINT NOT NULL,
    state BIGINT NOT NULL,
    cancel BIGINT NOT NULL,
    execution BYTEA NOT NULL,
    error TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    ended_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX schedule_runs_of ON schedule_runs (tenant, schedule, at_us);
CREATE INDEX schedule_runs_open ON schedule_runs (state, created_us) WHERE state < 3;

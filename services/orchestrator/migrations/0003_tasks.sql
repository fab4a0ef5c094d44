-- What was asked of tasks of their own: written with their executions, never
-- changed. Where they stand is in `executions`.
CREATE TABLE tasks (
    tenant TEXT NOT NULL,
    id BYTEA NOT NULL,
    type TEXT NOT NULL,
    queue TEXT NOT NULL,
    unique_key TEXT NOT NULL,
    concurrency_key TEXT NOT NULL,
    not_before_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
)
--sqlite: WITHOUT ROWID
;

-- Open tasks with a unique key: the first of each queue and key.
CREATE TABLE task_uniques (
    tenant TEXT NOT NULL,
    queue TEXT NOT NULL,
    unique_key TEXT NOT NULL,
    execution BYTEA NOT NULL,
    PRIMARY KEY (tenant, queue, unique_key)
);

-- Settings of queues; 0 is no limit.
CREATE TABLE queues (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    paused BIGINT NOT NULL,
    lease_ms BIGINT NOT NULL,
    max_running BIGINT NOT NULL,
    max_running_per_key BIGINT NOT NULL,
    rate_count BIGINT NOT NULL,
    rate_period_ms BIGINT NOT NULL,
    rate_burst BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);
CREATE INDEX task_uniques_execution ON task_uniques (tenant, execution);

-- What was decided, turn by turn, in the order of the commits. Only ever added to.
-- A log belongs to one run of one replica and its positions have no gaps; whoever
-- takes over after that run writes the next position itself, which seals the log.
CREATE TABLE journal (
    log BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    execution BYTEA NOT NULL,
    tenant TEXT NOT NULL,
    first_fact BIGINT NOT NULL,
    last_fact BIGINT NOT NULL,
    time_us BIGINT NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (log, seq)
)
--sqlite: WITHOUT ROWID
;
CREATE UNIQUE INDEX journal_execution ON journal (execution, last_fact);

-- Executions as they are listed, those of cases (kind > 0) among them; made from
-- the journal, and rewritten only when something changes that is shown here.
CREATE TABLE executions (
    tenant TEXT NOT NULL,
    id BYTEA NOT NULL,
    shard BIGINT NOT NULL,
    kind BIGINT NOT NULL,
    state BIGINT NOT NULL,
    status BIGINT NOT NULL,
    definition TEXT NOT NULL,
    owner TEXT NOT NULL,
    priority BIGINT NOT NULL,
    waiting BIGINT NOT NULL,
    paused BIGINT NOT NULL,
    active BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    updated_us BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (tenant, id)
)
--sqlite: WITHOUT ROWID
;
CREATE INDEX executions_active ON executions (shard, id) WHERE active = 1;
CREATE INDEX executions_waiting ON executions (tenant, id) WHERE waiting > 0;
CREATE INDEX executions_cases ON executions (tenant, id) WHERE kind > 0;

-- The logs that are written or not yet relayed as a whole: whose they are, until
-- when without a sign of life, where they were sealed (0: not yet), who relays
-- what is left of them, and up to where the audit log has them.
CREATE TABLE logs (
    log BIGINT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    address TEXT NOT NULL,
    until_us BIGINT NOT NULL,
    sealed BIGINT NOT NULL,
    heir BIGINT NOT NULL,
    relayed BIGINT NOT NULL
);

-- Which log the executions of a shard go to now; 0: nobody has the shard.
CREATE TABLE shards (
    shard BIGINT NOT NULL PRIMARY KEY,
    log BIGINT NOT NULL
);

-- Every version of every definition; tenant '' holds the shipped ones.
CREATE TABLE definitions (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, name, version)
);

-- Actions taken for cases.
CREATE TABLE actions (
    tenant TEXT NOT NULL,
    case_id BYTEA NOT NULL,
    id BYTEA NOT NULL,
    type BIGINT NOT NULL,
    reason TEXT NOT NULL,
    active BIGINT NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, case_id, id)
);

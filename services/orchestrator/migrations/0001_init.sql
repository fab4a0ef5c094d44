-- What was decided, turn by turn, in the order of the commits. Only ever added to.
CREATE TABLE journal (
    lane BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    case_id BYTEA NOT NULL,
    tenant TEXT NOT NULL,
    first_fact BIGINT NOT NULL,
    last_fact BIGINT NOT NULL,
    time_us BIGINT NOT NULL,
    actor TEXT NOT NULL,
    request_id TEXT NOT NULL,
    trace_id TEXT NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (lane, seq)
)
--sqlite: WITHOUT ROWID
;
CREATE UNIQUE INDEX journal_case ON journal (case_id, last_fact);

-- Cases as they are read; made from the journal.
CREATE TABLE cases (
    tenant TEXT NOT NULL,
    id BYTEA NOT NULL,
    owner TEXT NOT NULL,
    kind BIGINT NOT NULL,
    state BIGINT NOT NULL,
    waiting BIGINT NOT NULL,
    active BIGINT NOT NULL,
    body BYTEA NOT NULL,
    PRIMARY KEY (tenant, id)
)
--sqlite: WITHOUT ROWID
;
CREATE INDEX cases_active ON cases (id) WHERE active = 1;
CREATE INDEX cases_waiting ON cases (tenant, id) WHERE waiting = 1;

-- Who owns the lane, and up to where the audit log has the journal.
CREATE TABLE lanes (
    lane BIGINT NOT NULL PRIMARY KEY,
    owner TEXT NOT NULL,
    epoch BIGINT NOT NULL,
    until_us BIGINT NOT NULL
);
CREATE TABLE relay (
    lane BIGINT NOT NULL PRIMARY KEY,
    seq BIGINT NOT NULL
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

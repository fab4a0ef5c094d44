-- What people made of findings, each time they said so. `current` is 1 for the
-- newest of a finding; the others were corrected.
CREATE TABLE disposition (
    tenant TEXT NOT NULL,
    id BYTEA NOT NULL,
    case_id BYTEA NOT NULL,
    finding_id BYTEA NOT NULL,
    case_name TEXT NOT NULL,
    finding TEXT NOT NULL,
    rule TEXT NOT NULL,
    kind BIGINT NOT NULL,
    severity BIGINT NOT NULL,
    disposition BIGINT NOT NULL,
    previous BIGINT NOT NULL,
    note TEXT NOT NULL,
    disposed_by TEXT NOT NULL,
    time_us BIGINT NOT NULL,
    current BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX disposition_of_finding ON disposition (tenant, case_id, finding_id) WHERE current = 1;
CREATE INDEX disposition_by_time ON disposition (tenant, time_us) WHERE current = 1;

-- Policies are added, never changed: decisions name them by version.
CREATE TABLE policy (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    source TEXT NOT NULL,
    source_bytes BIGINT NOT NULL,
    sha256 BYTEA NOT NULL,
    kinds TEXT NOT NULL,
    published_by TEXT NOT NULL,
    published_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, name, version)
);

-- The answer is kept as it was given; the columns beside it are for operators.
-- Ids grow with time, so the newest evaluations have the largest.
CREATE TABLE evaluation (
    tenant TEXT NOT NULL,
    case_id BYTEA NOT NULL,
    id BYTEA NOT NULL,
    kind TEXT NOT NULL,
    decision TEXT NOT NULL,
    input_sha256 BYTEA NOT NULL,
    policies TEXT NOT NULL,
    response BYTEA NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, case_id, id)
);

-- Who may begin sessions. `applied` is the hash of the line of the configuration
-- that was carried out last, or empty.
CREATE TABLE account (
    tenant TEXT NOT NULL,
    actor TEXT NOT NULL,
    roles TEXT NOT NULL,
    password TEXT NOT NULL,
    disabled BIGINT NOT NULL,
    applied TEXT NOT NULL,
    made_us BIGINT NOT NULL,
    changed_us BIGINT NOT NULL,
    password_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, actor)
);
-- Sessions. `generation` counts refresh tokens: only the newest is good. What a
-- session is refreshed with is signed and not stored.
CREATE TABLE session (
    tenant TEXT NOT NULL,
    id BYTEA NOT NULL,
    actor TEXT NOT NULL,
    generation BIGINT NOT NULL,
    made_us BIGINT NOT NULL,
    refreshed_us BIGINT NOT NULL,
    expires_us BIGINT NOT NULL,
    limit_us BIGINT NOT NULL,
    ended_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);
CREATE INDEX session_of_account ON session (tenant, actor, ended_us);
CREATE INDEX session_by_end ON session (ended_us);
CREATE INDEX session_by_expiry ON session (expires_us);
-- The keys that sign tokens, without the keys: each is made of the key file and
-- its salt. The first has none, it is the key file's own.
CREATE TABLE signing_key (
    number BIGINT NOT NULL PRIMARY KEY,
    salt BYTEA NOT NULL,
    made_us BIGINT NOT NULL,
    signs_us BIGINT NOT NULL,
    ends_us BIGINT NOT NULL
);

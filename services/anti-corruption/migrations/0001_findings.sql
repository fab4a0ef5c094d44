-- What an investigation found, and the watchlists it searched.

CREATE TABLE investigation (
    tenant TEXT NOT NULL,
    case_id BYTEA NOT NULL,
    -- Hash of the kind and the documents: the same input again replaces the row.
    input BYTEA NOT NULL,
    kind TEXT NOT NULL,
    finding_count BIGINT NOT NULL,
    -- Findings that were counted and not kept.
    not_kept BIGINT NOT NULL,
    items_read BIGINT NOT NULL,
    items_refused BIGINT NOT NULL,
    done_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, case_id, input)
);

CREATE TABLE finding (
    tenant TEXT NOT NULL,
    case_id BYTEA NOT NULL,
    -- Made from what was found, so that finding it again gives the same one.
    finding_id BYTEA NOT NULL,
    severity BIGINT NOT NULL,
    position BIGINT NOT NULL,
    rule TEXT NOT NULL,
    value TEXT NOT NULL,
    threshold TEXT NOT NULL,
    peer_group TEXT NOT NULL,
    -- JSON: a list of objects with document, locator and text.
    evidence TEXT NOT NULL,
    explanation TEXT NOT NULL,
    disposition BIGINT NOT NULL,
    disposed_by TEXT NOT NULL,
    disposition_note TEXT NOT NULL,
    created_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, case_id, finding_id)
);

CREATE INDEX finding_by_severity ON finding (tenant, case_id, severity DESC, position, finding_id);

CREATE TABLE rejection (
    tenant TEXT NOT NULL,
    case_id BYTEA NOT NULL,
    position BIGINT NOT NULL,
    input BYTEA NOT NULL,
    document TEXT NOT NULL,
    line BIGINT NOT NULL,
    field TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (tenant, case_id, position)
);

CREATE TABLE watchlist (
    tenant TEXT NOT NULL,
    name TEXT NOT NULL,
    entries BIGINT NOT NULL,
    aliases BIGINT NOT NULL,
    sha256 TEXT NOT NULL,
    rows_refused BIGINT NOT NULL,
    loaded_us BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);

CREATE TABLE watchlist_entry (
    tenant TEXT NOT NULL,
    watchlist TEXT NOT NULL,
    position BIGINT NOT NULL,
    entry_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    programs TEXT NOT NULL,
    -- JSON: a list of names.
    aliases TEXT NOT NULL,
    PRIMARY KEY (tenant, watchlist, position)
);

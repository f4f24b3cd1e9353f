-- Times are microseconds of Unix time. Ids of incidents, traces, citizens and leaks are 16 bytes.

CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID, STRICT;

CREATE TABLE agents (
    id BLOB PRIMARY KEY,
    host TEXT NOT NULL,
    host_id TEXT NOT NULL,
    enrolled_at INTEGER NOT NULL,
    serial TEXT,
    expires_at INTEGER,
    last_seen_at INTEGER,
    revoked_at INTEGER
) WITHOUT ROWID, STRICT;

CREATE TABLE tokens (
    hash BLOB PRIMARY KEY,
    note TEXT,
    made_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    agent BLOB REFERENCES agents (id),
    request_hash BLOB
) WITHOUT ROWID, STRICT;

-- One row for each report ever taken. It is not parted by time: a resend over midnight must meet its receipt.
CREATE TABLE receipts (
    agent BLOB NOT NULL,
    epoch BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    PRIMARY KEY (agent, epoch, sequence)
) WITHOUT ROWID, STRICT;

CREATE TABLE incidents (
    key INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    controller TEXT,
    system TEXT,
    vendor TEXT,
    site TEXT NOT NULL,
    rule TEXT NOT NULL,
    part TEXT NOT NULL,
    field TEXT,
    path TEXT,
    -- Rank of the gravest severity: 0 is critical.
    severity INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    occurrences INTEGER NOT NULL DEFAULT 0,
    citizens INTEGER NOT NULL DEFAULT 0,
    encrypted INTEGER NOT NULL DEFAULT 0,
    cleartext INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    told_at INTEGER NOT NULL,
    -- 1 when something changed since it was told last.
    untold INTEGER NOT NULL DEFAULT 0,
    -- How often it was told.
    version INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX incidents_by_time ON incidents (last_seen DESC, key DESC);
CREATE INDEX incidents_untold ON incidents (told_at) WHERE untold = 1;

CREATE TABLE traces (
    key INTEGER PRIMARY KEY,
    id BLOB NOT NULL UNIQUE,
    incident INTEGER NOT NULL REFERENCES incidents (key),
    agent TEXT NOT NULL,
    host TEXT NOT NULL,
    host_id TEXT NOT NULL,
    comm TEXT,
    exe TEXT,
    unit TEXT,
    container TEXT,
    package TEXT,
    package_version TEXT,
    ip TEXT,
    port INTEGER,
    destination TEXT,
    recipient TEXT,
    via TEXT,
    proof TEXT NOT NULL,
    transport TEXT,
    encrypted INTEGER,
    tls_version TEXT,
    direction TEXT,
    outcome TEXT,
    tap TEXT,
    protocol TEXT NOT NULL,
    part TEXT NOT NULL,
    field TEXT,
    path TEXT,
    decodings TEXT,
    also_breaks TEXT,
    also_present TEXT,
    class TEXT NOT NULL,
    checksum TEXT NOT NULL,
    confidence TEXT NOT NULL,
    proof_rank INTEGER NOT NULL,
    confidence_rank INTEGER NOT NULL,
    occurrences INTEGER NOT NULL DEFAULT 0,
    -- Citizens of the incident who were met in this trace first.
    citizens_first INTEGER NOT NULL DEFAULT 0,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL
) STRICT;
CREATE INDEX traces_by_incident ON traces (incident);

CREATE TABLE occurrences (
    leak BLOB PRIMARY KEY,
    incident INTEGER NOT NULL,
    trace INTEGER NOT NULL,
    citizen BLOB NOT NULL,
    observed_at INTEGER NOT NULL,
    pid INTEGER
) WITHOUT ROWID, STRICT;

-- The exact set behind every count of citizens. Rows are short: they come in no order, so each new one
-- touches a page of its own.
CREATE TABLE citizens (
    incident INTEGER NOT NULL,
    citizen BLOB NOT NULL,
    -- The trace in which the citizen was met first.
    trace INTEGER NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    -- Row of the sealed number, if there is one.
    sealed INTEGER,
    PRIMARY KEY (incident, citizen)
) WITHOUT ROWID, STRICT;

-- Numbers, sealed to the data controller.
CREATE TABLE sealed (id INTEGER PRIMARY KEY, number BLOB NOT NULL) STRICT;

-- Citizens in the traces after the first one, for counts within an incident.
CREATE TABLE sightings (
    trace INTEGER NOT NULL,
    citizen BLOB NOT NULL,
    PRIMARY KEY (trace, citizen)
) WITHOUT ROWID, STRICT;

-- Occurrences an hour: the course of an incident.
CREATE TABLE hours (
    incident INTEGER NOT NULL,
    -- Hours of Unix time.
    hour INTEGER NOT NULL,
    occurrences INTEGER NOT NULL,
    PRIMARY KEY (incident, hour)
) WITHOUT ROWID, STRICT;

CREATE TABLE gaps (
    agent BLOB NOT NULL,
    epoch BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    entry INTEGER NOT NULL,
    host TEXT NOT NULL,
    from_at INTEGER NOT NULL,
    to_at INTEGER NOT NULL,
    reason TEXT NOT NULL,
    bytes_min INTEGER NOT NULL,
    leaks_lost INTEGER NOT NULL,
    PRIMARY KEY (agent, epoch, sequence, entry)
) WITHOUT ROWID, STRICT;
CREATE INDEX gaps_by_time ON gaps (to_at DESC);

CREATE TABLE ledgers (
    agent BLOB NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER NOT NULL,
    host TEXT NOT NULL,
    ledger TEXT NOT NULL,
    PRIMARY KEY (agent, since)
) WITHOUT ROWID, STRICT;

CREATE TABLE set_aside (
    agent BLOB NOT NULL,
    epoch BLOB NOT NULL,
    sequence INTEGER NOT NULL,
    reason TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (agent, epoch, sequence)
) STRICT;

-- How many rows of an agent went because it has too many.
CREATE TABLE dropped (
    agent BLOB NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL,
    -- The latest time of any of them.
    until INTEGER NOT NULL,
    PRIMARY KEY (agent, what)
) WITHOUT ROWID, STRICT;

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    incident BLOB NOT NULL,
    change TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    event TEXT NOT NULL
) STRICT;
CREATE INDEX outbox_by_time ON outbox (made_at);

CREATE TABLE outlet_cursors (
    outlet TEXT PRIMARY KEY,
    last_id INTEGER NOT NULL DEFAULT 0,
    -- How often it was set back: tells a cursor that came back to a place from one that never left it.
    rewinds INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_try_at INTEGER,
    last_error TEXT
) WITHOUT ROWID, STRICT;

-- Events of the outbox that an outlet was not let have.
CREATE TABLE held_back (
    outlet TEXT NOT NULL,
    id INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (outlet, id)
) WITHOUT ROWID, STRICT;

CREATE TABLE accounts (
    name TEXT PRIMARY KEY,
    password_hash TEXT NOT NULL,
    role TEXT NOT NULL,
    made_at INTEGER NOT NULL,
    disabled_at INTEGER
) WITHOUT ROWID, STRICT;

CREATE TABLE sessions (
    token_hash BLOB PRIMARY KEY,
    account TEXT NOT NULL REFERENCES accounts (name) ON DELETE CASCADE,
    made_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID, STRICT;

CREATE TABLE run (
    id INTEGER PRIMARY KEY,
    started_at INTEGER NOT NULL,
    pid INTEGER NOT NULL,
    version TEXT NOT NULL,
    settings TEXT NOT NULL,
    tolerance INTEGER NOT NULL,
    window INTEGER NOT NULL,
    return_window INTEGER NOT NULL,
    stopped_at INTEGER,
    monitors TEXT,
    comparison TEXT
);
CREATE TABLE decision (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    connection TEXT NOT NULL,
    connection_kind TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    package TEXT,

    role TEXT NOT NULL,
    acted INTEGER NOT NULL,
    at INTEGER NOT NULL,
    deadline INTEGER NOT NULL,
    silence INTEGER NOT NULL,
    code INTEGER,
    pings TEXT NOT NULL
);
CREATE INDEX decision_at ON decision (at, user);
CREATE TABLE verdict (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    connection TEXT NOT NULL,
    connection_kind TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    package TEXT,

    verdict TEXT NOT NULL,
    kind TEXT NOT NULL,
    at INTEGER NOT NULL,
    first TEXT,
    acting TEXT,
    control_at INTEGER,
    candidate_at INTEGER,
    recovered INTEGER NOT NULL,
    last_activity INTEGER NOT NULL,
    rule TEXT,
    trace TEXT,
    overridden INTEGER,
    -- The first decider was shadowing: only such an episode proves anything (R14).
    proving INTEGER AS (first IS NOT NULL AND first IS NOT acting),
    -- What the gate counts: no improvements, no users of overrides (R14, R16).
    agreed INTEGER AS (CASE WHEN first IS NOT NULL AND first IS NOT acting
        AND NOT coalesce(overridden, 0) AND NOT (kind = 'only_control' AND recovered) THEN
        CASE verdict WHEN 'matched' THEN 1 WHEN 'mismatched' THEN 0 END END)
);
CREATE INDEX verdict_at ON verdict (at, user, package);
CREATE INDEX verdict_unmatched ON verdict (verdict, at) WHERE verdict <> 'matched';
CREATE TABLE late (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    connection TEXT NOT NULL,
    connection_kind TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    package TEXT,

    role TEXT NOT NULL,
    at INTEGER NOT NULL,
    acting TEXT
);
CREATE INDEX late_at ON late (at, user);
CREATE TABLE action (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    connection TEXT NOT NULL,
    connection_kind TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    package TEXT,

    role TEXT NOT NULL,
    acted_at INTEGER NOT NULL,
    code INTEGER,
    result TEXT,
    at INTEGER,
    delay INTEGER,
    by_percentage INTEGER,
    placed_by TEXT,
    window_ends INTEGER,
    UNIQUE (run, connection)
);
CREATE INDEX action_at ON action (acted_at);
CREATE INDEX action_open ON action (run) WHERE result IS NULL;
CREATE INDEX action_settled ON action (connection_kind, window_ends);
CREATE TABLE proof (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    connection TEXT NOT NULL,
    connection_kind TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    package TEXT,

    role TEXT NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX proof_connection ON proof (run, connection);
CREATE INDEX proof_at ON proof (at);
CREATE TABLE closing (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    connection TEXT NOT NULL,
    connection_kind TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    package TEXT,

    stage INTEGER NOT NULL,
    opened_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    cause TEXT NOT NULL,
    intended INTEGER,
    observed INTEGER NOT NULL
);
CREATE INDEX closing_at ON closing (at, user);
CREATE TABLE stage_change (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    connection TEXT NOT NULL,
    connection_kind TEXT NOT NULL,
    user TEXT NOT NULL,
    session TEXT NOT NULL,
    package TEXT,

    before INTEGER NOT NULL,
    after INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX stage_change_at ON stage_change (at, user);
CREATE TABLE failure (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    role TEXT NOT NULL,
    call TEXT NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    connection TEXT,
    connection_kind TEXT,
    user TEXT,
    package TEXT
);
CREATE INDEX failure_at ON failure (at);
CREATE TABLE flags_load (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    at INTEGER NOT NULL,
    file TEXT NOT NULL,
    digest TEXT NOT NULL,
    before TEXT,
    problem TEXT,
    by TEXT,
    reason TEXT,
    deciding TEXT
);
CREATE TABLE brake (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    engaged INTEGER NOT NULL,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    by_itself INTEGER
);
CREATE TABLE guard (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    holding INTEGER NOT NULL,
    acting_for INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE TABLE coverage (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    connection_kind TEXT NOT NULL,
    since INTEGER NOT NULL,
    at INTEGER NOT NULL,
    connected INTEGER NOT NULL,
    control_acted INTEGER NOT NULL,
    candidate_acted INTEGER NOT NULL,
    watched INTEGER NOT NULL,
    pings INTEGER NOT NULL,
    heartbeat_interval INTEGER,
    control_users INTEGER NOT NULL,
    candidate_users INTEGER NOT NULL
);
CREATE INDEX coverage_at ON coverage (at);
CREATE INDEX coverage_run ON coverage (run, at);
CREATE TABLE pause (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    since INTEGER NOT NULL,
    at INTEGER NOT NULL
);
CREATE INDEX pause_at ON pause (at);
CREATE TABLE gap (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES run (id),
    since INTEGER NOT NULL,
    at INTEGER NOT NULL,
    what TEXT NOT NULL,
    count INTEGER NOT NULL
);

-- All that is counted of millions of verdicts, so that nobody has to look into the table for it.
CREATE INDEX verdict_agreed ON verdict (connection_kind, at, user, agreed, kind, rule, acting, run)
    WHERE agreed IS NOT NULL;
CREATE INDEX verdict_unproving ON verdict (connection_kind, at, verdict, kind, proving, rule, recovered, run)
    WHERE agreed IS NULL;

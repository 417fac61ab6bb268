-- The books (minimal): organisations, kits, and the append-only log of their changes.

CREATE TABLE organisations (
    organisation_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text COLLATE "C" NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE kits (
    kit_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit text COLLATE "C" NOT NULL UNIQUE CHECK (kit ~ '^[A-Za-z0-9_-]{1,64}$'),
    label text NOT NULL DEFAULT '',
    state text NOT NULL CHECK (state IN (
        'ordered', 'in_stock', 'preparing', 'ready', 'dispatched', 'installed', 'paused', 'faulty',
        'retrieved', 'cleaning', 'scrapped', 'lost', 'returned')),
    organisation_id integer REFERENCES organisations,
    kit_type text,
    location text,
    expected_interval_s integer NOT NULL DEFAULT 300 CHECK (expected_interval_s BETWEEN 1 AND 5184000),
    tolerance double precision CHECK (tolerance BETWEEN 1 AND 100),
    wanted_components jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(wanted_components) = 'object'),
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX kits_by_state ON kits (state, kit);
CREATE INDEX kits_by_organisation ON kits (organisation_id, kit);
COMMENT ON TABLE kits IS 'A telekit; never deleted, so that its number keeps its meaning in the history.';

COMMENT ON COLUMN kits.location IS 'Where the kit is, as last told by whoever moved it; never an address of a citizen.';

-- Listening time after which an installed kit is silent; null while silence is no fault. Tolerance counts intervals.
CREATE FUNCTION watch_allowance_s(state text, expected_interval_s integer, tolerance double precision)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE WHEN state = 'installed' THEN greatest(30, expected_interval_s
    * coalesce(tolerance, CASE WHEN expected_interval_s <= 3600 THEN 3 ELSE 1.5 END)) END;

CREATE TABLE kit_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_id integer NOT NULL REFERENCES kits,
    at timestamptz NOT NULL DEFAULT now(),
    what text NOT NULL CHECK (what IN ('opening', 'transition', 'edit')),
    before jsonb,
    after jsonb NOT NULL,
    actor text NOT NULL,
    reason text
);
CREATE INDEX kit_events_by_kit ON kit_events (kit_id, event_id);

-- The latest reported state: one narrow row per kit, updated in place (HOT: no index on what changes).
CREATE TABLE kit_latest (
    kit_id integer PRIMARY KEY REFERENCES kits,
    last_heard_at timestamptz,
    heard_clock_s double precision,
    watch_allowance_s double precision,
    watch_interval_s double precision,
    watch_from_clock_s double precision,
    seq bigint,
    time timestamptz,
    received_at timestamptz,
    storage_free_mb double precision,
    uptime_s double precision,
    clock_offset_s double precision,
    connection_at timestamptz,
    connection_ts timestamptz,
    battery real,
    signal_dbm smallint,
    charging boolean,
    online boolean,
    boot text,
    network text,
    operator text,
    CHECK (watch_allowance_s IS NULL OR watch_interval_s IS NOT NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.2);
COMMENT ON COLUMN kit_latest.heard_clock_s IS 'Value of the listening clock when the kit was last heard.';
COMMENT ON COLUMN kit_latest.connection_ts IS 'The ts, as sent, of the newest connection message; tells whose will an offline is.';
COMMENT ON COLUMN kit_latest.watch_allowance_s IS
    'Listening time without a message after which the kit is silent; null while silence is no fault (not installed).';
COMMENT ON COLUMN kit_latest.watch_from_clock_s IS 'Value of the listening clock when the watch began (installation).';

-- The newest software, pairing and update report of each kit.
CREATE TABLE latest_reports (
    kit_id integer NOT NULL REFERENCES kits,
    kind text COLLATE "C" NOT NULL,
    boot text NOT NULL,
    seq bigint NOT NULL,
    time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    body jsonb NOT NULL,
    PRIMARY KEY (kit_id, kind)
) WITH (fillfactor = 80);

-- The listening clock: runs only while ingest is connected, subscribed, past its backlog and committing.
CREATE TABLE listening (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    clock_s double precision NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'down' CHECK (state IN ('down', 'catching_up', 'listening')),
    resumed_clock_s double precision NOT NULL DEFAULT 0,
    grace_from_clock_s double precision NOT NULL DEFAULT 0,
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 10);
INSERT INTO listening DEFAULT VALUES;
COMMENT ON COLUMN listening.resumed_clock_s IS 'Value of the clock when the last outage of ours ended.';
COMMENT ON COLUMN listening.grace_from_clock_s IS
    'As resumed_clock_s, but of the first of several outages in short succession.';

-- One definition of silence, inlined by the planner; `grace` is INTERFACES'' one more interval, 15 minutes at most.
CREATE FUNCTION is_silent(
    heard_clock_s double precision, watch_from_clock_s double precision, watch_allowance_s double precision,
    watch_interval_s double precision, clock_s double precision, resumed_clock_s double precision,
    grace_from_clock_s double precision
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN heard_clock_s IS NOT NULL AND watch_allowance_s IS NOT NULL
    AND clock_s > greatest(heard_clock_s, watch_from_clock_s) + watch_allowance_s
    AND (greatest(heard_clock_s, watch_from_clock_s) + watch_allowance_s < grace_from_clock_s
         OR clock_s > resumed_clock_s + least(watch_interval_s, 900));

CREATE TABLE changes (
    change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_id integer NOT NULL REFERENCES kits,
    time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    what text NOT NULL CHECK (what IN ('version', 'pairing', 'peripheral', 'peripheral_firmware')),
    subject text NOT NULL,
    before text,
    after text
);
CREATE INDEX changes_by_kit ON changes (kit_id, change_id);
COMMENT ON TABLE changes IS 'What changed in what a kit reports: a version, a peripheral, its pairing.';

CREATE TABLE quarantine (
    quarantine_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    received_at timestamptz NOT NULL,
    topic text NOT NULL,
    reason text NOT NULL,
    detail text NOT NULL,
    size_bytes integer NOT NULL,
    payload bytea NOT NULL
);
CREATE INDEX quarantine_by_time ON quarantine (received_at);
COMMENT ON COLUMN quarantine.payload IS 'The first 4 KiB, as received.';

-- Kits whose rules must be evaluated again; appended by whoever changes them, emptied by the worker.
CREATE TABLE evaluation_queue (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_id integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01);

-- Changes for subscribers of the event stream, in commit order by (tx, event_id) once tx is behind the horizon.
CREATE TABLE events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT now(),
    type text NOT NULL,
    kit text,
    body jsonb NOT NULL
);
CREATE INDEX events_in_order ON events (tx, event_id);

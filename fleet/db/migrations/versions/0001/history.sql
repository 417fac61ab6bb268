-- History: every stored message. A unique index of a hypertable contains the time, so it is the last
-- resort only; repeats are recognised by identity before (see docs/decisions/0003-identity.md).

CREATE TABLE heartbeats (
    time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    seq bigint NOT NULL,
    storage_free_mb double precision,
    uptime_s double precision,
    clock_offset_s double precision,
    kit_id integer NOT NULL,
    battery real,
    signal_dbm smallint,
    charging boolean,
    boot text NOT NULL,
    network text,
    operator text
) /*partitioned*/;
CREATE UNIQUE INDEX heartbeats_identity ON heartbeats (kit_id, boot, seq, time);

CREATE TABLE reports (
    time timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    seq bigint NOT NULL,
    clock_offset_s double precision,
    kit_id integer NOT NULL,
    kind text COLLATE "C" NOT NULL,
    boot text NOT NULL,
    body jsonb NOT NULL
) /*partitioned*/;
CREATE UNIQUE INDEX reports_identity ON reports (kit_id, kind, boot, seq, time);
COMMENT ON TABLE reports IS
    'All kinds but heartbeat. For a reply, boot is its command and seq 0; for a connection message, boot is the state and seq its ts in microseconds.';

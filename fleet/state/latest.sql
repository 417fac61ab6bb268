-- name: load_kits
SELECT k.kit, k.kit_id, l.boot, l.seq, l.time, l.received_at
FROM kits k JOIN kit_latest l USING (kit_id)
WHERE k.kit = ANY(%(kits)s)

-- name: load_reports
SELECT kit_id, kind, boot, seq, time, received_at
FROM latest_reports
WHERE kit_id = ANY(%(kit_ids)s)

-- name: load_bodies
SELECT kit_id, kind, body, identity
FROM latest_reports
WHERE kit_id = ANY(%(kit_ids)s)

-- name: create_stage
CREATE TEMPORARY TABLE stage_latest (
    kit_id integer, heard_at timestamptz, seq bigint, time timestamptz, received_at timestamptz,
    storage_free_mb double precision, uptime_s double precision, clock_offset_s double precision,
    battery real, signal_dbm smallint, charging boolean, boot text, network text, operator text
) ON COMMIT DELETE ROWS

-- name: copy_stage
COPY stage_latest FROM STDIN (FORMAT binary)

-- name: fold_heartbeats
UPDATE kit_latest l
SET last_heard_at = greatest(l.last_heard_at, s.heard_at),
    heard_clock_s = CASE WHEN s.heard_at IS NULL THEN l.heard_clock_s ELSE greatest(l.heard_clock_s, %(clock_s)s) END,
    seq = s.seq, time = s.time, received_at = s.received_at, storage_free_mb = s.storage_free_mb,
    uptime_s = s.uptime_s, clock_offset_s = s.clock_offset_s, battery = s.battery, signal_dbm = s.signal_dbm,
    charging = s.charging, boot = s.boot, network = s.network, operator = s.operator
FROM stage_latest s
WHERE l.kit_id = s.kit_id

-- name: fold_heard
UPDATE kit_latest l
SET last_heard_at = greatest(l.last_heard_at, s.heard_at), heard_clock_s = greatest(l.heard_clock_s, %(clock_s)s)
FROM unnest(%(kit_ids)s::integer[], %(heard_at)s::timestamptz[]) AS s(kit_id, heard_at)
WHERE l.kit_id = s.kit_id

-- name: fold_connection
-- A will carries the ts of its own `online`: by ts it belongs to the connection we know, or to an older one.
UPDATE kit_latest
SET online = %(online)s, connection_at = greatest(connection_at, %(at)s), connection_ts = %(ts)s
WHERE kit_id = %(kit_id)s
  AND (connection_at IS NULL OR CASE WHEN %(online)s THEN connection_at < %(at)s ELSE connection_ts <= %(ts)s END)

-- name: fold_report
INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body, identity)
VALUES (%(kit_id)s, %(kind)s, %(boot)s, %(seq)s, %(time)s, %(received_at)s, %(body)s, %(identity)s)
ON CONFLICT (kit_id, kind) DO UPDATE
SET boot = excluded.boot, seq = excluded.seq, time = excluded.time, received_at = excluded.received_at,
    body = excluded.body, identity = excluded.identity

-- name: insert_change
INSERT INTO changes (kit_id, time, received_at, what, subject, before, after)
VALUES (%(kit_id)s, %(time)s, %(received_at)s, %(what)s, %(subject)s, %(before)s, %(after)s)

-- name: insert_event
INSERT INTO events (type, kit, body)
SELECT %(type)s, kit, %(body)s FROM kits WHERE kit_id = %(kit_id)s

-- name: queue_evaluation
INSERT INTO evaluation_queue (kit_id) SELECT unnest(%(kit_ids)s::integer[])

-- name: read_listening
SELECT clock_s, resumed_clock_s, grace_from_clock_s, extract(epoch FROM clock_timestamp() - updated_at)::double precision AS age_s
FROM listening

-- name: write_listening
UPDATE listening
SET clock_s = %(clock_s)s, state = %(state)s, resumed_clock_s = %(resumed_clock_s)s,
    grace_from_clock_s = %(grace_from_clock_s)s, updated_at = clock_timestamp()

-- name: stop_listening
UPDATE listening SET state = 'down'

-- name: fold_replies
-- Replies to what we never asked for are history only.
WITH replied AS (
    UPDATE commands c
    SET state = CASE r.status WHEN 'ok' THEN 'replied' ELSE 'failed' END, next_attempt_at = 'infinity',
        replied_at = r.received_at, reply_status = r.status, result = r.result::jsonb
    FROM unnest(%(kit_ids)s::integer[], %(commands)s::text[], %(statuses)s::text[], %(received_at)s::timestamptz[],
                %(results)s::text[]) AS r(kit_id, command, status, received_at, result)
    WHERE c.command_id = r.command AND c.kit_id = r.kit_id AND c.reply_status IS NULL
    RETURNING c.command_id, c.kit_id, c.name, c.state, c.reply_status
), told AS (
    INSERT INTO events (type, kit, body)
    SELECT 'command.' || d.state, k.kit, jsonb_build_object(
        'command', d.command_id, 'name', d.name, 'state', d.state, 'status', d.reply_status)
    FROM replied d JOIN kits k USING (kit_id)
)
SELECT reply_status FROM replied

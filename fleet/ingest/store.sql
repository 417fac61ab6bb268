-- name: copy_heartbeats
COPY heartbeats (time, received_at, seq, storage_free_mb, uptime_s, clock_offset_s, kit_id, battery, signal_dbm,
    charging, boot, network, operator) FROM STDIN (FORMAT binary)

-- name: copy_reports
COPY reports (time, received_at, seq, clock_offset_s, kit_id, kind, boot, body) FROM STDIN (FORMAT binary)

-- name: find_heartbeats_at
SELECT u.kit_id, 'heartbeat', u.boot, u.seq
FROM unnest(%(kit_ids)s::integer[], %(boots)s::text[], %(seqs)s::bigint[], %(times)s::timestamptz[]) AS u(kit_id, boot, seq, time)
CROSS JOIN LATERAL (
    SELECT FROM heartbeats h WHERE h.kit_id = u.kit_id AND h.boot = u.boot AND h.seq = u.seq AND h.time = u.time LIMIT 1) found

-- name: find_heartbeat_tops
SELECT u.kit_id, 'heartbeat', u.boot, top.seq
FROM unnest(%(kit_ids)s::integer[], %(boots)s::text[]) AS u(kit_id, boot)
CROSS JOIN LATERAL (SELECT max(h.seq) AS seq FROM heartbeats h WHERE h.kit_id = u.kit_id AND h.boot = u.boot) top
WHERE top.seq IS NOT NULL

-- name: find_report_tops
SELECT u.kit_id, u.kind, u.boot, top.seq
FROM unnest(%(kit_ids)s::integer[], %(kinds)s::text[], %(boots)s::text[]) AS u(kit_id, kind, boot)
CROSS JOIN LATERAL (
    SELECT max(r.seq) AS seq FROM reports r WHERE r.kit_id = u.kit_id AND r.kind = u.kind AND r.boot = u.boot) top
WHERE top.seq IS NOT NULL

-- name: find_heartbeats
SELECT u.kit_id, 'heartbeat', u.boot, u.seq
FROM unnest(%(kit_ids)s::integer[], %(boots)s::text[], %(seqs)s::bigint[]) AS u(kit_id, boot, seq)
CROSS JOIN LATERAL (
    SELECT FROM heartbeats h WHERE h.kit_id = u.kit_id AND h.boot = u.boot AND h.seq = u.seq LIMIT 1) found

-- name: find_reports
SELECT u.kit_id, u.kind, u.boot, u.seq
FROM unnest(%(kit_ids)s::integer[], %(kinds)s::text[], %(boots)s::text[], %(seqs)s::bigint[]) AS u(kit_id, kind, boot, seq)
CROSS JOIN LATERAL (
    SELECT FROM reports r
    WHERE r.kit_id = u.kit_id AND r.kind = u.kind AND r.boot = u.boot AND r.seq = u.seq LIMIT 1) found

-- name: insert_quarantine
INSERT INTO quarantine (received_at, topic, reason, detail, size_bytes, payload)
VALUES (%(received_at)s, %(topic)s, %(reason)s, %(detail)s, %(size_bytes)s, %(payload)s)

-- name: try_lock
SELECT pg_try_advisory_lock(%(class)s, %(slot)s)

-- name: plan_by_index
-- A batch touches a few rows of large tables, and nothing is known of the stage when its statements are planned:
-- a hash join would read every kit, or whole partitions, once per batch.
SELECT set_config('enable_hashjoin', 'off', false), set_config('enable_mergejoin', 'off', false),
       set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false)

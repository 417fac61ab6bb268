-- name: limit
SELECT set_config('statement_timeout', %(timeout)s, true);

-- name: kits
-- Kits that are in use, or were since the beginning, within what the caller sees. A sample is the same every time.
WITH RECURSIVE below AS (
    SELECT organisation_id FROM organisations WHERE slug = %(organisation)s
    UNION
    SELECT o.organisation_id FROM organisations o JOIN below b ON o.parent_id = b.organisation_id
)
SELECT k.kit_id, k.kit, k.state, k.state_since, k.wanted_components, k.kit_type, l.watch_interval_s, l.watch_allowance_s,
       l.last_heard_at, count(*) OVER () AS total
FROM kits k JOIN kit_latest l USING (kit_id)
LEFT JOIN placements p ON p.placement_id = k.placement_id
LEFT JOIN kit_types t ON t.kit_type = k.kit_type
WHERE (%(kits)s::text[] IS NULL OR k.kit = ANY(%(kits)s))
  AND (%(organisation)s::text IS NULL OR k.organisation_id IN (SELECT organisation_id FROM below))
  AND (%(programme)s::text IS NULL OR coalesce(p.programme, t.programme) = %(programme)s)
  AND (%(kit_type)s::text IS NULL OR k.kit_type = %(kit_type)s)
  AND (k.state = 'installed' OR k.state_since >= %(begin)s OR %(kits)s::text[] IS NOT NULL)
ORDER BY hashint4(k.kit_id), k.kit_id LIMIT %(limit)s;

-- name: did
SELECT kit_id, opened_at, cleared_at FROM alerts
WHERE kit_id = ANY(%(kit_ids)s) AND rule = %(rule)s AND opened_at >= %(begin)s AND opened_at < %(end)s
ORDER BY opened_at;

-- name: heartbeats
SELECT kit_id, 'heartbeat' AS kind, boot, seq, time, received_at, battery::double precision, charging, signal_dbm, network,
       storage_free_mb, uptime_s, clock_offset_s
FROM seen_heartbeats
WHERE kit_id = ANY(%(kit_ids)s) AND time >= %(begin)s AND time < %(end)s;

-- name: reports
SELECT kit_id, kind, boot, seq, time, received_at, body
FROM seen_reports
WHERE kit_id = ANY(%(kit_ids)s) AND kind IN ('software', 'pairing', 'update') AND time >= %(begin)s AND time < %(end)s;

-- name: heard
-- Only what lies around a gap matters: of what is heard again and again the first and the last.
SELECT kit_id, received_at FROM (
    SELECT h.kit_id, h.received_at, l.watch_interval_s,
           h.received_at - lag(h.received_at) OVER w AS before, lead(h.received_at) OVER w - h.received_at AS after
    FROM seen_heartbeats h JOIN kit_latest l USING (kit_id)
    WHERE h.kit_id = ANY(%(kit_ids)s) AND h.time >= %(begin)s AND h.time < %(end)s
    WINDOW w AS (PARTITION BY h.kit_id ORDER BY h.received_at)) gaps
WHERE before IS NULL OR after IS NULL
   OR greatest(before, after) > make_interval(secs => least(greatest(watch_interval_s, 15), 5184000))
ORDER BY kit_id, received_at;

-- name: states
SELECT e.kit_id, e.occurred_at AS at, e.to_state AS state FROM book_events e
WHERE e.kit_id = ANY(%(kit_ids)s) AND e.to_state IS NOT NULL AND e.component_id IS NULL AND e.what IN ('opening', 'status')
ORDER BY e.occurred_at, e.event_id;

-- name: findings
SELECT kit_id, greatest(opened_at, %(begin)s) AS opened_at,
       CASE WHEN state = 'cleared' THEN cleared_at WHEN state = 'dismissed' THEN dismissed_at END AS ended_at
FROM findings
WHERE kit_id = ANY(%(kit_ids)s) AND kind = ANY(%(kinds)s) AND opened_at < %(end)s
  AND (state IN ('open', 'acknowledged') OR coalesce(cleared_at, dismissed_at) > %(begin)s);

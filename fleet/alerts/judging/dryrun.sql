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

-- name: outages
SELECT began_at, ended_at FROM listening_outages WHERE ended_at IS NULL OR ended_at > %(begin)s ORDER BY outage_id LIMIT 10000;

-- name: outages_known_from
SELECT min(began_at) FROM listening_outages;

-- name: variants
SELECT kit_id, variant_id, version, depth, programme, kit_type, model_id, severity, line, for_s, keep_firing_for_s, enabled,
       parameters
FROM variants_applying(%(rule)s, %(kit_ids)s) ORDER BY kit_id, variant_id;

-- name: maintenance
SELECT kit_id, window_id, collect, began_at, ended_at FROM maintenance_spells(%(kit_ids)s, %(begin)s)
WHERE rules IS NULL OR %(rule)s = ANY (rules);

-- name: shelves
SELECT kit_id, shelved_at, until, severity FROM shelves WHERE kit_id = ANY (%(kit_ids)s) AND rule = %(rule)s;

-- name: memberships
SELECT kit_id, incident_id, joined_at, left_at FROM incident_members
WHERE kit_id = ANY (%(kit_ids)s) AND rule = %(rule)s AND (left_at IS NULL OR left_at > %(begin)s);

-- name: mass_settings
SELECT enabled, least, share, window_s FROM incident_settings WHERE rule = %(rule)s;

-- name: cohorts
-- What the worker's kit_cohorts tells, as far as the caller sees the organisations.
SELECT k.kit_id, array_remove(ARRAY[
           'fleet:',
           'operator:' || left(nullif(l.operator, ''), 100),
           'app:' || left(nullif(s.body ->> 'app', ''), 100),
           'os:' || left(nullif(s.body ->> 'os', ''), 100),
           'mdm:' || left(nullif(s.body ->> 'mdm', ''), 100),
           'organisation:' || o.slug, 'region:' || a.slug,
           'model:' || (SELECT m.manufacturer || ' ' || m.name FROM components c JOIN models m USING (model_id)
                        WHERE c.kit_id = k.kit_id AND m.kind = 'tablet' ORDER BY c.component_id LIMIT 1)], NULL) AS cohorts
FROM kits k JOIN kit_latest l USING (kit_id)
LEFT JOIN latest_reports s ON s.kit_id = k.kit_id AND s.kind = 'software'
LEFT JOIN organisations o ON o.organisation_id = k.organisation_id
LEFT JOIN organisations a ON a.organisation_id = o.parent_id
WHERE k.kit_id = ANY (%(kit_ids)s);

-- name: did
SELECT kit_id, opened_at, cleared_at, suppressed_by FROM alerts
WHERE kit_id = ANY(%(kit_ids)s) AND rule = %(rule)s AND opened_at >= %(begin)s AND opened_at < %(end)s
ORDER BY opened_at;

-- name: heartbeats
SELECT kit_id, 'heartbeat' AS kind, boot, seq, time, received_at, battery::double precision, charging, signal_dbm, network,
       storage_free_mb, uptime_s, clock_offset_s
FROM seen_heartbeats
WHERE kit_id = ANY(%(kit_ids)s) AND time >= %(begin)s AND time < %(end)s
LIMIT %(most)s;

-- name: reports
SELECT kit_id, kind, boot, seq, time, received_at, body
FROM seen_reports
WHERE kit_id = ANY(%(kit_ids)s) AND kind IN ('software', 'pairing', 'update') AND time >= %(begin)s AND time < %(end)s
LIMIT %(most)s;

-- name: heard
-- Only the gaps matter: when a kit was heard, and when next, where that took long; the last time without one after it.
SELECT kit_id, received_at, next_at FROM (
    SELECT h.kit_id, h.received_at, l.watch_interval_s,
           lead(h.received_at) OVER (PARTITION BY h.kit_id ORDER BY h.received_at) AS next_at
    FROM seen_heartbeats h JOIN kit_latest l USING (kit_id)
    WHERE h.kit_id = ANY(%(kit_ids)s) AND h.time >= %(begin)s AND h.time < %(end)s) gaps
WHERE next_at IS NULL OR next_at - received_at > make_interval(secs => least(greatest(watch_interval_s, 15), 5184000))
ORDER BY kit_id, received_at
LIMIT %(most)s;

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

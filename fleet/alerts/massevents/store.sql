-- name: open_incident
INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)
VALUES (%(rule)s, 'open', %(now)s, %(clock_s)s, %(installed)s)
ON CONFLICT (rule) WHERE state = 'open' DO NOTHING
RETURNING incident_id

-- name: tell_incident
INSERT INTO events (at, type, body)
SELECT %(now)s, 'incident.opened', jsonb_build_object(
    'id', i.incident_id, 'rule', i.rule, 'installed_kits', i.installed_kits, 'request', r.number)
FROM incidents i LEFT JOIN service_requests r USING (incident_id)
WHERE i.incident_id = %(incident_id)s

-- name: current_incident
SELECT incident_id FROM incidents WHERE rule = %(rule)s AND state = 'open'

-- name: join_incident
INSERT INTO incident_members (incident_id, kit_id, joined_at, heard_clock_s, watch_allowance_s)
SELECT %(incident_id)s, g.kit_id, %(now)s, g.heard_clock_s, g.allowance_s
FROM unnest(%(kit_ids)s::integer[], %(heard_clock_s)s::double precision[], %(allowance_s)s::double precision[])
    AS g(kit_id, heard_clock_s, allowance_s)
ON CONFLICT (incident_id, kit_id) DO UPDATE
SET joined_at = excluded.joined_at, left_at = NULL, outcome = NULL,
    heard_clock_s = excluded.heard_clock_s, watch_allowance_s = excluded.watch_allowance_s

-- name: leave_incident
UPDATE incident_members m SET left_at = %(now)s, outcome = g.outcome
FROM unnest(%(kit_ids)s::integer[], %(outcomes)s::text[]) AS g(kit_id, outcome)
WHERE m.kit_id = g.kit_id AND m.left_at IS NULL

-- name: settle_incident
UPDATE incidents SET recovering_since = %(since)s WHERE incident_id = %(incident_id)s AND state = 'open'

-- name: clear_incident
WITH cleared AS (
    UPDATE incidents SET state = 'cleared', cleared_at = %(now)s, cleared_clock_s = %(clock_s)s
    WHERE incident_id = %(incident_id)s AND state = 'open'
    RETURNING incident_id, rule
)
INSERT INTO events (at, type, body)
SELECT %(now)s, 'incident.cleared', jsonb_build_object('id', incident_id, 'rule', rule) FROM cleared

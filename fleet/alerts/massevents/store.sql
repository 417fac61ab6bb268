-- name: open_incident
INSERT INTO incidents (rule, cohort_kind, cohort_value, state, opened_at, opened_clock_s, from_clock_s, installed_kits)
VALUES (%(rule)s, %(kind)s, %(value)s, 'open', %(now)s, %(clock_s)s, %(from_clock_s)s, %(size)s)
ON CONFLICT (rule, cohort_kind, cohort_value) WHERE state = 'open' DO NOTHING
RETURNING incident_id

-- name: tell_incident
INSERT INTO events (at, type, organisation_id, body)
SELECT %(now)s, 'incident.opened', r.organisation_id, jsonb_build_object(
    'id', i.incident_id, 'rule', i.rule, 'cohort_kind', i.cohort_kind, 'cohort_value', i.cohort_value,
    'installed_kits', i.installed_kits, 'request', r.number,
    'members', (SELECT count(*) FROM incident_members m WHERE m.incident_id = i.incident_id))
FROM incidents i LEFT JOIN service_requests r USING (incident_id)
WHERE i.incident_id = %(incident_id)s

-- name: open_ids
SELECT incident_id, rule, cohort_kind || ':' || cohort_value FROM incidents WHERE state = 'open'

-- name: join_incident
INSERT INTO incident_members (incident_id, rule, kit_id, joined_at, heard_clock_s, watch_allowance_s)
SELECT g.incident_id, g.rule, g.kit_id, %(now)s, g.heard_clock_s, g.allowance_s
FROM unnest(%(incident_ids)s::bigint[], %(rules)s::text[], %(kit_ids)s::integer[],
            %(heard_clock_s)s::double precision[], %(allowance_s)s::double precision[])
    AS g(incident_id, rule, kit_id, heard_clock_s, allowance_s)
WHERE NOT EXISTS (SELECT FROM incident_members m WHERE m.kit_id = g.kit_id AND m.rule = g.rule AND m.left_at IS NULL)
ON CONFLICT (incident_id, kit_id) DO UPDATE
SET joined_at = excluded.joined_at, left_at = NULL, outcome = NULL,
    heard_clock_s = excluded.heard_clock_s, watch_allowance_s = excluded.watch_allowance_s

-- name: leave_incident
UPDATE incident_members m SET left_at = %(now)s, outcome = g.outcome
FROM unnest(%(incident_ids)s::bigint[], %(kit_ids)s::integer[], %(outcomes)s::text[]) AS g(incident_id, kit_id, outcome)
WHERE m.incident_id = g.incident_id AND m.kit_id = g.kit_id AND m.left_at IS NULL

-- name: leave_with_alerts
UPDATE incident_members m
SET left_at = %(now)s,
    outcome = CASE WHEN a.resolution IN ('not_watched', 'rule_disabled') THEN 'not_watched' ELSE 'returned' END
FROM alerts a
WHERE a.alert_id = ANY (%(alert_ids)s) AND a.resolution <> 'merged'
  AND m.kit_id = a.kit_id AND m.rule = a.rule AND m.left_at IS NULL

-- name: settle_incident
UPDATE incidents SET recovering_since = %(since)s WHERE incident_id = %(incident_id)s AND state = 'open'

-- name: clear_incident
WITH cleared AS (
    UPDATE incidents i
    SET state = 'cleared', cleared_at = %(now)s, cleared_clock_s = %(clock_s)s,
        left_at_clear = (SELECT count(*) FROM incident_members m WHERE m.incident_id = i.incident_id AND m.left_at IS NULL)
    WHERE incident_id = %(incident_id)s AND state = 'open'
    RETURNING incident_id, rule, cohort_kind, cohort_value, left_at_clear
)
INSERT INTO events (at, type, organisation_id, body)
SELECT %(now)s, 'incident.cleared', r.organisation_id, jsonb_build_object(
    'id', incident_id, 'rule', c.rule, 'cohort_kind', cohort_kind, 'cohort_value', cohort_value, 'left', left_at_clear)
    || CASE WHEN u.enabled OR EXISTS (SELECT FROM rule_variants v WHERE v.rule = u.rule AND v.enabled)
            THEN '{}' ELSE jsonb_build_object('because', 'rule_disabled') END
FROM cleared c JOIN rules u ON u.rule = c.rule LEFT JOIN service_requests r USING (incident_id)

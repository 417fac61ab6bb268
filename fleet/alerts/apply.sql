-- name: open_alerts
-- Alert, request, their link and their events in one statement. A request of the same cause that is open already is
-- locked by the idle update, so that nobody closes it before the alert has joined it.
WITH given AS (
    SELECT * FROM unnest(%(kit_ids)s::integer[], %(evidence)s::jsonb[]) AS g(kit_id, evidence)
), dropped AS (
    DELETE FROM pending_alerts p USING given g WHERE p.kit_id = g.kit_id AND p.rule = %(rule)s
), opened AS (
    INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)
    SELECT kit_id, %(rule)s, %(severity)s, 'active', %(now)s, evidence FROM given
    ON CONFLICT (kit_id, rule) WHERE state = 'active' DO NOTHING
    RETURNING alert_id, kit_id, evidence
), requested AS (
    INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)
    SELECT service_request_number(%(now)s), kit_id, %(rule)s, %(line)s, %(priority)s, 'open', %(now)s, %(due_at)s
    FROM opened
    ON CONFLICT (kit_id, cause) WHERE state IN ('open', 'in_progress', 'waiting') AND kit_id IS NOT NULL
    DO UPDATE SET cause = excluded.cause
    RETURNING request_id, number, kit_id, xmax = 0 AS fresh
), linked AS (
    INSERT INTO request_alerts (request_id, alert_id)
    SELECT request_id, alert_id FROM opened JOIN requested USING (kit_id)
), told AS (
    INSERT INTO events (at, type, kit, body)
    SELECT %(now)s, 'alert.opened', k.kit, jsonb_build_object(
        'id', o.alert_id, 'rule', %(rule)s::text, 'severity', %(severity)s::text, 'evidence', o.evidence,
        'request', r.number)
    FROM opened o JOIN requested r USING (kit_id) JOIN kits k USING (kit_id)
    UNION ALL
    SELECT %(now)s, 'request.opened', k.kit, jsonb_build_object(
        'number', r.number, 'cause', %(rule)s::text, 'line', %(line)s::text, 'priority', %(priority)s::text,
        'due_at', %(due_at)s::timestamptz)
    FROM requested r JOIN kits k USING (kit_id)
    WHERE r.fresh
)
SELECT (SELECT count(*) FROM opened), (SELECT count(*) FROM requested WHERE fresh)

-- name: clear_alerts
-- A request ends when none of its alerts is active any more.
WITH given AS (
    SELECT * FROM unnest(%(alert_ids)s::bigint[], %(resolutions)s::text[]) AS g(alert_id, resolution)
), cleared AS (
    UPDATE alerts a
    SET state = 'cleared', cleared_at = %(now)s, resolution = g.resolution,
        suppressed_by = CASE WHEN g.resolution = 'merged' THEN 'incident:' || %(incident_id)s::bigint END
    FROM given g
    WHERE a.alert_id = g.alert_id AND a.state = 'active'
    RETURNING a.alert_id, a.kit_id, a.rule, a.resolution, a.suppressed_by
), ended AS (
    SELECT DISTINCT ON (ra.request_id) ra.request_id, c.resolution
    FROM cleared c JOIN request_alerts ra USING (alert_id)
    WHERE NOT EXISTS (
        SELECT FROM request_alerts o JOIN alerts a USING (alert_id)
        WHERE o.request_id = ra.request_id AND a.state = 'active'
          AND a.alert_id NOT IN (SELECT alert_id FROM cleared))
    ORDER BY ra.request_id, c.alert_id DESC
), resolved AS (
    UPDATE service_requests r
    SET state = CASE WHEN e.resolution = 'merged' THEN 'closed' ELSE 'resolved' END, resolved_at = %(now)s,
        resolution = CASE WHEN e.resolution = 'merged' THEN 'merged:' || %(incident_id)s::bigint ELSE e.resolution END
    FROM ended e
    WHERE r.request_id = e.request_id AND r.state IN ('open', 'in_progress', 'waiting')
    RETURNING r.number, r.kit_id, r.state, r.resolution
), told AS (
    INSERT INTO events (at, type, kit, body)
    SELECT %(now)s, 'alert.cleared', k.kit, jsonb_build_object(
        'id', c.alert_id, 'rule', c.rule, 'resolution', c.resolution, 'suppressed_by', c.suppressed_by)
    FROM cleared c JOIN kits k USING (kit_id)
    UNION ALL
    SELECT %(now)s, 'request.resolved', k.kit, jsonb_build_object(
        'number', r.number, 'state', r.state, 'resolution', r.resolution)
    FROM resolved r JOIN kits k USING (kit_id)
)
SELECT (SELECT array_agg(rule || ' ' || resolution) FROM cleared), (SELECT count(*) FROM resolved)

-- name: hold_pending
INSERT INTO pending_alerts (kit_id, rule, since, evidence)
SELECT * FROM unnest(%(kit_ids)s::integer[], %(rules)s::text[], %(since)s::timestamptz[], %(evidence)s::jsonb[])
ON CONFLICT (kit_id, rule) DO UPDATE SET evidence = excluded.evidence

-- name: drop_pending
DELETE FROM pending_alerts p USING unnest(%(kit_ids)s::integer[], %(rules)s::text[]) AS g(kit_id, rule)
WHERE p.kit_id = g.kit_id AND p.rule = g.rule

-- name: set_recovering
UPDATE alerts a SET recovering_since = g.since
FROM unnest(%(alert_ids)s::bigint[], %(since)s::timestamptz[]) AS g(alert_id, since)
WHERE a.alert_id = g.alert_id AND a.state = 'active'

-- name: refresh_evidence
UPDATE alerts a SET evidence = g.evidence, severity = coalesce(g.severity, a.severity)
FROM unnest(%(alert_ids)s::bigint[], %(evidence)s::jsonb[], %(severities)s::text[]) AS g(alert_id, evidence, severity)
WHERE a.alert_id = g.alert_id AND a.state = 'active'

-- name: open_incident
WITH opened AS (
    INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)
    VALUES (%(rule)s, 'open', %(now)s, %(clock_s)s, %(installed)s)
    ON CONFLICT (rule) WHERE state = 'open' DO NOTHING
    RETURNING incident_id
), requested AS (
    INSERT INTO service_requests (number, incident_id, cause, line, priority, state, opened_at, due_at)
    SELECT service_request_number(%(now)s), incident_id, %(rule)s, %(line)s, %(priority)s, 'open', %(now)s, %(due_at)s
    FROM opened
    RETURNING number, incident_id
), told AS (
    INSERT INTO events (at, type, body)
    SELECT %(now)s, 'incident.opened', jsonb_build_object(
        'id', incident_id, 'rule', %(rule)s::text, 'installed_kits', %(installed)s::integer, 'request', number)
    FROM requested
    UNION ALL
    SELECT %(now)s, 'request.opened', jsonb_build_object(
        'number', number, 'incident', incident_id, 'cause', %(rule)s::text, 'line', %(line)s::text,
        'priority', %(priority)s::text, 'due_at', %(due_at)s::timestamptz)
    FROM requested
)
SELECT incident_id FROM opened

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
), resolved AS (
    UPDATE service_requests r SET state = 'resolved', resolved_at = %(now)s, resolution = 'proof'
    FROM cleared c
    WHERE r.incident_id = c.incident_id AND r.state IN ('open', 'in_progress', 'waiting')
    RETURNING r.number, r.incident_id, r.state, r.resolution
)
INSERT INTO events (at, type, body)
SELECT %(now)s, 'incident.cleared', jsonb_build_object('id', incident_id, 'rule', rule) FROM cleared
UNION ALL
SELECT %(now)s, 'request.resolved', jsonb_build_object(
    'number', number, 'incident', incident_id, 'state', state, 'resolution', resolution)
FROM resolved

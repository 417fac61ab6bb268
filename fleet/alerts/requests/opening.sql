-- name: open_for_alerts
-- Request, link to its alert and event in one statement. A request of the same cause that is open already is locked by
-- the idle update, so that nobody closes it before the alert has joined it.
WITH given AS (
    SELECT a.alert_id, a.kit_id, a.rule, r.line, p.priority, p.due_at
    FROM unnest(%(alert_ids)s::bigint[], %(priorities)s::text[], %(due_at)s::timestamptz[]) AS p(alert_id, priority, due_at)
    JOIN alerts a USING (alert_id) JOIN rules r USING (rule)
), requested AS (
    INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)
    SELECT service_request_number(%(now)s), kit_id, rule, line, priority, 'open', %(now)s, due_at FROM given
    ON CONFLICT (kit_id, cause) WHERE state IN ('open', 'in_progress', 'waiting') AND kit_id IS NOT NULL
    DO UPDATE SET cause = excluded.cause
    RETURNING request_id, number, kit_id, cause, line, priority, due_at, xmax = 0 AS fresh
), linked AS (
    INSERT INTO request_alerts (request_id, alert_id)
    SELECT r.request_id, g.alert_id FROM given g JOIN requested r ON r.kit_id = g.kit_id AND r.cause = g.rule
), told AS (
    INSERT INTO events (at, type, kit, body)
    SELECT %(now)s, 'request.opened', k.kit, jsonb_build_object(
        'number', r.number, 'cause', r.cause, 'line', r.line, 'priority', r.priority, 'due_at', r.due_at)
    FROM requested r JOIN kits k USING (kit_id)
    WHERE r.fresh
)
SELECT count(*) FROM requested WHERE fresh;

-- name: graded
SELECT a.alert_id, a.severity, r.severity AS usual, r.priority
FROM alerts a JOIN rules r USING (rule)
WHERE a.alert_id = ANY (%(alert_ids)s) AND a.state = 'active' AND a.suppressed_by IS NULL
ORDER BY a.alert_id;

-- name: resolve_for_alerts
-- A request ends when none of its alerts is active any more.
WITH cleared AS (
    SELECT a.alert_id, a.resolution, a.suppressed_by FROM alerts a
    WHERE a.alert_id = ANY (%(alert_ids)s) AND a.state = 'cleared'
), ended AS (
    SELECT DISTINCT ON (ra.request_id) ra.request_id, c.resolution, c.suppressed_by
    FROM cleared c JOIN request_alerts ra USING (alert_id)
    WHERE NOT EXISTS (
        SELECT FROM request_alerts o JOIN alerts a USING (alert_id)
        WHERE o.request_id = ra.request_id AND a.state = 'active')
    ORDER BY ra.request_id, c.alert_id DESC
), resolved AS (
    UPDATE service_requests r
    SET state = CASE WHEN e.resolution = 'merged' THEN 'closed' ELSE 'resolved' END, resolved_at = %(now)s,
        resolution = CASE WHEN e.resolution = 'merged' THEN replace(e.suppressed_by, 'incident:', 'merged:')
                     ELSE e.resolution END
    FROM ended e
    WHERE r.request_id = e.request_id AND r.state IN ('open', 'in_progress', 'waiting')
    RETURNING r.number, r.kit_id, r.state, r.resolution
), told AS (
    INSERT INTO events (at, type, kit, body)
    SELECT %(now)s, 'request.resolved', k.kit, jsonb_build_object(
        'number', r.number, 'state', r.state, 'resolution', r.resolution)
    FROM resolved r LEFT JOIN kits k USING (kit_id)
)
SELECT count(*) FROM resolved;

-- name: open_for_incident
WITH requested AS (
    INSERT INTO service_requests (number, incident_id, cause, line, priority, state, opened_at, due_at)
    SELECT service_request_number(%(now)s), incident_id, rule, %(line)s, %(priority)s, 'open', %(now)s, %(due_at)s
    FROM incidents WHERE incident_id = %(incident_id)s
    ON CONFLICT (incident_id) WHERE incident_id IS NOT NULL DO NOTHING
    RETURNING number, incident_id, cause, line, priority, due_at
), told AS (
    INSERT INTO events (at, type, body)
    SELECT %(now)s, 'request.opened', jsonb_build_object(
        'number', number, 'incident', incident_id, 'cause', cause, 'line', line, 'priority', priority, 'due_at', due_at)
    FROM requested
)
SELECT count(*) FROM requested;

-- name: resolve_for_incident
WITH resolved AS (
    UPDATE service_requests r SET state = 'resolved', resolved_at = %(now)s, resolution = 'proof'
    WHERE r.incident_id = %(incident_id)s AND r.state IN ('open', 'in_progress', 'waiting')
    RETURNING r.number, r.incident_id, r.state, r.resolution
), told AS (
    INSERT INTO events (at, type, body)
    SELECT %(now)s, 'request.resolved', jsonb_build_object(
        'number', number, 'incident', incident_id, 'state', state, 'resolution', resolution)
    FROM resolved
)
SELECT count(*) FROM resolved;

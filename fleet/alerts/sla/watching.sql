-- name: tell
-- The log keeps each key once, whoever else may have told it meanwhile.
WITH given AS (
    SELECT * FROM unnest(%(request_ids)s::bigint[], %(bodies)s::jsonb[], %(escalated)s::boolean[], %(breached)s::boolean[])
        AS g(request_id, body, escalated, breached)
), noted AS (
    INSERT INTO request_events (request_id, at, actor, what, body)
    SELECT request_id, %(now)s, 'system', 'escalated', body FROM given
    ON CONFLICT (request_id, (body ->> 'key')) WHERE what = 'escalated' DO NOTHING
    RETURNING request_id, body
)
INSERT INTO events (at, type, kit, organisation_id, body)
SELECT %(now)s, e.type, k.kit, r.organisation_id, n.body - 'key' - 'along' || jsonb_strip_nulls(jsonb_build_object(
    'number', r.number, 'incident', r.incident_id, 'cause', r.cause, 'line', r.line, 'priority', r.priority,
    'assignee', r.assignee))
FROM noted n JOIN given g USING (request_id, body) JOIN service_requests r USING (request_id)
LEFT JOIN kits k USING (kit_id)
CROSS JOIN LATERAL (VALUES ('request.escalated', g.escalated), ('request.breached', g.breached)) AS e (type, wanted)
WHERE e.wanted;

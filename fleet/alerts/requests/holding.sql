-- name: hold_alerts
SELECT alert_id FROM alerts WHERE alert_id = ANY (%(alert_ids)s) ORDER BY alert_id FOR NO KEY UPDATE;

-- name: touched
-- Open requests of alerts that clear and of mass events that end; those that alerts which open, or get graver, join or open
-- again: the one that spoke last for kit (or place) and cause, as when they are opened.
WITH causes AS MATERIALIZED (
    SELECT * FROM unnest(%(kit_ids)s::integer[], %(subjects)s::text[], %(rules)s::text[]) AS g(kit_id, subject, rule)
    UNION
    SELECT kit_id, subject, rule FROM alerts WHERE alert_id = ANY (%(refreshed)s::bigint[])
), last AS MATERIALIZED (
    SELECT o.request_id, o.number, o.merged_into
    FROM causes c CROSS JOIN LATERAL (
        SELECT request_id, number, merged_into FROM service_requests s
        WHERE (s.kit_id = c.kit_id OR s.subject = c.subject) AND s.cause = c.rule
        ORDER BY s.state IN ('open', 'in_progress', 'waiting') DESC, s.request_id DESC LIMIT 1) o
)
SELECT ra.request_id FROM request_alerts ra JOIN service_requests r USING (request_id)
WHERE ra.alert_id = ANY (%(cleared)s::bigint[]) AND r.state IN ('open', 'in_progress', 'waiting')
UNION
SELECT request_id FROM service_requests
WHERE incident_id = ANY (%(incident_ids)s::bigint[]) AND state IN ('open', 'in_progress', 'waiting')
UNION
SELECT request_id FROM last
UNION
SELECT r.request_id FROM last l JOIN service_requests r ON r.number = speaks_for(l.number) WHERE l.merged_into IS NOT NULL;

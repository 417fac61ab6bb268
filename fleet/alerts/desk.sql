-- name: alerts
SELECT a.alert_id AS id, a.rule, k.kit, a.severity, a.state, a.acknowledged, a.opened_at, a.cleared_at,
       a.suppressed_by, a.resolution, a.evidence,
       (SELECT r.number FROM request_alerts ra JOIN service_requests r USING (request_id)
        WHERE ra.alert_id = a.alert_id ORDER BY r.request_id DESC LIMIT 1) AS service_request
FROM alerts a JOIN known_kits k USING (kit_id)
WHERE a.alert_id < %(before)s
  AND (%(id)s::bigint IS NULL OR a.alert_id = %(id)s)
  AND (%(rule)s::text IS NULL OR a.rule = %(rule)s)
  AND (%(kit)s::text IS NULL OR a.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
  AND (%(severity)s::text IS NULL OR a.severity = %(severity)s)
  AND (%(state)s::text IS NULL OR a.state = %(state)s)
  AND (%(acknowledged)s::boolean IS NULL OR a.acknowledged = %(acknowledged)s)
  AND (%(suppressed_by)s::text IS NULL OR a.suppressed_by = %(suppressed_by)s)
  AND (%(opened_at)s::timestamptz IS NULL OR a.opened_at = %(opened_at)s)
  AND (%(cleared_at)s::timestamptz IS NULL OR a.cleared_at = %(cleared_at)s)
  AND (%(opened_from)s::timestamptz IS NULL OR a.opened_at >= %(opened_from)s)
  AND (%(opened_to)s::timestamptz IS NULL OR a.opened_at < %(opened_to)s)
ORDER BY a.alert_id DESC
LIMIT %(limit)s;

-- name: acknowledge
WITH done AS (
    UPDATE alerts SET acknowledged = true
    WHERE alert_id = %(id)s AND NOT acknowledged
    RETURNING alert_id, kit_id, rule
)
INSERT INTO events (type, kit, body)
SELECT 'alert.acknowledged', k.kit, jsonb_build_object('id', d.alert_id, 'rule', d.rule, 'by', %(actor)s::text)
FROM done d JOIN kits k USING (kit_id);

-- name: incidents
SELECT i.incident_id AS id, i.rule, i.state, i.opened_at, i.cleared_at, i.installed_kits,
       m.members, m.still_silent, r.number AS service_request
FROM incidents i
CROSS JOIN LATERAL (
    SELECT count(*) AS members, count(*) FILTER (WHERE left_at IS NULL) AS still_silent
    FROM incident_members WHERE incident_id = i.incident_id) m
LEFT JOIN service_requests r ON r.incident_id = i.incident_id
WHERE i.incident_id < %(before)s
  AND (%(id)s::bigint IS NULL OR i.incident_id = %(id)s)
  AND (%(rule)s::text IS NULL OR i.rule = %(rule)s)
  AND (%(state)s::text IS NULL OR i.state = %(state)s)
ORDER BY i.incident_id DESC
LIMIT %(limit)s;

-- name: incident_exists
SELECT EXISTS (SELECT FROM incidents WHERE incident_id = %(id)s);

-- name: members
SELECT k.kit, m.joined_at, m.left_at, m.outcome, m.kit_id
FROM incident_members m JOIN known_kits k USING (kit_id)
WHERE m.incident_id = %(id)s AND m.kit_id > %(after)s
  AND (%(kit)s::text IS NULL OR k.kit = %(kit)s)
  AND (%(outcome)s::text IS NULL OR m.outcome = %(outcome)s)
ORDER BY m.kit_id
LIMIT %(limit)s;

-- name: rules
SELECT rule, severity, line, priority, for_s, keep_firing_for_s, enabled, title_en, title_da
FROM rules WHERE rule > %(after)s ORDER BY rule LIMIT %(limit)s;

-- name: alerts
SELECT a.alert_id AS id, a.rule, k.kit, a.subject, a.severity, a.state, a.acknowledged, a.acknowledged_at, a.acknowledged_by,
       a.acknowledgement, a.opened_at, a.cleared_at, a.suppressed_by, a.flapping, a.resolution, a.evidence, a.rule_version,
       s.until AS shelved_until, s.reason AS shelved_reason, s.shelved_by,
       (SELECT r.number FROM request_alerts ra JOIN service_requests r USING (request_id)
        WHERE ra.alert_id = a.alert_id ORDER BY r.request_id DESC LIMIT 1) AS service_request
FROM alerts a
LEFT JOIN known_kits k USING (kit_id)
LEFT JOIN shelves s ON s.about = coalesce(a.subject, 'kit:' || a.kit_id) AND s.rule = a.rule AND s.until > now()
    AND a.state = 'active'
WHERE a.alert_id < %(before)s
  AND (k.kit_id IS NOT NULL OR a.kit_id IS NULL)
  AND (%(id)s::bigint IS NULL OR a.alert_id = %(id)s)
  AND (%(rule)s::text IS NULL OR a.rule = %(rule)s)
  AND (%(kit)s::text IS NULL OR a.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
  AND (%(severity)s::text IS NULL OR a.severity = %(severity)s)
  AND (%(state)s::text IS NULL OR a.state = %(state)s)
  AND (%(acknowledged)s::boolean IS NULL OR a.acknowledged = %(acknowledged)s)
  AND (%(suppressed_by)s::text IS NULL OR a.suppressed_by = %(suppressed_by)s)
  AND (%(suppressed)s::boolean IS NULL OR (a.suppressed_by IS NOT NULL) = %(suppressed)s)
  AND (%(shelved)s::boolean IS NULL OR (s.about IS NOT NULL) = %(shelved)s)
  AND (%(flapping)s::boolean IS NULL OR a.flapping = %(flapping)s)
  AND (%(opened_at)s::timestamptz IS NULL OR a.opened_at = %(opened_at)s)
  AND (%(cleared_at)s::timestamptz IS NULL OR a.cleared_at = %(cleared_at)s)
  AND (%(opened_from)s::timestamptz IS NULL OR a.opened_at >= %(opened_from)s)
  AND (%(opened_to)s::timestamptz IS NULL OR a.opened_at < %(opened_to)s)
ORDER BY a.alert_id DESC
LIMIT %(limit)s;

-- name: lock
SELECT alert_id, kit_id, subject, organisation_id, rule, severity, state, acknowledged FROM alerts WHERE alert_id = %(id)s FOR UPDATE;

-- name: acknowledge
WITH done AS (
    UPDATE alerts SET acknowledged = true, acknowledged_at = now(), acknowledged_by = %(actor)s, acknowledgement = %(comment)s
    WHERE alert_id = %(id)s
    RETURNING alert_id, kit_id, organisation_id, rule
)
INSERT INTO events (type, kit, organisation_id, body)
SELECT 'alert.acknowledged', k.kit, d.organisation_id, jsonb_build_object('id', d.alert_id, 'rule', d.rule, 'by', %(actor)s::text)
FROM done d LEFT JOIN kits k USING (kit_id);

-- name: unacknowledge
WITH done AS (
    UPDATE alerts SET acknowledged = false, acknowledged_at = NULL, acknowledged_by = NULL, acknowledgement = NULL
    WHERE alert_id = %(id)s AND acknowledged
    RETURNING alert_id, kit_id, organisation_id, rule
)
INSERT INTO events (type, kit, organisation_id, body)
SELECT 'alert.unacknowledged', k.kit, d.organisation_id, jsonb_build_object('id', d.alert_id, 'rule', d.rule, 'by', %(actor)s::text)
FROM done d LEFT JOIN kits k USING (kit_id);

-- name: shelve
INSERT INTO shelves (kit_id, subject, organisation_id, rule, until, severity, reason, shelved_by)
VALUES (%(kit_id)s, %(subject)s, %(organisation_id)s, %(rule)s, %(until)s, %(severity)s, %(reason)s, %(actor)s)
ON CONFLICT (about, rule) DO UPDATE
SET until = excluded.until, severity = excluded.severity, reason = excluded.reason, shelved_by = excluded.shelved_by,
    shelved_at = now();

-- name: suppress
-- A mass event goes on speaking for its member: the shelf keeps it quiet when that has ended.
WITH done AS (
    UPDATE alerts SET suppressed_by = CASE WHEN suppressed_by LIKE 'incident:%%' THEN suppressed_by ELSE %(by)s END
    WHERE alert_id = %(id)s AND state = 'active' RETURNING alert_id, kit_id, organisation_id, rule
)
INSERT INTO events (type, kit, organisation_id, body)
SELECT 'alert.shelved', k.kit, d.organisation_id, jsonb_build_object(
    'id', d.alert_id, 'rule', d.rule, 'suppressed_by', %(by)s::text, 'by', %(actor)s::text)
FROM done d LEFT JOIN kits k USING (kit_id);

-- name: unshelve
DELETE FROM shelves s USING alerts a
WHERE a.alert_id = %(id)s AND s.about = coalesce(a.subject, 'kit:' || a.kit_id) AND s.rule = a.rule
RETURNING s.until;

-- name: tell_unshelved
INSERT INTO events (type, kit, organisation_id, body)
SELECT 'alert.unshelved', k.kit, a.organisation_id, jsonb_build_object('id', a.alert_id, 'rule', a.rule, 'by', %(actor)s::text)
FROM alerts a LEFT JOIN kits k USING (kit_id) WHERE a.alert_id = %(id)s;

-- name: now
SELECT now();

-- name: requests
SELECT r.number, k.kit, r.incident_id AS incident, r.cause, r.line, r.priority, r.state,
       ARRAY(SELECT ra.alert_id FROM request_alerts ra WHERE ra.request_id = r.request_id
             ORDER BY ra.alert_id) AS alerts,
       r.opened_at, r.due_at, r.resolved_at, r.resolution, r.request_id, r.xmin::text AS revision
FROM service_requests r LEFT JOIN known_kits k USING (kit_id)
WHERE r.request_id < %(before)s
  AND (%(number)s::text IS NULL OR r.number = %(number)s)
  AND (%(kit)s::text IS NULL OR r.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
  AND (%(incident)s::bigint IS NULL OR r.incident_id = %(incident)s)
  AND (%(cause)s::text IS NULL OR r.cause = %(cause)s)
  AND (%(line)s::text IS NULL OR r.line = %(line)s)
  AND (%(priority)s::text IS NULL OR r.priority = %(priority)s)
  AND (%(state)s::text IS NULL OR r.state = %(state)s)
  AND (%(unresolved)s::boolean IS NULL
       OR (r.state IN ('open', 'in_progress', 'waiting')) = %(unresolved)s)
  AND (%(alerts)s::bigint IS NULL OR EXISTS (
       SELECT FROM request_alerts ra WHERE ra.request_id = r.request_id AND ra.alert_id = %(alerts)s))
  AND (%(opened_at)s::timestamptz IS NULL OR r.opened_at = %(opened_at)s)
  AND (%(due_at)s::timestamptz IS NULL OR r.due_at = %(due_at)s)
  AND (%(opened_from)s::timestamptz IS NULL OR r.opened_at >= %(opened_from)s)
  AND (%(opened_to)s::timestamptz IS NULL OR r.opened_at < %(opened_to)s)
ORDER BY r.request_id DESC
LIMIT %(limit)s;

-- name: request_for_update
SELECT request_id, state, line, priority, resolution, xmin::text AS revision
FROM service_requests WHERE number = %(number)s FOR UPDATE;

-- name: redact_request
SELECT redact_request(request_id, %(why)s) FROM service_requests WHERE number = %(number)s;

-- name: update_request
UPDATE service_requests
SET state = %(state)s, line = %(line)s, priority = %(priority)s, resolution = %(resolution)s,
    resolved_at = CASE WHEN %(state)s IN ('resolved', 'closed') THEN coalesce(resolved_at, now()) END
WHERE request_id = %(request_id)s;

-- name: announce_request
INSERT INTO events (type, kit, body)
SELECT 'request.changed', k.kit, %(body)s
FROM service_requests r LEFT JOIN kits k USING (kit_id)
WHERE r.request_id = %(request_id)s;

-- name: request
-- As long as it is in the outlet's sight: a kit that moves takes its open requests along.
WITH outlet AS MATERIALIZED (
    SELECT organisation_id IS NULL AS everything, scope_of(organisation_id) AS scope FROM outlets WHERE outlet_id = %(outlet_id)s
)
SELECT r.request_id, r.number, r.cause, r.line, r.priority, r.state, k.kit,
       coalesce((SELECT max(e.event_id) FROM request_events e WHERE e.request_id = r.request_id), 0) AS last_event,
       t.ticket, t.remote_state, t.priority AS sent_priority, t.event_sent
FROM outlet, service_requests r LEFT JOIN kits k USING (kit_id)
LEFT JOIN connector_tickets t ON t.request_id = r.request_id AND t.outlet_id = %(outlet_id)s
WHERE r.number = %(number)s
  AND (outlet.everything OR r.organisation_id = ANY (outlet.scope) OR k.owner_id = ANY (outlet.scope))

-- name: comments
-- Not what came from there, and not what is said among ourselves.
SELECT event_id, body ->> 'text' AS text FROM request_events
WHERE request_id = %(request_id)s AND event_id > %(after)s AND what = 'comment' AND actor <> %(own)s
  AND body ->> 'audience' <> 'internal' AND body ->> 'text' <> '[redacted]'
ORDER BY event_id
LIMIT %(limit)s

-- name: note_ticket
INSERT INTO connector_tickets (outlet_id, request_id, ticket, number, remote_state, priority)
VALUES (%(outlet_id)s, %(request_id)s, %(ticket)s, %(number)s, %(remote_state)s, %(priority)s)
ON CONFLICT (outlet_id, request_id) DO NOTHING

-- name: note_sent
UPDATE connector_tickets SET remote_state = %(remote_state)s, priority = %(priority)s, event_sent = %(event_sent)s, synced_at = now()
WHERE outlet_id = %(outlet_id)s AND request_id = %(request_id)s

-- name: mapped
-- What is out of the outlet's sight by now is not changed from there any more.
WITH outlet AS MATERIALIZED (
    SELECT organisation_id IS NULL AS everything, scope_of(organisation_id) AS scope FROM outlets WHERE outlet_id = %(outlet_id)s
)
SELECT t.request_id, r.number, r.state, t.ticket, t.remote_state, t.article_seen
FROM outlet, connector_tickets t JOIN service_requests r USING (request_id) LEFT JOIN kits k USING (kit_id)
WHERE t.outlet_id = %(outlet_id)s AND t.ticket = ANY (%(tickets)s::text[])
  AND (outlet.everything OR r.organisation_id = ANY (outlet.scope) OR k.owner_id = ANY (outlet.scope))

-- name: note_seen
UPDATE connector_tickets SET remote_state = %(remote_state)s, article_seen = %(article_seen)s, synced_at = now()
WHERE outlet_id = %(outlet_id)s AND request_id = %(request_id)s

-- name: polled
UPDATE outlet_queues SET polled_at = %(now)s, polled_until = %(until)s, failing_since = NULL, failures = 0, last_error = NULL
WHERE outlet_id = %(outlet_id)s

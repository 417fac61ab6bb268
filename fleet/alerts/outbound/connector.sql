-- name: request
SELECT r.request_id, r.number, r.cause, r.line, r.priority, r.state, k.kit,
       coalesce((SELECT max(e.event_id) FROM request_events e WHERE e.request_id = r.request_id), 0) AS last_event,
       t.ticket, t.remote_state, t.priority AS sent_priority, t.event_sent
FROM service_requests r LEFT JOIN kits k USING (kit_id)
LEFT JOIN connector_tickets t ON t.request_id = r.request_id AND t.outlet_id = %(outlet_id)s
WHERE r.number = %(number)s

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
SELECT t.request_id, r.number, r.state, t.ticket, t.remote_state, t.article_seen
FROM connector_tickets t JOIN service_requests r USING (request_id)
WHERE t.outlet_id = %(outlet_id)s AND t.ticket = ANY (%(tickets)s::text[])

-- name: note_seen
UPDATE connector_tickets SET remote_state = %(remote_state)s, article_seen = %(article_seen)s, synced_at = now()
WHERE outlet_id = %(outlet_id)s AND request_id = %(request_id)s

-- name: polled
UPDATE outlet_queues SET polled_at = %(now)s, polled_until = %(until)s, failing_since = NULL, failures = 0, last_error = NULL
WHERE outlet_id = %(outlet_id)s

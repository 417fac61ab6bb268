-- name: outlet
SELECT o.outlet_id, o.kind, o.organisation_id, o.url, o.address, o.options, o.secret, o.inbound_secret,
       CASE WHEN o.previous_until > now() THEN o.previous_secret END AS previous_secret,
       q.hour_began, q.sent_in_hour, q.polled_until, q.polled_at
FROM outlets o JOIN outlet_queues q USING (outlet_id)
WHERE o.outlet_id = %(outlet_id)s AND o.state = 'active' AND NOT is_disabled(o.user_id)

-- name: waiting
SELECT delivery_id, message_id, type, kit, payload, attempts, queued_at, expires_at FROM deliveries
WHERE outlet_id = %(outlet_id)s AND state = 'pending'
ORDER BY ahead DESC, delivery_id
LIMIT %(limit)s

-- name: taken
-- Whoever writes deliveries of an outlet holds its queue first, so that none waits for another in a circle.
WITH held AS MATERIALIZED (
    SELECT outlet_id FROM outlet_queues WHERE outlet_id = %(outlet_id)s FOR UPDATE
), done AS (
    UPDATE deliveries d SET state = 'delivered', ended_at = %(now)s, attempted_at = %(now)s, attempts = attempts + 1,
        status = %(status)s, error = NULL
    FROM held WHERE d.outlet_id = held.outlet_id AND d.delivery_id = ANY (%(delivery_ids)s::bigint[]) AND d.state = 'pending'
)
UPDATE outlet_queues q SET failing_since = NULL, failures = 0, last_error = NULL, last_success_at = %(now)s, next_at = NULL
FROM held WHERE q.outlet_id = held.outlet_id

-- name: refused
WITH held AS MATERIALIZED (
    SELECT outlet_id FROM outlet_queues WHERE outlet_id = %(outlet_id)s FOR UPDATE
), tried AS (
    UPDATE deliveries d SET attempts = attempts + 1, attempted_at = %(now)s, status = %(status)s, error = %(error)s
    FROM held WHERE d.outlet_id = held.outlet_id AND d.delivery_id = ANY (%(delivery_ids)s::bigint[]) AND d.state = 'pending'
)
UPDATE outlet_queues q SET failing_since = coalesce(q.failing_since, %(now)s), failures = q.failures + 1,
    last_error = %(error)s
FROM held WHERE q.outlet_id = held.outlet_id
RETURNING q.failures, q.failing_since

-- name: give_up
-- What has been tried for long enough, or all of it.
UPDATE deliveries SET state = 'dead', ended_at = %(now)s, error = coalesce(error, %(reason)s)
WHERE outlet_id = %(outlet_id)s AND state = 'pending' AND (%(everything)s OR expires_at <= %(now)s)

-- name: give_up_these
UPDATE deliveries SET state = 'dead', ended_at = %(now)s, attempted_at = %(now)s, attempts = attempts + 1,
    status = %(status)s, error = %(error)s
WHERE delivery_id = ANY (%(delivery_ids)s::bigint[]) AND state = 'pending'

-- name: disable
WITH disabled AS (
    UPDATE outlets SET state = 'disabled', disabled_reason = %(reason)s, revision = revision + 1, updated_at = now()
    WHERE outlet_id = %(outlet_id)s AND state = 'active'
    RETURNING outlet_id, kind, organisation_id
)
INSERT INTO events (type, body, organisation_id)
SELECT 'outlet.disabled', jsonb_build_object('outlet', outlet_id, 'kind', kind, 'reason', %(reason)s::text), organisation_id
FROM disabled

-- name: put_off
UPDATE outlet_queues SET next_at = %(next_at)s WHERE outlet_id = %(outlet_id)s

-- name: mailed
UPDATE outlet_queues SET hour_began = %(hour_began)s, sent_in_hour = %(sent_in_hour)s WHERE outlet_id = %(outlet_id)s

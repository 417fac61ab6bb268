-- name: create
INSERT INTO outlets (kind, organisation_id, description, events, url, address, user_id, options, secret, inbound_secret, created_by)
VALUES (%(kind)s, %(organisation_id)s, %(description)s, %(events)s, %(url)s, %(address)s, %(user_id)s, %(options)s,
        %(secret)s, %(inbound_secret)s, %(created_by)s)
RETURNING outlet_id

-- name: lock
SELECT outlet_id FROM outlets
WHERE outlet_id = %(outlet_id)s AND kind = %(kind)s
FOR UPDATE

-- name: select
SELECT o.outlet_id, o.kind, g.slug AS organisation, o.description, o.events, o.url, o.address, u.username, o.options,
       o.state, o.disabled_reason, o.previous_until, o.created_at, o.created_by, o.revision,
       q.failing_since, q.failures, q.last_error, q.last_success_at, q.overflowed,
       (SELECT count(*) FROM (SELECT FROM deliveries d WHERE d.outlet_id = o.outlet_id AND d.state = 'pending' LIMIT 10001) p)
           AS pending,
       (SELECT count(*) FROM (SELECT FROM deliveries d WHERE d.outlet_id = o.outlet_id AND d.state = 'dead' LIMIT 10001) p)
           AS dead
FROM outlets o JOIN outlet_queues q USING (outlet_id)
LEFT JOIN organisations g ON g.organisation_id = o.organisation_id
LEFT JOIN users u ON u.user_id = o.user_id
WHERE o.kind = %(kind)s AND o.outlet_id > %(after)s AND (%(outlet_id)s::bigint IS NULL OR o.outlet_id = %(outlet_id)s)
  AND (%(organisation)s::text IS NULL OR g.slug = %(organisation)s)
  AND (%(state)s::text IS NULL OR o.state = %(state)s)
ORDER BY o.outlet_id
LIMIT %(limit)s

-- name: update
UPDATE outlets SET description = %(description)s, events = %(events)s, url = %(url)s, address = %(address)s,
    options = %(options)s, state = %(state)s, disabled_reason = CASE WHEN %(state)s = 'disabled' THEN disabled_reason END,
    revision = revision + 1, updated_at = now()
WHERE outlet_id = %(outlet_id)s

-- name: set_secret
UPDATE outlets SET secret = %(secret)s, revision = revision + 1, updated_at = now() WHERE outlet_id = %(outlet_id)s

-- name: set_inbound_secret
UPDATE outlets SET inbound_secret = %(secret)s, revision = revision + 1, updated_at = now() WHERE outlet_id = %(outlet_id)s

-- name: count
SELECT count(*) FROM outlets

-- name: remove
DELETE FROM outlets WHERE outlet_id = %(outlet_id)s

-- name: ping
WITH asked AS (
    UPDATE outlet_queues SET hurry = true WHERE outlet_id = %(outlet_id)s
)
INSERT INTO deliveries (outlet_id, message_id, type, payload, ahead)
SELECT %(outlet_id)s, m.id, 'ping', jsonb_build_object('id', m.id, 'type', 'ping', 'at', now(), 'data', '{}'::jsonb), true
FROM (SELECT 'ping_' || gen_random_uuid() AS id) m
RETURNING delivery_id

-- name: deliveries
SELECT d.delivery_id, d.outlet_id, o.kind, d.message_id, d.type, d.kit, d.state, d.queued_at, d.attempts, d.attempted_at,
       d.ended_at, d.status, d.error
FROM deliveries d JOIN outlets o USING (outlet_id)
WHERE d.delivery_id < %(before)s
  AND (%(outlet_id)s::bigint IS NULL OR d.outlet_id = %(outlet_id)s)
  AND (%(delivery_id)s::bigint IS NULL OR d.delivery_id = %(delivery_id)s)
  AND (%(state)s::text IS NULL OR d.state = %(state)s)
ORDER BY d.delivery_id DESC
LIMIT %(limit)s

-- name: redeliver
-- In the order in which they were queued; what was taken already is sent once more when somebody asks for it by name.
WITH again AS (
    UPDATE deliveries d SET state = 'pending', ended_at = NULL, expires_at = now() + interval '24 hours', attempts = 0,
        error = NULL, status = NULL
    WHERE d.delivery_id IN (
        SELECT x.delivery_id FROM deliveries x
        WHERE x.outlet_id = %(outlet_id)s
          AND CASE WHEN %(delivery_id)s::bigint IS NULL THEN x.state = 'dead' ELSE x.delivery_id = %(delivery_id)s AND x.state <> 'pending' END
        ORDER BY x.delivery_id DESC LIMIT %(limit)s)
    RETURNING d.delivery_id
), asked AS (
    UPDATE outlet_queues SET hurry = true WHERE outlet_id = %(outlet_id)s
)
SELECT count(*) FROM again

-- name: user_id
SELECT user_id FROM users WHERE lower(username COLLATE "C") = lower(%(username)s COLLATE "C") AND disabled_at IS NULL

-- name: inbound_secret
SELECT inbound_secret_of(%(outlet_id)s)

-- name: hurry
SELECT hurry_connector(%(outlet_id)s)

-- name: end_subscription
SELECT end_subscription(%(outlet_id)s)

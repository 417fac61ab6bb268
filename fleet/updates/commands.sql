-- name: kit
-- Locked, so that two callers at once do not get past the limit together; not against those who refer to it.
SELECT kit_id, state FROM kits WHERE kit = %(kit)s FOR NO KEY UPDATE;

-- name: open_of_kit
SELECT count(*) FROM commands WHERE kit_id = %(kit_id)s AND state IN ('pending', 'sent');

-- name: enqueue
WITH made AS (
    INSERT INTO commands (command_id, kit_id, name, arguments, requested_by, expires_at)
    VALUES (%(command_id)s, %(kit_id)s, %(name)s, %(arguments)s, %(requested_by)s,
            clock_timestamp() + make_interval(secs => %(expires_in_s)s))
    RETURNING command_id, name
)
INSERT INTO events (type, kit, body)
SELECT 'command.requested', %(kit)s, jsonb_build_object('command', command_id, 'name', name, 'state', 'pending') FROM made;

-- name: find
SELECT c.command_id, k.kit, c.name, c.arguments, c.requested_by, c.requested_at, c.expires_at, c.state, c.delivery, c.attempts,
       c.attempted_at, c.sent_at, c.replied_at, c.reply_status, c.result
FROM commands c JOIN known_kits k USING (kit_id)
WHERE c.command_id = %(command_id)s;

-- name: list
SELECT c.command_id, k.kit, c.name, c.arguments, c.requested_by, c.requested_at, c.expires_at, c.state, c.delivery, c.attempts,
       c.attempted_at, c.sent_at, c.replied_at, c.reply_status, c.result
FROM commands c JOIN known_kits k USING (kit_id)
WHERE c.kit_id = %(kit_id)s
  AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(before_at)s::timestamptz IS NULL OR (c.requested_at, c.command_id) < (%(before_at)s, %(before_id)s))
ORDER BY c.requested_at DESC, c.command_id DESC
LIMIT %(limit)s;

-- name: due
-- What was never taken is tried again until it expires. What was taken and not answered is sent again once its kit was
-- heard since: the tablet was here, so whatever the broker kept for it has reached it, or there was nothing kept.
SELECT c.command_id, k.kit, c.name, c.arguments, c.expires_at, c.attempts,
       extract(epoch FROM c.expires_at - clock_timestamp())::double precision AS left_s
FROM commands c
JOIN kits k USING (kit_id)
LEFT JOIN kit_latest l USING (kit_id)
WHERE c.state IN ('pending', 'sent') AND c.next_attempt_at <= clock_timestamp() AND c.expires_at > clock_timestamp()
  AND (c.state = 'pending' OR l.last_heard_at > c.attempted_at)
ORDER BY c.next_attempt_at
LIMIT %(limit)s;

-- name: attempted
-- The answer of the tablet may have been faster than the broker's to us: what has ended stays ended.
WITH before AS (
    SELECT command_id, state FROM commands WHERE command_id = %(command_id)s FOR UPDATE
), tried AS (
    UPDATE commands c
    SET delivery = %(delivery)s, attempts = c.attempts + 1, attempted_at = clock_timestamp(),
        sent_at = CASE WHEN %(delivery)s = 'taken' THEN coalesce(c.sent_at, clock_timestamp()) ELSE c.sent_at END,
        state = CASE WHEN b.state <> 'pending' THEN b.state ELSE %(becomes)s END,
        next_attempt_at = CASE WHEN b.state = 'sent' OR b.state = 'pending' AND %(becomes)s <> 'failed'
                               THEN clock_timestamp() + make_interval(secs => %(pause_s)s) ELSE 'infinity' END
    FROM before b
    WHERE c.command_id = b.command_id
    RETURNING c.command_id, c.kit_id, c.name, b.state AS was, c.state, c.delivery,
              extract(epoch FROM c.sent_at - c.requested_at)::double precision AS took_s
), told AS (
    INSERT INTO events (type, kit, body)
    SELECT 'command.' || t.state, k.kit, jsonb_build_object(
        'command', t.command_id, 'name', t.name, 'state', t.state, 'delivery', t.delivery)
    FROM tried t JOIN kits k USING (kit_id)
    WHERE t.state <> t.was
)
SELECT was, state, took_s FROM tried;

-- name: expire
-- What ingest is answering at this moment is left to it.
WITH past AS (
    SELECT command_id FROM commands
    WHERE state IN ('pending', 'sent') AND expires_at <= clock_timestamp()
    ORDER BY expires_at LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), ended AS (
    UPDATE commands c SET state = 'expired', next_attempt_at = 'infinity' FROM past WHERE c.command_id = past.command_id
    RETURNING c.command_id, c.kit_id, c.name, c.delivery
), told AS (
    INSERT INTO events (type, kit, body)
    SELECT 'command.expired', k.kit, jsonb_build_object(
        'command', e.command_id, 'name', e.name, 'state', 'expired', 'delivery', e.delivery)
    FROM ended e JOIN kits k USING (kit_id)
)
SELECT count(*) FROM ended;

-- name: open
SELECT state, count(*) FROM commands WHERE state IN ('pending', 'sent') GROUP BY state;

-- name: kit_id
SELECT kit_id FROM known_kits WHERE kit = %(kit)s;

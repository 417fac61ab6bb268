-- name: lock_kit
-- Locked as a step locks it, so that a kit is not scrapped between the question and the answer.
SELECT k.kit_id, k.state,
       (SELECT min(c.component_id) FROM components c JOIN models m USING (model_id)
        WHERE c.kit_id = k.kit_id AND m.kind = 'tablet') AS tablet_id
FROM kits k WHERE k.kit = %(kit)s
FOR NO KEY UPDATE OF k;

-- name: generation
SELECT generation FROM kit_credentials WHERE kit_id = %(kit_id)s;

-- name: say_why
-- For the lines of the audit that this transaction makes.
SELECT set_config('fleet.reason', %(reason)s, true);

-- name: issue
INSERT INTO kit_credentials AS c (kit_id, tablet_id, password_hash, salt, iterations, sealed, issued_by, next_attempt_at)
VALUES (%(kit_id)s, %(tablet_id)s, %(hash)s, %(salt)s, %(iterations)s, %(sealed)s, %(by)s,
        CASE WHEN %(sealed)s::bytea IS NULL THEN 'infinity' ELSE clock_timestamp() END)
ON CONFLICT (kit_id) DO UPDATE
SET generation = c.generation + 1, state = 'issued', tablet_id = %(tablet_id)s, password_hash = %(hash)s, salt = %(salt)s,
    iterations = %(iterations)s, sealed = %(sealed)s, issued_at = clock_timestamp(), issued_by = %(by)s,
    revoked_at = NULL, revoked_by = NULL, revoked_because = NULL, change = c.change + 1, wanted_at = clock_timestamp(),
    applied_at = NULL, attempts = 0, problem = NULL,
    next_attempt_at = CASE WHEN %(sealed)s::bytea IS NULL THEN 'infinity' ELSE clock_timestamp() END;

-- name: clear_mark
UPDATE kits SET credentials_revoked_at = NULL, updated_at = now()
WHERE kit_id = %(kit_id)s AND credentials_revoked_at IS NOT NULL;

-- name: withdraw
UPDATE kit_credentials
SET state = 'revoked', revoked_at = clock_timestamp(), revoked_by = %(by)s, revoked_because = 'withdrawn',
    password_hash = NULL, salt = NULL, iterations = NULL, sealed = NULL, change = change + 1,
    wanted_at = clock_timestamp(), applied_at = NULL, attempts = 0, next_attempt_at = clock_timestamp(), problem = NULL
WHERE kit_id = %(kit_id)s AND state = 'issued';

-- name: mark
UPDATE kits SET credentials_revoked_at = coalesce(credentials_revoked_at, now()), updated_at = now()
WHERE kit_id = %(kit_id)s;

-- name: tell
INSERT INTO events (type, kit, body)
SELECT 'credentials.' || c.state, %(kit)s::text,
       jsonb_strip_nulls(jsonb_build_object('generation', c.generation, 'because', c.revoked_because))
FROM kit_credentials c WHERE c.kit_id = %(kit_id)s;

-- name: find
SELECT k.kit, c.generation, c.state, c.tablet_id, c.issued_at, c.issued_by, c.revoked_at, c.revoked_by, c.revoked_because,
       c.wanted_at, c.applied_at, c.attempts, c.problem
FROM kit_credentials c JOIN kits k USING (kit_id)
WHERE k.kit = %(kit)s;

-- name: kit_exists
SELECT EXISTS (SELECT FROM kits WHERE kit = %(kit)s);

-- name: without
-- Kits that could be given credentials and have none that count.
SELECT k.kit FROM kits k LEFT JOIN kit_credentials c USING (kit_id)
WHERE k.state NOT IN ('scrapped', 'returned') AND (c.kit_id IS NULL OR c.state = 'revoked')
  AND (%(organisation)s::text IS NULL OR k.organisation_id = ANY (subtree_of(ARRAY(
       SELECT o.organisation_id FROM organisations o WHERE o.slug = %(organisation)s))))
  AND k.kit COLLATE "C" > %(after)s
ORDER BY k.kit COLLATE "C"
LIMIT %(limit)s;

-- name: count_without
SELECT count(*) FROM kits k LEFT JOIN kit_credentials c USING (kit_id)
WHERE k.state NOT IN ('scrapped', 'returned') AND (c.kit_id IS NULL OR c.state = 'revoked')
  AND (%(organisation)s::text IS NULL OR k.organisation_id = ANY (subtree_of(ARRAY(
       SELECT o.organisation_id FROM organisations o WHERE o.slug = %(organisation)s))));

-- name: organisation_exists
SELECT EXISTS (SELECT FROM organisations WHERE slug = %(organisation)s);

-- name: entries
SELECT c.kit_id, k.kit, c.generation, c.password_hash, c.salt, c.iterations
FROM kit_credentials c JOIN kits k USING (kit_id)
WHERE c.kit_id > %(after)s
ORDER BY c.kit_id
LIMIT %(limit)s;

-- name: due
-- Who is to be kept out comes before who is to be let in.
SELECT c.kit_id, k.kit, c.generation, c.state, c.sealed, c.change, c.attempts
FROM kit_credentials c JOIN kits k USING (kit_id)
WHERE c.applied_at IS NULL AND c.next_attempt_at <= clock_timestamp()
ORDER BY c.state = 'revoked' DESC, c.next_attempt_at
LIMIT %(limit)s;

-- name: applied
-- Only what was read is noted: what was wanted meanwhile is due still.
UPDATE kit_credentials
SET applied_at = clock_timestamp(), sealed = NULL, attempts = attempts + 1, problem = NULL
WHERE kit_id = %(kit_id)s AND change = %(change)s AND applied_at IS NULL
RETURNING extract(epoch FROM clock_timestamp() - wanted_at)::double precision AS took_s;

-- name: put_off
UPDATE kit_credentials
SET attempts = attempts + 1, problem = left(%(problem)s, 500),
    next_attempt_at = clock_timestamp() + make_interval(secs => %(pause_s)s)
WHERE kit_id = %(kit_id)s AND change = %(change)s AND applied_at IS NULL;

-- name: leave_to_file
UPDATE kit_credentials
SET attempts = attempts + 1, problem = left(%(problem)s, 500), next_attempt_at = 'infinity', sealed = NULL
WHERE kit_id = %(kit_id)s AND change = %(change)s AND applied_at IS NULL;

-- name: expected
SELECT c.kit_id, k.kit, c.generation, c.state, c.change, c.applied_at IS NOT NULL AS applied,
       c.sealed IS NOT NULL AS has_password, c.next_attempt_at = 'infinity' AS waits_for_file
FROM kit_credentials c JOIN kits k USING (kit_id)
WHERE k.kit = ANY (%(kits)s);

-- name: applied_issued
-- Those that the broker should know, page by page.
SELECT c.kit_id, k.kit, c.change
FROM kit_credentials c JOIN kits k USING (kit_id)
WHERE c.state = 'issued' AND c.applied_at IS NOT NULL AND c.kit_id > %(after)s
ORDER BY c.kit_id
LIMIT %(limit)s;

-- name: want_again
UPDATE kit_credentials c
SET applied_at = NULL, change = c.change + 1, wanted_at = clock_timestamp(), next_attempt_at = clock_timestamp(), attempts = 0
FROM unnest(%(kit_ids)s::integer[], %(changes)s::bigint[]) AS seen (kit_id, change)
WHERE c.kit_id = seen.kit_id AND c.change = seen.change;

-- name: standing
SELECT count(*) FILTER (WHERE state = 'issued' AND next_attempt_at < 'infinity') AS entering,
       count(*) FILTER (WHERE state = 'revoked') AS leaving,
       count(*) FILTER (WHERE next_attempt_at = 'infinity') AS for_file,
       coalesce(extract(epoch FROM clock_timestamp() - min(wanted_at) FILTER (WHERE next_attempt_at < 'infinity')), 0)
           ::double precision AS oldest_s,
       (array_agg(problem ORDER BY wanted_at) FILTER (WHERE problem IS NOT NULL AND next_attempt_at < 'infinity'))[1]
           AS problem
FROM kit_credentials WHERE applied_at IS NULL;

-- name: lock
SELECT pg_try_advisory_lock(%(lock)s);

-- name: newest
SELECT DISTINCT ON (tree) tree, version, body, retired, created_at, created_by AS source
FROM problem_trees
ORDER BY tree, version DESC
LIMIT %(limit)s

-- name: find
SELECT tree, version, body, retired, created_at, created_by AS source
FROM problem_trees
WHERE tree = %(tree)s AND (%(version)s::integer IS NULL OR version = %(version)s)
ORDER BY version DESC
LIMIT 1

-- name: versions
SELECT tree, version, body, retired, created_at, created_by AS source
FROM problem_trees
WHERE tree = %(tree)s
ORDER BY version DESC
LIMIT %(limit)s

-- name: serialise
SELECT pg_advisory_xact_lock(7310020, hashtext(%(tree)s))

-- name: newest_version
SELECT max(version) FROM problem_trees WHERE tree = %(tree)s

-- name: enter
INSERT INTO problem_trees (tree, version, body, created_by)
VALUES (%(tree)s, %(version)s, %(body)s, %(actor)s)

-- name: retire
UPDATE problem_trees SET retired = true WHERE tree = %(tree)s

-- name: around
SELECT EXISTS (SELECT FROM incident_members m JOIN incidents i USING (incident_id)
               WHERE m.kit_id = k.kit_id AND m.left_at IS NULL AND i.state = 'open') AS in_incident,
       EXISTS (SELECT FROM alerts a WHERE a.kit_id = k.kit_id AND a.state = 'active'
               AND a.suppressed_by LIKE 'maintenance:%%') AS in_maintenance,
       EXISTS (SELECT FROM service_requests r WHERE r.kit_id = k.kit_id
               AND r.state IN ('open', 'in_progress', 'waiting')) AS request_open
FROM kits k WHERE k.kit = %(kit)s

-- name: incidents
SELECT i.incident_id AS id, i.rule, i.state, i.cohort_kind, i.cohort_value, i.opened_at, i.cleared_at, i.installed_kits,
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
  AND (%(cohort_kind)s::text IS NULL OR i.cohort_kind = %(cohort_kind)s)
  AND (%(cohort_value)s::text IS NULL OR i.cohort_value = %(cohort_value)s)
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
  AND (%(present)s::boolean IS NULL OR (m.left_at IS NULL) = %(present)s)
ORDER BY m.kit_id
LIMIT %(limit)s;

-- name: of_kit
SELECT i.incident_id AS id, i.rule, i.state, i.cohort_kind, i.cohort_value, m.joined_at
FROM kits k JOIN incident_members m ON m.kit_id = k.kit_id AND m.left_at IS NULL JOIN incidents i USING (incident_id)
WHERE k.kit = %(kit)s
ORDER BY i.incident_id;

-- name: list_settings
SELECT rule, enabled, least, share, window_s, revision FROM incident_settings
WHERE rule > %(after)s ORDER BY rule LIMIT %(limit)s;

-- name: find_settings
SELECT rule, enabled, least, share, window_s, revision FROM incident_settings WHERE rule = %(rule)s;

-- name: lock_settings
SELECT rule, enabled, least, share, window_s, revision FROM incident_settings WHERE rule = %(rule)s FOR UPDATE;

-- name: update_settings
UPDATE incident_settings
SET enabled = %(enabled)s, least = %(least)s, share = %(share)s, window_s = %(window_s)s, revision = revision + 1
WHERE rule = %(rule)s;

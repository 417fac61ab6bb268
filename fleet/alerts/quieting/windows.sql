-- name: list
SELECT w.window_id, o.slug AS organisation, w.organisation_id, l.slug AS location, w.location_id, w.title, w.kit_type, w.model_id, w.programme,
       CASE WHEN w.names_kits THEN ARRAY(
           SELECT k.kit FROM maintenance_window_kits n JOIN kits k USING (kit_id)
           WHERE n.window_id = w.window_id ORDER BY k.kit) END AS kits,
       w.rules, w.collect, w.starts_at, w.ends_at, w.recurrence, w.current_from, w.current_to, w.resumes_at, w.ended_at,
       CASE WHEN w.current_from IS NULL OR (w.recurrence IS NULL AND w.current_to <= now()) THEN 'ended'
            WHEN w.current_from <= now() AND now() < w.current_to THEN 'on'
            ELSE 'planned' END AS state,
       w.created_by, w.created_at, w.revision
FROM maintenance_windows w
LEFT JOIN organisations o ON o.organisation_id = w.organisation_id LEFT JOIN locations l ON l.location_id = w.location_id
WHERE w.window_id < %(before)s
  AND (%(id)s::bigint IS NULL OR w.window_id = %(id)s)
  AND (%(organisation)s::text IS NULL OR o.slug = %(organisation)s)
  AND (%(location)s::text IS NULL OR l.slug = %(location)s)
  AND (%(kit_type)s::text IS NULL OR w.kit_type = %(kit_type)s)
  AND (%(model_id)s::integer IS NULL OR w.model_id = %(model_id)s)
  AND (%(collect)s::boolean IS NULL OR w.collect = %(collect)s)
  AND (%(kit)s::text IS NULL OR EXISTS (
      SELECT FROM kits_of_windows(ARRAY[w.window_id], ARRAY(SELECT kit_id FROM kits WHERE kit = %(kit)s))))
  AND (%(state)s::text IS NULL OR %(state)s =
       CASE WHEN w.current_from IS NULL OR (w.recurrence IS NULL AND w.current_to <= now()) THEN 'ended'
            WHEN w.current_from <= now() AND now() < w.current_to THEN 'on'
            ELSE 'planned' END)
ORDER BY w.window_id DESC
LIMIT %(limit)s;

-- name: lock
SELECT window_id, revision FROM maintenance_windows WHERE window_id = %(id)s FOR UPDATE;

-- name: count_open
SELECT count(*) FROM maintenance_windows
WHERE organisation_id IS NOT DISTINCT FROM %(organisation_id)s AND current_from IS NOT NULL;

-- name: add
INSERT INTO maintenance_windows (
    organisation_id, location_id, title, kit_type, model_id, programme, names_kits, rules, collect, starts_at, ends_at, recurrence,
    current_from, current_to, created_by)
VALUES (%(organisation_id)s, %(location_id)s, %(title)s, %(kit_type)s, %(model_id)s, %(programme)s, %(names_kits)s, %(rules)s, %(collect)s,
        %(starts_at)s, %(ends_at)s, %(recurrence)s, %(starts_at)s, %(ends_at)s, %(created_by)s)
RETURNING window_id;

-- name: edit
UPDATE maintenance_windows
SET title = %(title)s, location_id = %(location_id)s, kit_type = %(kit_type)s, model_id = %(model_id)s, programme = %(programme)s,
    names_kits = %(names_kits)s, rules = %(rules)s, collect = %(collect)s, starts_at = %(starts_at)s, ends_at = %(ends_at)s,
    recurrence = %(recurrence)s, current_from = %(current_from)s, current_to = %(current_to)s, ended_at = %(ended_at)s,
    revision = revision + 1, updated_at = now()
WHERE window_id = %(id)s;

-- name: end
UPDATE maintenance_windows
SET current_from = %(current_from)s, current_to = %(current_to)s, ended_at = %(ended_at)s, resumes_at = %(now)s,
    revision = revision + 1, updated_at = now()
WHERE window_id = %(id)s;

-- name: location_id
SELECT location_id FROM locations WHERE slug = %(slug)s;

-- name: kit_ids
SELECT kit, kit_id FROM kits WHERE kit = ANY (%(kits)s);

-- name: remove_kits
DELETE FROM maintenance_window_kits WHERE window_id = %(id)s AND NOT kit_id = ANY (%(kit_ids)s);

-- name: add_kits
INSERT INTO maintenance_window_kits (window_id, kit_id) SELECT %(id)s, unnest(%(kit_ids)s::integer[])
ON CONFLICT DO NOTHING;

-- name: known_rules
SELECT rule FROM rules ORDER BY rule;

-- name: kit_type_exists
SELECT EXISTS (SELECT FROM kit_types WHERE kit_type = %(kit_type)s);

-- name: occurrences
SELECT occurrence_id, rules, collect, began_at, ended_at
FROM maintenance_occurrences
WHERE window_id = %(id)s AND occurrence_id < %(before)s
ORDER BY occurrence_id DESC LIMIT %(limit)s;

-- name: of_kit
SELECT m.window_id AS id, m.until, m.collect, m.rules
FROM maintenance_of_kit((SELECT kit_id FROM kits WHERE kit = %(kit)s)) m;

-- name: now
SELECT now();

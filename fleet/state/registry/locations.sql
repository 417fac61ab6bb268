-- name: list
SELECT l.location_id, l.slug, l.name, l.kind, o.slug AS organisation, l.active, l.revision, l.created_at
FROM locations l LEFT JOIN organisations o USING (organisation_id)
WHERE l.slug > %(after)s
  AND (%(kind)s::text IS NULL OR l.kind = %(kind)s)
  AND (%(organisation)s::text IS NULL OR o.slug = %(organisation)s)
  AND (%(active)s::boolean IS NULL OR l.active = %(active)s)
ORDER BY l.slug
LIMIT %(limit)s;

-- name: find
SELECT l.location_id, l.slug, l.name, l.kind, o.slug AS organisation, l.active, l.revision, l.created_at
FROM locations l LEFT JOIN organisations o USING (organisation_id)
WHERE l.slug = %(slug)s;

-- name: lock
SELECT l.location_id, l.slug, l.name, l.kind, o.slug AS organisation, l.active, l.revision, l.created_at
FROM locations l LEFT JOIN organisations o USING (organisation_id)
WHERE l.slug = %(slug)s
FOR UPDATE OF l;

-- name: called
SELECT l.location_id, l.slug, l.name, l.kind, o.slug AS organisation, l.active, l.revision, l.created_at
FROM locations l LEFT JOIN organisations o USING (organisation_id)
WHERE l.active AND (l.slug = %(text)s OR lower(l.name) = lower(%(text)s))
ORDER BY l.location_id
LIMIT 3;

-- name: add
INSERT INTO locations (slug, name, kind, organisation_id)
VALUES (%(slug)s, %(name)s, %(kind)s, %(organisation_id)s)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: edit
UPDATE locations
SET name = %(name)s, kind = %(kind)s, organisation_id = %(organisation_id)s, active = %(active)s,
    revision = revision + 1, updated_at = now()
WHERE slug = %(slug)s;

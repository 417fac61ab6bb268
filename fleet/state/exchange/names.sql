-- name: limit_statements
-- One statement may enter a whole file.
SELECT set_config('statement_timeout', %(timeout)s, true)
WHERE current_setting('statement_timeout') <> '0';

-- name: prefer_indexes
-- What the planner knows of tables is from before the import: a table that it takes for empty would be read from end to
-- end for every line that refers to it.
SELECT set_config('enable_seqscan', 'off', true);

-- name: prefer_nothing
SELECT set_config('enable_seqscan', 'on', true);

-- name: make_organisations
CREATE TEMP TABLE named_organisation (
    name text COLLATE "C" PRIMARY KEY,
    slug text COLLATE "C" NOT NULL,
    organisation_id integer,
    reached boolean
) ON COMMIT DROP;

-- name: make_locations
CREATE TEMP TABLE named_location (
    name text COLLATE "C" PRIMARY KEY,
    slug text COLLATE "C" NOT NULL,
    location_id integer,
    known boolean
) ON COMMIT DROP;

-- name: find_organisations
-- `reached`: whether the caller may enter something as that organisation's.
INSERT INTO named_organisation (name, slug, organisation_id, reached)
SELECT n.name, n.slug, o.organisation_id,
       (SELECT sees_all()) OR o.organisation_id = ANY ((SELECT seen_organisations())::integer[])
FROM unnest(%(names)s::text[], %(slugs)s::text[]) AS n (name, slug)
LEFT JOIN organisations o ON o.slug = n.slug;

-- name: find_locations
-- A location is meant by its slug, or by its name where only one has it.
INSERT INTO named_location (name, slug, location_id, known)
SELECT n.name, n.slug,
       coalesce(found.exact, CASE WHEN found.matches = 1 THEN found.some END), found.matches > 0
FROM unnest(%(names)s::text[], %(slugs)s::text[]) AS n (name, slug),
     LATERAL (SELECT min(l.location_id) FILTER (WHERE l.slug = n.name OR l.slug = n.slug) AS exact,
                     min(l.location_id) AS some, count(*) AS matches
              FROM locations l
              WHERE l.active AND (l.slug IN (n.name, n.slug) OR lower(l.name) = lower(n.name))) found;

-- name: add_organisations
INSERT INTO organisations (slug, name)
SELECT DISTINCT ON (slug) slug, name FROM named_organisation WHERE organisation_id IS NULL ORDER BY slug, name
ON CONFLICT DO NOTHING
RETURNING slug;

-- name: add_locations
INSERT INTO locations (slug, name, kind)
SELECT DISTINCT ON (slug) slug, name, 'other' FROM named_location WHERE location_id IS NULL AND NOT known
ORDER BY slug, name
ON CONFLICT DO NOTHING;

-- name: note_organisations
UPDATE named_organisation n SET organisation_id = o.organisation_id, reached = true
FROM organisations o WHERE o.slug = n.slug AND n.organisation_id IS NULL;

-- name: note_locations
UPDATE named_location n SET location_id = l.location_id, known = true
FROM locations l WHERE l.slug = n.slug AND n.location_id IS NULL AND NOT n.known;

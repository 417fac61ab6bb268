-- name: record
SELECT k.kit_id, k.kit, k.label, k.state, o.slug AS organisation, k.kit_type, k.location,
       k.expected_interval_s, k.tolerance, k.wanted_components, k.revision, k.created_at, k.updated_at
FROM kits k LEFT JOIN organisations o USING (organisation_id)
WHERE k.kit = %(kit)s;

-- name: record_for_update
SELECT k.kit_id, k.kit, k.label, k.state, o.slug AS organisation, k.kit_type, k.location,
       k.expected_interval_s, k.tolerance, k.wanted_components, k.revision, k.created_at, k.updated_at
FROM kits k LEFT JOIN organisations o USING (organisation_id)
WHERE k.kit = %(kit)s
FOR UPDATE OF k;

-- name: insert
INSERT INTO kits (kit, label, state, organisation_id, kit_type, location, expected_interval_s, tolerance,
                  wanted_components)
VALUES (%(kit)s, %(label)s, %(state)s,
        (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s),
        %(kit_type)s, %(location)s, %(expected_interval_s)s, %(tolerance)s, %(wanted_components)s)
ON CONFLICT (kit) DO NOTHING
RETURNING kit_id;

-- name: insert_latest
INSERT INTO kit_latest (kit_id, watch_allowance_s, watch_interval_s, watch_from_clock_s)
SELECT k.kit_id, w.allowance_s,
       CASE WHEN w.allowance_s IS NOT NULL THEN k.expected_interval_s END,
       CASE WHEN w.allowance_s IS NOT NULL THEN c.clock_s END
FROM kits k CROSS JOIN listening c,
     LATERAL (SELECT watch_allowance_s(k.state, k.expected_interval_s, k.tolerance) AS allowance_s) w
WHERE k.kit_id = %(kit_id)s;

-- name: update
UPDATE kits SET label = %(label)s, state = %(state)s, kit_type = %(kit_type)s, location = %(location)s,
    organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s),
    expected_interval_s = %(expected_interval_s)s, tolerance = %(tolerance)s,
    wanted_components = %(wanted_components)s, revision = revision + 1, updated_at = now()
WHERE kit_id = %(kit_id)s;

-- name: set_watch
-- The watch begins at the clock's value of now when it was off; a mere edit does not begin it anew.
UPDATE kit_latest l
SET watch_allowance_s = w.allowance_s,
    watch_interval_s = CASE WHEN w.allowance_s IS NOT NULL THEN k.expected_interval_s END,
    watch_from_clock_s = CASE WHEN w.allowance_s IS NULL THEN NULL
                              WHEN l.watch_allowance_s IS NULL THEN c.clock_s
                              ELSE l.watch_from_clock_s END
FROM kits k CROSS JOIN listening c,
     LATERAL (SELECT watch_allowance_s(k.state, k.expected_interval_s, k.tolerance) AS allowance_s) w
WHERE k.kit_id = %(kit_id)s AND l.kit_id = k.kit_id;

-- name: log
INSERT INTO kit_events (kit_id, what, before, after, actor, reason)
VALUES (%(kit_id)s, %(what)s, %(before)s, %(after)s, %(actor)s, %(reason)s);

-- name: announce
INSERT INTO events (type, kit, body) VALUES (%(type)s, %(kit)s, %(body)s);

-- name: enqueue
INSERT INTO evaluation_queue (kit_id) VALUES (%(kit_id)s);

-- name: organisation_exists
SELECT EXISTS (SELECT FROM organisations WHERE slug = %(slug)s);

-- name: organisations
SELECT o.slug, o.name, o.created_at,
       (SELECT count(*) FROM kits k WHERE k.organisation_id = o.organisation_id) AS kits
FROM organisations o
WHERE o.slug > %(after)s
ORDER BY o.slug
LIMIT %(limit)s;

-- name: add_organisation
INSERT INTO organisations (slug, name) VALUES (%(slug)s, %(name)s)
ON CONFLICT (slug) DO NOTHING
RETURNING slug, name, created_at, 0::bigint AS kits;

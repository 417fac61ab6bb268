-- name: make_stage
CREATE TEMP TABLE kit_stage (
    line integer NOT NULL,
    kit text COLLATE "C" NOT NULL,
    label text,
    state text,
    organisation text COLLATE "C",
    organisation_name text,
    owner text COLLATE "C",
    owner_name text,
    kit_type text,
    location text COLLATE "C",
    location_name text,
    location_id integer,
    expected_interval_s integer,
    tolerance double precision,
    wanted_components jsonb
) ON COMMIT DROP;

-- name: copy_stage
COPY kit_stage (line, kit, label, state, organisation, organisation_name, owner, owner_name, kit_type, location,
                location_name, expected_interval_s, tolerance, wanted_components) FROM STDIN;

-- name: lock_kits
-- Two imports at once, or an edit between the look and the insert, wait here; readers and ingest do not.
LOCK TABLE kits IN SHARE ROW EXCLUSIVE MODE;

-- name: index_stage
CREATE UNIQUE INDEX ON kit_stage (kit);

-- name: analyze_stage
ANALYZE kit_stage;

-- name: existing
SELECT s.line, s.kit FROM kit_stage s JOIN kits USING (kit) ORDER BY s.line;

-- name: drop_existing
DELETE FROM kit_stage s USING kits k WHERE k.kit = s.kit;

-- name: add_organisations
INSERT INTO organisations (slug, name)
SELECT DISTINCT ON (slug) slug, name FROM (
    SELECT organisation AS slug, organisation_name AS name, line FROM kit_stage WHERE organisation IS NOT NULL
    UNION ALL
    SELECT owner, owner_name, line FROM kit_stage WHERE owner IS NOT NULL) named
ORDER BY slug, line
ON CONFLICT DO NOTHING
RETURNING slug;

-- name: add_kit_types
INSERT INTO kit_types (kit_type) SELECT DISTINCT kit_type FROM kit_stage WHERE kit_type IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: add_locations
INSERT INTO locations (slug, name, kind)
SELECT DISTINCT ON (location) location, location_name, 'other' FROM kit_stage
WHERE location IS NOT NULL AND NOT EXISTS (SELECT FROM locations l WHERE lower(l.name) = lower(location_name))
ORDER BY location, line
ON CONFLICT DO NOTHING;

-- name: place_stage
-- A place is meant by its slug or its name.
UPDATE kit_stage s SET location_id = (
    SELECT l.location_id FROM locations l WHERE l.slug = s.location OR lower(l.name) = lower(s.location_name)
    ORDER BY l.slug = s.location DESC, l.location_id LIMIT 1)
WHERE s.location IS NOT NULL;

-- name: make_before
-- The kits that the file changes, as they are now, with what they become, and when: after everything that is known of
-- them. What is lost has no known place, and what leaves the home of a citizen is there no more.
CREATE TEMP TABLE kit_change ON COMMIT DROP AS
SELECT greatest(statement_timestamp(), (SELECT max(e.occurred_at) FROM book_events e WHERE e.kit_id = k.kit_id)) AS at,
       k.placement_id, k.kit_id, k.kit, k.label, k.state, k.organisation_id, ko.slug AS organisation, k.owner_id, kw.slug AS owner,
       k.kit_type, k.location_id, kl.slug AS location, k.expected_interval_s, k.tolerance, k.wanted_components,
       coalesce(s.label, k.label) AS new_label,
       coalesce(s.state, k.state) AS new_state,
       coalesce(o.organisation_id, k.organisation_id) AS new_organisation_id,
       coalesce(o.slug, ko.slug) AS new_organisation,
       coalesce(w.organisation_id, k.owner_id, o.organisation_id) AS new_owner_id,
       coalesce(w.slug, kw.slug, o.slug) AS new_owner,
       coalesce(s.kit_type, k.kit_type) AS new_kit_type,
       CASE WHEN s.location_id IS NOT NULL OR coalesce(s.state, k.state) <> 'lost' OR k.state = 'lost'
            THEN coalesce(s.location_id, k.location_id) END AS new_location_id,
       CASE WHEN s.location_id IS NOT NULL OR coalesce(s.state, k.state) <> 'lost' OR k.state = 'lost'
            THEN coalesce(l.slug, kl.slug) END AS new_location,
       coalesce(s.expected_interval_s, k.expected_interval_s) AS new_expected_interval_s,
       coalesce(s.tolerance, k.tolerance) AS new_tolerance,
       coalesce(s.wanted_components, k.wanted_components) AS new_wanted_components
FROM kit_stage s
JOIN kits k USING (kit)
LEFT JOIN organisations ko ON ko.organisation_id = k.organisation_id
LEFT JOIN organisations kw ON kw.organisation_id = k.owner_id
LEFT JOIN locations kl ON kl.location_id = k.location_id
LEFT JOIN organisations o ON o.slug = s.organisation
LEFT JOIN organisations w ON w.slug = s.owner
LEFT JOIN locations l ON l.location_id = s.location_id;

-- name: drop_unchanged
DELETE FROM kit_change
WHERE (label, state, organisation_id, owner_id, kit_type, location_id, expected_interval_s, tolerance, wanted_components)
    IS NOT DISTINCT FROM
    (new_label, new_state, new_organisation_id, new_owner_id, new_kit_type, new_location_id, new_expected_interval_s,
     new_tolerance, new_wanted_components);

-- name: analyze_change
ANALYZE kit_change;

-- name: lock_latest
-- In order of kit_id, as ingest takes them, so that the two wait for each other and never in a circle.
SELECT count(*) FROM (
    SELECT FROM kit_latest WHERE kit_id IN (
        SELECT kit_id FROM kit_change
        WHERE (state, expected_interval_s, tolerance)
            IS DISTINCT FROM (new_state, new_expected_interval_s, new_tolerance))
    ORDER BY kit_id FOR UPDATE) locked;

-- name: update_kits
UPDATE kits k
SET label = c.new_label, state = c.new_state, organisation_id = c.new_organisation_id, owner_id = c.new_owner_id,
    kit_type = c.new_kit_type, location_id = c.new_location_id,
    placement_id = CASE WHEN c.new_location_id IS DISTINCT FROM c.location_id THEN NULL ELSE k.placement_id END,
    state_since = CASE WHEN c.new_state <> c.state THEN c.at ELSE k.state_since END,
    expected_interval_s = c.new_expected_interval_s, tolerance = c.new_tolerance,
    wanted_components = c.new_wanted_components, revision = k.revision + 1, updated_at = now()
FROM kit_change c
WHERE k.kit_id = c.kit_id;

-- name: close_stays
UPDATE stays y SET during = tstzrange(lower(during), c.at)
FROM kit_change c
WHERE y.kit_id = c.kit_id AND upper_inf(y.during) AND c.new_location_id IS DISTINCT FROM c.location_id;

-- name: open_changed_stays
INSERT INTO stays (kit_id, location_id, during)
SELECT kit_id, new_location_id, tstzrange(at, NULL) FROM kit_change
WHERE new_location_id IS DISTINCT FROM location_id AND new_location_id IS NOT NULL;

-- name: close_custodies
UPDATE custodies y SET during = tstzrange(lower(during), c.at)
FROM kit_change c
WHERE y.kit_id = c.kit_id AND upper_inf(y.during) AND c.new_organisation_id IS DISTINCT FROM c.organisation_id;

-- name: open_changed_custodies
INSERT INTO custodies (kit_id, organisation_id, during)
SELECT kit_id, new_organisation_id,
       tstzrange(CASE WHEN EXISTS (SELECT FROM custodies y WHERE y.kit_id = c.kit_id) THEN at END, NULL)
FROM kit_change c
WHERE new_organisation_id IS DISTINCT FROM organisation_id AND new_organisation_id IS NOT NULL;

-- name: set_watches
UPDATE kit_latest l
SET watch_allowance_s = w.allowance_s,
    watch_interval_s = CASE WHEN w.allowance_s IS NOT NULL THEN c.new_expected_interval_s END,
    watch_from_clock_s = CASE WHEN w.allowance_s IS NULL THEN NULL
                              WHEN l.watch_allowance_s IS NULL THEN clock.clock_s
                              ELSE l.watch_from_clock_s END
FROM kit_change c CROSS JOIN listening clock,
     LATERAL (SELECT watch_allowance_s(c.new_state, c.new_expected_interval_s, c.new_tolerance)
              AS allowance_s) w
WHERE l.kit_id = c.kit_id
  AND (c.state, c.expected_interval_s, c.tolerance)
      IS DISTINCT FROM (c.new_state, c.new_expected_interval_s, c.new_tolerance);

-- name: log_changes
-- A new state or place is an opening balance; whose it is now, an assignment; the rest, an edit.
INSERT INTO book_events (occurred_at, what, kit_id, from_state, to_state, location_id, organisation_id, owner_id, before,
                         after, actor)
SELECT at, CASE WHEN state <> new_state OR location_id IS DISTINCT FROM new_location_id THEN 'opening'
            WHEN (organisation_id, owner_id) IS DISTINCT FROM (new_organisation_id, new_owner_id) THEN 'assign'
            ELSE 'edit' END,
       kit_id, CASE WHEN state <> new_state THEN state END, CASE WHEN state <> new_state OR location_id
           IS DISTINCT FROM new_location_id THEN new_state END,
       CASE WHEN state <> new_state OR location_id IS DISTINCT FROM new_location_id THEN new_location_id END, new_organisation_id, new_owner_id,
       jsonb_build_object('label', label, 'state', state, 'organisation', organisation, 'owner', owner, 'location', location,
           'kit_type', kit_type, 'expected_interval_s', expected_interval_s, 'tolerance', tolerance,
           'wanted_components', wanted_components),
       jsonb_build_object('label', new_label, 'state', new_state, 'organisation', new_organisation, 'owner', new_owner,
           'location', new_location, 'kit_type', new_kit_type, 'expected_interval_s', new_expected_interval_s,
           'tolerance', new_tolerance, 'wanted_components', new_wanted_components),
       %(actor)s
FROM kit_change;

-- name: log_pieces
-- What is in a kit goes with it to another organisation.
INSERT INTO book_events (occurred_at, what, component_id, organisation_id, owner_id, after, actor)
SELECT greatest(c.at, (SELECT max(e.occurred_at) FROM book_events e
                       WHERE e.component_id = p.component_id OR e.removed_id = p.component_id)), 'assign', p.component_id, c.new_organisation_id, p.owner_id,
       jsonb_build_object('organisation', c.new_organisation), %(actor)s
FROM kit_change c JOIN components p USING (kit_id)
WHERE p.organisation_id IS DISTINCT FROM c.new_organisation_id AND c.organisation_id IS DISTINCT FROM c.new_organisation_id;

-- name: housed
-- Kits that are a citizen's, or in a home: what becomes of that is read off the log.
SELECT c.kit_id FROM kit_change c
WHERE c.placement_id IS NOT NULL OR EXISTS (SELECT FROM placements p WHERE p.kit_id = c.kit_id AND p.state = 'active');

-- name: enqueue_changes
INSERT INTO evaluation_queue (kit_id) SELECT kit_id FROM kit_change;

-- name: make_added
CREATE TEMP TABLE kit_added (
    kit_id integer, label text, state text, organisation_id integer, owner_id integer, kit_type text, location_id integer,
    expected_interval_s integer, tolerance double precision, wanted_components jsonb
) ON COMMIT DROP;

-- name: insert_kits
WITH added AS (
    INSERT INTO kits (kit, label, state, organisation_id, owner_id, kit_type, location_id, expected_interval_s, tolerance,
                      wanted_components)
    SELECT s.kit, coalesce(s.label, ''), coalesce(s.state, 'in_stock'), o.organisation_id,
           coalesce(w.organisation_id, o.organisation_id), s.kit_type, s.location_id,
           coalesce(s.expected_interval_s, 300), s.tolerance, coalesce(s.wanted_components, '{}')
    FROM kit_stage s
    LEFT JOIN organisations o ON o.slug = s.organisation
    LEFT JOIN organisations w ON w.slug = s.owner
    WHERE NOT EXISTS (SELECT FROM kits k WHERE k.kit = s.kit)
    ORDER BY s.line
    RETURNING kit_id, label, state, organisation_id, owner_id, kit_type, location_id, expected_interval_s, tolerance,
              wanted_components
), kept AS (
    INSERT INTO kit_added SELECT * FROM added RETURNING 1
)
SELECT count(*) FROM kept;

-- name: insert_latest
INSERT INTO kit_latest (kit_id, watch_allowance_s, watch_interval_s, watch_from_clock_s)
SELECT a.kit_id, w.allowance_s,
       CASE WHEN w.allowance_s IS NOT NULL THEN a.expected_interval_s END,
       CASE WHEN w.allowance_s IS NOT NULL THEN c.clock_s END
FROM kit_added a CROSS JOIN listening c,
     LATERAL (SELECT watch_allowance_s(a.state, a.expected_interval_s, a.tolerance) AS allowance_s) w;

-- name: insert_custodies
INSERT INTO custodies (kit_id, organisation_id, during)
SELECT kit_id, organisation_id, tstzrange(NULL, NULL) FROM kit_added WHERE organisation_id IS NOT NULL;

-- name: insert_stays
INSERT INTO stays (kit_id, location_id, during)
SELECT kit_id, location_id, tstzrange(now(), NULL) FROM kit_added WHERE location_id IS NOT NULL;

-- name: log_added
INSERT INTO book_events (what, kit_id, to_state, location_id, organisation_id, owner_id, after, actor)
SELECT 'opening', a.kit_id, a.state, a.location_id, a.organisation_id, a.owner_id,
       jsonb_build_object('label', a.label, 'state', a.state, 'organisation', o.slug, 'owner', w.slug, 'location', l.slug,
           'kit_type', a.kit_type, 'expected_interval_s', a.expected_interval_s, 'tolerance', a.tolerance,
           'wanted_components', a.wanted_components),
       %(actor)s
FROM kit_added a
LEFT JOIN organisations o ON o.organisation_id = a.organisation_id
LEFT JOIN organisations w ON w.organisation_id = a.owner_id
LEFT JOIN locations l ON l.location_id = a.location_id;

-- name: announce
INSERT INTO events (type, body) VALUES ('kits.imported', %(body)s);

-- name: export
SELECT k.kit, k.label, k.state, o.slug AS organisation, k.kit_type, k.expected_interval_s, k.tolerance,
       k.wanted_components, w.slug AS owner, l.slug AS location
FROM kits k
LEFT JOIN organisations o ON o.organisation_id = k.organisation_id
LEFT JOIN organisations w ON w.organisation_id = k.owner_id
LEFT JOIN locations l ON l.location_id = k.location_id
ORDER BY k.kit;

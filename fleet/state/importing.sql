-- name: make_stage
CREATE TEMP TABLE kit_stage (
    line integer NOT NULL,
    kit text COLLATE "C" NOT NULL,
    label text,
    state text,
    organisation text COLLATE "C",
    organisation_name text,
    kit_type text,
    expected_interval_s integer,
    tolerance double precision,
    wanted_components jsonb
) ON COMMIT DROP;

-- name: copy_stage
COPY kit_stage (line, kit, label, state, organisation, organisation_name, kit_type, expected_interval_s,
                tolerance, wanted_components) FROM STDIN;

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
SELECT DISTINCT ON (organisation) organisation, organisation_name FROM kit_stage
WHERE organisation IS NOT NULL
ORDER BY organisation, line
ON CONFLICT (slug) DO NOTHING
RETURNING slug;

-- name: make_before
-- The kits that the file changes, as they are now, with what they become.
CREATE TEMP TABLE kit_change ON COMMIT DROP AS
SELECT k.kit_id, k.kit, k.label, k.state, k.organisation_id, ko.slug AS organisation, k.kit_type,
       k.expected_interval_s, k.tolerance, k.wanted_components,
       coalesce(s.label, k.label) AS new_label,
       coalesce(s.state, k.state) AS new_state,
       coalesce(o.organisation_id, k.organisation_id) AS new_organisation_id,
       coalesce(o.slug, ko.slug) AS new_organisation,
       coalesce(s.kit_type, k.kit_type) AS new_kit_type,
       coalesce(s.expected_interval_s, k.expected_interval_s) AS new_expected_interval_s,
       coalesce(s.tolerance, k.tolerance) AS new_tolerance,
       coalesce(s.wanted_components, k.wanted_components) AS new_wanted_components
FROM kit_stage s
JOIN kits k USING (kit)
LEFT JOIN organisations ko ON ko.organisation_id = k.organisation_id
LEFT JOIN organisations o ON o.slug = s.organisation;

-- name: drop_unchanged
DELETE FROM kit_change
WHERE (label, state, organisation_id, kit_type, expected_interval_s, tolerance, wanted_components)
    IS NOT DISTINCT FROM
    (new_label, new_state, new_organisation_id, new_kit_type, new_expected_interval_s, new_tolerance,
     new_wanted_components);

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
SET label = c.new_label, state = c.new_state, organisation_id = c.new_organisation_id,
    kit_type = c.new_kit_type, expected_interval_s = c.new_expected_interval_s, tolerance = c.new_tolerance,
    wanted_components = c.new_wanted_components, revision = k.revision + 1, updated_at = now()
FROM kit_change c
WHERE k.kit_id = c.kit_id;

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
INSERT INTO kit_events (kit_id, what, before, after, actor)
SELECT kit_id, CASE WHEN state <> new_state THEN 'opening' ELSE 'edit' END,
       jsonb_build_object('label', label, 'state', state, 'organisation', organisation, 'kit_type', kit_type,
           'expected_interval_s', expected_interval_s, 'tolerance', tolerance,
           'wanted_components', wanted_components),
       jsonb_build_object('label', new_label, 'state', new_state, 'organisation', new_organisation,
           'kit_type', new_kit_type, 'expected_interval_s', new_expected_interval_s,
           'tolerance', new_tolerance, 'wanted_components', new_wanted_components),
       %(actor)s
FROM kit_change;

-- name: enqueue_changes
INSERT INTO evaluation_queue (kit_id) SELECT kit_id FROM kit_change;

-- name: insert_kits
-- One statement, so that the new rows are written once and read from memory.
WITH added AS (
    INSERT INTO kits (kit, label, state, organisation_id, kit_type, expected_interval_s, tolerance,
                      wanted_components)
    SELECT s.kit, coalesce(s.label, ''), coalesce(s.state, 'in_stock'), o.organisation_id, s.kit_type,
           coalesce(s.expected_interval_s, 300), s.tolerance, coalesce(s.wanted_components, '{}')
    FROM kit_stage s
    LEFT JOIN organisations o ON o.slug = s.organisation
    WHERE NOT EXISTS (SELECT FROM kits k WHERE k.kit = s.kit)
    ORDER BY s.line
    RETURNING kit_id, label, state, organisation_id, kit_type, expected_interval_s, tolerance, wanted_components
), latest AS (
    INSERT INTO kit_latest (kit_id, watch_allowance_s, watch_interval_s, watch_from_clock_s)
    SELECT a.kit_id, w.allowance_s,
           CASE WHEN w.allowance_s IS NOT NULL THEN a.expected_interval_s END,
           CASE WHEN w.allowance_s IS NOT NULL THEN c.clock_s END
    FROM added a CROSS JOIN listening c,
         LATERAL (SELECT watch_allowance_s(a.state, a.expected_interval_s, a.tolerance) AS allowance_s) w
), logged AS (
    INSERT INTO kit_events (kit_id, what, after, actor)
    SELECT a.kit_id, 'opening',
           jsonb_build_object('label', a.label, 'state', a.state, 'organisation', o.slug,
               'kit_type', a.kit_type, 'expected_interval_s', a.expected_interval_s,
               'tolerance', a.tolerance, 'wanted_components', a.wanted_components),
           %(actor)s
    FROM added a LEFT JOIN organisations o USING (organisation_id)
)
SELECT count(*) FROM added;

-- name: announce
INSERT INTO events (type, body) VALUES ('kits.imported', %(body)s);

-- name: export
SELECT k.kit, k.label, k.state, o.slug AS organisation, k.kit_type, k.expected_interval_s, k.tolerance,
       k.wanted_components
FROM kits k LEFT JOIN organisations o USING (organisation_id)
ORDER BY k.kit;

-- name: make_stage
CREATE TEMP TABLE kit_stage (
    line integer NOT NULL,
    kit text COLLATE "C" NOT NULL,
    label text,
    state text,
    organisation text COLLATE "C",
    kit_type text COLLATE "C",
    expected_interval_s integer,
    tolerance double precision,
    wanted_components jsonb,
    owner text COLLATE "C",
    location text COLLATE "C",
    since timestamptz
) ON COMMIT DROP;

-- name: copy_stage
COPY kit_stage (line, kit, label, state, organisation, kit_type, expected_interval_s, tolerance, wanted_components, owner,
                location, since) FROM STDIN;

-- name: analyze_stage
ANALYZE kit_stage;

-- name: staged
SELECT count(*) FROM kit_stage;

-- name: lock
-- Two imports at once, or an edit between the look and the insert, wait here; readers and ingest do not.
LOCK TABLE kits IN SHARE ROW EXCLUSIVE MODE;

-- name: complaints
WITH told AS (
    SELECT s.*, min(s.line) OVER (PARTITION BY s.kit) AS first_line, k.kit_id, k.state AS is_state,
           k.location_id AS is_location_id, t.kit_type_id,
           %(corrects_all)s OR k.organisation_id = ANY (%(corrects)s::integer[])
               OR k.owner_id = ANY (%(corrects)s::integer[]) AS corrected,
           coalesce(o.organisation_id, k.organisation_id) AS new_organisation_id,
           coalesce(w.organisation_id, k.owner_id, o.organisation_id) AS new_owner_id,
           o.organisation_id, w.organisation_id AS given_owner_id, l.location_id, l.known AS location_known
    FROM kit_stage s
    LEFT JOIN kits k USING (kit)
    LEFT JOIN kit_types t ON t.kit_type = s.kit_type
    LEFT JOIN named_organisation o ON o.name = s.organisation
    LEFT JOIN named_organisation w ON w.name = s.owner
    LEFT JOIN named_location l ON l.name = s.location
)
SELECT line, kit AS key, reason
FROM told, LATERAL (SELECT CASE
    WHEN first_line <> line THEN format('kit: stands in line %%s already', first_line)
    WHEN kit_id IS NOT NULL AND NOT %(update)s THEN 'kit: exists already'
    WHEN kit_type IS NOT NULL AND kit_type_id IS NULL AND NOT %(makes_names)s
        THEN format('kit_type: there is no %%s', kit_type)
    WHEN location IS NOT NULL AND location_known AND location_id IS NULL
        THEN 'location: several are called so: give its slug'
    WHEN location IS NOT NULL AND location_id IS NULL AND NOT %(makes_names)s
        THEN format('location: there is no %%s: enter the location first', location)
    WHEN organisation IS NOT NULL AND organisation_id IS NULL AND NOT %(makes_names)s
        THEN format('organisation: there is no %%s', organisation)
    WHEN owner IS NOT NULL AND given_owner_id IS NULL AND NOT %(makes_names)s THEN format('owner: there is no %%s', owner)
    WHEN kit_id IS NULL AND since > clock_timestamp() THEN 'since: lies in the future'
    -- Nobody asks guards here; who may not correct the books takes steps.
    WHEN kit_id IS NOT NULL AND NOT coalesce(corrected, false) AND state <> is_state
        THEN format('state: is %%s in the books; take a step', is_state)
    WHEN kit_id IS NOT NULL AND NOT coalesce(corrected, false) AND location IS NOT NULL
            AND location_id IS DISTINCT FROM is_location_id THEN 'location: is another in the books; move it'
    WHEN state IN ('scrapped', 'returned') AND EXISTS (SELECT FROM components c WHERE c.kit_id = told.kit_id)
        THEN format('state: pieces are still in it, and it would be %%s', state)
    WHEN NOT coalesce((SELECT sees_all()) OR new_organisation_id = ANY ((SELECT seen_organisations())::integer[])
            OR new_owner_id = ANY ((SELECT seen_organisations())::integer[]), false)
        THEN CASE WHEN organisation IS NULL AND owner IS NULL THEN 'organisation: say whose it is'
             ELSE 'organisation: it would be outside of your organisations' END
    END AS reason) why
WHERE reason IS NOT NULL
ORDER BY line;

-- name: drop_bad
DELETE FROM kit_stage WHERE line = ANY (%(lines)s::integer[]);

-- name: forget_names
WITH forgotten AS (
    DELETE FROM named_location WHERE name NOT IN (SELECT location FROM kit_stage WHERE location IS NOT NULL)
)
DELETE FROM named_organisation WHERE name NOT IN (
    SELECT v.name FROM kit_stage s, LATERAL (VALUES (s.organisation), (s.owner)) v (name) WHERE v.name IS NOT NULL);

-- name: add_kit_types
INSERT INTO kit_types (kit_type) SELECT DISTINCT kit_type FROM kit_stage WHERE kit_type IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: make_change
-- The kits that the file changes, as they are now, with what they become. A change is after all that is known of the kit.
-- Who leaves the states of a home leaves the home, and what is lost has no place.
CREATE TEMP TABLE kit_change ON COMMIT DROP AS
SELECT k.kit_id, k.kit, k.label, k.state, k.organisation_id, ko.slug AS organisation, k.owner_id, kw.slug AS owner,
       k.kit_type, k.location_id, kl.slug AS location, k.placement_id, k.expected_interval_s, k.tolerance,
       k.wanted_components,
       greatest(clock_timestamp(), (SELECT max(e.occurred_at) FROM book_events e WHERE e.kit_id = k.kit_id)) AS at,
       coalesce(s.label, k.label) AS new_label,
       coalesce(s.state, k.state) AS new_state,
       coalesce(o.organisation_id, k.organisation_id) AS new_organisation_id,
       coalesce(o.slug, ko.slug) AS new_organisation,
       coalesce(w.organisation_id, k.owner_id, o.organisation_id) AS new_owner_id,
       coalesce(w.slug, kw.slug, o.slug) AS new_owner,
       coalesce(s.kit_type, k.kit_type) AS new_kit_type,
       CASE WHEN p.location_id IS NOT NULL OR coalesce(s.state, k.state) <> 'lost' OR k.state = 'lost'
            THEN coalesce(p.location_id, k.location_id) END AS new_location_id,
       CASE WHEN p.location_id IS NOT NULL OR coalesce(s.state, k.state) <> 'lost' OR k.state = 'lost'
            THEN coalesce(l.slug, kl.slug) END AS new_location,
       CASE WHEN p.location_id IS NULL
                AND coalesce(s.state, k.state) IN ('dispatched', 'installed', 'paused', 'faulty') THEN k.placement_id
            END AS new_placement_id,
       coalesce(s.expected_interval_s, k.expected_interval_s) AS new_expected_interval_s,
       coalesce(s.tolerance, k.tolerance) AS new_tolerance,
       coalesce(s.wanted_components, k.wanted_components) AS new_wanted_components
FROM kit_stage s
JOIN kits k USING (kit)
LEFT JOIN organisations ko ON ko.organisation_id = k.organisation_id
LEFT JOIN organisations kw ON kw.organisation_id = k.owner_id
LEFT JOIN locations kl ON kl.location_id = k.location_id
LEFT JOIN named_organisation o ON o.name = s.organisation
LEFT JOIN named_organisation w ON w.name = s.owner
LEFT JOIN named_location p ON p.name = s.location
LEFT JOIN locations l ON l.location_id = p.location_id;

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
        WHERE (state, expected_interval_s, tolerance, kit_type, location_id, wanted_components, organisation_id, owner_id)
            IS DISTINCT FROM (new_state, new_expected_interval_s, new_tolerance, new_kit_type, new_location_id,
                              new_wanted_components, new_organisation_id, new_owner_id))
    ORDER BY kit_id FOR UPDATE) locked;

-- name: end_placements
-- A placement ends when its kit is in use no more.
UPDATE placements p
SET during = tstzrange(lower(p.during), c.at), state = 'ended', ended_reason = coalesce(p.ended_reason, c.new_state),
    revision = p.revision + 1, updated_at = now()
FROM kit_change c
WHERE p.kit_id = c.kit_id AND p.state = 'active' AND c.new_state <> c.state
  AND c.new_state NOT IN ('installed', 'paused', 'faulty');

-- name: begin_placements
-- And begins when it is installed in the home that it was sent to.
UPDATE placements p
SET during = tstzrange(c.at, NULL), state = 'active', kit_id = c.kit_id, revision = p.revision + 1, updated_at = now()
FROM kit_change c
WHERE p.placement_id = c.new_placement_id AND p.during IS NULL AND c.new_state = 'installed' AND c.state <> 'installed';

-- name: close_stays
-- What would have held for no time leaves no trace.
DELETE FROM stays y USING kit_change c
WHERE y.kit_id = c.kit_id AND upper_inf(y.during) AND lower(y.during) >= c.at
  AND (c.new_location_id, c.new_placement_id) IS DISTINCT FROM (c.location_id, c.placement_id);

-- name: cut_stays
UPDATE stays y SET during = tstzrange(lower(y.during), c.at)
FROM kit_change c
WHERE y.kit_id = c.kit_id AND upper_inf(y.during)
  AND (c.new_location_id, c.new_placement_id) IS DISTINCT FROM (c.location_id, c.placement_id);

-- name: open_changed_stays
INSERT INTO stays (kit_id, location_id, during)
SELECT kit_id, new_location_id, tstzrange(at, NULL) FROM kit_change
WHERE new_location_id IS DISTINCT FROM location_id AND new_location_id IS NOT NULL;

-- name: close_custodies
DELETE FROM custodies y USING kit_change c
WHERE y.kit_id = c.kit_id AND upper_inf(y.during) AND lower(y.during) >= c.at
  AND c.new_organisation_id IS DISTINCT FROM c.organisation_id;

-- name: cut_custodies
UPDATE custodies y SET during = tstzrange(lower(y.during), c.at)
FROM kit_change c
WHERE y.kit_id = c.kit_id AND upper_inf(y.during) AND c.new_organisation_id IS DISTINCT FROM c.organisation_id;

-- name: open_changed_custodies
INSERT INTO custodies (kit_id, organisation_id, during)
SELECT kit_id, new_organisation_id,
       -- The first organisation has no beginning: nobody else had the kit in these books.
       tstzrange(CASE WHEN EXISTS (SELECT FROM custodies y WHERE y.kit_id = c.kit_id) THEN at END, NULL)
FROM kit_change c
WHERE new_organisation_id IS DISTINCT FROM organisation_id AND new_organisation_id IS NOT NULL;

-- name: log_pieces
-- The pieces in a kit go with it to another organisation; the rows themselves follow by a trigger on kits.
INSERT INTO book_events (occurred_at, what, component_id, organisation_id, owner_id, after, batch, actor)
SELECT greatest(c.at, (SELECT max(e.occurred_at) FROM book_events e
                       WHERE e.component_id = p.component_id OR e.removed_id = p.component_id)), 'assign', p.component_id,
       c.new_organisation_id, p.owner_id, jsonb_build_object('organisation', c.new_organisation), %(batch)s,
       %(actor)s
FROM kit_change c JOIN components p USING (kit_id)
WHERE p.organisation_id IS DISTINCT FROM c.new_organisation_id
  AND c.new_organisation_id IS DISTINCT FROM c.organisation_id;

-- name: update_kits
UPDATE kits k
SET label = c.new_label, state = c.new_state, organisation_id = c.new_organisation_id, owner_id = c.new_owner_id,
    kit_type = c.new_kit_type, location_id = c.new_location_id, placement_id = c.new_placement_id,
    state_since = CASE WHEN c.new_state <> c.state THEN c.at ELSE k.state_since END,
    credentials_revoked_at = CASE WHEN c.new_state IN ('scrapped', 'returned')
                                  THEN coalesce(k.credentials_revoked_at, now()) ELSE k.credentials_revoked_at END,
    expected_interval_s = c.new_expected_interval_s, tolerance = c.new_tolerance,
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
-- A new state or place is an opening balance; whose it is now, an assignment; the rest, an edit. Whose it was is not told.
INSERT INTO book_events (occurred_at, what, kit_id, from_state, to_state, location_id, organisation_id, owner_id, before,
                         after, batch, actor)
SELECT c.at, v.what, c.kit_id, CASE WHEN c.state <> c.new_state THEN c.state END,
       CASE WHEN v.what = 'opening' THEN c.new_state END,
       CASE WHEN v.what = 'opening' THEN c.new_location_id END, c.new_organisation_id,
       c.new_owner_id,
       CASE WHEN NOT v.assigned THEN jsonb_build_object('label', c.label, 'state', c.state, 'organisation', c.organisation,
           'owner', c.owner, 'location', c.location, 'kit_type', c.kit_type,
           'expected_interval_s', c.expected_interval_s, 'tolerance', c.tolerance,
           'wanted_components', c.wanted_components) END,
       jsonb_build_object('label', c.new_label, 'state', c.new_state, 'organisation', c.new_organisation,
           'owner', c.new_owner, 'location', c.new_location, 'kit_type', c.new_kit_type,
           'expected_interval_s', c.new_expected_interval_s, 'tolerance', c.new_tolerance,
           'wanted_components', c.new_wanted_components),
       %(batch)s, %(actor)s
FROM kit_change c, LATERAL (
    SELECT CASE WHEN c.state <> c.new_state OR c.location_id IS DISTINCT FROM c.new_location_id
                    OR c.placement_id IS DISTINCT FROM c.new_placement_id THEN 'opening'
                WHEN (c.organisation_id, c.owner_id) IS DISTINCT FROM (c.new_organisation_id, c.new_owner_id) THEN 'assign'
                ELSE 'edit' END AS what,
           c.organisation_id IS DISTINCT FROM c.new_organisation_id AS assigned) v;

-- name: enqueue_changes
INSERT INTO evaluation_queue (kit_id) SELECT kit_id FROM kit_change;

-- name: make_added
CREATE TEMP TABLE kit_added (
    kit_id integer, label text, state text, since timestamptz, organisation_id integer, owner_id integer, kit_type text,
    location_id integer, expected_interval_s integer, tolerance double precision, wanted_components jsonb
) ON COMMIT DROP;

-- name: insert_kits
-- Without a conflict target: what the caller cannot see is taken as well, and told by `not_entered`.
WITH added AS (
    INSERT INTO kits (kit, label, state, state_since, organisation_id, owner_id, kit_type, location_id, expected_interval_s,
                      tolerance, wanted_components, credentials_revoked_at)
    SELECT s.kit, coalesce(s.label, ''), coalesce(s.state, 'in_stock'), coalesce(s.since, now()), o.organisation_id,
           coalesce(w.organisation_id, o.organisation_id), s.kit_type, l.location_id,
           coalesce(s.expected_interval_s, 300), s.tolerance, coalesce(s.wanted_components, '{}'),
           CASE WHEN s.state IN ('scrapped', 'returned') THEN now() END
    FROM kit_stage s
    LEFT JOIN named_organisation o ON o.name = s.organisation
    LEFT JOIN named_organisation w ON w.name = s.owner
    LEFT JOIN named_location l ON l.name = s.location
    WHERE NOT EXISTS (SELECT FROM kits k WHERE k.kit = s.kit)
    ORDER BY s.line
    ON CONFLICT DO NOTHING
    RETURNING kit_id, label, state, state_since, organisation_id, owner_id, kit_type, location_id, expected_interval_s,
              tolerance, wanted_components
), kept AS (
    INSERT INTO kit_added SELECT * FROM added RETURNING 1
)
SELECT count(*) FROM kept;

-- name: not_entered
SELECT s.line, s.kit AS key, 'kit: exists already' AS reason
FROM kit_stage s
WHERE NOT EXISTS (SELECT FROM kits k WHERE k.kit = s.kit)
ORDER BY s.line;

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
SELECT kit_id, location_id, tstzrange(since, NULL) FROM kit_added WHERE location_id IS NOT NULL;

-- name: log_added
INSERT INTO book_events (occurred_at, what, kit_id, to_state, location_id, organisation_id, owner_id, after, batch, actor)
SELECT a.since, 'opening', a.kit_id, a.state, a.location_id, a.organisation_id, a.owner_id,
       jsonb_build_object('label', a.label, 'state', a.state, 'organisation', o.slug, 'owner', w.slug, 'location', l.slug,
           'kit_type', a.kit_type, 'expected_interval_s', a.expected_interval_s, 'tolerance', a.tolerance,
           'wanted_components', a.wanted_components),
       %(batch)s, %(actor)s
FROM kit_added a
LEFT JOIN organisations o ON o.organisation_id = a.organisation_id
LEFT JOIN organisations w ON w.organisation_id = a.owner_id
LEFT JOIN locations l ON l.location_id = a.location_id;

-- name: announce
-- Each organisation is told of its own.
INSERT INTO events (type, body, organisation_id, owner_id)
SELECT 'kits.imported', jsonb_build_object('created', count(*), 'updated', 0), organisation_id, owner_id
FROM kit_added GROUP BY organisation_id, owner_id;

-- name: announce_changed
INSERT INTO events (type, body, organisation_id, owner_id)
SELECT 'kits.imported', jsonb_build_object('created', sum(created), 'updated', sum(1 - created)), organisation_id, owner_id
FROM (SELECT 1 AS created, organisation_id, owner_id FROM kit_added
      UNION ALL SELECT 0, new_organisation_id, new_owner_id FROM kit_change) told
GROUP BY organisation_id, owner_id;

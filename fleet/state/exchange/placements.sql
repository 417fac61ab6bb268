-- name: make_stage
CREATE TEMP TABLE placement_stage (
    line integer NOT NULL,
    reference text COLLATE "C" NOT NULL,
    organisation text COLLATE "C" NOT NULL,
    kit text COLLATE "C",
    state text,
    programme text,
    begun timestamptz,
    planned_from date,
    planned_until date,
    kit_id integer,
    active boolean NOT NULL DEFAULT false,
    begins timestamptz,
    placement_id bigint
) ON COMMIT DROP;

-- name: copy_stage
COPY placement_stage (line, reference, organisation, kit, state, programme, begun, planned_from, planned_until) FROM STDIN;

-- name: analyze_stage
ANALYZE placement_stage;

-- name: staged
SELECT count(*) FROM placement_stage;

-- name: lock
-- In order of kit_id, as every other writer does.
SELECT count(*) FROM (
    SELECT FROM kits WHERE kit IN (SELECT kit FROM placement_stage) ORDER BY kit_id FOR NO KEY UPDATE) locked;

-- name: resolve
-- Without a day it begins where the books last said something of the kit's state or place.
UPDATE placement_stage s
SET kit_id = k.kit_id,
    active = coalesce(s.state = 'active', k.state IN ('installed', 'paused', 'faulty')),
    begins = coalesce(s.begun, (
        SELECT max(e.occurred_at) FROM book_events e
        WHERE e.kit_id = k.kit_id AND e.what NOT IN ('edit', 'swap') AND e.component_id IS NULL), k.state_since)
FROM kits k
WHERE k.kit = s.kit;

-- name: complaints
WITH told AS (
    SELECT s.*, min(s.line) OVER (PARTITION BY s.kit) AS first_line, k.state AS kit_state, k.placement_id AS home,
           k.organisation_id AS kit_organisation_id, o.organisation_id, o.reached
    FROM placement_stage s
    LEFT JOIN kits k USING (kit_id)
    LEFT JOIN named_organisation o ON o.name = s.organisation
)
SELECT line, concat_ws(' ', kit, organisation) AS key, reason
FROM told t, LATERAL (SELECT CASE
    WHEN kit IS NOT NULL AND first_line <> line THEN format('kit: stands in line %%s already', first_line)
    WHEN kit IS NOT NULL AND kit_id IS NULL THEN format('kit: there is no %%s', kit)
    WHEN organisation_id IS NULL AND NOT %(makes_names)s THEN format('organisation: there is no %%s', organisation)
    WHEN NOT coalesce((SELECT sees_all()) OR reached, false)
        THEN 'organisation: it would be outside of your organisations'
    WHEN NOT active THEN CASE
        WHEN begun IS NOT NULL THEN format('begun: the kit is %%s, so it is only planned', kit_state)
        WHEN EXISTS (SELECT FROM placements p WHERE p.kit_id = t.kit_id AND p.state = 'planned')
            THEN 'kit: has another placement planned'
        END
    WHEN kit_state NOT IN ('installed', 'paused', 'faulty') THEN format('kit: is %%s, so it is with no citizen', kit_state)
    WHEN home IS NOT NULL OR EXISTS (SELECT FROM placements p WHERE p.kit_id = t.kit_id AND p.state = 'active')
        THEN 'kit: is with a citizen already'
    WHEN begun > clock_timestamp() THEN 'begun: lies in the future'
    -- After it began the kit was nowhere else, but for what opening balances say, which know no homes.
    WHEN EXISTS (SELECT FROM book_events e
                 WHERE e.kit_id = t.kit_id AND e.occurred_at > t.begins AND e.what NOT IN ('edit', 'swap')
                   AND e.component_id IS NULL
                   AND NOT (e.what = 'opening' AND e.to_state IN ('installed', 'paused', 'faulty')
                            AND e.organisation_id IS NOT DISTINCT FROM t.kit_organisation_id))
        THEN 'begun: after that the books have the kit in another state or place, or with another organisation'
    WHEN EXISTS (SELECT FROM placements p WHERE p.kit_id = t.kit_id AND upper(p.during) > t.begins)
        THEN 'begun: after that the kit was with another citizen'
    END AS reason) why
WHERE reason IS NOT NULL
ORDER BY line;

-- name: drop_bad
DELETE FROM placement_stage WHERE line = ANY (%(lines)s::integer[]);

-- name: forget_names
DELETE FROM named_organisation WHERE name NOT IN (SELECT organisation FROM placement_stage);

-- name: enter_references
INSERT INTO placement_references (organisation_id, reference)
SELECT DISTINCT o.organisation_id, s.reference
FROM placement_stage s JOIN named_organisation o ON o.name = s.organisation
ON CONFLICT DO NOTHING;

-- name: enter_placements
INSERT INTO placements (kit_id, reference_id, organisation_id, programme, state, planned_from, planned_until, during)
SELECT s.kit_id, r.reference_id, o.organisation_id, s.programme, CASE WHEN s.active THEN 'active' ELSE 'planned' END,
       s.planned_from, s.planned_until, CASE WHEN s.active THEN tstzrange(s.begins, NULL) END
FROM placement_stage s
JOIN named_organisation o ON o.name = s.organisation
JOIN placement_references r ON r.organisation_id = o.organisation_id AND r.reference = s.reference
ORDER BY s.line;

-- name: note_placements
UPDATE placement_stage s SET placement_id = p.placement_id
FROM placements p
WHERE s.active AND p.kit_id = s.kit_id AND p.state = 'active';

-- name: log_homes
INSERT INTO book_events (occurred_at, what, kit_id, to_state, placement_id, organisation_id, owner_id, after, backdated,
                         batch, actor)
SELECT s.begins, 'opening', k.kit_id, 'installed', s.placement_id, k.organisation_id, k.owner_id,
       jsonb_build_object('state', 'installed', 'placement', s.placement_id), true, %(batch)s, %(actor)s
FROM placement_stage s JOIN kits k USING (kit_id)
WHERE s.active
ORDER BY s.line;

-- name: log_states
-- A kit that is not installed but in use is so still, unless a later opening says it again.
INSERT INTO book_events (occurred_at, what, kit_id, from_state, to_state, organisation_id, owner_id, after, backdated, batch,
                         actor)
SELECT s.begins, 'opening', k.kit_id, 'installed', k.state, k.organisation_id, k.owner_id,
       jsonb_build_object('state', k.state), true, %(batch)s, %(actor)s
FROM placement_stage s JOIN kits k USING (kit_id)
WHERE s.active AND k.state <> 'installed'
  AND NOT EXISTS (SELECT FROM book_events e WHERE e.kit_id = k.kit_id AND e.occurred_at > s.begins AND e.what = 'opening'
                  AND e.component_id IS NULL)
ORDER BY s.line;

-- name: log_later_places
-- Where a later opening said a place, the home is said again.
INSERT INTO book_events (occurred_at, what, kit_id, placement_id, organisation_id, owner_id, backdated, batch, actor)
SELECT e.occurred_at, 'location', s.kit_id, s.placement_id, e.organisation_id, e.owner_id, true, %(batch)s, %(actor)s
FROM placement_stage s
JOIN book_events e ON e.kit_id = s.kit_id AND e.occurred_at > s.begins AND e.what = 'opening' AND e.component_id IS NULL
WHERE s.active AND e.location_id IS NOT NULL
ORDER BY e.event_id;

-- name: place_kits
UPDATE kits k
SET location_id = NULL, placement_id = s.placement_id, revision = k.revision + 1, updated_at = now(),
    state_since = CASE
        WHEN k.state = 'installed' AND s.begins < k.state_since AND NOT EXISTS (
            SELECT FROM book_events e WHERE e.kit_id = k.kit_id AND e.occurred_at > s.begins AND e.what = 'opening'
              AND e.component_id IS NULL AND e.to_state <> 'installed')
        THEN s.begins ELSE k.state_since END
FROM placement_stage s
WHERE s.active AND k.kit_id = s.kit_id;

-- name: remove_stays
DELETE FROM stays y USING placement_stage s
WHERE s.active AND y.kit_id = s.kit_id AND lower(y.during) >= s.begins;

-- name: cut_stays
UPDATE stays y SET during = tstzrange(lower(y.during), s.begins)
FROM placement_stage s
WHERE s.active AND y.kit_id = s.kit_id AND y.during @> s.begins;

-- name: add_stays
INSERT INTO stays (kit_id, placement_id, during)
SELECT kit_id, placement_id, tstzrange(begins, NULL) FROM placement_stage WHERE active;

-- name: enqueue
INSERT INTO evaluation_queue (kit_id) SELECT kit_id FROM placement_stage WHERE active;

-- name: announce
INSERT INTO events (type, body, organisation_id)
SELECT 'placements.imported', jsonb_build_object('created', count(*)), o.organisation_id
FROM placement_stage s JOIN named_organisation o ON o.name = s.organisation
GROUP BY o.organisation_id;

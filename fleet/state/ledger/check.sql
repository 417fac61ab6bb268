-- name: kits
SELECT k.kit_id, k.kit, k.state, k.state_since, k.location_id, k.placement_id, k.organisation_id, k.owner_id
FROM kits k WHERE k.kit_id > %(after)s ORDER BY k.kit_id LIMIT %(limit)s;

-- name: components
SELECT c.component_id, c.serial, c.state, c.state_since, c.location_id, c.kit_id, c.organisation_id, c.owner_id
FROM components c WHERE c.component_id > %(after)s ORDER BY c.component_id LIMIT %(limit)s;

-- name: kit_events
SELECT kit_id AS subject_id, event_id, occurred_at, what, kit_id, component_id, removed_id, to_state, location_id, placement_id,
       organisation_id, owner_id, corrects, CASE WHEN corrects IS NOT NULL THEN after END
FROM book_events WHERE kit_id BETWEEN %(first)s AND %(last)s;

-- name: component_events
SELECT component_id AS subject_id, event_id, occurred_at, what, kit_id, component_id, removed_id, to_state, location_id,
       placement_id, organisation_id, owner_id, corrects, CASE WHEN corrects IS NOT NULL THEN after END
FROM book_events WHERE component_id BETWEEN %(first)s AND %(last)s
UNION ALL
SELECT removed_id, event_id, occurred_at, what, kit_id, component_id, removed_id, to_state, location_id,
       placement_id, organisation_id, owner_id, corrects, CASE WHEN corrects IS NOT NULL THEN after END
FROM book_events WHERE removed_id BETWEEN %(first)s AND %(last)s;

-- name: kit_stays
SELECT kit_id, location_id, placement_id, lower(during), upper(during)
FROM stays WHERE kit_id BETWEEN %(first)s AND %(last)s;

-- name: component_stays
SELECT component_id, location_id, placement_id, lower(during), upper(during)
FROM stays WHERE component_id BETWEEN %(first)s AND %(last)s;

-- name: custodies
SELECT kit_id, organisation_id, lower(during), upper(during)
FROM custodies WHERE kit_id BETWEEN %(first)s AND %(last)s;

-- name: memberships
SELECT component_id, kit_id, lower(during), upper(during)
FROM kit_components WHERE component_id BETWEEN %(first)s AND %(last)s;

-- name: placements
SELECT kit_id, placement_id, lower(during), upper(during)
FROM placements WHERE kit_id BETWEEN %(first)s AND %(last)s AND during IS NOT NULL;

-- name: snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;

-- name: note
SELECT note_audit('books.rebuilt', %(kind)s, %(subject)s, %(organisation_id)s,
                  after => %(after)s, reason => 'fleet books rebuild', kit_id => %(kit_id)s);

-- name: event
-- What the caller does not see is not there to be corrected.
SELECT event_id, occurred_at, what, kit_id, component_id, removed_id, to_state, location_id, placement_id,
       organisation_id, owner_id, corrects, CASE WHEN corrects IS NOT NULL THEN after END AS after, batch
FROM book_events WHERE event_id = %(event_id)s;

-- name: together
-- What was entered in one go: of the kit and of what was ever in it. One import enters much more under one mark.
WITH concerned AS (
    SELECT %(kit_id)s::integer AS kit_id
    UNION SELECT kit_id FROM kit_components WHERE component_id = ANY(%(component_ids)s::bigint[])
), pieces AS (
    SELECT component_id FROM kit_components WHERE kit_id IN (SELECT kit_id FROM concerned)
    UNION SELECT unnest(%(component_ids)s::bigint[])
)
SELECT event_id, occurred_at, what, kit_id, component_id, removed_id, to_state, location_id, placement_id,
       organisation_id, owner_id, corrects, CASE WHEN corrects IS NOT NULL THEN after END AS after, batch
FROM book_events
WHERE batch = %(batch)s AND what <> 'opening' AND what <> 'edit'
  AND event_id IN (
    SELECT event_id FROM book_events WHERE kit_id IN (SELECT kit_id FROM concerned)
    UNION SELECT event_id FROM book_events WHERE component_id IN (SELECT component_id FROM pieces)
    UNION SELECT event_id FROM book_events WHERE removed_id IN (SELECT component_id FROM pieces))
ORDER BY event_id
LIMIT 1000;

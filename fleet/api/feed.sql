-- name: horizon
-- Every transaction below it has ended: what it wrote is visible and nothing older can still appear.
SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS tx;

-- name: after
SELECT tx::text AS tx, event_id, at, type, kit, body, organisation_id, owner_id
FROM events
WHERE (tx, event_id) > (%(tx)s::text::xid8, %(event_id)s)
  AND tx < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY tx, event_id
LIMIT %(limit)s;

-- name: has_before
-- Nothing at or before a position means that rows after it may have been cleaned away as well.
SELECT EXISTS (SELECT FROM events WHERE (tx, event_id) <= (%(tx)s::text::xid8, %(event_id)s)) AS found;

-- name: list
SELECT r.reservation_id, o.slug AS organisation, r.model_id, coalesce(m.kind, cm.kind) AS kind,
       coalesce(m.manufacturer, cm.manufacturer) AS manufacturer, coalesce(m.name, cm.name) AS model, p.slug AS location,
       r.quantity, r.component_id, c.serial, k.kit, r.placement_id, r.visit, lower(r.during) AS reserved_from,
       upper(r.during) - 1 AS reserved_until,
       CASE WHEN r.state = 'active' AND r.during << daterange(current_date, NULL) THEN 'expired' ELSE r.state END AS state,
       r.ended_at, r.ended_reason, r.actor, r.revision, r.created_at
FROM reservations r
LEFT JOIN organisations o ON o.organisation_id = r.organisation_id
LEFT JOIN models m ON m.model_id = r.model_id
LEFT JOIN locations p ON p.location_id = r.location_id
LEFT JOIN components c ON c.component_id = r.component_id
LEFT JOIN models cm ON cm.model_id = c.model_id
LEFT JOIN kits k ON k.kit_id = r.kit_id
WHERE r.reservation_id > %(after)s
  AND (%(id)s::bigint IS NULL OR r.reservation_id = %(id)s)
  AND (%(state)s::text IS NULL
       OR CASE %(state)s WHEN 'expired' THEN r.state = 'active' AND r.during << daterange(current_date, NULL)
                         WHEN 'active' THEN r.state = 'active' AND NOT r.during << daterange(current_date, NULL)
                         ELSE r.state = %(state)s END)
  AND (%(organisation)s::text IS NULL
       OR r.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
  AND (%(model_id)s::integer IS NULL OR r.model_id = %(model_id)s OR c.model_id = %(model_id)s)
  AND (%(location)s::text IS NULL OR r.location_id = (SELECT location_id FROM locations WHERE slug = %(location)s))
  AND (%(component_id)s::bigint IS NULL OR r.component_id = %(component_id)s)
  AND (%(kit)s::text IS NULL OR r.kit_id = (SELECT kit_id FROM kits WHERE kit = %(kit)s))
  AND (%(placement_id)s::bigint IS NULL OR r.placement_id = %(placement_id)s)
  AND (%(visit)s::text IS NULL OR r.visit = %(visit)s)
ORDER BY r.reservation_id
LIMIT %(limit)s;

-- name: turn
-- Whoever reserves of a model at a place waits for the others who do, so that nobody counts what another takes.
SELECT pg_advisory_xact_lock(hashtextextended('reservation ' || %(model_id)s::integer || ' ' || %(location_id)s::integer, 0));

-- name: piece
SELECT c.component_id, c.serial AS name, c.state, c.organisation_id, c.owner_id FROM components c
WHERE c.component_id = %(component_id)s;

-- name: kit
SELECT kit_id, kit AS name, state, organisation_id, owner_id FROM kits WHERE kit = %(kit)s;

-- name: placement
SELECT organisation_id, state FROM placements WHERE placement_id = %(placement_id)s;

-- name: add
INSERT INTO reservations (organisation_id, model_id, location_id, quantity, component_id, kit_id, placement_id, visit,
                          during, actor)
VALUES (%(organisation_id)s, %(model_id)s, %(location_id)s, %(quantity)s, %(component_id)s, %(kit_id)s,
        %(placement_id)s, %(visit)s, daterange(coalesce(%(reserved_from)s, current_date), %(reserved_until)s, '[]'),
        %(actor)s)
RETURNING reservation_id;

-- name: lock
SELECT reservation_id, state, revision FROM reservations WHERE reservation_id = %(id)s FOR UPDATE;

-- name: edit
UPDATE reservations
SET during = daterange(%(reserved_from)s::date, %(reserved_until)s::date, '[]'), visit = %(visit)s,
    placement_id = %(placement_id)s, revision = revision + 1, updated_at = now()
WHERE reservation_id = %(id)s;

-- name: end
UPDATE reservations
SET state = %(state)s, ended_at = now(), ended_reason = %(reason)s, revision = revision + 1, updated_at = now()
WHERE reservation_id = %(id)s;

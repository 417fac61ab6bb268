-- name: known_kit
SELECT kit_id FROM known_kits WHERE kit = %(kit)s;

-- name: known_component
SELECT component_id FROM known_components WHERE component_id = %(id)s;

-- name: of_kit
SELECT e.event_id, e.occurred_at, e.recorded_at, e.what, k.kit, e.component_id, c.serial, cm.kind, e.removed_id,
       r.serial AS removed_serial, rm.kind AS removed_kind, e.from_state, e.to_state, e.location_id, e.placement_id,
       o.slug AS organisation, w.slug AS owner, e.before, e.after, e.actor, e.reason, e.backdated, e.override, e.batch,
       e.corrects
FROM book_events e
LEFT JOIN known_kits k ON k.kit_id = e.kit_id
LEFT JOIN known_components c ON c.component_id = e.component_id
LEFT JOIN models cm ON cm.model_id = c.model_id
LEFT JOIN known_components r ON r.component_id = e.removed_id
LEFT JOIN models rm ON rm.model_id = r.model_id
LEFT JOIN organisations o ON o.organisation_id = e.organisation_id
LEFT JOIN organisations w ON w.organisation_id = e.owner_id
WHERE e.kit_id = %(subject)s AND e.event_id < %(before)s
ORDER BY e.event_id DESC LIMIT %(limit)s;

-- name: of_component
SELECT e.event_id, e.occurred_at, e.recorded_at, e.what, k.kit, e.component_id, c.serial, cm.kind, e.removed_id,
       r.serial AS removed_serial, rm.kind AS removed_kind, e.from_state, e.to_state, e.location_id, e.placement_id,
       o.slug AS organisation, w.slug AS owner, e.before, e.after, e.actor, e.reason, e.backdated, e.override, e.batch,
       e.corrects
FROM book_events e
LEFT JOIN known_kits k ON k.kit_id = e.kit_id
LEFT JOIN known_components c ON c.component_id = e.component_id
LEFT JOIN models cm ON cm.model_id = c.model_id
LEFT JOIN known_components r ON r.component_id = e.removed_id
LEFT JOIN models rm ON rm.model_id = r.model_id
LEFT JOIN organisations o ON o.organisation_id = e.organisation_id
LEFT JOIN organisations w ON w.organisation_id = e.owner_id
WHERE (e.component_id = %(subject)s OR e.removed_id = %(subject)s) AND e.event_id < %(before)s
ORDER BY e.event_id DESC LIMIT %(limit)s;

-- name: corrections_of_kit
SELECT event_id, occurred_at, what, kit_id, component_id, removed_id, corrects, after
FROM book_events WHERE kit_id = %(subject)s AND corrects IS NOT NULL;

-- name: corrections_of_component
SELECT event_id, occurred_at, what, kit_id, component_id, removed_id, corrects, after
FROM book_events WHERE (component_id = %(subject)s OR removed_id = %(subject)s) AND corrects IS NOT NULL;

-- name: locations
SELECT location_id, slug, name FROM locations WHERE location_id = ANY(%(ids)s);

-- name: kits
SELECT kit_id, kit FROM known_kits WHERE kit_id = ANY(%(ids)s);

-- name: organisations
SELECT organisation_id, slug FROM organisations WHERE organisation_id = ANY(%(ids)s);

-- name: told
SELECT event_id, actor, reason FROM book_events WHERE event_id = ANY(%(ids)s);

-- name: list
SELECT p.placement_id, k.kit, p.kit_id, p.reference_id, o.slug AS organisation, p.organisation_id, p.programme, p.state,
       p.planned_from, p.planned_until, lower(p.during) AS begun, upper(p.during) AS ended, p.ended_reason,
       r.erased_at IS NOT NULL AS erased, p.revision, p.created_at
FROM placements p
JOIN organisations o USING (organisation_id)
JOIN placement_references r USING (reference_id)
LEFT JOIN known_kits k ON k.kit_id = p.kit_id
WHERE p.placement_id > %(after)s
  AND (%(kit)s::text IS NULL OR p.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
  AND (%(organisation)s::text IS NULL
       OR p.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
  AND (%(programme)s::text IS NULL OR p.programme = %(programme)s)
  AND (%(state)s::text IS NULL OR p.state = %(state)s)
  AND (%(reference_id)s::bigint IS NULL OR p.reference_id = %(reference_id)s)
  AND (%(at)s::timestamptz IS NULL OR p.during @> %(at)s::timestamptz)
ORDER BY p.placement_id
LIMIT %(limit)s;

-- name: find
SELECT p.placement_id, k.kit, p.kit_id, p.reference_id, o.slug AS organisation, p.organisation_id, p.programme, p.state,
       p.planned_from, p.planned_until, lower(p.during) AS begun, upper(p.during) AS ended, p.ended_reason,
       r.erased_at IS NOT NULL AS erased, p.revision, p.created_at
FROM placements p
JOIN organisations o USING (organisation_id)
JOIN placement_references r USING (reference_id)
LEFT JOIN known_kits k ON k.kit_id = p.kit_id
WHERE p.placement_id = %(id)s;

-- name: lock
SELECT p.placement_id, k.kit, p.kit_id, p.reference_id, o.slug AS organisation, p.organisation_id, p.programme, p.state,
       p.planned_from, p.planned_until, lower(p.during) AS begun, upper(p.during) AS ended, p.ended_reason,
       r.erased_at IS NOT NULL AS erased, p.revision, p.created_at
FROM placements p
JOIN organisations o USING (organisation_id)
JOIN placement_references r USING (reference_id)
LEFT JOIN known_kits k ON k.kit_id = p.kit_id
WHERE p.placement_id = %(id)s
FOR UPDATE OF p;

-- name: reveal
-- One line of the audit per reference that is shown.
SELECT r.reference_id, r.reference,
       note_audit('placement.read', 'placement_reference', r.reference_id::text, r.organisation_id, NULL, NULL, %(why)s)
FROM placement_references r
WHERE r.reference_id = ANY (%(ids)s::bigint[]);

-- name: reveal_placement
SELECT r.reference,
       note_audit('placement.read', 'placement_reference', r.reference_id::text, r.organisation_id, NULL, NULL, %(why)s)
FROM placements p JOIN placement_references r USING (reference_id)
WHERE p.placement_id = %(id)s AND r.reference IS NOT NULL;

-- name: look_up
SELECT r.reference_id,
       note_audit('placement.read', 'placement_reference', r.reference_id::text, r.organisation_id, NULL, NULL, 'look-up')
FROM placement_references r
WHERE r.reference = %(reference)s
ORDER BY r.reference_id
LIMIT 100;

-- name: known
-- Held until the placement is planned, so that it is not erased in between.
SELECT reference_id FROM placement_references
WHERE organisation_id = %(organisation_id)s AND reference = %(reference)s
FOR KEY SHARE;

-- name: enter_reference
-- Somebody may have entered it since it was looked for.
INSERT INTO placement_references (organisation_id, reference) VALUES (%(organisation_id)s, %(reference)s)
ON CONFLICT (organisation_id, reference) DO UPDATE SET reference = excluded.reference
RETURNING reference_id;

-- name: kit_id
SELECT kit_id FROM kits WHERE kit = %(kit)s;

-- name: plan
INSERT INTO placements (kit_id, reference_id, organisation_id, programme, planned_from, planned_until)
VALUES (%(kit_id)s, %(reference_id)s, %(organisation_id)s, %(programme)s, %(planned_from)s, %(planned_until)s)
RETURNING placement_id;

-- name: change
UPDATE placements
SET kit_id = %(kit_id)s, programme = %(programme)s, planned_from = %(planned_from)s, planned_until = %(planned_until)s,
    revision = revision + 1, updated_at = now()
WHERE placement_id = %(id)s
RETURNING placement_id;

-- name: cancel
UPDATE placements SET state = 'cancelled', ended_reason = %(reason)s, revision = revision + 1, updated_at = now()
WHERE placement_id = %(id)s;

-- name: holdings_of_component
SELECT c.component_id, c.serial, k.kit, p.placement_id, p.reference_id, o.slug AS organisation, p.programme,
       lower(m.during * p.during) AS begun, upper(m.during * p.during) AS ended
FROM kit_components m
JOIN known_components c USING (component_id)
JOIN placements p ON p.kit_id = m.kit_id AND p.during && m.during
JOIN organisations o ON o.organisation_id = p.organisation_id
JOIN known_kits k ON k.kit_id = p.kit_id
WHERE m.component_id = %(component_id)s::bigint AND p.placement_id > %(after)s
ORDER BY p.placement_id
LIMIT %(limit)s;

-- name: recall
SELECT c.component_id, c.serial, k.kit, p.placement_id, p.reference_id, o.slug AS organisation, p.programme,
       lower(m.during * p.during) AS begun, upper(m.during * p.during) AS ended
FROM kit_components m
JOIN known_components c USING (component_id)
JOIN placements p ON p.kit_id = m.kit_id AND p.during && m.during
JOIN organisations o ON o.organisation_id = p.organisation_id
JOIN known_kits k ON k.kit_id = p.kit_id
WHERE c.model_id = %(model_id)s
  AND (%(serial_from)s::text IS NULL OR c.serial >= %(serial_from)s)
  AND (%(serial_to)s::text IS NULL OR c.serial <= %(serial_to)s)
  AND (c.component_id, p.placement_id) > (%(after_component)s, %(after_placement)s)
ORDER BY c.component_id, p.placement_id
LIMIT %(limit)s;

-- name: holdings_of_reference
SELECT c.component_id, c.serial, k.kit, p.placement_id, p.reference_id, o.slug AS organisation, p.programme,
       lower(m.during * p.during) AS begun, upper(m.during * p.during) AS ended
FROM kit_components m
JOIN known_components c USING (component_id)
JOIN placements p ON p.kit_id = m.kit_id AND p.during && m.during
JOIN organisations o ON o.organisation_id = p.organisation_id
JOIN known_kits k ON k.kit_id = p.kit_id
WHERE p.reference_id = %(reference_id)s
ORDER BY p.placement_id, c.component_id
LIMIT 1000;

-- name: lock_reference
SELECT r.erased_at,
       EXISTS (SELECT FROM placements p WHERE p.reference_id = r.reference_id AND p.state = 'active') AS active
FROM placement_references r
WHERE r.reference_id = %(id)s
FOR UPDATE OF r;

-- name: erase
WITH gone AS (
    UPDATE placement_references SET reference = NULL, erased_at = now()
    WHERE reference_id = %(id)s AND erased_at IS NULL
    RETURNING reference_id, organisation_id
), planned AS (
    UPDATE placements SET state = 'cancelled', ended_reason = 'reference erased', revision = revision + 1, updated_at = now()
    WHERE reference_id = %(id)s AND state = 'planned'
)
SELECT note_audit('placement.erased', 'placement_reference', reference_id::text, organisation_id, NULL, NULL, %(reason)s)
FROM gone;

-- name: forget_texts
SELECT forget_placement_texts(ARRAY[%(id)s::bigint], %(reason)s);

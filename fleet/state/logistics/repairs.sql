-- name: list
SELECT r.repair_id, r.component_id, m.kind AS component_kind, m.manufacturer, m.name AS model, r.serial, c.state,
       o.slug AS organisation, r.kind, r.fault, w.slug AS workshop, r.workshop_reference, r.warranty_claim,
       c.warranty_until, r.expected_on, r.cost, r.currency, r.note, r.opened_at, r.opened_by, r.closed_at, r.closed_by,
       r.outcome, r.revision
FROM repairs r
JOIN models m USING (model_id)
LEFT JOIN components c ON c.component_id = r.component_id
LEFT JOIN organisations o ON o.organisation_id = r.organisation_id
LEFT JOIN organisations w ON w.organisation_id = r.workshop_id
WHERE r.repair_id > %(after)s
  AND (%(id)s::bigint IS NULL OR r.repair_id = %(id)s)
  AND (%(component_id)s::bigint IS NULL OR r.component_id = %(component_id)s)
  AND (%(kind)s::text IS NULL OR r.kind = %(kind)s)
  AND (%(open)s::boolean IS NULL OR (r.closed_at IS NULL) = %(open)s)
  AND (%(organisation)s::text IS NULL
       OR r.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
  AND (%(workshop)s::text IS NULL OR r.workshop_id = (SELECT organisation_id FROM organisations WHERE slug = %(workshop)s))
  AND (%(overdue)s::boolean IS NULL
       OR (r.closed_at IS NULL AND coalesce(r.expected_on < current_date, false)) = %(overdue)s)
ORDER BY r.repair_id
LIMIT %(limit)s;

-- name: lock
SELECT repair_id, component_id, kind, opened_at, closed_at, revision FROM repairs WHERE repair_id = %(id)s FOR UPDATE;

-- name: open
INSERT INTO repairs (component_id, model_id, serial, organisation_id, owner_id, kind, fault, workshop_id, workshop_reference,
                     warranty_claim, expected_on, note, opened_at, opened_by)
VALUES (%(component_id)s, %(model_id)s, %(serial)s, %(organisation_id)s, %(owner_id)s, %(kind)s, %(fault)s, %(workshop_id)s,
        %(workshop_reference)s, %(warranty_claim)s, %(expected_on)s, %(note)s, %(opened_at)s, %(actor)s)
RETURNING repair_id;

-- name: edit
UPDATE repairs
SET fault = %(fault)s, workshop_id = %(workshop_id)s, workshop_reference = %(workshop_reference)s,
    warranty_claim = %(warranty_claim)s, expected_on = %(expected_on)s, cost = %(cost)s, currency = %(currency)s,
    note = %(note)s, revision = revision + 1, updated_at = now()
WHERE repair_id = %(id)s;

-- name: close
UPDATE repairs
SET closed_at = %(closed_at)s, closed_by = %(actor)s, outcome = %(outcome)s, cost = coalesce(%(cost)s, cost),
    revision = revision + 1, updated_at = now()
WHERE repair_id = %(id)s;

-- name: cleaning
-- Pieces and kits to be cleaned, those that wait longest first.
SELECT w.* FROM (
    (SELECT 'component' AS subject, c.component_id::bigint AS id, m.kind, m.manufacturer, m.name AS model, c.serial,
            NULL::text AS kit, o.slug AS organisation, p.slug AS location, c.state_since AS since
     FROM components c
     JOIN models m USING (model_id)
     LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
     LEFT JOIN locations p USING (location_id)
     WHERE c.state = 'cleaning' AND (c.state_since, 'component'::text, c.component_id::bigint)
                                    > (%(since)s::timestamptz, %(subject)s::text, %(after)s::bigint)
       AND (%(location)s::text IS NULL OR c.location_id = (SELECT location_id FROM locations WHERE slug = %(location)s))
       AND (%(organisation)s::text IS NULL
            OR c.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
     ORDER BY c.state_since, c.component_id
     LIMIT %(limit)s)
    UNION ALL
    (SELECT 'kit', k.kit_id::bigint, NULL, NULL, NULL, NULL, k.kit, o.slug, p.slug, k.state_since
     FROM kits k
     LEFT JOIN organisations o ON o.organisation_id = k.organisation_id
     LEFT JOIN locations p USING (location_id)
     WHERE k.state = 'cleaning' AND (k.state_since, 'kit'::text, k.kit_id::bigint)
                                    > (%(since)s::timestamptz, %(subject)s::text, %(after)s::bigint)
       AND (%(location)s::text IS NULL OR k.location_id = (SELECT location_id FROM locations WHERE slug = %(location)s))
       AND (%(organisation)s::text IS NULL
            OR k.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
     ORDER BY k.state_since, k.kit_id
     LIMIT %(limit)s)
) w
ORDER BY w.since, w.subject, w.id
LIMIT %(limit)s;

-- name: calibration
-- Pieces whose calibration ends until then, the earliest first; those away for it are told with their record.
SELECT c.component_id, m.kind, m.manufacturer, m.name AS model, c.serial, c.state, o.slug AS organisation,
       p.slug AS location, k.kit, k.state AS kit_state, kp.slug AS kit_location, k.placement_id AS kit_placement_id,
       c.calibrated_on, c.calibration_due, r.repair_id
FROM components c
JOIN models m USING (model_id)
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
LEFT JOIN locations p ON p.location_id = c.location_id
LEFT JOIN kits k ON k.kit_id = c.kit_id
LEFT JOIN locations kp ON kp.location_id = k.location_id
LEFT JOIN repairs r ON r.component_id = c.component_id AND r.closed_at IS NULL
WHERE c.calibration_due IS NOT NULL AND c.state NOT IN ('ordered', 'scrapped', 'lost', 'returned')
  AND c.calibration_due <= current_date + %(within_days)s::integer
  AND (c.calibration_due, c.component_id) > (%(due)s::date, %(after)s::bigint)
  AND (%(kind)s::text IS NULL OR m.kind = %(kind)s)
  AND (%(location)s::text IS NULL OR p.slug = %(location)s OR kp.slug = %(location)s)
  AND (%(organisation)s::text IS NULL
       OR c.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
ORDER BY c.calibration_due, c.component_id
LIMIT %(limit)s;

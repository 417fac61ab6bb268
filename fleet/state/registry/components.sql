-- name: meant
-- What the reader sees, and the numbers of what a filter names: known when the list is planned, so that it is planned for
-- these very values.
SELECT sees_all() AS everything, seen_organisations() AS organisations,
       (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s) AS organisation_id,
       (SELECT organisation_id FROM organisations WHERE slug = %(owner)s) AS owner_id,
       (SELECT location_id FROM locations WHERE slug = %(location)s) AS location_id,
       (SELECT kit_id FROM kits WHERE kit = %(kit)s) AS kit_id,
       (SELECT array_agg(model_id) FROM models
        WHERE (%(kind)s::text IS NULL OR kind = %(kind)s) AND (%(model_id)s::integer IS NULL OR model_id = %(model_id)s)) AS models;

-- name: span
-- The next numbers, for filters that few pieces pass and for whoever sees everything. What the policy filters by is said
-- here once more, because the planner cannot look into a policy.
SELECT c.component_id
FROM components c
WHERE c.component_id > %(after)s
  AND (%(everything)s OR c.organisation_id = ANY (%(organisations)s::integer[]) OR c.owner_id = ANY (%(organisations)s))
  AND (%(serial)s::text IS NULL OR c.serial = %(serial)s)
  AND (%(tail)s::text IS NULL OR c.serial_tail = %(tail)s)
  AND (%(asset_tag)s::text IS NULL OR c.asset_tag = %(asset_tag)s)
  AND (%(imei)s::text IS NULL OR c.imei = %(imei)s)
  AND (%(iccid)s::text IS NULL OR c.iccid = %(iccid)s)
  AND (%(state)s::text IS NULL OR c.state = %(state)s)
  AND (%(organisation_id)s::integer IS NULL OR c.organisation_id = %(organisation_id)s)
  AND (%(owner_id)s::integer IS NULL OR c.owner_id = %(owner_id)s)
  AND (%(location_id)s::integer IS NULL OR c.location_id = %(location_id)s)
  AND (%(kit_id)s::integer IS NULL OR c.kit_id = %(kit_id)s)
  AND (%(calibration_due_before)s::date IS NULL OR c.calibration_due < %(calibration_due_before)s)
  AND (%(warranty_before)s::date IS NULL OR c.warranty_until < %(warranty_before)s)
  AND (%(lease_before)s::date IS NULL OR c.lease_until < %(lease_before)s)
  AND (%(models)s::integer[] IS NULL OR c.model_id = ANY (%(models)s))
ORDER BY c.component_id
LIMIT %(limit)s;

-- name: span_by_model
-- Model by model, each in its index: pieces of a model are often entered together, far from the beginning of the list. A
-- range instead of an equality, so that the planner does not walk the primary key in the hope of meeting one soon.
SELECT f.component_id
FROM unnest(%(models)s::integer[]) AS m(model_id)
CROSS JOIN LATERAL (
    SELECT c.component_id
    FROM components c
    WHERE (c.model_id, c.component_id) > (m.model_id, %(after)s) AND c.model_id <= m.model_id
      AND (%(state)s::text IS NULL OR c.state = %(state)s)
      AND (%(organisation_id)s::integer IS NULL OR c.organisation_id = %(organisation_id)s)
      AND (%(owner_id)s::integer IS NULL OR c.owner_id = %(owner_id)s)
    ORDER BY c.model_id, c.component_id
    LIMIT %(limit)s) f
ORDER BY f.component_id
LIMIT %(limit)s;

-- name: span_within
-- The same organisation by organisation, as whose it is and as who owns it.
SELECT f.component_id
FROM unnest(%(organisations)s::integer[]) AS seen(organisation_id)
CROSS JOIN LATERAL (
    (SELECT c.component_id
    FROM components c
    WHERE (c.organisation_id, c.component_id) > (seen.organisation_id, %(after)s)
      AND c.organisation_id <= seen.organisation_id
      AND (%(state)s::text IS NULL OR c.state = %(state)s)
      AND (%(organisation_id)s::integer IS NULL OR c.organisation_id = %(organisation_id)s)
      AND (%(owner_id)s::integer IS NULL OR c.owner_id = %(owner_id)s)
      AND (%(models)s::integer[] IS NULL OR c.model_id = ANY (%(models)s))
    ORDER BY c.organisation_id, c.component_id
    LIMIT %(limit)s)
    UNION ALL
    (SELECT c.component_id
    FROM components c
    WHERE (c.owner_id, c.component_id) > (seen.organisation_id, %(after)s) AND c.owner_id <= seen.organisation_id
      AND (%(state)s::text IS NULL OR c.state = %(state)s)
      AND (%(organisation_id)s::integer IS NULL OR c.organisation_id = %(organisation_id)s)
      AND (%(owner_id)s::integer IS NULL OR c.owner_id = %(owner_id)s)
      AND (%(models)s::integer[] IS NULL OR c.model_id = ANY (%(models)s))
    ORDER BY c.owner_id, c.component_id
    LIMIT %(limit)s)) f
GROUP BY f.component_id
ORDER BY f.component_id
LIMIT %(limit)s;

-- name: of_span
SELECT c.component_id, c.model_id, m.kind, m.manufacturer, m.name AS model, c.serial, c.asset_tag, c.state, c.state_since,
       o.slug AS organisation, w.slug AS owner, c.organisation_id, c.owner_id, l.slug AS location, k.kit,
       kl.slug AS kit_location, s.slug AS supplier, c.order_line_id, c.purchased_on, c.price, c.currency, c.warranty_until,
       e.slug AS lessor, c.lease_contract, c.lease_until, c.calibrated_on, c.calibration_due, c.calibrated_by,
       c.calibration_certificate, c.imei, c.iccid, c.bluetooth_address, c.system_id, c.firmware, c.note, c.revision,
       c.created_at, c.updated_at
FROM components c
JOIN models m USING (model_id)
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
LEFT JOIN organisations w ON w.organisation_id = c.owner_id
LEFT JOIN organisations s ON s.organisation_id = c.supplier_id
LEFT JOIN organisations e ON e.organisation_id = c.lessor_id
LEFT JOIN locations l ON l.location_id = c.location_id
LEFT JOIN kits k ON k.kit_id = c.kit_id
LEFT JOIN locations kl ON kl.location_id = k.location_id
WHERE c.component_id = ANY (%(ids)s::bigint[])
ORDER BY c.component_id;

-- name: find
SELECT c.component_id, c.model_id, m.kind, m.manufacturer, m.name AS model, c.serial, c.asset_tag, c.state, c.state_since,
       o.slug AS organisation, w.slug AS owner, c.organisation_id, c.owner_id, l.slug AS location, k.kit,
       kl.slug AS kit_location, s.slug AS supplier, c.order_line_id, c.purchased_on, c.price, c.currency, c.warranty_until,
       e.slug AS lessor, c.lease_contract, c.lease_until, c.calibrated_on, c.calibration_due, c.calibrated_by,
       c.calibration_certificate, c.imei, c.iccid, c.bluetooth_address, c.system_id, c.firmware, c.note, c.revision,
       c.created_at, c.updated_at
FROM components c
JOIN models m USING (model_id)
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
LEFT JOIN organisations w ON w.organisation_id = c.owner_id
LEFT JOIN organisations s ON s.organisation_id = c.supplier_id
LEFT JOIN organisations e ON e.organisation_id = c.lessor_id
LEFT JOIN locations l ON l.location_id = c.location_id
LEFT JOIN kits k ON k.kit_id = c.kit_id
LEFT JOIN locations kl ON kl.location_id = k.location_id
WHERE c.component_id = %(id)s;

-- name: lock
SELECT c.component_id, c.model_id, m.kind, m.manufacturer, m.name AS model, c.serial, c.asset_tag, c.state, c.state_since,
       o.slug AS organisation, w.slug AS owner, c.organisation_id, c.owner_id, l.slug AS location, k.kit,
       kl.slug AS kit_location, s.slug AS supplier, c.order_line_id, c.purchased_on, c.price, c.currency, c.warranty_until,
       e.slug AS lessor, c.lease_contract, c.lease_until, c.calibrated_on, c.calibration_due, c.calibrated_by,
       c.calibration_certificate, c.imei, c.iccid, c.bluetooth_address, c.system_id, c.firmware, c.note, c.revision,
       c.created_at, c.updated_at
FROM components c
JOIN models m USING (model_id)
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
LEFT JOIN organisations w ON w.organisation_id = c.owner_id
LEFT JOIN organisations s ON s.organisation_id = c.supplier_id
LEFT JOIN organisations e ON e.organisation_id = c.lessor_id
LEFT JOIN locations l ON l.location_id = c.location_id
LEFT JOIN kits k ON k.kit_id = c.kit_id
LEFT JOIN locations kl ON kl.location_id = k.location_id
WHERE c.component_id = %(id)s
FOR UPDATE OF c;

-- name: bundle
SELECT c.component_id, c.model_id, m.kind, m.manufacturer, m.name AS model, c.serial, c.asset_tag, c.state, c.state_since,
       o.slug AS organisation, w.slug AS owner, c.organisation_id, c.owner_id, l.slug AS location, k.kit,
       kl.slug AS kit_location, s.slug AS supplier, c.order_line_id, c.purchased_on, c.price, c.currency, c.warranty_until,
       e.slug AS lessor, c.lease_contract, c.lease_until, c.calibrated_on, c.calibration_due, c.calibrated_by,
       c.calibration_certificate, c.imei, c.iccid, c.bluetooth_address, c.system_id, c.firmware, c.note, c.revision,
       c.created_at, c.updated_at
FROM components c
JOIN models m USING (model_id)
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
LEFT JOIN organisations w ON w.organisation_id = c.owner_id
LEFT JOIN organisations s ON s.organisation_id = c.supplier_id
LEFT JOIN organisations e ON e.organisation_id = c.lessor_id
LEFT JOIN locations l ON l.location_id = c.location_id
LEFT JOIN kits k ON k.kit_id = c.kit_id
LEFT JOIN locations kl ON kl.location_id = k.location_id
WHERE c.kit_id = %(kit_id)s
ORDER BY m.kind, c.component_id;

-- name: add
-- The piece and its opening event in one statement.
WITH made AS (
    INSERT INTO components (model_id, serial, asset_tag, state, organisation_id, owner_id, location_id, supplier_id,
                            order_line_id, purchased_on, price, currency, warranty_until, lessor_id, lease_contract,
                            lease_until, calibrated_on, calibration_due, calibrated_by, calibration_certificate, imei,
                            iccid, bluetooth_address, system_id, firmware, note)
    VALUES (%(model_id)s, %(serial)s, %(asset_tag)s, %(state)s, %(organisation_id)s, %(owner_id)s, %(location_id)s,
            %(supplier_id)s, %(order_line_id)s, %(purchased_on)s, %(price)s, %(currency)s, %(warranty_until)s,
            %(lessor_id)s, %(lease_contract)s, %(lease_until)s, %(calibrated_on)s, %(calibration_due)s,
            %(calibrated_by)s, %(calibration_certificate)s, %(imei)s, %(iccid)s, %(bluetooth_address)s, %(system_id)s,
            %(firmware)s, %(note)s)
    RETURNING component_id, state, location_id, organisation_id, owner_id, state_since
), logged AS (
    INSERT INTO book_events (occurred_at, what, component_id, to_state, location_id, organisation_id, owner_id, actor)
    SELECT state_since, 'opening', component_id, state, location_id, organisation_id, owner_id, %(actor)s FROM made
)
SELECT component_id FROM made;

-- name: open_stays
-- A statement of its own: the policy of stays asks for the piece, which must be visible by then.
INSERT INTO stays (component_id, location_id, during)
SELECT component_id, location_id, tstzrange(state_since, NULL) FROM components
WHERE component_id = ANY (%(ids)s::bigint[]) AND location_id IS NOT NULL;

-- name: edit
UPDATE components
SET asset_tag = %(asset_tag)s, supplier_id = %(supplier_id)s, purchased_on = %(purchased_on)s, price = %(price)s,
    currency = %(currency)s, warranty_until = %(warranty_until)s, lessor_id = %(lessor_id)s,
    lease_contract = %(lease_contract)s, lease_until = %(lease_until)s, imei = %(imei)s, iccid = %(iccid)s,
    bluetooth_address = %(bluetooth_address)s, system_id = %(system_id)s, firmware = %(firmware)s, note = %(note)s,
    revision = revision + 1, updated_at = now()
WHERE component_id = %(id)s;

-- name: calibrated
UPDATE components
SET calibrated_on = %(calibrated_on)s, calibration_due = %(due)s, calibrated_by = %(calibrated_by)s,
    calibration_certificate = %(calibration_certificate)s, revision = revision + 1, updated_at = now()
WHERE component_id = %(id)s;

-- name: log
INSERT INTO book_events (what, component_id, organisation_id, owner_id, before, after, actor, reason)
SELECT 'edit', component_id, organisation_id, owner_id, %(before)s, %(after)s, %(actor)s, %(reason)s
FROM components WHERE component_id = %(id)s;

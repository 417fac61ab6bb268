-- name: note
SELECT note_audit(%(action)s, 'export', %(kind)s, (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s));

-- name: organisations
SELECT o.slug, o.name, o.kind, p.slug AS parent, o.active, o.created_at
FROM organisations o LEFT JOIN organisations p ON p.organisation_id = o.parent_id
ORDER BY o.slug;

-- name: locations
SELECT l.slug, l.name, l.kind, o.slug AS organisation, l.active, l.created_at
FROM locations l LEFT JOIN organisations o USING (organisation_id)
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY l.slug;

-- name: models
SELECT manufacturer, name, kind, calibration_interval_days, firmware_source, expected_firmware, price, currency, photo_url,
       active
FROM models
ORDER BY model_id;

-- name: kit_types
SELECT t.kit_type, t.name_en, t.name_da, t.programme, t.calibration_margin_days,
       (SELECT coalesce(jsonb_object_agg(c.kind, c.quantity), '{}') FROM kit_type_contents c
        WHERE c.kit_type_id = t.kit_type_id) AS contents,
       t.active
FROM kit_types t
ORDER BY t.kit_type;

-- name: components
SELECT m.manufacturer, m.name AS model, c.serial, c.asset_tag, c.state, c.state_since AS since, k.kit, l.slug AS location,
       o.slug AS organisation, w.slug AS owner, s.slug AS supplier, c.order_line_id, c.purchased_on, c.price, c.currency,
       c.warranty_until, e.slug AS lessor, c.lease_contract, c.lease_until, c.calibrated_on, c.calibration_due,
       c.calibrated_by, c.calibration_certificate, c.imei, c.iccid, c.bluetooth_address, c.system_id, c.firmware, c.note
FROM components c
JOIN models m USING (model_id)
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
LEFT JOIN organisations w ON w.organisation_id = c.owner_id
LEFT JOIN organisations s ON s.organisation_id = c.supplier_id
LEFT JOIN organisations e ON e.organisation_id = c.lessor_id
LEFT JOIN locations l ON l.location_id = c.location_id
LEFT JOIN kits k ON k.kit_id = c.kit_id
WHERE %(organisation)s::text IS NULL
   OR c.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s)
ORDER BY c.component_id;

-- name: kits
SELECT k.kit, k.label, k.state, o.slug AS organisation, k.kit_type, k.expected_interval_s, k.tolerance,
       k.wanted_components, w.slug AS owner, l.slug AS location, k.state_since AS since
FROM kits k
LEFT JOIN organisations o ON o.organisation_id = k.organisation_id
LEFT JOIN organisations w ON w.organisation_id = k.owner_id
LEFT JOIN locations l ON l.location_id = k.location_id
WHERE %(organisation)s::text IS NULL
   OR k.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s)
ORDER BY k.kit;

-- name: placements
-- What is over has its end; such lines an import does not take.
SELECT r.reference, o.slug AS organisation, k.kit, p.state, p.programme, lower(p.during) AS begun, p.planned_from,
       p.planned_until
FROM placements p
JOIN organisations o USING (organisation_id)
JOIN placement_references r USING (reference_id)
LEFT JOIN known_kits k ON k.kit_id = p.kit_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY p.placement_id;

-- name: book_events
SELECT b.event_id, b.recorded_at, b.occurred_at, b.what, k.kit, b.component_id, c.serial, b.removed_id,
       r.serial AS removed_serial, b.from_state, b.to_state, l.slug AS location, b.placement_id, o.slug AS organisation,
       w.slug AS owner, b.before, b.after, b.corrects, b.backdated, b.override, b.batch, b.actor, b.reason
FROM book_events b
LEFT JOIN known_kits k ON k.kit_id = b.kit_id
LEFT JOIN known_components c ON c.component_id = b.component_id
LEFT JOIN known_components r ON r.component_id = b.removed_id
LEFT JOIN locations l ON l.location_id = b.location_id
LEFT JOIN organisations o ON o.organisation_id = b.organisation_id
LEFT JOIN organisations w ON w.organisation_id = b.owner_id
WHERE %(organisation)s::text IS NULL
   OR b.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s)
ORDER BY b.event_id;

-- name: stays
SELECT k.kit, y.component_id, c.serial, l.slug AS location, y.placement_id, lower(y.during) AS begun, upper(y.during) AS ended
FROM stays y
LEFT JOIN known_kits k ON k.kit_id = y.kit_id
LEFT JOIN known_components c ON c.component_id = y.component_id
LEFT JOIN locations l ON l.location_id = y.location_id
WHERE %(organisation)s::text IS NULL
   OR EXISTS (SELECT FROM custodies t JOIN organisations o USING (organisation_id)
              WHERE t.kit_id = y.kit_id AND t.during && y.during AND o.slug = %(organisation)s)
   OR EXISTS (SELECT FROM components t JOIN organisations o USING (organisation_id)
              WHERE t.component_id = y.component_id AND o.slug = %(organisation)s)
ORDER BY y.stay_id;

-- name: kit_known
SELECT true FROM known_kits WHERE kit = %(kit)s;

-- name: latest_states
SELECT kit, organisation, state, last_heard_at, boot, seq, time, received_at, battery, charging, signal_dbm, network, operator,
       storage_free_mb, uptime_s, clock_offset_s, online, connection_at, software, software_at, peripherals, peripherals_at
FROM kit_facts
WHERE %(organisation)s::text IS NULL OR organisation = %(organisation)s
ORDER BY kit;

-- name: heartbeats
SELECT k.kit, h.time, h.received_at, h.boot, h.seq, h.battery, h.charging, h.signal_dbm, h.network, h.operator,
       h.storage_free_mb, h.uptime_s, h.clock_offset_s
FROM known_kits k JOIN seen_heartbeats h USING (kit_id)
WHERE k.kit = %(kit)s AND h.time >= %(start)s AND h.time < %(end)s
ORDER BY h.time, h.boot, h.seq;

-- name: quarantine
SELECT quarantine_id, received_at, topic, reason, detail, size_bytes, redacted_at FROM quarantine ORDER BY quarantine_id;

-- name: quarantine_payloads
SELECT quarantine_id, received_at, topic, reason, detail, size_bytes, redacted_at,
       translate(encode(payload, 'base64'), E'\n', '') AS payload_base64
FROM quarantine
ORDER BY quarantine_id;

-- name: users
-- Nothing that opens a door: no hash, no secret, no session.
SELECT u.username, o.slug AS organisation, u.disabled_at IS NOT NULL AS disabled, u.oidc_issuer IS NOT NULL AS single_sign_on,
       u.totp_confirmed_at IS NOT NULL AS second_factor, u.must_change_password, u.last_login_at, u.created_at, u.created_by,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('role', r.role, 'organisation', p.slug) ORDER BY r.role, p.slug), '[]')
        FROM user_roles r LEFT JOIN organisations p ON p.organisation_id = r.organisation_id
        WHERE r.user_id = u.user_id) AS roles
FROM users u LEFT JOIN organisations o ON o.organisation_id = u.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY u.user_id;

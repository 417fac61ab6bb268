-- name: orders
SELECT d.order_id, d.reference, o.slug AS organisation, s.slug AS supplier, d.supplier_reference, d.ordered_on, d.state,
       d.ended_at, d.cancelled_reason, n.order_line_id, m.manufacturer, m.name AS model, n.quantity, n.received, n.price,
       d.currency, n.warranty_months, n.expected_on, l.slug AS location, n.cancelled_at, d.note
FROM orders d
JOIN order_lines n USING (order_id)
JOIN models m USING (model_id)
JOIN organisations s ON s.organisation_id = d.supplier_id
LEFT JOIN organisations o ON o.organisation_id = d.organisation_id
LEFT JOIN locations l ON l.location_id = n.location_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY d.order_id, n.order_line_id;

-- name: repairs
SELECT r.repair_id, r.component_id, m.manufacturer, m.name AS model, r.serial, o.slug AS organisation, w.slug AS owner, r.kind,
       r.fault, p.slug AS workshop, r.workshop_reference, r.warranty_claim, r.expected_on, r.cost, r.currency, r.opened_at,
       r.closed_at, r.outcome, r.note
FROM repairs r
JOIN models m USING (model_id)
LEFT JOIN organisations o ON o.organisation_id = r.organisation_id
LEFT JOIN organisations w ON w.organisation_id = r.owner_id
LEFT JOIN organisations p ON p.organisation_id = r.workshop_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY r.repair_id;

-- name: findings
SELECT f.finding_id, f.kind, k.kit, c.serial, m.manufacturer, m.name AS model, l.slug AS location, o.slug AS organisation,
       f.severity, f.state, f.opened_at, f.last_seen_at, f.cleared_at, f.evidence, f.acknowledged_at, f.dismissed_at,
       f.dismissed_reason, f.dismissed_until
FROM findings f
LEFT JOIN known_kits k ON k.kit_id = f.kit_id
LEFT JOIN known_components c ON c.component_id = f.component_id
LEFT JOIN models m ON m.model_id = coalesce(f.model_id, c.model_id)
LEFT JOIN locations l ON l.location_id = f.location_id
LEFT JOIN organisations o ON o.organisation_id = f.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY f.finding_id;

-- name: billable_events
SELECT b.entry_id, b.recorded_at, b.kind, o.slug AS organisation, b.programme, k.kit, b.placement_id, b.quantity,
       b.occurred_at, b.day, b.until_day, b.source_event_id, b.counter_of
FROM billable_events b
JOIN organisations o USING (organisation_id)
LEFT JOIN known_kits k ON k.kit_id = b.kit_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY b.entry_id;

-- name: alerts
SELECT a.alert_id, a.rule, k.kit, o.slug AS organisation, a.severity, a.state, a.acknowledged, a.opened_at, a.cleared_at,
       a.resolution, a.suppressed_by, a.evidence
FROM alerts a
LEFT JOIN known_kits k ON k.kit_id = a.kit_id
LEFT JOIN organisations o ON o.organisation_id = a.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY a.alert_id;

-- name: service_requests
SELECT r.number, k.kit, r.incident_id, o.slug AS organisation, r.cause, r.line, r.priority, r.state, r.opened_at, r.due_at,
       r.resolved_at, r.resolution
FROM service_requests r
LEFT JOIN known_kits k ON k.kit_id = r.kit_id
LEFT JOIN organisations o ON o.organisation_id = r.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY r.request_id;

-- name: receipts
SELECT r.receipt_id, r.order_id, r.order_line_id, m.manufacturer, m.name AS model, o.slug AS organisation, l.slug AS location,
       cardinality(r.component_ids) AS pieces, r.received_at, r.delivery_note, r.recorded_at, r.actor
FROM receipts r
JOIN order_lines n USING (order_line_id)
JOIN models m USING (model_id)
JOIN locations l ON l.location_id = r.location_id
LEFT JOIN organisations o ON o.organisation_id = r.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY r.receipt_id;

-- name: stock_minimums
SELECT s.minimum_id, o.slug AS organisation, m.manufacturer, m.name AS model, l.slug AS location, s.minimum, s.target
FROM stock_minimums s
JOIN models m USING (model_id)
JOIN locations l USING (location_id)
LEFT JOIN organisations o ON o.organisation_id = s.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY s.minimum_id;

-- name: reservations
SELECT r.reservation_id, o.slug AS organisation, m.manufacturer, m.name AS model, l.slug AS location, r.quantity, c.serial,
       k.kit, r.placement_id, r.visit, lower(r.during) AS starts_on, upper(r.during) - 1 AS ends_on, r.state, r.ended_at,
       r.ended_reason, r.actor, r.created_at
FROM reservations r
LEFT JOIN models m USING (model_id)
LEFT JOIN locations l ON l.location_id = r.location_id
LEFT JOIN known_components c ON c.component_id = r.component_id
LEFT JOIN known_kits k ON k.kit_id = r.kit_id
LEFT JOIN organisations o ON o.organisation_id = r.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY r.reservation_id;

-- name: stocktakes
SELECT t.stocktake_id, o.slug AS organisation, l.slug AS place, t.state AS stocktake_state, t.opened_at, t.opened_by,
       t.ended_at, t.ended_by, r.finding, r.name, m.manufacturer, m.name AS model, r.state, r.location, r.in_kit, r.resolution,
       r.reason
FROM stocktakes t
JOIN locations l USING (location_id)
LEFT JOIN stocktake_results r USING (stocktake_id)
LEFT JOIN models m USING (model_id)
LEFT JOIN organisations o ON o.organisation_id = t.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY t.stocktake_id, r.item;

-- name: commands
SELECT c.command_id, k.kit, o.slug AS organisation, c.name, c.arguments, c.requested_by, c.requested_at, c.expires_at,
       c.state, c.attempts, c.sent_at, c.replied_at, c.reply_status, c.result
FROM commands c
LEFT JOIN known_kits k ON k.kit_id = c.kit_id
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY c.requested_at, c.command_id;

-- name: incidents
SELECT i.incident_id, i.rule, i.state, i.cohort_kind, i.cohort_value, i.opened_at, i.cleared_at, i.installed_kits, k.kit,
       o.slug AS organisation, m.joined_at, m.left_at
FROM incidents i
LEFT JOIN incident_members m USING (incident_id)
LEFT JOIN known_kits k ON k.kit_id = m.kit_id
LEFT JOIN organisations o ON o.organisation_id = m.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY i.incident_id, m.kit_id;

-- name: agreements
SELECT a.agreement_id, p.slug AS operator, o.slug AS organisation, a.valid_from, a.valid_until, a.note
FROM agreements a
JOIN organisations p ON p.organisation_id = a.operator_id
JOIN organisations o ON o.organisation_id = a.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY a.agreement_id;

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
       a.resolution, a.suppressed_by, a.evidence, a.subject, a.flapping, a.acknowledged_at, a.acknowledged_by,
       a.acknowledgement
FROM alerts a
LEFT JOIN known_kits k ON k.kit_id = a.kit_id
LEFT JOIN organisations o ON o.organisation_id = a.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY a.alert_id;

-- name: service_requests
SELECT r.number, k.kit, r.incident_id, o.slug AS organisation, r.cause, r.line, r.priority, r.state, r.opened_at, r.due_at,
       r.resolved_at, r.resolution, r.subject, r.opened_by, r.description, r.waiting_for, r.assignee, c.slug AS contract,
       r.response_due_at, r.update_due_at, r.responded_at, r.sla_state, r.sla_breaches, r.found_cause, r.remedy, r.resolved_by,
       r.closed_at, r.proven, r.reopened, r.merged_into
FROM service_requests r
LEFT JOIN known_kits k ON k.kit_id = r.kit_id
LEFT JOIN organisations o ON o.organisation_id = r.organisation_id
LEFT JOIN contracts c ON c.contract_id = r.contract_id
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

-- name: service_request_log
SELECT e.event_id, r.number, k.kit, r.incident_id, r.subject, o.slug AS organisation, e.at, e.recorded_at, e.actor, e.what, e.body
FROM request_events e
JOIN service_requests r USING (request_id)
LEFT JOIN known_kits k ON k.kit_id = r.kit_id
LEFT JOIN organisations o ON o.organisation_id = r.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY e.event_id;

-- name: calls
SELECT c.call_id, c.at, c.minutes::double precision AS minutes, c.channel, c.caller, c.reason, c.outcome, k.kit, o.slug AS organisation, c.placement_id,
       r.number AS request, c.tree, c.tree_version, c.path, c.note, c.actor, c.recorded_at, c.voided_at, c.voided_by,
       c.voided_reason
FROM calls c
LEFT JOIN known_kits k ON k.kit_id = c.kit_id
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
LEFT JOIN service_requests r ON r.request_id = c.request_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY c.call_id;

-- name: visits
-- The times at which it failed stand in one cell, first to last.
SELECT v.number, v.kind, v.state, k.kit, v.placement_id, o.slug AS organisation, r.number AS request, v.urgent, v.ordered_at,
       v.planned_on, to_char(v.window_from, 'HH24:MI') AS window_from, to_char(v.window_to, 'HH24:MI') AS window_to, v.crew,
       v.target_days, v.due_on, v.attempts,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('at', a.at, 'failure', a.failure, 'planned_on', a.planned_on,
                                                     'note', a.note) ORDER BY a.attempt_id), '[]')
        FROM visit_attempts a WHERE a.visit_id = v.visit_id) AS failures,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('what', l.what, 'name', l.name, 'quantity', l.quantity)
                                  ORDER BY l.line_id), '[]')
        FROM visit_lines l WHERE l.visit_id = v.visit_id) AS brought,
       v.started_at, v.arrived_at, v.ended_at, v.done_on, v.took_days, v.instruction_given, v.receipt, v.old_equipment_taken,
       v.note, v.ended_reason
FROM visits v
LEFT JOIN known_kits k ON k.kit_id = v.kit_id
LEFT JOIN organisations o ON o.organisation_id = v.organisation_id
LEFT JOIN service_requests r ON r.request_id = v.request_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY v.visit_id;

-- name: contracts
-- One line for each target.
SELECT c.slug, c.name, o.slug AS organisation, c.programme, c.kit_type, d.slug AS calendar, c.valid_from, c.valid_until,
       c.reopen_days, c.visit_days, c.visit_urgent_days, t.priority, t.response_min,
       coalesce(t.update_min, c.update_min) AS update_min, t.solution_min
FROM contracts c
JOIN contract_targets t USING (contract_id)
LEFT JOIN calendars d ON d.calendar_id = c.calendar_id
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY c.slug, array_position(ARRAY['urgent', 'high', 'normal', 'low'], t.priority);

-- name: maintenance_windows
SELECT w.window_id, w.title, o.slug AS organisation, l.slug AS location, w.kit_type, m.manufacturer, m.name AS model, w.programme,
       CASE WHEN w.names_kits THEN (SELECT coalesce(jsonb_agg(k.kit ORDER BY k.kit), '[]')
                                    FROM maintenance_window_kits n JOIN kits k USING (kit_id)
                                    WHERE n.window_id = w.window_id) END AS kits,
       w.rules, w.collect, w.starts_at, w.ends_at, w.recurrence, w.current_from, w.current_to, w.ended_at, w.created_by,
       w.created_at
FROM maintenance_windows w
LEFT JOIN models m USING (model_id)
LEFT JOIN locations l ON l.location_id = w.location_id
LEFT JOIN organisations o ON o.organisation_id = w.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY w.window_id;

-- name: rules
-- A rule as it is for all, then its variants: what is empty there, and parameters that are not named, are as for all.
SELECT x.rule, x.variant_id, o.slug AS organisation, x.programme, x.kit_type, m.manufacturer, m.name AS model, x.enabled,
       x.severity, x.line, x.priority, x.for_s, x.keep_firing_for_s, x.parameters, x.flap_openings, x.flap_window_s,
       x.flap_quiet_s, x.note, x.version
FROM (
    SELECT rule, NULL::integer AS variant_id, NULL::integer AS organisation_id, NULL::text AS programme,
           NULL::text AS kit_type, NULL::integer AS model_id, enabled, severity, line, priority, for_s, keep_firing_for_s,
           parameters, flap_openings, flap_window_s, flap_quiet_s, NULL::text AS note, version
    FROM rules
    UNION ALL
    SELECT rule, variant_id, organisation_id, programme, kit_type, model_id, enabled, severity, NULL, NULL, for_s,
           keep_firing_for_s, parameters, NULL, NULL, NULL, note, version
    FROM rule_variants
) x
LEFT JOIN models m USING (model_id)
LEFT JOIN organisations o ON o.organisation_id = x.organisation_id
WHERE %(organisation)s::text IS NULL OR o.slug = %(organisation)s
ORDER BY x.rule, x.variant_id NULLS FIRST;

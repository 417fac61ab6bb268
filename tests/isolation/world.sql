-- name: listen
UPDATE listening SET clock_s = 10000, state = 'listening', updated_at = now();

-- name: heard
UPDATE kit_latest l SET last_heard_at = now(), heard_clock_s = 9990, seq = 1, time = now(), received_at = now(), boot = %(side)s,
    battery = 80, operator = %(side)s
FROM kits k WHERE k.kit_id = l.kit_id AND k.kit = %(kit)s;

-- name: heartbeat
INSERT INTO heartbeats (time, received_at, seq, kit_id, battery, boot, operator)
SELECT now(), now(), 1, kit_id, 80, %(side)s, %(side)s FROM kits WHERE kit = %(kit)s;

-- name: reports
INSERT INTO reports (time, received_at, seq, kit_id, kind, boot, body)
SELECT now(), now(), 2, kit_id, 'software', %(side)s, %(software)s FROM kits WHERE kit = %(kit)s;

-- name: latest_software
INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)
SELECT kit_id, 'software', %(side)s, 2, now(), now(), %(software)s FROM kits WHERE kit = %(kit)s;

-- name: latest_pairing
INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)
SELECT kit_id, 'pairing', %(side)s, 3, now(), now(), %(pairing)s FROM kits WHERE kit = %(kit)s;

-- name: change
INSERT INTO changes (kit_id, time, received_at, what, subject, before, after)
SELECT kit_id, now(), now(), 'version', 'app', '1', %(side)s FROM kits WHERE kit = %(kit)s;

-- name: alert
WITH made AS (
    INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)
    SELECT kit_id, 'version_drift', 'major', 'active', now(), %(evidence)s FROM kits WHERE kit = %(kit)s
    RETURNING alert_id, kit_id
), request AS (
    INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at, resolution)
    SELECT 'SR-' || %(side)s || '-1', kit_id, 'version_drift', 'support', 'normal', 'open', now(), now(), %(side)s FROM made
    RETURNING request_id
)
INSERT INTO request_alerts (request_id, alert_id) SELECT request_id, alert_id FROM request, made;

-- name: pending
INSERT INTO pending_alerts (kit_id, rule, since, due_at, evidence)
SELECT kit_id, 'silent', now(), now(), %(evidence)s FROM kits WHERE kit = %(kit)s;

-- name: incident
WITH made AS (
    INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits, cleared_at, cleared_clock_s)
    VALUES ('silent', 'cleared', now(), 1, 1, now(), 2)
    RETURNING incident_id
), member AS (
    INSERT INTO incident_members (incident_id, kit_id, joined_at, heard_clock_s, watch_allowance_s)
    SELECT incident_id, kit_id, now(), 1, 30 FROM made, kits WHERE kit = %(kit)s
)
INSERT INTO service_requests (number, incident_id, cause, line, priority, state, opened_at, due_at)
SELECT 'SR-' || %(side)s || '-2', incident_id, 'silent', 'support', 'normal', 'open', now(), now() FROM made;

-- name: session
INSERT INTO sessions (secret_hash, user_id, method, stage, expires_at, origin)
VALUES (sha256(convert_to(%(side)s, 'UTF8')), %(user_id)s, 'password', 'open', now() + interval '1 hour', %(side)s);

-- name: recovery_code
INSERT INTO recovery_codes (user_id, code_hash) VALUES (%(user_id)s, sha256(convert_to(%(side)s, 'UTF8')));

-- name: finding
INSERT INTO findings (kind, subject, kit_id, organisation_id, owner_id, severity, opened_at, last_seen_at, evidence)
SELECT 'never_heard', %(side)s, kit_id, organisation_id, owner_id, 'minor', now(), now(), %(evidence)s
FROM kits WHERE kit = %(kit)s;

-- name: billable_event
INSERT INTO billable_events (kind, organisation_id, programme, kit_id, placement_id, quantity, occurred_at, day, until_day)
SELECT 'set_up', organisation_id, %(side)s, kit_id, %(placement_id)s, 1, now(), current_date, current_date + 1
FROM kits WHERE kit = %(kit)s;

-- name: order
WITH made AS (
    INSERT INTO orders (organisation_id, supplier_id, reference, supplier_reference, note)
    SELECT k.organisation_id, s.organisation_id, %(side)s || '-order', %(side)s, %(side)s
    FROM kits k, organisations s WHERE k.kit = %(kit)s AND s.slug = 'maker'
    RETURNING order_id, organisation_id
), line AS (
    INSERT INTO order_lines (order_id, organisation_id, model_id, location_id, quantity, received)
    SELECT order_id, m.organisation_id, 3, location_id, 3, 1 FROM made m, locations WHERE slug = %(side)s || '-depot'
    RETURNING order_line_id, order_id, organisation_id, location_id
)
INSERT INTO receipts (order_id, order_line_id, organisation_id, location_id, quantity, component_ids, received_at, actor,
                      delivery_note)
SELECT order_id, order_line_id, organisation_id, location_id, 1, ARRAY[%(component_id)s::bigint], now(), 'world', %(side)s
FROM line;

-- name: minimum
INSERT INTO stock_minimums (organisation_id, model_id, location_id, minimum)
SELECT organisation_id, 3, location_id, 5 FROM locations WHERE slug = %(side)s || '-depot';

-- name: reservation
INSERT INTO reservations (organisation_id, component_id, visit, during, actor)
SELECT organisation_id, component_id, %(side)s || '-visit', daterange(current_date, current_date + 3), 'world'
FROM components WHERE component_id = %(component_id)s;

-- name: stocktake
WITH made AS (
    INSERT INTO stocktakes (organisation_id, location_id, note, opened_by)
    SELECT organisation_id, location_id, %(side)s, 'world' FROM locations WHERE slug = %(side)s || '-depot'
    RETURNING stocktake_id, organisation_id, location_id
), scan AS (
    INSERT INTO stocktake_scans (stocktake_id, organisation_id, code, component_id, actor)
    SELECT stocktake_id, organisation_id, %(side)s || '-code', %(component_id)s, 'world' FROM made
)
INSERT INTO stocktake_results (stocktake_id, item, organisation_id, finding, component_id, name, reason)
SELECT stocktake_id, %(side)s || '-item', organisation_id, 'present', %(component_id)s, %(side)s, %(side)s FROM made;

-- name: repair
INSERT INTO repairs (component_id, model_id, serial, organisation_id, owner_id, kind, fault, workshop_reference, note, opened_by)
SELECT component_id, model_id, serial, organisation_id, owner_id, 'repair', %(side)s, %(side)s, %(side)s, 'world'
FROM components WHERE component_id = %(faulty_id)s;

-- name: connector
INSERT INTO outlets (kind, organisation_id, description, events, url, secret, created_by)
SELECT 'connector', organisation_id, %(side)s, '{request.*}', 'https://tickets.' || %(side)s || '.example', 'sealed', %(side)s
FROM organisations WHERE slug = %(side)s;

-- name: ticket
INSERT INTO connector_tickets (outlet_id, request_id, ticket, number, remote_state)
SELECT o.outlet_id, r.request_id, '7', %(side)s || '-7', 'open'
FROM outlets o, service_requests r WHERE o.kind = 'connector' AND o.description = %(side)s AND r.number = 'SR-' || %(side)s || '-2';

-- name: deliveries
INSERT INTO deliveries (outlet_id, message_id, type, kit, payload, state, ended_at, error)
SELECT outlet_id, %(side)s || '-' || outlet_id, 'alert.opened', %(kit)s, jsonb_build_object('id', %(side)s), 'dead', now(), %(side)s
FROM outlets WHERE description = %(side)s;

-- name: maintenance
WITH made AS (
    INSERT INTO maintenance_windows (organisation_id, title, names_kits, programme, starts_at, ends_at, current_from, current_to,
                                     created_by)
    SELECT organisation_id, %(side)s, true, %(side)s, now() - interval '1 hour', now() + interval '1 hour',
           now() - interval '1 hour', now() + interval '1 hour', %(side)s
    FROM kits WHERE kit = %(kit)s
    RETURNING window_id, organisation_id, starts_at
), named AS (
    INSERT INTO maintenance_window_kits (window_id, kit_id) SELECT window_id, kit_id FROM made, kits WHERE kit = %(kit)s
)
INSERT INTO maintenance_occurrences (window_id, organisation_id, collect, rules, began_at, began_clock_s)
SELECT window_id, organisation_id, true, ARRAY[%(side)s], starts_at, 1 FROM made;

-- name: deferred
INSERT INTO maintenance_deferred (kit_id, rule, window_id) SELECT kit_id, 'silent', 1 FROM kits WHERE kit = %(kit)s;

-- name: shelf
INSERT INTO shelves (kit_id, rule, until, severity, reason, shelved_by)
SELECT kit_id, 'silent', now() + interval '1 day', 'major', %(side)s, 'world' FROM kits WHERE kit = %(kit)s;

-- name: owned_line
SELECT note_audit('kits.told', 'kits', %(side)s, NULL, NULL, NULL, %(side)s, kit_id) FROM kits WHERE kit = %(kit)s;

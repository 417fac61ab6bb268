-- Six kits of which five are installed: K-1 silent, K-2 drifted, K-3 with a lost pairing and without an organisation.

CREATE TEMPORARY TABLE moments AS
SELECT now() - interval '12 hours' AS heard, now() - interval '11 hours' AS found, now() - interval '1 hour' AS due;

INSERT INTO organisations (slug, name) VALUES ('nord', 'Nord');
INSERT INTO kits (kit, label, state, organisation_id, wanted_components)
SELECT 'K-' || n, 'kit ' || n, CASE WHEN n < 6 THEN 'installed' ELSE 'in_stock' END,
       CASE WHEN n <> 3 THEN (SELECT organisation_id FROM organisations) END, '{"app": "3.5.0"}'
FROM generate_series(1, 6) n;
UPDATE listening SET clock_s = 1010, state = 'listening', updated_at = now();
INSERT INTO kit_latest (kit_id, last_heard_at, heard_clock_s, watch_allowance_s, watch_interval_s, watch_from_clock_s,
                        boot, seq, time, received_at, battery)
SELECT kit_id, heard, CASE kit WHEN 'K-1' THEN 0 ELSE 1000 END, 30, 10, 0, 'b', 1, heard, heard, 80
FROM kits, moments;
INSERT INTO heartbeats (time, received_at, seq, kit_id, boot, battery)
SELECT heard, heard, 1, kit_id, 'b', 80 FROM kits, moments;
INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)
SELECT kit_id, 'software', 'b', 2, heard, heard,
       jsonb_build_object('app', CASE kit WHEN 'K-2' THEN '3.4.1' ELSE '3.5.0' END, 'os', '14.0.3')
FROM kits, moments;
INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)
SELECT kit_id, 'pairing', 'b', 3, heard, heard,
       jsonb_build_array(jsonb_build_object('serial', 'S-' || kit, 'kind', 'scale', 'paired', kit <> 'K-3'))
FROM kits, moments;
INSERT INTO changes (kit_id, time, received_at, what, subject, before, after)
SELECT kit_id, heard, heard, 'version', 'app', '3.4.0', '3.4.1' FROM kits, moments WHERE kit = 'K-2';
INSERT INTO quarantine (received_at, topic, reason, detail, size_bytes, payload)
SELECT heard, 'fleet/v1/kits/K-9/heartbeat', 'unknown_kit', 'K-9', 10, 'x' FROM moments;
INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence)
SELECT kit_id, CASE kit WHEN 'K-1' THEN 'silent' ELSE 'version_drift' END, 'major', 'active', found, '{}'
FROM kits, moments WHERE kit IN ('K-1', 'K-2');
UPDATE alerts SET flapping = rule = 'version_drift', suppressed_by = CASE rule WHEN 'silent' THEN 'incident:1' END;

-- Open: two breached, one that waits and is past its time all the same, one at risk, a mass event's. Ended: one of each kind,
-- and one that was merged, which does not count.
INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at, sla_state, sla_breaches)
SELECT 'SR-' || kit, kit_id, CASE kit WHEN 'K-1' THEN 'silent' ELSE 'version_drift' END, 'support', 'normal', 'open',
       found, due, 'breached', '{solution}'::text[]
FROM kits, moments WHERE kit IN ('K-1', 'K-2');
INSERT INTO service_requests (number, kit_id, cause, line, priority, state, waiting_for, opened_at, due_at, sla_state, assignee)
SELECT 'SR-waits', kit_id, 'damaged', 'logistics', 'low', 'waiting', 'supplier', found, due, 'paused', 'somebody'
FROM kits, moments WHERE kit = 'K-4';
INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)
SELECT 'SR-soon', kit_id, 'damaged', 'logistics', 'high', 'open', found, now() + interval '2 hours'
FROM kits, moments WHERE kit = 'K-5';
INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, responded_at, due_at, resolved_at,
                              closed_at, proven, resolution, found_cause, remedy, sla_state)
SELECT 'SR-' || found_cause, kit_id, 'silent', 'support', 'high', 'closed', found, found + interval '5 minutes', due,
       found + interval '1 hour', now(), found_cause <> 'sim_fault', resolution, found_cause, 'self-cleared', 'met'
FROM kits, moments, (VALUES ('self-cleared', 'proof'), ('sim_fault', 'proof')) AS v (found_cause, resolution)
WHERE kit = 'K-5';
INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at, resolved_at, resolution)
SELECT 'SR-merged', kit_id, 'silent', 'support', 'high', 'closed', found, due, found, 'merged:1' FROM kits, moments
WHERE kit = 'K-5';
UPDATE service_requests SET organisation_id = (SELECT organisation_id FROM organisations);
INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits, cohort_kind, cohort_value)
SELECT 'silent', 'open', found, 100, 5, 'operator', 'Net' FROM moments;
INSERT INTO service_requests (number, incident_id, cause, line, priority, state, opened_at, due_at)
SELECT 'SR-mass', incident_id, 'silent', 'service', 'urgent', 'open', found, now() + interval '30 hours' FROM incidents, moments;

INSERT INTO calls (at, minutes, channel, caller, reason, outcome, kit_id, actor)
SELECT heard, 3, 'phone', 'citizen', 'battery', 'solved', kit_id, 'test' FROM kits, moments WHERE kit IN ('K-1', 'K-2');
INSERT INTO calls (at, minutes, channel, caller, reason, outcome, kit_id, actor, voided_at, voided_by, voided_reason)
SELECT heard, 600, 'phone', 'citizen', 'other', 'informed', kit_id, 'test', heard, 'test', 'twice' FROM kits, moments
WHERE kit = 'K-1';

-- One done in time, one done late after it had failed, one to come, one that should have been.
INSERT INTO visits (number, kind, state, kit_id, organisation_id, urgent, ordered_at, planned_on, target_days, due_on, attempts,
                    ended_at, done_on, took_days, created_by)
SELECT 'V-' || n, 'repair', v.state, kit_id, organisation_id, n = 2, now() - interval '20 days', current_date + n, 12,
       current_date + least_day, CASE n WHEN 2 THEN 1 ELSE 0 END, CASE v.state WHEN 'done' THEN now() END,
       CASE v.state WHEN 'done' THEN current_date END, CASE v.state WHEN 'done' THEN 13 END, 'test'
FROM kits, (VALUES (1, 'done', 2), (2, 'done', -2), (3, 'planned', 9), (4, 'failed', -3)) AS v (n, state, least_day)
WHERE kit = 'K-4';
INSERT INTO visit_attempts (visit_id, at, failure, planned_on, actor)
SELECT visit_id, now(), 'nobody_home', current_date, 'test' FROM visits WHERE number IN ('V-2', 'V-4');

INSERT INTO maintenance_windows (organisation_id, title, rules, starts_at, ends_at, current_from, current_to, created_by)
SELECT organisation_id, 'a new roof', '{silent}', now() - interval '1 hour', now() + interval '1 hour',
       now() - interval '1 hour', now() + interval '1 hour', 'test'
FROM organisations;

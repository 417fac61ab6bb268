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
INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at)
SELECT 'SR-' || kit, kit_id, CASE kit WHEN 'K-1' THEN 'silent' ELSE 'version_drift' END, 'support', 'normal', 'open',
       found, due
FROM kits, moments WHERE kit IN ('K-1', 'K-2');
INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits)
SELECT 'silent', 'open', found, 100, 5 FROM moments;

-- Stable views for dashboards and for outside checks. Documented in docs/reference/grafana-views.md.

-- The facts a verdict is made from; fleet/state/verdict.py judges them, kit_health() the same in SQL.
CREATE VIEW kit_facts AS
SELECT k.kit_id, k.kit, k.label, k.state, o.slug AS organisation, k.kit_type, k.location, k.expected_interval_s,
       k.tolerance, k.wanted_components, k.revision, l.last_heard_at, l.heard_clock_s, l.watch_allowance_s, l.boot, l.seq, l.time, l.received_at,
       l.battery, l.charging, l.signal_dbm, l.network, l.operator, l.storage_free_mb, l.uptime_s,
       l.clock_offset_s, l.online, l.connection_at,
       s.body AS software, s.time AS software_at, p.body AS peripherals, p.time AS peripherals_at,
       l.heard_clock_s IS NOT NULL AS heard,
       is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                 c.clock_s, c.resumed_clock_s, c.grace_from_clock_s)
           OR EXISTS (SELECT FROM alerts a WHERE a.kit_id = k.kit_id AND a.rule = 'silent' AND a.state = 'active'
                      AND l.watch_allowance_s IS NOT NULL AND a.recovering_since IS NULL) AS silent,
       s.body IS NOT NULL AND NOT s.body @> k.wanted_components AS drifted,
       coalesce(p.body @> '[{"paired": false}]', false) AS pairing_lost,
       coalesce(l.battery < 15 AND NOT coalesce(l.charging, false), false) AS battery_low,
       coalesce(l.storage_free_mb < 500, false) AS storage_low,
       l.clock_offset_s IS NOT NULL AS clock_skewed
FROM kits k
JOIN kit_latest l USING (kit_id)
CROSS JOIN listening c
LEFT JOIN organisations o USING (organisation_id)
LEFT JOIN latest_reports s ON s.kit_id = k.kit_id AND s.kind = 'software'
LEFT JOIN latest_reports p ON p.kit_id = k.kit_id AND p.kind = 'pairing';

CREATE FUNCTION kit_health(
    installed boolean, heard boolean, silent boolean, drifted boolean, pairing_lost boolean,
    battery_low boolean, storage_low boolean, clock_skewed boolean
) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN NOT heard THEN 'unknown'
    WHEN silent THEN 'silent'
    WHEN pairing_lost AND installed THEN 'fault'
    WHEN drifted OR battery_low OR storage_low OR clock_skewed THEN 'attention'
    ELSE 'ok'
END;

CREATE VIEW grafana_kits AS
SELECT kit, label, state, organisation, kit_type, expected_interval_s, last_heard_at,
       kit_health(state = 'installed', heard, silent, drifted, pairing_lost, battery_low, storage_low, clock_skewed) AS health,
       silent, drifted, pairing_lost, battery_low, storage_low, clock_skewed,
       online, battery, charging, signal_dbm, network, operator, storage_free_mb, uptime_s, clock_offset_s
FROM kit_facts;

CREATE VIEW grafana_heartbeats AS
SELECT k.kit, h.time AS ts, h.boot, h.seq, h.received_at, h.battery, h.charging, h.signal_dbm, h.network,
       h.operator, h.storage_free_mb, h.uptime_s, h.clock_offset_s
FROM heartbeats h JOIN kits k USING (kit_id);

CREATE VIEW grafana_messages AS
SELECT k.kit, 'heartbeat'::text AS kind, h.boot, h.seq, NULL::text AS command, h.time, h.received_at
FROM heartbeats h JOIN kits k USING (kit_id)
UNION ALL
SELECT k.kit, r.kind,
       CASE WHEN r.kind NOT IN ('reply', 'connection') THEN r.boot END,
       CASE WHEN r.kind NOT IN ('reply', 'connection') THEN r.seq END,
       CASE WHEN r.kind = 'reply' THEN r.boot END, r.time, r.received_at
FROM reports r JOIN kits k USING (kit_id);

CREATE VIEW grafana_changes AS
SELECT c.change_id AS id, k.kit, c.time, c.received_at, c.what, c.subject, c.before, c.after
FROM changes c JOIN kits k USING (kit_id);

CREATE VIEW grafana_software AS
SELECT k.kit, s.key AS component, s.value AS version, k.wanted_components ->> s.key AS wanted, r.time
FROM latest_reports r JOIN kits k USING (kit_id), LATERAL jsonb_each_text(r.body) s
WHERE r.kind = 'software';

CREATE VIEW grafana_peripherals AS
SELECT k.kit, p.serial, p.kind, p.model, p.firmware, p.paired, p.last_contact, p.battery, p.rssi, r.time
FROM latest_reports r JOIN kits k USING (kit_id),
     LATERAL jsonb_to_recordset(r.body) AS p(serial text, kind text, model text, firmware text, paired boolean,
                                             last_contact timestamptz, battery real, rssi integer)
WHERE r.kind = 'pairing';

CREATE VIEW grafana_alerts AS
SELECT a.alert_id AS id, k.kit, a.rule, a.severity, a.state, a.acknowledged, a.opened_at, a.cleared_at, a.suppressed_by
FROM alerts a JOIN kits k USING (kit_id);

CREATE VIEW grafana_incidents AS
SELECT i.incident_id AS id, i.rule, i.state, i.opened_at, i.cleared_at, i.installed_kits,
       count(m.kit_id) AS members, count(m.kit_id) FILTER (WHERE m.left_at IS NULL) AS still_silent
FROM incidents i LEFT JOIN incident_members m USING (incident_id)
GROUP BY i.incident_id;

CREATE VIEW grafana_service_requests AS
SELECT r.number, k.kit, r.incident_id AS incident, r.cause, r.line, r.priority, r.state, r.opened_at, r.due_at, r.resolved_at
FROM service_requests r LEFT JOIN kits k USING (kit_id);

CREATE VIEW grafana_quarantine AS
SELECT topic, received_at, reason, detail, size_bytes FROM quarantine;

CREATE VIEW grafana_listening AS
SELECT clock_s, state, updated_at, extract(epoch FROM now() - updated_at)::double precision AS age_s FROM listening;

-- The reading role: views only. Made where we may make roles; docs/operations.md says how to otherwise.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleet_grafana') THEN
        CREATE ROLE fleet_grafana NOLOGIN;
    END IF;
    GRANT SELECT ON grafana_kits, grafana_heartbeats, grafana_messages, grafana_changes, grafana_software,
        grafana_peripherals, grafana_alerts, grafana_incidents, grafana_service_requests, grafana_quarantine,
        grafana_listening TO fleet_grafana;
EXCEPTION
    WHEN insufficient_privilege THEN RAISE NOTICE 'role fleet_grafana not made: not allowed';
    WHEN unique_violation OR duplicate_object THEN
        GRANT SELECT ON grafana_kits, grafana_heartbeats, grafana_messages, grafana_changes, grafana_software,
            grafana_peripherals, grafana_alerts, grafana_incidents, grafana_service_requests, grafana_quarantine,
            grafana_listening TO fleet_grafana;
END
$$;

-- The views anew: each shows what its reader may see. They run with their owner's rights, so the filter stands in the view.

-- The facts a verdict is made from; fleet/state/verdict.py judges them, kit_health() the same in SQL.
CREATE VIEW kit_facts AS
SELECT k.kit_id, k.kit, k.label, k.state, k.state_since, o.slug AS organisation, w.slug AS owner, k.kit_type,
       d.slug AS location, d.name AS location_name, d.kind AS location_kind, k.placement_id, k.expected_interval_s,
       k.tolerance, k.wanted_components, k.revision, k.organisation_id, k.owner_id, l.last_heard_at, l.heard_clock_s,
       l.watch_allowance_s, l.boot, l.seq, l.time, l.received_at,
       l.battery, l.charging, l.signal_dbm, l.network, l.operator, l.storage_free_mb, l.uptime_s,
       l.clock_offset_s, l.online, l.connection_at,
       s.body AS software, s.time AS software_at, p.body AS peripherals, p.time AS peripherals_at,
       l.heard_clock_s IS NOT NULL AS heard,
       is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                 c.clock_s, c.resumed_clock_s, c.grace_from_clock_s)
           OR (a.alert_id IS NOT NULL AND l.watch_allowance_s IS NOT NULL AND a.recovering_since IS NULL) AS silent,
       s.body IS NOT NULL AND NOT s.body @> k.wanted_components AS drifted,
       coalesce(p.body @> '[{"paired": false}]', false) AS pairing_lost,
       coalesce(l.battery < 15 AND NOT coalesce(l.charging, false), false) AS battery_low,
       coalesce(l.storage_free_mb < 500, false) AS storage_low,
       l.clock_offset_s IS NOT NULL AS clock_skewed
FROM kits k
JOIN kit_latest l USING (kit_id)
CROSS JOIN listening c
LEFT JOIN organisations o ON o.organisation_id = k.organisation_id
LEFT JOIN organisations w ON w.organisation_id = k.owner_id
LEFT JOIN locations d ON d.location_id = k.location_id
-- At most one (one_active_alert_per_kit_and_rule); a join, so that the whole fleet is hashed and one kit looked up.
LEFT JOIN alerts a ON a.kit_id = k.kit_id AND a.rule = 'silent' AND a.state = 'active'
LEFT JOIN latest_reports s ON s.kit_id = k.kit_id AND s.kind = 'software'
LEFT JOIN latest_reports p ON p.kit_id = k.kit_id AND p.kind = 'pairing'
WHERE (SELECT sees_all()) OR k.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[]);

-- Kits the reader sees, and history as far as it is the reader's: the owner's whole, others' while the kit was theirs.
CREATE VIEW seen_kits AS
SELECT kit_id, kit, organisation_id, owner_id, wanted_components FROM kits
WHERE (SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR owner_id = ANY ((SELECT seen_organisations())::integer[]);

-- Names for what the reader may read of the past: what went to somebody else keeps its name for whoever had it. Whether a
-- row that bears the name is shown is decided where the row stands. What went is told by custodies that ended and, of
-- pieces outside of kits, by the log: both are in indexes by organisation, so that a whole list can be compared at once.
CREATE VIEW known_kits AS
SELECT k.kit_id, k.kit FROM kits k
WHERE (SELECT sees_all()) OR k.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[])
   OR EXISTS (SELECT FROM custodies y
              WHERE y.kit_id = k.kit_id AND y.organisation_id = ANY ((SELECT seen_organisations())::integer[])
                AND NOT upper_inf(y.during));

CREATE VIEW known_components AS
SELECT c.component_id, c.model_id, c.serial FROM components c
WHERE (SELECT sees_all()) OR c.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR c.owner_id = ANY ((SELECT seen_organisations())::integer[])
   OR EXISTS (SELECT FROM kit_components m JOIN custodies y ON y.kit_id = m.kit_id AND y.during && m.during
              WHERE m.component_id = c.component_id AND y.organisation_id = ANY ((SELECT seen_organisations())::integer[])
                AND NOT upper_inf(y.during))
   OR EXISTS (SELECT FROM book_events e
              WHERE e.component_id = c.component_id AND e.organisation_id = ANY ((SELECT seen_organisations())::integer[])
                AND e.kit_id IS NULL);

-- Members of incidents are of whom the kit was then.
CREATE VIEW seen_members AS
SELECT m.incident_id, m.kit_id, m.left_at, m.organisation_id FROM incident_members m
WHERE (SELECT sees_all()) OR m.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR EXISTS (SELECT FROM kits k WHERE k.kit_id = m.kit_id AND k.owner_id = ANY ((SELECT seen_organisations())::integer[]));

CREATE VIEW seen_heartbeats AS
SELECT h.* FROM heartbeats h
WHERE (SELECT sees_all())
   OR EXISTS (SELECT FROM custodies c WHERE c.kit_id = h.kit_id AND c.during @> h.time
              AND c.organisation_id = ANY ((SELECT seen_organisations())::integer[]))
   OR EXISTS (SELECT FROM kits k WHERE k.kit_id = h.kit_id AND k.owner_id = ANY ((SELECT seen_organisations())::integer[]));

CREATE VIEW seen_reports AS
SELECT r.* FROM reports r
WHERE (SELECT sees_all())
   OR EXISTS (SELECT FROM custodies c WHERE c.kit_id = r.kit_id AND c.during @> r.time
              AND c.organisation_id = ANY ((SELECT seen_organisations())::integer[]))
   OR EXISTS (SELECT FROM kits k WHERE k.kit_id = r.kit_id AND k.owner_id = ANY ((SELECT seen_organisations())::integer[]));

CREATE VIEW seen_changes AS
SELECT g.* FROM changes g
WHERE (SELECT sees_all())
   OR EXISTS (SELECT FROM custodies c WHERE c.kit_id = g.kit_id AND c.during @> g.time
              AND c.organisation_id = ANY ((SELECT seen_organisations())::integer[]))
   OR EXISTS (SELECT FROM kits k WHERE k.kit_id = g.kit_id AND k.owner_id = ANY ((SELECT seen_organisations())::integer[]));

CREATE VIEW grafana_kits AS
SELECT kit, label, state, organisation, kit_type, expected_interval_s, last_heard_at,
       kit_health(state = 'installed', heard, silent, drifted, pairing_lost, battery_low, storage_low, clock_skewed) AS health,
       silent, drifted, pairing_lost, battery_low, storage_low, clock_skewed,
       online, battery, charging, signal_dbm, network, operator, storage_free_mb, uptime_s, clock_offset_s,
       owner, location, state_since
FROM kit_facts;

CREATE VIEW grafana_heartbeats AS
SELECT k.kit, h.time AS ts, h.boot, h.seq, h.received_at, h.battery, h.charging, h.signal_dbm, h.network,
       h.operator, h.storage_free_mb, h.uptime_s, h.clock_offset_s
FROM seen_heartbeats h JOIN kits k USING (kit_id);

CREATE VIEW grafana_messages AS
SELECT k.kit, 'heartbeat'::text AS kind, h.boot, h.seq, NULL::text AS command, h.time, h.received_at
FROM seen_heartbeats h JOIN kits k USING (kit_id)
UNION ALL
SELECT k.kit, r.kind,
       CASE WHEN r.kind NOT IN ('reply', 'connection') THEN r.boot END,
       CASE WHEN r.kind NOT IN ('reply', 'connection') THEN r.seq END,
       CASE WHEN r.kind = 'reply' THEN r.boot END, r.time, r.received_at
FROM seen_reports r JOIN kits k USING (kit_id);

CREATE VIEW grafana_changes AS
SELECT c.change_id AS id, k.kit, c.time, c.received_at, c.what, c.subject, c.before, c.after
FROM seen_changes c JOIN kits k USING (kit_id);

CREATE VIEW grafana_software AS
SELECT k.kit, s.key AS component, s.value AS version, k.wanted_components ->> s.key AS wanted, r.time
FROM latest_reports r JOIN seen_kits k USING (kit_id), LATERAL jsonb_each_text(r.body) s
WHERE r.kind = 'software';

CREATE VIEW grafana_peripherals AS
SELECT k.kit, p.serial, p.kind, p.model, p.firmware, p.paired, p.last_contact, p.battery, p.rssi, r.time
FROM latest_reports r JOIN seen_kits k USING (kit_id),
     LATERAL jsonb_to_recordset(r.body) AS p(serial text, kind text, model text, firmware text, paired boolean,
                                             last_contact timestamptz, battery real, rssi integer)
WHERE r.kind = 'pairing';

CREATE VIEW grafana_alerts AS
SELECT a.alert_id AS id, k.kit, a.rule, a.severity, a.state, a.acknowledged, a.opened_at, a.cleared_at, a.suppressed_by
FROM alerts a JOIN kits k USING (kit_id)
WHERE (SELECT sees_all()) OR a.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[]);

-- Members as far as the reader sees them; an incident without any of them is none of the reader's.
CREATE VIEW grafana_incidents AS
SELECT i.incident_id AS id, i.rule, i.state, i.opened_at, i.cleared_at, i.installed_kits,
       count(m.kit_id) AS members, count(m.kit_id) FILTER (WHERE m.left_at IS NULL) AS still_silent
FROM incidents i
LEFT JOIN seen_members m USING (incident_id)
GROUP BY i.incident_id
HAVING count(m.kit_id) > 0 OR (SELECT sees_all());

CREATE VIEW grafana_service_requests AS
SELECT r.number, k.kit, r.incident_id AS incident, r.cause, r.line, r.priority, r.state, r.opened_at, r.due_at, r.resolved_at
FROM service_requests r LEFT JOIN kits k USING (kit_id)
WHERE (SELECT sees_all()) OR r.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[])
   OR r.incident_id IN (SELECT m.incident_id FROM seen_members m);

-- What could not be taken belongs to no organisation: whose kit it was is what could not be told.
CREATE VIEW grafana_quarantine AS
SELECT topic, received_at, reason, detail, size_bytes FROM quarantine WHERE (SELECT sees_all());

CREATE VIEW grafana_listening AS
SELECT clock_s, state, updated_at, extract(epoch FROM now() - updated_at)::double precision AS age_s FROM listening;

-- What the views mean; docs/reference/grafana-views.md is generated from this.
COMMENT ON VIEW grafana_kits IS 'One row per kit in the books: how it is, judged now, and what it last reported.';
COMMENT ON COLUMN grafana_kits.kit IS 'The kit''s id.';
COMMENT ON COLUMN grafana_kits.label IS 'A name for people; never a citizen''s.';
COMMENT ON COLUMN grafana_kits.state IS 'Lifecycle state.';
COMMENT ON COLUMN grafana_kits.organisation IS 'Short name of the owning organisation; null without one.';
COMMENT ON COLUMN grafana_kits.kit_type IS 'What kind of kit it is.';
COMMENT ON COLUMN grafana_kits.expected_interval_s IS 'How often it should report, in seconds.';
COMMENT ON COLUMN grafana_kits.last_heard_at IS 'When we last received a live message of it.';
COMMENT ON COLUMN grafana_kits.health IS 'Verdict: ok, attention, fault, silent, unknown (never heard).';
COMMENT ON COLUMN grafana_kits.silent IS 'Installed and not heard for longer than allowed, in time in which we listened.';
COMMENT ON COLUMN grafana_kits.drifted IS 'Runs another version than wanted.';
COMMENT ON COLUMN grafana_kits.pairing_lost IS 'A peripheral is no longer paired.';
COMMENT ON COLUMN grafana_kits.battery_low IS 'Below 15 % and not charging.';
COMMENT ON COLUMN grafana_kits.storage_low IS 'Less than 500 MB free.';
COMMENT ON COLUMN grafana_kits.clock_skewed IS 'Its clock was more than 2 minutes ahead or 30 days behind.';
COMMENT ON COLUMN grafana_kits.online IS 'Presence as told by tablet and broker: a hint only.';
COMMENT ON COLUMN grafana_kits.battery IS 'Per cent.';
COMMENT ON COLUMN grafana_kits.charging IS 'Whether it is on power.';
COMMENT ON COLUMN grafana_kits.signal_dbm IS 'Strength of the mobile signal, dBm.';
COMMENT ON COLUMN grafana_kits.network IS 'wifi, 2g to 5g, none.';
COMMENT ON COLUMN grafana_kits.operator IS 'Mobile network''s name.';
COMMENT ON COLUMN grafana_kits.storage_free_mb IS 'Free storage, MB.';
COMMENT ON COLUMN grafana_kits.uptime_s IS 'Seconds since its start.';
COMMENT ON COLUMN grafana_kits.clock_offset_s IS 'Its clock minus ours in seconds, where that was out of bounds.';
COMMENT ON COLUMN grafana_kits.owner IS 'Short name of the organisation that bought it.';
COMMENT ON COLUMN grafana_kits.location IS 'Short name of the place it is at; null in a citizen''s home.';
COMMENT ON COLUMN grafana_kits.state_since IS 'When it came into its state.';
COMMENT ON VIEW grafana_heartbeats IS 'Every stored heartbeat.';
COMMENT ON COLUMN grafana_heartbeats.kit IS 'The kit''s id.';
COMMENT ON COLUMN grafana_heartbeats.ts IS 'Time of the message: the tablet''s, or ours where its clock was out of bounds.';
COMMENT ON COLUMN grafana_heartbeats.boot IS 'Name of the tablet''s run.';
COMMENT ON COLUMN grafana_heartbeats.seq IS 'Counter within the boot, over all kinds.';
COMMENT ON COLUMN grafana_heartbeats.received_at IS 'When we received it.';
COMMENT ON COLUMN grafana_heartbeats.battery IS 'Per cent.';
COMMENT ON COLUMN grafana_heartbeats.charging IS 'Whether it was on power.';
COMMENT ON COLUMN grafana_heartbeats.signal_dbm IS 'dBm.';
COMMENT ON COLUMN grafana_heartbeats.network IS 'wifi, 2g to 5g, none.';
COMMENT ON COLUMN grafana_heartbeats.operator IS 'Mobile network''s name.';
COMMENT ON COLUMN grafana_heartbeats.storage_free_mb IS 'MB.';
COMMENT ON COLUMN grafana_heartbeats.uptime_s IS 'Seconds since its start.';
COMMENT ON COLUMN grafana_heartbeats.clock_offset_s IS 'As in grafana_kits.';
COMMENT ON VIEW grafana_messages IS 'Every stored message of every kind, for counting and checking.';
COMMENT ON COLUMN grafana_messages.kit IS 'The kit''s id.';
COMMENT ON COLUMN grafana_messages.kind IS 'heartbeat, software, pairing, connection, update, reply.';
COMMENT ON COLUMN grafana_messages.boot IS 'Null for connection and reply.';
COMMENT ON COLUMN grafana_messages.seq IS 'Null for connection and reply.';
COMMENT ON COLUMN grafana_messages.command IS 'Of a reply; null otherwise.';
COMMENT ON COLUMN grafana_messages.time IS 'Time of the message.';
COMMENT ON COLUMN grafana_messages.received_at IS 'When we received it.';
COMMENT ON VIEW grafana_changes IS 'What changed in what a kit reports.';
COMMENT ON COLUMN grafana_changes.id IS 'Rises with each change.';
COMMENT ON COLUMN grafana_changes.kit IS 'The kit''s id.';
COMMENT ON COLUMN grafana_changes.time IS 'Time of the message that showed it.';
COMMENT ON COLUMN grafana_changes.received_at IS 'When we received that.';
COMMENT ON COLUMN grafana_changes.what IS 'version, pairing, peripheral, peripheral_firmware, identity.';
COMMENT ON COLUMN grafana_changes.subject IS 'Which component or serial number.';
COMMENT ON COLUMN grafana_changes.before IS 'Null: not there before.';
COMMENT ON COLUMN grafana_changes.after IS 'Null: no longer there.';
COMMENT ON VIEW grafana_software IS 'The newest software report, one row per component.';
COMMENT ON COLUMN grafana_software.kit IS 'The kit''s id.';
COMMENT ON COLUMN grafana_software.component IS 'os, mdm, app, bluetooth, firmware and any other.';
COMMENT ON COLUMN grafana_software.version IS 'What runs.';
COMMENT ON COLUMN grafana_software.wanted IS 'What should run; null where any version is fine.';
COMMENT ON COLUMN grafana_software.time IS 'Time of the report.';
COMMENT ON VIEW grafana_peripherals IS 'The newest pairing report, one row per peripheral.';
COMMENT ON COLUMN grafana_peripherals.kit IS 'The kit''s id.';
COMMENT ON COLUMN grafana_peripherals.serial IS 'Serial number.';
COMMENT ON COLUMN grafana_peripherals.kind IS 'scale, oximeter and so on.';
COMMENT ON COLUMN grafana_peripherals.model IS 'Model.';
COMMENT ON COLUMN grafana_peripherals.firmware IS 'Version.';
COMMENT ON COLUMN grafana_peripherals.paired IS 'Whether it is paired.';
COMMENT ON COLUMN grafana_peripherals.last_contact IS 'When the tablet last reached it.';
COMMENT ON COLUMN grafana_peripherals.battery IS 'Per cent.';
COMMENT ON COLUMN grafana_peripherals.rssi IS 'Strength of the Bluetooth signal, dBm.';
COMMENT ON COLUMN grafana_peripherals.time IS 'Time of the report.';
COMMENT ON VIEW grafana_alerts IS 'Every alert, open or cleared.';
COMMENT ON COLUMN grafana_alerts.id IS 'Number of the alert.';
COMMENT ON COLUMN grafana_alerts.kit IS 'The kit''s id.';
COMMENT ON COLUMN grafana_alerts.rule IS 'silent, version_drift, books_against_reality and so on.';
COMMENT ON COLUMN grafana_alerts.severity IS 'critical, major, minor, warning.';
COMMENT ON COLUMN grafana_alerts.state IS 'active or cleared.';
COMMENT ON COLUMN grafana_alerts.acknowledged IS 'Whether somebody said that they saw it.';
COMMENT ON COLUMN grafana_alerts.opened_at IS 'Since when.';
COMMENT ON COLUMN grafana_alerts.cleared_at IS 'Null while active.';
COMMENT ON COLUMN grafana_alerts.suppressed_by IS 'What took its place, for example incident:7.';
COMMENT ON VIEW grafana_incidents IS 'Mass events: many kits turned silent together.';
COMMENT ON COLUMN grafana_incidents.id IS 'Number of the incident.';
COMMENT ON COLUMN grafana_incidents.rule IS 'Which rule.';
COMMENT ON COLUMN grafana_incidents.state IS 'open or cleared.';
COMMENT ON COLUMN grafana_incidents.opened_at IS 'Since when.';
COMMENT ON COLUMN grafana_incidents.cleared_at IS 'Null while open.';
COMMENT ON COLUMN grafana_incidents.installed_kits IS 'Installed kits when it opened.';
COMMENT ON COLUMN grafana_incidents.members IS 'Kits that were ever part of it.';
COMMENT ON COLUMN grafana_incidents.still_silent IS 'Kits that have not left it.';
COMMENT ON VIEW grafana_service_requests IS 'Every service request.';
COMMENT ON COLUMN grafana_service_requests.number IS 'As people say it, for example SR-2026-000042.';
COMMENT ON COLUMN grafana_service_requests.kit IS 'The kit''s id; null when it is about an incident.';
COMMENT ON COLUMN grafana_service_requests.incident IS 'Number of the incident; null when it is about a kit.';
COMMENT ON COLUMN grafana_service_requests.cause IS 'The rule that opened it.';
COMMENT ON COLUMN grafana_service_requests.line IS 'support, service, logistics, supplier.';
COMMENT ON COLUMN grafana_service_requests.priority IS 'urgent, high, normal, low.';
COMMENT ON COLUMN grafana_service_requests.state IS 'open, in_progress, waiting, resolved, closed.';
COMMENT ON COLUMN grafana_service_requests.opened_at IS 'Since when.';
COMMENT ON COLUMN grafana_service_requests.due_at IS 'By when it should be solved.';
COMMENT ON COLUMN grafana_service_requests.resolved_at IS 'Null while it is not ended.';
COMMENT ON VIEW grafana_quarantine IS 'Messages that could not be taken; their first 4 KiB are in the API.';
COMMENT ON COLUMN grafana_quarantine.topic IS 'As received.';
COMMENT ON COLUMN grafana_quarantine.received_at IS 'When we received it.';
COMMENT ON COLUMN grafana_quarantine.reason IS 'Why, as in the metrics.';
COMMENT ON COLUMN grafana_quarantine.detail IS 'Which part of it.';
COMMENT ON COLUMN grafana_quarantine.size_bytes IS 'Of the payload.';
COMMENT ON VIEW grafana_listening IS 'The listening clock, one row: it runs only while we are connected, past the backlog and storing.';
COMMENT ON COLUMN grafana_listening.clock_s IS 'Its value, seconds.';
COMMENT ON COLUMN grafana_listening.state IS 'down, catching_up, listening.';
COMMENT ON COLUMN grafana_listening.updated_at IS 'When ingest last wrote it.';
COMMENT ON COLUMN grafana_listening.age_s IS 'Seconds since then; above a minute ingest is down whatever the state says.';


GRANT SELECT ON kit_facts, seen_kits, known_kits, known_components, seen_members, seen_heartbeats, seen_reports, seen_changes,
    grafana_listening TO fleet_api, fleet_worker;
GRANT SELECT ON grafana_kits, grafana_heartbeats, grafana_messages, grafana_changes, grafana_software,
    grafana_peripherals, grafana_alerts, grafana_incidents, grafana_service_requests, grafana_quarantine,
    grafana_listening TO fleet_grafana, fleet_api, fleet_worker;
-- A dashboard's login sees what database_scopes gives it; this group itself sees nothing.

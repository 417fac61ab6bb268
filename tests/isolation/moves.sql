-- name: heartbeat
INSERT INTO heartbeats (time, received_at, seq, kit_id, battery, boot, operator)
SELECT clock_timestamp(), clock_timestamp(), 1, kit_id, 80, %(word)s, %(word)s FROM kits WHERE kit = %(kit)s;

-- name: report
INSERT INTO reports (time, received_at, seq, kit_id, kind, boot, body)
SELECT clock_timestamp(), clock_timestamp(), 2, kit_id, 'software', %(word)s, %(evidence)s FROM kits WHERE kit = %(kit)s;

-- name: change
INSERT INTO changes (kit_id, time, received_at, what, subject, before, after)
SELECT kit_id, clock_timestamp(), clock_timestamp(), 'version', 'app', '1', %(word)s FROM kits WHERE kit = %(kit)s;

-- name: alert
WITH made AS (
    INSERT INTO alerts (kit_id, rule, severity, state, opened_at, cleared_at, resolution, suppressed_by, evidence)
    SELECT kit_id, 'version_drift', 'major', 'cleared', now(), now(), %(word)s, %(word)s, %(evidence)s
    FROM kits WHERE kit = %(kit)s
    RETURNING alert_id, kit_id
), request AS (
    INSERT INTO service_requests (number, kit_id, cause, line, priority, state, opened_at, due_at, resolved_at, resolution)
    SELECT 'SR-' || %(word)s, kit_id, 'version_drift', 'support', 'normal', 'closed', now(), now(), now(), %(word)s FROM made
    RETURNING request_id
), linked AS (
    INSERT INTO request_alerts (request_id, alert_id) SELECT request_id, alert_id FROM request, made
), incident AS (
    INSERT INTO incidents (rule, state, opened_at, opened_clock_s, installed_kits, cleared_at, cleared_clock_s)
    VALUES ('silent', 'cleared', now(), 1, 1, now(), 2)
    RETURNING incident_id
), member AS (
    INSERT INTO incident_members (incident_id, kit_id, joined_at, left_at, outcome, heard_clock_s, watch_allowance_s)
    SELECT incident_id, kit_id, now(), now(), 'returned', 1, 30 FROM incident, kits WHERE kit = %(kit)s
)
INSERT INTO service_requests (number, incident_id, cause, line, priority, state, opened_at, due_at, resolved_at, resolution)
SELECT 'SR-I-' || %(word)s, incident_id, 'silent', 'support', 'normal', 'closed', now(), now(), now(), %(word)s FROM incident;

-- name: finding
INSERT INTO findings (kind, subject, kit_id, organisation_id, owner_id, severity, state, opened_at, last_seen_at, cleared_at,
                      evidence)
SELECT 'never_heard', %(word)s, kit_id, organisation_id, owner_id, 'minor', 'cleared', now(), now(), now(), %(evidence)s
FROM kits WHERE kit = %(kit)s;

-- name: billable_event
INSERT INTO billable_events (kind, organisation_id, programme, kit_id, placement_id, quantity, occurred_at, day, until_day)
SELECT 'set_up', organisation_id, %(word)s, kit_id, %(placement_id)s, 1, now(), current_date, current_date + 1
FROM kits WHERE kit = %(kit)s;

-- name: event
INSERT INTO events (type, kit, body) VALUES ('kit.edited', %(kit)s, %(evidence)s);

-- name: commands_over
UPDATE commands SET state = 'expired', next_attempt_at = 'infinity' WHERE arguments ->> 'note' = %(word)s;

-- name: placed
-- What was planned in each time was in use for a moment.
INSERT INTO placements (kit_id, reference_id, organisation_id, programme, state, during, ended_reason)
SELECT kit_id, reference_id, p.organisation_id, programme, 'ended',
       tstzrange(p.created_at, p.created_at + interval '1 microsecond'), programme
FROM placements p JOIN kits USING (kit_id) WHERE kit = %(kit)s;

-- name: component_finding
INSERT INTO findings (kind, subject, kit_id, component_id, organisation_id, owner_id, severity, state, opened_at, last_seen_at,
                      cleared_at, evidence)
SELECT 'firmware_differs', %(word)s, k.kit_id, c.component_id, k.organisation_id, k.owner_id, 'minor', 'cleared', now(), now(),
       now(), %(evidence)s
FROM kits k JOIN components c USING (kit_id) WHERE k.kit = %(kit)s AND c.serial = %(kit)s || '-stayed';

-- name: log
INSERT INTO request_events (request_id, at, actor, what, body)
SELECT request_id, now(), %(word)s::text, 'comment', jsonb_build_object('text', %(word)s::text) FROM service_requests
WHERE number IN ('SR-' || %(word)s::text, 'SR-I-' || %(word)s::text);

-- name: call
INSERT INTO calls (at, minutes, channel, caller, reason, outcome, kit_id, tree, tree_version, note, actor)
SELECT clock_timestamp(), 3, 'phone', 'citizen', 'question', 'informed', kit_id, %(word)s::text, 1, %(word)s::text, 'world'
FROM kits WHERE kit = %(kit)s;

-- name: visit
WITH made AS (
    INSERT INTO visits (number, kind, state, kit_id, organisation_id, ordered_at, planned_on, target_days, due_on, done_on,
                        took_days, ended_at, note, has_text, created_by)
    SELECT 'V-' || %(word)s::text, 'repair', 'done', kit_id, organisation_id, now(), current_date, 12, current_date, current_date, 0,
           now(), %(word)s::text, true, 'world'
    FROM kits WHERE kit = %(kit)s
    RETURNING visit_id
)
INSERT INTO visit_attempts (visit_id, at, failure, planned_on, note, actor)
SELECT visit_id, now(), 'nobody_home', current_date, %(word)s::text, 'world' FROM made;

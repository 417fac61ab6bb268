-- What dashboards see of alerts that are kept quiet, of requests and their targets, of calls, visits and maintenance: facts
-- and words of ours, nothing that people wrote, and nobody's name. Columns are only added, at the end.

CREATE OR REPLACE VIEW grafana_alerts AS
SELECT a.alert_id AS id, k.kit, a.rule, a.severity, a.state, a.acknowledged, a.opened_at, a.cleared_at, a.suppressed_by,
       a.subject, o.slug AS organisation, a.flapping, a.acknowledged_at, a.heard_at, a.resolution
FROM alerts a
LEFT JOIN kits k USING (kit_id)
LEFT JOIN organisations o ON o.organisation_id = a.organisation_id
WHERE (SELECT sees_all()) OR a.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[]);
COMMENT ON COLUMN grafana_alerts.suppressed_by IS
    'What speaks in its place or keeps it quiet: incident:7, maintenance:12, shelved:<until>; null: it is told.';
COMMENT ON COLUMN grafana_alerts.organisation IS 'Short name of whose it is; null of the installation''s.';
COMMENT ON COLUMN grafana_alerts.flapping IS 'Opened too often lately: it stays active until it was quiet for long enough.';
COMMENT ON COLUMN grafana_alerts.acknowledged_at IS 'When somebody said that they saw it.';
COMMENT ON COLUMN grafana_alerts.heard_at IS 'When what had kept it quiet ended while it held.';
COMMENT ON COLUMN grafana_alerts.resolution IS 'Why it cleared: proof, rule_changed, merged and so on.';

-- A contract is named to those who see it: of one's own organisations, or of nobody and so for all.
CREATE OR REPLACE VIEW grafana_service_requests AS
SELECT r.number, k.kit, r.incident_id AS incident, r.cause, r.line, r.priority, r.state, r.opened_at, r.due_at, r.resolved_at,
       r.subject, o.slug AS organisation, r.opened_by, r.waiting_for, r.assignee IS NOT NULL AS assigned, r.response_due_at,
       r.update_due_at, r.responded_at, r.sla_state, 'response' = ANY (r.sla_breaches) AS response_missed,
       'update' = ANY (r.sla_breaches) AS update_missed, 'solution' = ANY (r.sla_breaches) AS solution_missed,
       CASE WHEN (SELECT sees_all()) OR c.organisation_id IS NULL
                 OR c.organisation_id = ANY ((SELECT seen_organisations())::integer[]) THEN c.slug END AS contract,
       r.found_cause, r.remedy, r.closed_at, r.proven, r.reopened,
       r.merged_into IS NOT NULL OR coalesce(r.resolution = 'merged' OR starts_with(r.resolution, 'merged:'), false) AS merged
FROM service_requests r
LEFT JOIN kits k USING (kit_id)
LEFT JOIN organisations o ON o.organisation_id = r.organisation_id
LEFT JOIN contracts c USING (contract_id)
WHERE (SELECT sees_all()) OR r.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[])
   OR r.incident_id IN (SELECT m.incident_id FROM seen_members m);
COMMENT ON COLUMN grafana_service_requests.cause IS 'The rule that opened it, or one of the maintained causes.';
COMMENT ON COLUMN grafana_service_requests.due_at IS
    'By when it should be solved; while sla_state is paused, by when if its clocks went on now.';
COMMENT ON COLUMN grafana_service_requests.organisation IS 'Short name of whose it is; null of an incident''s.';
COMMENT ON COLUMN grafana_service_requests.opened_by IS 'alert, agent, program.';
COMMENT ON COLUMN grafana_service_requests.waiting_for IS 'citizen, supplier, transport, other; null while nobody is waited for.';
COMMENT ON COLUMN grafana_service_requests.assigned IS 'Whether it is given to somebody; not to whom.';
COMMENT ON COLUMN grafana_service_requests.response_due_at IS 'By when somebody should have begun; null where that is not promised.';
COMMENT ON COLUMN grafana_service_requests.update_due_at IS 'By when something should be said again; null where that is not promised.';
COMMENT ON COLUMN grafana_service_requests.responded_at IS 'When somebody began; null before.';
COMMENT ON COLUMN grafana_service_requests.sla_state IS 'running, paused, met, breached.';
COMMENT ON COLUMN grafana_service_requests.response_missed IS 'Whether the target for the first response was missed.';
COMMENT ON COLUMN grafana_service_requests.update_missed IS 'Whether the target for updates was missed.';
COMMENT ON COLUMN grafana_service_requests.solution_missed IS 'Whether the target for the solution was missed.';
COMMENT ON COLUMN grafana_service_requests.contract IS 'Short name of its contract; null where the reader does not see that.';
COMMENT ON COLUMN grafana_service_requests.found_cause IS 'What was found to be the cause; self-cleared: it went away by itself.';
COMMENT ON COLUMN grafana_service_requests.remedy IS 'What was done about it.';
COMMENT ON COLUMN grafana_service_requests.closed_at IS 'When nothing more was to be proven; null before.';
COMMENT ON COLUMN grafana_service_requests.proven IS 'Once closed: whether the kit itself showed that the fault is gone.';
COMMENT ON COLUMN grafana_service_requests.reopened IS 'How often it was opened again.';
COMMENT ON COLUMN grafana_service_requests.merged IS 'Whether another request or a mass event speaks for it: not to be counted.';

-- Of the entries that people write in, only that they are there.
CREATE VIEW grafana_request_events AS
SELECT e.event_id AS id, r.number, k.kit, r.incident_id AS incident, o.slug AS organisation, e.at, e.recorded_at, e.what,
       e.actor = 'system' AS by_system,
       CASE WHEN e.what IN ('state', 'line', 'priority') THEN e.body ->> 'from' END AS before,
       CASE WHEN e.what IN ('state', 'line', 'priority') THEN e.body ->> 'to' WHEN e.what = 'opened' THEN 'open' END AS after,
       CASE WHEN e.what = 'state' THEN e.body ->> 'waiting_for' END AS waiting_for,
       CASE WHEN e.what = 'escalated' THEN e.body ->> 'target' END AS target
FROM request_events e
JOIN service_requests r USING (request_id)
LEFT JOIN kits k USING (kit_id)
LEFT JOIN organisations o ON o.organisation_id = r.organisation_id
WHERE (SELECT sees_all()) OR r.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[])
   OR r.incident_id IN (SELECT m.incident_id FROM seen_members m);
COMMENT ON VIEW grafana_request_events IS 'The log of every service request, without what people wrote.';
COMMENT ON COLUMN grafana_request_events.id IS 'Rises with each entry.';
COMMENT ON COLUMN grafana_request_events.number IS 'Of the request.';
COMMENT ON COLUMN grafana_request_events.kit IS 'The kit''s id; null when the request is about an incident or a place.';
COMMENT ON COLUMN grafana_request_events.incident IS 'Number of the incident; null when it is about none.';
COMMENT ON COLUMN grafana_request_events.organisation IS 'As grafana_service_requests.organisation.';
COMMENT ON COLUMN grafana_request_events.at IS 'When it happened.';
COMMENT ON COLUMN grafana_request_events.recorded_at IS 'When it was entered.';
COMMENT ON COLUMN grafana_request_events.what IS
    'opened, state, line, priority, assigned, comment, reference, alert, linked, merged, visit, call, told, escalated, redacted.';
COMMENT ON COLUMN grafana_request_events.by_system IS 'Whether rules and clocks did it, and not people.';
COMMENT ON COLUMN grafana_request_events.before IS 'State, line or priority before; null of other entries.';
COMMENT ON COLUMN grafana_request_events.after IS 'State, line or priority from then on; null of other entries.';
COMMENT ON COLUMN grafana_request_events.waiting_for IS 'Of the state waiting: citizen, supplier, transport, other.';
COMMENT ON COLUMN grafana_request_events.target IS 'Of an escalation: response, update, solution.';

CREATE VIEW grafana_calls AS
SELECT c.call_id AS id, k.kit, o.slug AS organisation, r.number AS request, c.at, c.minutes::double precision AS minutes,
       c.channel, c.caller, c.reason, c.outcome, c.tree, c.tree_version, c.voided_at IS NOT NULL AS voided
FROM calls c
LEFT JOIN kits k ON k.kit_id = c.kit_id
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
LEFT JOIN service_requests r ON r.request_id = c.request_id
WHERE (SELECT sees_all()) OR c.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[]);
COMMENT ON VIEW grafana_calls IS 'Every contact at the first line, also when it was solved at once; nobody is named.';
COMMENT ON COLUMN grafana_calls.id IS 'Number of the call.';
COMMENT ON COLUMN grafana_calls.kit IS 'The kit''s id; null when it was about none.';
COMMENT ON COLUMN grafana_calls.organisation IS 'Short name of whose kit it was at that time, else of whom the caller is.';
COMMENT ON COLUMN grafana_calls.request IS 'Number of the service request that it led to or was about.';
COMMENT ON COLUMN grafana_calls.at IS 'When it was.';
COMMENT ON COLUMN grafana_calls.minutes IS 'How long it took.';
COMMENT ON COLUMN grafana_calls.channel IS 'phone, mail, portal.';
COMMENT ON COLUMN grafana_calls.caller IS 'The caller''s role: citizen, relative, nurse and so on.';
COMMENT ON COLUMN grafana_calls.reason IS 'not_heard, measurement_missing, battery and so on.';
COMMENT ON COLUMN grafana_calls.outcome IS 'solved, advised, forwarded, visit_planned, informed, no_answer.';
COMMENT ON COLUMN grafana_calls.tree IS 'The problem tree that was walked; null without one.';
COMMENT ON COLUMN grafana_calls.tree_version IS 'Its version.';
COMMENT ON COLUMN grafana_calls.voided IS 'Entered wrongly: not to be counted.';

CREATE VIEW grafana_visits AS
SELECT v.number, k.kit, o.slug AS organisation, r.number AS request, v.kind, v.state, v.urgent, v.ordered_at, v.planned_on,
       v.target_days, v.due_on, v.attempts,
       (SELECT a.failure FROM visit_attempts a WHERE a.visit_id = v.visit_id ORDER BY a.attempt_id DESC LIMIT 1) AS failure,
       v.started_at, v.arrived_at, v.ended_at, v.done_on, v.took_days, v.done_on <= v.due_on AS within_target,
       v.state IN ('planned', 'under_way', 'failed') AND v.due_on < (now() AT TIME ZONE 'Europe/Copenhagen')::date AS overdue,
       v.instruction_given, v.receipt, v.old_equipment_taken
FROM visits v
LEFT JOIN kits k ON k.kit_id = v.kit_id
LEFT JOIN organisations o ON o.organisation_id = v.organisation_id
LEFT JOIN service_requests r ON r.request_id = v.request_id
WHERE (SELECT sees_all()) OR v.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[]);
COMMENT ON VIEW grafana_visits IS 'Every visit: what for, when, and what came of it; nobody is named.';
COMMENT ON COLUMN grafana_visits.number IS 'As people say it, for example V-2026-000042.';
COMMENT ON COLUMN grafana_visits.kit IS 'The kit''s id; null while none is chosen.';
COMMENT ON COLUMN grafana_visits.organisation IS 'Short name of whose it is.';
COMMENT ON COLUMN grafana_visits.request IS 'Number of the service request that asked for it.';
COMMENT ON COLUMN grafana_visits.kind IS 'install, swap, take_down, repair, training, calibration.';
COMMENT ON COLUMN grafana_visits.state IS 'planned, under_way, done, failed, cancelled.';
COMMENT ON COLUMN grafana_visits.urgent IS 'Whether the shorter target holds.';
COMMENT ON COLUMN grafana_visits.ordered_at IS 'When it was asked for.';
COMMENT ON COLUMN grafana_visits.planned_on IS 'The day in Denmark.';
COMMENT ON COLUMN grafana_visits.target_days IS 'Working days within which it is to be done.';
COMMENT ON COLUMN grafana_visits.due_on IS 'The last day within the target.';
COMMENT ON COLUMN grafana_visits.attempts IS 'How often it failed.';
COMMENT ON COLUMN grafana_visits.failure IS 'Why it failed the last time.';
COMMENT ON COLUMN grafana_visits.started_at IS 'When somebody left for it.';
COMMENT ON COLUMN grafana_visits.arrived_at IS 'When somebody was there.';
COMMENT ON COLUMN grafana_visits.ended_at IS 'When it was done or cancelled; null before.';
COMMENT ON COLUMN grafana_visits.done_on IS 'The day on which it was done; null before.';
COMMENT ON COLUMN grafana_visits.took_days IS 'Working days from the order to that day.';
COMMENT ON COLUMN grafana_visits.within_target IS 'Once done: whether in time.';
COMMENT ON COLUMN grafana_visits.overdue IS 'Not done, and its last day within the target is over.';
COMMENT ON COLUMN grafana_visits.instruction_given IS 'Once done: whether the citizen was instructed.';
COMMENT ON COLUMN grafana_visits.receipt IS 'In which role somebody received or handed over the equipment.';
COMMENT ON COLUMN grafana_visits.old_equipment_taken IS 'Whether old equipment was taken along.';

CREATE VIEW grafana_visit_attempts AS
SELECT a.attempt_id AS id, v.number, k.kit, o.slug AS organisation, v.kind, a.at, a.planned_on, a.failure
FROM visit_attempts a
JOIN visits v USING (visit_id)
LEFT JOIN kits k ON k.kit_id = v.kit_id
LEFT JOIN organisations o ON o.organisation_id = v.organisation_id
WHERE (SELECT sees_all()) OR v.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[]);
COMMENT ON VIEW grafana_visit_attempts IS 'Each time somebody went and came back without having done it.';
COMMENT ON COLUMN grafana_visit_attempts.id IS 'Rises with each.';
COMMENT ON COLUMN grafana_visit_attempts.number IS 'Of the visit.';
COMMENT ON COLUMN grafana_visit_attempts.kit IS 'As grafana_visits.kit.';
COMMENT ON COLUMN grafana_visit_attempts.organisation IS 'As grafana_visits.organisation.';
COMMENT ON COLUMN grafana_visit_attempts.kind IS 'As grafana_visits.kind.';
COMMENT ON COLUMN grafana_visit_attempts.at IS 'When it failed.';
COMMENT ON COLUMN grafana_visit_attempts.planned_on IS 'For which day it had been planned.';
COMMENT ON COLUMN grafana_visit_attempts.failure IS 'Why: nobody_home, refused, wrong_equipment and so on.';

CREATE VIEW grafana_maintenance_windows AS
SELECT w.window_id AS id, o.slug AS organisation, w.kit_type, m.manufacturer || ' ' || m.name AS model, w.programme,
       CASE WHEN w.names_kits
            THEN (SELECT count(*) FROM maintenance_window_kits n WHERE n.window_id = w.window_id) END AS named_kits,
       w.rules, w.collect,
       CASE WHEN w.current_from IS NULL OR (w.recurrence IS NULL AND w.current_to <= now()) THEN 'ended'
            WHEN w.current_from <= now() AND now() < w.current_to THEN 'on'
            ELSE 'planned' END AS state,
       w.starts_at, w.ends_at, w.recurrence, w.current_from, w.current_to, w.ended_at
FROM maintenance_windows w
LEFT JOIN organisations o USING (organisation_id)
LEFT JOIN models m USING (model_id)
WHERE (SELECT sees_all()) OR w.organisation_id = ANY ((SELECT seen_organisations())::integer[]);
COMMENT ON VIEW grafana_maintenance_windows IS
    'For which kits and rules nothing is told, and when. All that narrows it holds together.';
COMMENT ON COLUMN grafana_maintenance_windows.id IS 'Number of the window.';
COMMENT ON COLUMN grafana_maintenance_windows.organisation IS 'Short name, with all below it; null: the whole installation.';
COMMENT ON COLUMN grafana_maintenance_windows.kit_type IS 'Only kits of this type; null: any.';
COMMENT ON COLUMN grafana_maintenance_windows.model IS 'Only kits with a piece of this model; null: any.';
COMMENT ON COLUMN grafana_maintenance_windows.programme IS 'Only kits of this programme; null: any.';
COMMENT ON COLUMN grafana_maintenance_windows.named_kits IS 'How many kits it names; null: it names none and is for all of the above.';
COMMENT ON COLUMN grafana_maintenance_windows.rules IS 'Only these rules; null: all.';
COMMENT ON COLUMN grafana_maintenance_windows.collect IS 'Whether rules are judged meanwhile, with what opens suppressed.';
COMMENT ON COLUMN grafana_maintenance_windows.state IS 'planned, on, ended.';
COMMENT ON COLUMN grafana_maintenance_windows.starts_at IS 'Begin of the first time.';
COMMENT ON COLUMN grafana_maintenance_windows.ends_at IS 'End of the first time.';
COMMENT ON COLUMN grafana_maintenance_windows.recurrence IS 'RFC 5545 RRULE, by the clock of Europe/Copenhagen; null: once.';
COMMENT ON COLUMN grafana_maintenance_windows.current_from IS 'Begin of the time that is on or comes next; null when all are over.';
COMMENT ON COLUMN grafana_maintenance_windows.current_to IS 'Its end.';
COMMENT ON COLUMN grafana_maintenance_windows.ended_at IS 'When the last time was over, or it was ended early.';

CREATE VIEW grafana_rules AS
SELECT rule, version, enabled, severity, line, priority, for_s, keep_firing_for_s FROM rules;
COMMENT ON VIEW grafana_rules IS 'The rules as they are set for all; variants for some kits are in the API.';
COMMENT ON COLUMN grafana_rules.rule IS 'silent, version_drift and so on.';
COMMENT ON COLUMN grafana_rules.version IS 'Number of its newest change; 0 before it was ever edited.';
COMMENT ON COLUMN grafana_rules.enabled IS 'Whether it is judged.';
COMMENT ON COLUMN grafana_rules.severity IS 'critical, major, minor, warning.';
COMMENT ON COLUMN grafana_rules.line IS 'Who answers: support, service, logistics, supplier.';
COMMENT ON COLUMN grafana_rules.priority IS 'How soon: urgent, high, normal, low.';
COMMENT ON COLUMN grafana_rules.for_s IS 'How long its condition must hold before an alert opens, seconds.';
COMMENT ON COLUMN grafana_rules.keep_firing_for_s IS 'How long its condition must be gone before the alert clears, seconds.';

GRANT SELECT ON grafana_request_events, grafana_calls, grafana_visits, grafana_visit_attempts, grafana_maintenance_windows,
    grafana_rules TO fleet_grafana, fleet_api, fleet_worker;

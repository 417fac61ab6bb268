-- name: policies
-- With the last run of each; all of it is null when none was yet, or for whoever does not see runs.
SELECT p.kind, p.keep_days, p.default_days, p.min_days, p.max_days, p.revision, p.updated_at,
       r.at AS last_run_at, r.removed AS last_removed
FROM retention_policies p
LEFT JOIN LATERAL (SELECT at, removed FROM retention_runs r WHERE r.kind = p.kind ORDER BY at DESC LIMIT 1) r ON true
WHERE p.kind > %(after)s AND (%(kind)s::text IS NULL OR p.kind = %(kind)s)
ORDER BY p.kind
LIMIT %(limit)s

-- name: lock_policy
SELECT revision FROM retention_policies WHERE kind = %(kind)s FOR UPDATE

-- name: set_policy
UPDATE retention_policies SET keep_days = %(keep_days)s, revision = revision + 1, updated_at = now()
WHERE kind = %(kind)s

-- name: runs
SELECT run_id AS id, kind, at, cutoff, removed, complete FROM retention_runs
WHERE run_id < %(before)s AND (%(kind)s::text IS NULL OR kind = %(kind)s)
ORDER BY run_id DESC
LIMIT %(limit)s

-- name: begin
SELECT set_config('fleet.actor', %(actor)s, false), set_config('fleet.principal', %(principal)s, false),
       set_config('fleet.reason', '', false), set_config('lock_timeout', %(lock_timeout)s, false)

-- name: keep_days
SELECT kind, keep_days FROM retention_policies

-- name: note_run
-- What removed nothing is told once a day, as proof that it was looked at.
INSERT INTO retention_runs (kind, cutoff, removed, complete)
SELECT %(kind)s, %(cutoff)s, %(removed)s, %(complete)s
WHERE %(removed)s::bigint > 0
   OR NOT EXISTS (SELECT FROM retention_runs WHERE kind = %(kind)s AND at > now() - interval '23 hours')

-- name: note_removal
SELECT note_audit('retention.applied', 'retention_policies', %(kind)s, NULL, NULL, jsonb_build_object(
    'removed', %(removed)s::bigint, 'cutoff', %(cutoff)s::timestamptz, 'complete', %(complete)s::boolean))

-- name: remove_changes
-- The oldest come first in the index, so nothing is read where there is nothing to remove.
DELETE FROM changes WHERE change_id IN (
    SELECT change_id FROM (SELECT change_id, received_at FROM changes ORDER BY change_id LIMIT %(limit)s) oldest
    WHERE received_at < %(cutoff)s)

-- name: count_changes
SELECT count(*) FROM changes WHERE received_at < %(cutoff)s

-- name: remove_quarantine_payloads
UPDATE quarantine SET payload = '', redacted_at = now(), topic = redacted_topic(topic, reason),
    detail = redacted_detail(detail)
WHERE quarantine_id IN (
    SELECT quarantine_id FROM quarantine WHERE received_at < %(cutoff)s AND redacted_at IS NULL
    ORDER BY received_at LIMIT %(limit)s)

-- name: count_quarantine_payloads
SELECT count(*) FROM quarantine WHERE received_at < %(cutoff)s AND redacted_at IS NULL

-- name: remove_quarantine
DELETE FROM quarantine WHERE quarantine_id IN (
    SELECT quarantine_id FROM quarantine WHERE received_at < %(cutoff)s ORDER BY received_at LIMIT %(limit)s)

-- name: count_quarantine
SELECT count(*) FROM quarantine WHERE received_at < %(cutoff)s

-- name: remove_events
DELETE FROM events WHERE (tx, event_id) IN (
    SELECT tx, event_id FROM (SELECT tx, event_id, at FROM events ORDER BY tx, event_id LIMIT %(limit)s) oldest
    WHERE at < %(cutoff)s)

-- name: count_events
SELECT count(*) FROM events WHERE at < %(cutoff)s

-- name: remove_deliveries
DELETE FROM deliveries WHERE delivery_id IN (
    SELECT delivery_id FROM deliveries WHERE state <> 'pending' AND ended_at < %(cutoff)s ORDER BY ended_at LIMIT %(limit)s)

-- name: count_deliveries
SELECT count(*) FROM deliveries WHERE state <> 'pending' AND ended_at < %(cutoff)s

-- name: remove_idempotency_keys
DELETE FROM idempotency_keys WHERE (principal, key) IN (
    SELECT principal, key FROM idempotency_keys WHERE created_at < %(cutoff)s LIMIT %(limit)s)

-- name: count_idempotency_keys
SELECT count(*) FROM idempotency_keys WHERE created_at < %(cutoff)s

-- name: remove_placement_references
SELECT erase_old_references(%(cutoff)s, %(limit)s)

-- name: count_placement_references
SELECT count(*) FROM placement_references r WHERE r.erased_at IS NULL AND reference_needed_until(r) < %(cutoff)s

-- name: remove_request_texts
SELECT redact_old_requests(%(cutoff)s, %(limit)s)

-- name: count_request_texts
SELECT count(*) FROM service_requests WHERE resolved_at < %(cutoff)s AND (has_text OR is_free_text(resolution))

-- name: remove_book_texts
SELECT redact_old_books(%(cutoff)s, %(limit)s)

-- name: count_book_texts
SELECT count(*) FROM book_events WHERE recorded_at < %(cutoff)s AND reason IS NOT NULL AND reason <> '[redacted]'

-- name: remove_call_notes
UPDATE calls SET note = '[redacted]'
WHERE call_id IN (SELECT call_id FROM calls
                  WHERE recorded_at < %(cutoff)s AND note NOT IN ('', '[redacted]') ORDER BY recorded_at LIMIT %(limit)s)

-- name: count_call_notes
SELECT count(*) FROM calls WHERE recorded_at < %(cutoff)s AND note NOT IN ('', '[redacted]')

-- name: remove_visit_texts
SELECT redact_visits(ARRAY(
    SELECT visit_id FROM visits WHERE ended_at < %(cutoff)s AND has_text ORDER BY ended_at LIMIT %(limit)s))

-- name: count_visit_texts
SELECT count(*) FROM visits WHERE ended_at < %(cutoff)s AND has_text

-- name: remove_service_requests
SELECT trim_requests(%(cutoff)s, %(limit)s)

-- name: count_service_requests
SELECT count(*) FROM service_requests WHERE resolved_at < %(cutoff)s

-- name: remove_alerts
-- But for those of a request that is not ended.
WITH old AS (
    SELECT alert_id FROM alerts a
    WHERE a.state = 'cleared' AND a.cleared_at < %(cutoff)s
      AND NOT EXISTS (SELECT FROM request_alerts l JOIN service_requests r USING (request_id)
                      WHERE l.alert_id = a.alert_id AND r.resolved_at IS NULL)
    ORDER BY a.cleared_at LIMIT %(limit)s
), links AS (
    DELETE FROM request_alerts WHERE alert_id IN (SELECT alert_id FROM old)
)
DELETE FROM alerts WHERE alert_id IN (SELECT alert_id FROM old)

-- name: count_alerts
SELECT count(*) FROM alerts a
WHERE a.state = 'cleared' AND a.cleared_at < %(cutoff)s
  AND NOT EXISTS (SELECT FROM request_alerts l JOIN service_requests r USING (request_id)
                  WHERE l.alert_id = a.alert_id AND r.resolved_at IS NULL)

-- name: remove_incidents
-- But for those with a request still there, or a kit that has not left.
WITH old AS (
    SELECT incident_id FROM incidents i
    WHERE i.state = 'cleared' AND i.cleared_at < %(cutoff)s
      AND NOT EXISTS (SELECT FROM service_requests r WHERE r.incident_id = i.incident_id)
      AND NOT EXISTS (SELECT FROM incident_members m WHERE m.incident_id = i.incident_id AND m.left_at IS NULL)
    ORDER BY i.cleared_at LIMIT %(limit)s
), members AS (
    DELETE FROM incident_members WHERE incident_id IN (SELECT incident_id FROM old)
)
DELETE FROM incidents WHERE incident_id IN (SELECT incident_id FROM old)

-- name: count_incidents
SELECT count(*) FROM incidents i
WHERE i.state = 'cleared' AND i.cleared_at < %(cutoff)s
  AND NOT EXISTS (SELECT FROM service_requests r WHERE r.incident_id = i.incident_id)
  AND NOT EXISTS (SELECT FROM incident_members m WHERE m.incident_id = i.incident_id AND m.left_at IS NULL)

-- name: remove_findings
DELETE FROM findings WHERE finding_id IN (
    SELECT finding_id FROM findings WHERE state = 'cleared' AND cleared_at < %(cutoff)s
    ORDER BY cleared_at LIMIT %(limit)s)

-- name: count_findings
SELECT count(*) FROM findings WHERE state = 'cleared' AND cleared_at < %(cutoff)s

-- name: remove_commands
DELETE FROM commands WHERE command_id IN (
    SELECT command_id FROM commands WHERE requested_at < %(cutoff)s AND state NOT IN ('pending', 'sent')
    ORDER BY requested_at LIMIT %(limit)s)

-- name: count_commands
SELECT count(*) FROM commands WHERE requested_at < %(cutoff)s AND state NOT IN ('pending', 'sent')

-- name: remove_audit
SELECT trim_audit(%(cutoff)s, %(limit)s)

-- name: count_audit
-- As far as lines are chained, up to the first that is young enough to stay.
SELECT count(*) FROM audit_chain
WHERE position < coalesce(
    (SELECT min(c.position) FROM audit_chain c JOIN audit a USING (audit_id) WHERE a.at >= %(cutoff)s),
    (SELECT max(position) FROM audit_chain))

-- name: remove_sessions
SELECT trim_sessions(%(cutoff)s, %(limit)s)

-- name: count_sessions
SELECT count(*) FROM sessions WHERE expires_at < %(cutoff)s

-- name: remove_login_attempts
SELECT trim_login_attempts(%(cutoff)s, %(limit)s)

-- name: count_login_attempts
SELECT count(*) FROM login_attempts WHERE last_at < %(cutoff)s

-- name: remove_retention_runs
DELETE FROM retention_runs WHERE run_id IN (
    SELECT run_id FROM retention_runs WHERE at < %(cutoff)s ORDER BY at LIMIT %(limit)s)

-- name: count_retention_runs
SELECT count(*) FROM retention_runs WHERE at < %(cutoff)s

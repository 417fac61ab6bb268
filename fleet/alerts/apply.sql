-- name: open_alerts
WITH given AS (
    SELECT * FROM unnest(%(kit_ids)s::integer[], %(evidence)s::jsonb[], %(versions)s::integer[],
                         %(suppressed_by)s::text[], %(flapping)s::boolean[], %(lines)s::text[])
        AS g(kit_id, evidence, rule_version, suppressed_by, flapping, line)
), dropped AS (
    DELETE FROM pending_alerts p USING given g WHERE p.kit_id = g.kit_id AND p.rule = %(rule)s
), opened AS (
    INSERT INTO alerts (kit_id, rule, severity, state, opened_at, evidence, rule_version, suppressed_by, flapping, line)
    SELECT kit_id, %(rule)s, %(severity)s, 'active', %(now)s, evidence, rule_version, suppressed_by, flapping, line FROM given
    ON CONFLICT (kit_id, rule) WHERE state = 'active' DO NOTHING
    RETURNING alert_id
)
SELECT coalesce(array_agg(alert_id ORDER BY alert_id), '{}') FROM opened

-- name: open_subject_alerts
INSERT INTO alerts (subject, organisation_id, rule, severity, state, opened_at, evidence, rule_version, suppressed_by)
SELECT subject, organisation_id, rule, severity, 'active', %(now)s, evidence, version, suppressed_by
FROM unnest(%(subjects)s::text[], %(organisation_ids)s::integer[], %(rules)s::text[], %(severities)s::text[],
            %(evidence)s::jsonb[], %(versions)s::integer[], %(suppressed_by)s::text[])
    AS g(subject, organisation_id, rule, severity, evidence, version, suppressed_by)
ON CONFLICT (subject, rule) WHERE state = 'active' AND subject IS NOT NULL DO NOTHING
RETURNING alert_id, rule

-- name: tell_opened
INSERT INTO events (at, type, kit, organisation_id, body)
SELECT %(now)s, 'alert.opened', k.kit, a.organisation_id, jsonb_build_object(
    'id', a.alert_id, 'rule', a.rule, 'severity', a.severity, 'evidence', a.evidence, 'suppressed_by', a.suppressed_by,
    'request', (
        SELECT r.number FROM request_alerts ra JOIN service_requests r USING (request_id)
        WHERE ra.alert_id = a.alert_id ORDER BY r.request_id DESC LIMIT 1))
    || CASE WHEN a.subject IS NULL THEN '{}' ELSE jsonb_build_object('subject', a.subject) END
FROM alerts a LEFT JOIN kits k USING (kit_id)
WHERE a.alert_id = ANY (%(alert_ids)s)
ORDER BY a.alert_id

-- name: clear_alerts
WITH given AS (
    SELECT * FROM unnest(%(alert_ids)s::bigint[], %(resolutions)s::text[], %(incident_ids)s::bigint[])
        AS g(alert_id, resolution, incident_id)
), cleared AS (
    UPDATE alerts a
    SET state = 'cleared', cleared_at = %(now)s, resolution = g.resolution,
        suppressed_by = coalesce('incident:' || g.incident_id, a.suppressed_by)
    FROM given g
    WHERE a.alert_id = g.alert_id AND a.state = 'active'
    RETURNING a.alert_id, a.kit_id, a.subject, a.organisation_id, a.rule, a.resolution, a.suppressed_by
), told AS (
    INSERT INTO events (at, type, kit, organisation_id, body)
    SELECT %(now)s, 'alert.cleared', k.kit, c.organisation_id, jsonb_build_object(
        'id', c.alert_id, 'rule', c.rule, 'resolution', c.resolution, 'suppressed_by', c.suppressed_by)
        || CASE WHEN c.subject IS NULL THEN '{}' ELSE jsonb_build_object('subject', c.subject) END
    FROM cleared c LEFT JOIN kits k USING (kit_id)
)
SELECT alert_id, rule, resolution FROM cleared

-- name: hold_pending
INSERT INTO pending_alerts (kit_id, rule, since, due_at, evidence)
SELECT * FROM unnest(%(kit_ids)s::integer[], %(rules)s::text[], %(since)s::timestamptz[], %(due_at)s::timestamptz[],
                     %(evidence)s::jsonb[])
ON CONFLICT (kit_id, rule) DO UPDATE SET evidence = excluded.evidence, due_at = excluded.due_at
WHERE (pending_alerts.evidence, pending_alerts.due_at) IS DISTINCT FROM (excluded.evidence, excluded.due_at)

-- name: drop_pending
DELETE FROM pending_alerts p USING unnest(%(kit_ids)s::integer[], %(rules)s::text[]) AS g(kit_id, rule)
WHERE p.kit_id = g.kit_id AND p.rule = g.rule

-- name: set_recovering
UPDATE alerts a SET recovering_since = g.since, clears_at = g.due_at
FROM unnest(%(alert_ids)s::bigint[], %(since)s::timestamptz[], %(due_at)s::timestamptz[]) AS g(alert_id, since, due_at)
WHERE a.alert_id = g.alert_id AND a.state = 'active'

-- name: refresh_evidence
-- Gives those that became graver and are heard.
WITH given AS (
    SELECT * FROM unnest(%(alert_ids)s::bigint[], %(evidence)s::jsonb[], %(severities)s::text[], %(versions)s::integer[])
        AS g(alert_id, evidence, severity, version)
), before AS MATERIALIZED (
    SELECT a.alert_id, a.severity FROM alerts a JOIN given USING (alert_id)
), changed AS (
    UPDATE alerts a
    SET evidence = g.evidence, severity = coalesce(g.severity, a.severity), rule_version = coalesce(g.version, a.rule_version)
    FROM given g
    WHERE a.alert_id = g.alert_id AND a.state = 'active'
    RETURNING a.alert_id, a.severity, a.suppressed_by
)
SELECT c.alert_id FROM changed c JOIN before b USING (alert_id)
WHERE c.suppressed_by IS NULL
  AND array_position(%(from_least)s::text[], c.severity) > array_position(%(from_least)s::text[], b.severity)
ORDER BY c.alert_id

-- name: requests
SELECT r.number, k.kit, r.incident_id AS incident, (SELECT slug FROM organisations o
           WHERE o.organisation_id = r.organisation_id) AS organisation,
       r.cause, r.line, r.priority, r.state, r.waiting_for, r.assignee_id, r.assignee, r.opened_by, r.description,
       ARRAY(SELECT ra.alert_id FROM request_alerts ra WHERE ra.request_id = r.request_id
             ORDER BY ra.alert_id) AS alerts,
       r.opened_at, r.due_at, r.response_due_at, r.update_due_at, r.responded_at, r.sla_state, r.sla_breaches,
       r.resolved_at, r.resolved_by, r.resolution, r.found_cause, r.remedy, r.closed_at, r.proven, r.merged_into,
       r.reopened, r.subject, r.request_id, r.organisation_id, r.has_text,
       r.state IN ('resolved', 'closed') AND (r.found_cause IS NULL OR r.remedy IS NULL) AND r.merged_into IS NULL
           AND coalesce(r.resolution, '') !~ '^(merged(:|$)|rule_disabled$|rule_changed$)' AS cause_missing,
       (SELECT o.owner_id FROM kits o WHERE o.kit_id = r.kit_id) AS owner_id,
       CASE WHEN r.incident_id IS NOT NULL THEN incident_parties(r.incident_id) END AS parties,
       request_revision(r.request_id) AS revision, reopen_within_s(r.contract_id) AS reopen_within_s, now() AS moment
FROM service_requests r LEFT JOIN known_kits k USING (kit_id)
WHERE (%(due_after)s::timestamptz IS NULL AND r.request_id < %(before)s
       OR (r.due_at, r.request_id) > (%(due_after)s, %(before)s))
  AND (%(number)s::text IS NULL OR r.number = %(number)s)
  AND (%(kit)s::text IS NULL OR r.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
  AND (%(incident)s::bigint IS NULL OR r.incident_id = %(incident)s)
  AND (%(organisation)s::text IS NULL OR r.organisation_id = (
       SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
  AND (%(cause)s::text IS NULL OR r.cause = %(cause)s)
  AND (%(found_cause)s::text IS NULL OR r.found_cause = %(found_cause)s)
  AND (%(remedy)s::text IS NULL OR r.remedy = %(remedy)s)
  AND (%(line)s::text IS NULL OR r.line = %(line)s)
  AND (%(priority)s::text IS NULL OR r.priority = %(priority)s)
  AND (%(state)s::text IS NULL OR r.state = %(state)s)
  AND (%(waiting_for)s::text IS NULL OR r.waiting_for = %(waiting_for)s)
  AND (%(opened_by)s::text IS NULL OR r.opened_by = %(opened_by)s)
  AND (%(merged_into)s::text IS NULL OR r.merged_into = %(merged_into)s)
  AND (%(assignee)s::text IS NULL OR lower(r.assignee) = lower(%(assignee)s))
  AND (%(assigned)s::boolean IS NULL OR (r.assignee IS NOT NULL) = %(assigned)s)
  AND (%(breached)s::boolean IS NULL
       OR (r.sla_breaches <> '{}' OR (r.resolved_at IS NULL AND r.due_at < now() AND r.sla_state <> 'paused'))
          = %(breached)s)
  AND (%(unresolved)s::boolean IS NULL
       OR (r.state IN ('open', 'in_progress', 'waiting')) = %(unresolved)s)
  AND (%(cause_missing)s::boolean IS NULL
       OR (r.state IN ('resolved', 'closed') AND (r.found_cause IS NULL OR r.remedy IS NULL) AND r.merged_into IS NULL
           AND coalesce(r.resolution, '') !~ '^(merged(:|$)|rule_disabled$|rule_changed$)') = %(cause_missing)s)
  AND (%(alerts)s::bigint IS NULL OR EXISTS (
       SELECT FROM request_alerts ra WHERE ra.request_id = r.request_id AND ra.alert_id = %(alerts)s))
  AND (%(opened_at)s::timestamptz IS NULL OR r.opened_at = %(opened_at)s)
  AND (%(due_at)s::timestamptz IS NULL OR r.due_at = %(due_at)s)
  AND (%(opened_from)s::timestamptz IS NULL OR r.opened_at >= %(opened_from)s)
  AND (%(opened_to)s::timestamptz IS NULL OR r.opened_at < %(opened_to)s)
  AND (%(due_from)s::timestamptz IS NULL OR r.due_at >= %(due_from)s)
  AND (%(due_to)s::timestamptz IS NULL OR r.due_at < %(due_to)s)
ORDER BY CASE WHEN %(by_due)s THEN r.due_at END, CASE WHEN %(by_due)s THEN r.request_id END, r.request_id DESC
LIMIT %(limit)s;

-- name: history
-- Of the request and of those that were merged into it, the newest first.
WITH RECURSIVE spoken_for AS (
    SELECT request_id, number FROM service_requests WHERE number = %(number)s
    UNION
    SELECT r.request_id, r.number FROM spoken_for s JOIN service_requests r ON r.merged_into = s.number
)
SELECT e.event_id AS id, s.number, e.at, e.recorded_at, e.actor, e.what, e.body
FROM spoken_for s JOIN request_events e USING (request_id)
WHERE e.event_id < %(before)s AND (%(what)s::text[] IS NULL OR e.what = ANY (%(what)s))
ORDER BY e.event_id DESC
LIMIT %(limit)s;

-- name: evidence
SELECT a.alert_id AS id, a.rule, k.kit, a.severity, a.state, a.opened_at, a.cleared_at, a.resolution, a.suppressed_by, a.evidence
FROM service_requests r JOIN request_alerts ra USING (request_id) JOIN alerts a USING (alert_id)
LEFT JOIN known_kits k ON k.kit_id = a.kit_id
WHERE r.number = %(number)s
ORDER BY a.alert_id DESC
LIMIT %(limit)s;

-- name: counts
-- What the tabs of the desk's list show; never more than so many are counted.
SELECT line, count(*) AS requests, count(*) FILTER (WHERE assignee IS NULL) AS unassigned,
       count(*) FILTER (WHERE breached) AS breached
FROM (SELECT r.line, r.assignee,
             r.sla_breaches <> '{}' OR (r.due_at < now() AND r.sla_state <> 'paused') AS breached
      FROM service_requests r WHERE r.state IN ('open', 'in_progress', 'waiting') LIMIT %(limit)s) o
GROUP BY line;

-- name: causes
SELECT cause, title_en, title_da, opens, explains, line, severity, proof, active, revision FROM request_causes
WHERE cause > %(after)s AND (%(cause)s::text IS NULL OR cause = %(cause)s)
  AND (%(active)s::boolean IS NULL OR active = %(active)s)
ORDER BY cause LIMIT %(limit)s;

-- name: remedies
SELECT remedy, title_en, title_da, active, revision FROM request_remedies
WHERE remedy > %(after)s AND (%(remedy)s::text IS NULL OR remedy = %(remedy)s)
  AND (%(active)s::boolean IS NULL OR active = %(active)s)
ORDER BY remedy LIMIT %(limit)s;

-- name: lessons
-- By what it was opened for, by the tablet's model, or by a version of its software.
SELECT CASE %(by)s WHEN 'cause' THEN l.cause WHEN 'model' THEN l.model WHEN 'kit_type' THEN l.kit_type
                   ELSE l.versions ->> %(by)s END AS value,
       l.found_cause, l.remedy, count(*) AS requests
FROM request_lessons l JOIN service_requests r USING (request_id)
WHERE r.state IN ('resolved', 'closed')
  AND (%(from)s::timestamptz IS NULL OR l.at >= %(from)s) AND (%(to)s::timestamptz IS NULL OR l.at < %(to)s)
  AND (%(cause)s::text IS NULL OR l.cause = %(cause)s)
  AND (%(organisation)s::text IS NULL OR r.organisation_id = (
       SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
GROUP BY 1, 2, 3
ORDER BY count(*) DESC, 1, 2, 3
LIMIT %(limit)s;

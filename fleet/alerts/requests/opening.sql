-- name: faults
-- With the request that spoke last for kit (or place) and cause; an open one comes before all that ended. What ended while
-- the kit was with others stays theirs.
SELECT a.alert_id, a.kit_id, a.subject, a.organisation_id, a.rule, a.severity, r.severity AS usual, r.priority AS own, coalesce(a.line, r.line) AS line,
       coalesce(coalesce(p.programme, t.programme) = ANY (s.important_programmes), false) AS important,
       CASE WHEN last.merged_into IS NULL THEN last.number ELSE speaks_for(last.number) END AS candidate,
       last.merged_into IS NULL AS its_own
FROM alerts a JOIN rules r USING (rule) LEFT JOIN kits k USING (kit_id) CROSS JOIN request_settings s
LEFT JOIN placements p ON p.placement_id = k.placement_id
LEFT JOIN kit_types t ON t.kit_type = k.kit_type
LEFT JOIN LATERAL (
    SELECT number, merged_into FROM service_requests o
    WHERE (o.kit_id = a.kit_id OR o.subject = a.subject) AND o.cause = a.rule
      AND (o.state IN ('open', 'in_progress', 'waiting') OR o.organisation_id IS NOT DISTINCT FROM a.organisation_id)
    ORDER BY o.state IN ('open', 'in_progress', 'waiting') DESC, o.request_id DESC LIMIT 1) last ON true
WHERE a.alert_id = ANY (%(alert_ids)s) AND a.state = 'active' AND a.suppressed_by IS NULL
ORDER BY a.alert_id;

-- name: moved
-- Of those whose kit moved, the ones that nobody works on where it is now.
WITH moved AS MATERIALIZED (
    SELECT alert_id FROM alerts WHERE moved_at IS NOT NULL ORDER BY alert_id LIMIT %(limit)s FOR NO KEY UPDATE
), seen AS (
    UPDATE alerts a SET moved_at = NULL FROM moved m WHERE a.alert_id = m.alert_id
)
SELECT a.alert_id FROM moved m JOIN alerts a USING (alert_id)
WHERE a.state = 'active' AND a.suppressed_by IS NULL
  AND NOT EXISTS (SELECT FROM request_alerts ra JOIN service_requests r USING (request_id)
                  WHERE ra.alert_id = a.alert_id AND r.state IN ('open', 'in_progress', 'waiting'))
ORDER BY a.alert_id;

-- name: cleared
-- One of a mass event stands on that as well.
SELECT ra.request_id, a.alert_id, a.rule, a.resolution, a.suppressed_by,
       NOT EXISTS (SELECT FROM request_alerts o JOIN alerts b USING (alert_id)
                   WHERE o.request_id = ra.request_id AND b.state = 'active')
           AND NOT EXISTS (SELECT FROM incidents i WHERE i.incident_id = r.incident_id AND i.state = 'open') AS over
FROM alerts a JOIN request_alerts ra USING (alert_id) JOIN service_requests r USING (request_id)
WHERE a.alert_id = ANY (%(alert_ids)s) AND a.state = 'cleared' AND r.state IN ('open', 'in_progress', 'waiting')
ORDER BY ra.request_id, a.alert_id;

-- name: incident
-- With whose it is, where its cohort is an organisation with what is below it; else it is the installation's.
SELECT i.rule, r.severity, o.organisation_id FROM incidents i JOIN rules r USING (rule)
LEFT JOIN organisations o ON i.cohort_kind IN ('organisation', 'region') AND o.slug = i.cohort_value
WHERE i.incident_id = %(incident_id)s
  AND NOT EXISTS (SELECT FROM service_requests s WHERE s.incident_id = i.incident_id);

-- name: request_of_incident
-- Unless it speaks for alerts that go on: it ends with those. That nobody looks any more is no proof. A rule that is on for
-- some kits only is on.
SELECT r.request_id, CASE
       WHEN NOT u.enabled
            AND NOT EXISTS (SELECT FROM rule_variants v WHERE v.rule = u.rule AND v.enabled)
       THEN 'rule_disabled'
       WHEN EXISTS (SELECT FROM incident_members m WHERE m.incident_id = r.incident_id AND m.outcome = 'not_watched')
            AND NOT EXISTS (SELECT FROM incident_members m
                            WHERE m.incident_id = r.incident_id AND m.outcome IS DISTINCT FROM 'not_watched')
       THEN 'not_watched' ELSE 'proof' END AS resolution
FROM service_requests r JOIN incidents i USING (incident_id) JOIN rules u ON u.rule = i.rule
WHERE r.incident_id = %(incident_id)s AND r.state IN ('open', 'in_progress', 'waiting')
  AND NOT EXISTS (SELECT FROM request_alerts ra JOIN alerts a USING (alert_id)
                  WHERE ra.request_id = r.request_id AND a.state = 'active');

-- name: reported
-- Of these, those that speak for a request that people or programs opened, and that nobody has ended since it was merged.
WITH RECURSIVE spoken_for AS (
    SELECT r.request_id AS speaks, m.request_id, m.number, m.opened_by
    FROM service_requests r JOIN service_requests m ON m.merged_into = r.number
    WHERE r.request_id = ANY (%(request_ids)s)
    UNION
    SELECT s.speaks, m.request_id, m.number, m.opened_by
    FROM spoken_for s JOIN service_requests m ON m.merged_into = s.number
)
SELECT DISTINCT s.speaks
FROM spoken_for s JOIN request_events e USING (request_id)
WHERE s.opened_by <> 'alert' AND e.what = 'state' AND e.body ->> 'from' IN ('open', 'in_progress', 'waiting')
  AND starts_with(e.body ->> 'resolution', 'merged:')
  AND NOT EXISTS (SELECT FROM request_events d
                  WHERE d.request_id = s.speaks AND d.what = 'state' AND d.body ->> 'to' IN ('resolved', 'closed')
                    AND d.event_id > e.event_id);

-- name: moment
SELECT now();

-- name: kit
SELECT kit_id FROM kits WHERE kit = %(kit)s;

-- name: opening
-- What a request may be opened for: what the list says, or a rule.
SELECT cause, line, severity, NULL::text AS own FROM request_causes WHERE cause = %(cause)s AND opens AND active
UNION ALL
SELECT rule, line, severity, priority FROM rules WHERE rule = %(cause)s
LIMIT 1;

-- name: is_important
SELECT coalesce(coalesce(p.programme, t.programme) = ANY (s.important_programmes), false)
FROM kits k CROSS JOIN request_settings s
LEFT JOIN placements p ON p.placement_id = k.placement_id LEFT JOIN kit_types t ON t.kit_type = k.kit_type
WHERE k.kit_id = %(kit_id)s;

-- name: last_of_cause
SELECT CASE WHEN merged_into IS NULL THEN number ELSE speaks_for(number) END AS number, merged_into IS NULL AS its_own
FROM service_requests
WHERE kit_id = %(kit_id)s AND cause = %(cause)s
  AND (state IN ('open', 'in_progress', 'waiting')
       OR organisation_id IS NOT DISTINCT FROM (SELECT k.organisation_id FROM kits k WHERE k.kit_id = %(kit_id)s))
ORDER BY state IN ('open', 'in_progress', 'waiting') DESC, request_id DESC LIMIT 1;

-- name: explains
SELECT EXISTS (SELECT FROM request_causes WHERE cause = %(cause)s::text AND explains AND active) AS cause,
       EXISTS (SELECT FROM request_remedies WHERE remedy = %(remedy)s::text AND active) AS remedy;

-- name: account
SELECT user_id, username FROM users WHERE lower(username COLLATE "C") = lower(%(username)s COLLATE "C") AND disabled_at IS NULL;

-- name: parties
SELECT incident_parties(%(incident_id)s);

-- name: is_linked
SELECT EXISTS (SELECT FROM request_events
               WHERE request_id = %(request_id)s AND what = 'linked' AND body @> %(body)s) AS linked;

-- name: belong
-- Whether two requests are about one thing, or somebody who may close them without proof linked them; and whether they are
-- of different parties. The request of a mass event is of all whose kits are in it.
SELECT s.organisation_id IS DISTINCT FROM t.organisation_id
           AND NOT EXISTS (SELECT FROM incident_members m WHERE (m.incident_id, m.kit_id) = (t.incident_id, s.kit_id)) AS apart,
       coalesce(s.kit_id = t.kit_id OR s.subject = t.subject, false)
    OR EXISTS (SELECT FROM incident_members m
               WHERE (m.incident_id, m.kit_id) IN ((t.incident_id, s.kit_id), (s.incident_id, t.kit_id)))
    OR EXISTS (SELECT FROM request_events e WHERE e.request_id = s.request_id AND e.what = 'linked'
               AND e.body @> jsonb_build_object('to', t.number, 'vouched', true)) AS belong
FROM service_requests s, service_requests t
WHERE s.request_id = %(source)s AND t.request_id = %(target)s;

-- name: move_alerts
WITH moved AS (
    DELETE FROM request_alerts WHERE request_id = %(source)s RETURNING alert_id
)
INSERT INTO request_alerts (request_id, alert_id) SELECT %(target)s, alert_id FROM moved ON CONFLICT DO NOTHING;

-- name: redact_request
-- What was written about a mass event is of all who are in it.
SELECT redact_request(request_id, %(why)s) FROM service_requests
WHERE number = %(number)s AND (incident_id IS NULL OR (SELECT sees_all()));

-- name: facts
-- Of the alerts of a kit those count that its request stands on, and whatever says that it does not work at all; with them
-- those of other kits that were merged into it. A kit that is with others by now proves nothing of what was before.
SELECT r.request_id, r.resolved_at, coalesce(r.resolved_by, 'system') AS resolved_by,
       r.incident_id IS NOT NULL AS incident, coalesce(k.state = 'installed', false) AS watched,
       CASE WHEN r.incident_id IS NOT NULL
            THEN EXISTS (SELECT FROM incidents i WHERE i.incident_id = r.incident_id AND i.state = 'open')
            ELSE EXISTS (SELECT FROM alerts a WHERE (a.kit_id = r.kit_id OR a.subject = r.subject) AND a.state = 'active'
                         AND a.rule = ANY (c.rules)) END
           OR EXISTS (SELECT FROM request_alerts ra JOIN alerts a USING (alert_id)
                      WHERE ra.request_id = r.request_id AND a.state = 'active') AS failing,
       (SELECT max(a.cleared_at) FROM alerts a
        WHERE a.kit_id = r.kit_id AND a.state = 'cleared' AND a.rule = ANY (c.rules)) AS cleared_at,
       l.last_heard_at AS heard_at,
       coalesce(is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s, g.clock_s,
                          g.resumed_clock_s, g.grace_from_clock_s), false) AS silent,
       coalesce((SELECT c.proof FROM request_causes c WHERE c.cause = r.cause), true)
           -- What nobody looks at any more proves nothing, and need not.
           AND coalesce(r.resolution, '') NOT IN ('rule_disabled', 'rule_changed')
           AND NOT (r.incident_id IS NOT NULL AND coalesce(r.resolution, '') = 'not_watched')
           AND NOT EXISTS (SELECT FROM rules u WHERE u.rule = r.cause AND NOT u.enabled
                           AND NOT EXISTS (SELECT FROM rule_variants v WHERE v.rule = u.rule AND v.enabled))
           AND (r.kit_id IS NULL OR r.organisation_id IS NOT DISTINCT FROM k.organisation_id)
           AND NOT EXISTS (SELECT FROM service_requests o
                           WHERE (o.kit_id = r.kit_id OR o.subject = r.subject) AND o.cause = r.cause
                             AND o.state IN ('open', 'in_progress', 'waiting')) AS wants_proof,
       coalesce(l.watch_interval_s, 0) AS interval_s, p.body AS peripherals, p.time AS peripherals_at
FROM service_requests r CROSS JOIN listening g
LEFT JOIN kits k USING (kit_id)
LEFT JOIN kit_latest l USING (kit_id)
LEFT JOIN latest_reports p ON p.kit_id = r.kit_id AND p.kind = 'pairing'
CROSS JOIN LATERAL (
    SELECT array_agg(rule) AS rules FROM (
        SELECT unnest(ARRAY['silent', 'pairing_lost', r.cause]) AS rule
        UNION SELECT a.rule FROM request_alerts ra JOIN alerts a USING (alert_id)
              WHERE ra.request_id = r.request_id) rules) c
WHERE r.state = 'resolved' AND r.request_id > %(after)s AND (%(request_id)s::bigint IS NULL OR r.request_id = %(request_id)s)
ORDER BY r.request_id
LIMIT %(limit)s;

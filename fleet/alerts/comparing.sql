-- name: waiting_by_kind
-- How many kits wait for an alert, by the kinds of what stands against them.
SELECT f.kind, count(DISTINCT f.kit_id)
FROM findings f
WHERE f.state = ANY(%(standing)s) AND f.kind = ANY(%(feeding)s) AND f.kit_id IS NOT NULL
  AND NOT EXISTS (SELECT FROM alerts a WHERE a.kit_id = f.kit_id AND a.rule = %(rule)s AND a.state = 'active')
GROUP BY f.kind;

-- name: book_facts
-- Kits whose alert does not say what stands against them. Those that have none wait while all their kinds are held.
WITH standing AS (
    SELECT f.kit_id, min(f.opened_at) AS since, array_agg(DISTINCT f.kind) AS kinds,
           jsonb_agg(jsonb_build_object('id', f.finding_id, 'kind', f.kind, 'severity', f.severity)
                     ORDER BY f.finding_id) AS findings
    FROM findings f
    WHERE f.state = ANY(%(standing)s) AND f.kind = ANY(%(feeding)s) AND f.kit_id IS NOT NULL
    GROUP BY f.kit_id
), alerting AS (
    SELECT kit_id, alert_id, severity, recovering_since, evidence
    FROM alerts WHERE rule = %(rule)s AND state = 'active'
)
SELECT kit_id, coalesce(s.findings, '[]') AS findings, s.since,
       EXISTS (SELECT FROM findings d WHERE d.kit_id = coalesce(s.kit_id, a.kit_id) AND d.state = 'dismissed'
               AND d.kind = ANY(%(feeding)s)) AS dismissed,
       a.alert_id, a.severity, a.recovering_since, a.evidence
FROM standing s FULL JOIN alerting a USING (kit_id)
WHERE CASE WHEN a.alert_id IS NULL THEN %(enabled)s AND NOT s.kinds <@ %(held)s::text[]
           ELSE NOT %(enabled)s OR a.recovering_since IS NOT NULL OR s.findings IS DISTINCT FROM a.evidence -> 'findings' END
ORDER BY kit_id
LIMIT %(limit)s;

-- name: count_findings
SELECT kind, count(*) FROM findings WHERE state <> 'cleared' GROUP BY kind;

-- name: book_facts
-- What stands of each rule against kits, or else against places and organisations, where no alert says just that. What only
-- waits for its time is left out until then.
WITH feeding AS MATERIALIZED (
    SELECT * FROM unnest(%(kinds)s::text[], %(rules)s::text[]) AS g(kind, rule)
), told AS (
    SELECT g.rule, f.kit_id, f.finding_id, f.kind, f.severity, f.opened_at,
           CASE WHEN f.kit_id IS NULL
                THEN coalesce('location:' || l.slug, 'organisation:' || o.slug, 'installation') END AS subject,
           CASE WHEN f.kit_id IS NULL THEN f.organisation_id END AS organisation_id
    FROM findings f JOIN feeding g USING (kind)
    LEFT JOIN locations l ON l.location_id = f.location_id
    LEFT JOIN organisations o ON o.organisation_id = f.organisation_id
    WHERE f.state = ANY(%(standing)s)
), standing AS (
    SELECT rule, kit_id, subject, min(organisation_id) AS organisation_id, min(opened_at) AS since,
           count(*) AS found,
           to_jsonb((array_agg(jsonb_build_object('id', finding_id, 'kind', kind, 'severity', severity)
                               ORDER BY finding_id))[1:100]) AS findings
    FROM told GROUP BY rule, kit_id, subject
), alerting AS (
    SELECT rule, kit_id, subject, alert_id, severity, recovering_since, clears_at, evidence, rule_version
    FROM alerts WHERE rule IN (SELECT rule FROM feeding) AND state = 'active'
)
SELECT coalesce(s.rule, a.rule) AS rule, coalesce(s.kit_id, a.kit_id) AS kit_id, coalesce(s.subject, a.subject) AS subject,
       s.organisation_id, coalesce(s.findings, '[]') AS findings, coalesce(s.found, 0) AS found, s.since,
       EXISTS (SELECT FROM findings d JOIN feeding g USING (kind)
               WHERE d.kit_id = coalesce(s.kit_id, a.kit_id) AND d.state = 'dismissed'
                 AND g.rule = coalesce(s.rule, a.rule)) AS dismissed,
       a.alert_id, a.severity, a.recovering_since, a.evidence, a.rule_version AS version, v.rule_set
FROM standing s
FULL JOIN alerting a ON (s.rule, coalesce(s.kit_id::text, s.subject)) = (a.rule, coalesce(a.kit_id::text, a.subject))
LEFT JOIN kit_latest k ON k.kit_id = coalesce(s.kit_id, a.kit_id)
JOIN unnest(%(of_rules)s::text[], %(of_sets)s::integer[], %(versions)s::integer[], %(enabled)s::boolean[],
            %(for_s)s::double precision[], %(keep_s)s::double precision[])
    AS v(rule, rule_set, version, enabled, for_s, keep_s)
    ON v.rule = coalesce(s.rule, a.rule) AND v.rule_set = CASE WHEN k.rule_set = ANY(%(of_sets)s) THEN k.rule_set ELSE 0 END
WHERE CASE WHEN a.alert_id IS NULL
           THEN v.enabled AND s.since <= %(now)s::timestamptz - make_interval(secs => v.for_s)
           WHEN v.enabled AND s.findings IS NULL AND a.recovering_since IS NOT NULL
           THEN a.recovering_since <= %(now)s::timestamptz - make_interval(secs => v.keep_s)
                AND coalesce(a.clears_at, '-infinity') <= %(now)s
           ELSE NOT v.enabled OR a.recovering_since IS NOT NULL OR a.rule_version IS DISTINCT FROM v.version
                OR s.findings IS DISTINCT FROM a.evidence -> 'findings'
                OR s.found > coalesce((a.evidence ->> 'count')::integer, jsonb_array_length(s.findings))
                OR s.found < (a.evidence ->> 'count')::integer END
ORDER BY coalesce(s.kit_id, a.kit_id), coalesce(s.subject, a.subject), coalesce(s.rule, a.rule)
LIMIT %(limit)s;

-- name: count_findings
SELECT kind, count(*) FROM findings WHERE state <> 'cleared' GROUP BY kind;

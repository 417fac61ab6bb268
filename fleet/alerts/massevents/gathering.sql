-- name: evidence
-- Kits with an alert of a moment ago, kits of which the condition holds but not yet for long enough, and those that
-- would open now; members of incidents are explained already.
WITH found AS (
    SELECT a.kit_id, extract(epoch FROM %(now)s - a.opened_at) AS age_s
    FROM alerts a
    WHERE a.rule = %(rule)s AND a.opened_at >= %(now)s - make_interval(secs => %(window_s)s)
      AND a.state = 'active' AND a.suppressed_by IS NULL AND a.kit_id IS NOT NULL
    UNION ALL
    SELECT p.kit_id, extract(epoch FROM %(now)s - p.since) - %(for_s)s
    FROM pending_alerts p
    WHERE p.rule = %(rule)s
      AND p.since BETWEEN %(now)s - make_interval(secs => %(for_s)s + %(window_s)s)
                      AND %(now)s - make_interval(secs => %(for_s)s - %(window_s)s)
    UNION ALL
    SELECT o.kit_id, coalesce(extract(epoch FROM %(now)s - p.since) - %(for_s)s, 0)
    FROM unnest(%(opening)s::integer[]) AS o(kit_id)
    LEFT JOIN pending_alerts p ON p.kit_id = o.kit_id AND p.rule = %(rule)s
), kits AS MATERIALIZED (
    SELECT kit_id, max(age_s) AS age_s FROM found f
    WHERE NOT EXISTS (SELECT FROM incident_members m WHERE m.kit_id = f.kit_id AND m.rule = %(rule)s AND m.left_at IS NULL)
    GROUP BY kit_id
), measure AS MATERIALIZED (
    SELECT count(*) AS evidence, greatest(1, count(*) / %(sample)s) AS stride FROM kits
), sampled AS MATERIALIZED (
    SELECT k.kit_id, greatest(0, ceil(k.age_s / (%(window_s)s / 2)) - 1)::integer AS half, k.age_s < 0 AS coming
    FROM kits k CROSS JOIN measure m
    WHERE m.evidence > %(least)s AND (hashint4(k.kit_id)::bigint + 2147483648) %% m.stride = 0
)
SELECT evidence, stride,
       ARRAY(SELECT kit_id FROM sampled ORDER BY kit_id) AS kits,
       ARRAY(SELECT half FROM sampled ORDER BY kit_id) AS halves,
       ARRAY(SELECT coming FROM sampled ORDER BY kit_id) AS coming
FROM measure

-- name: openings
SELECT c.kit_id,
       coalesce(extract(epoch FROM p.since) + %(for_s)s, extract(epoch FROM %(now)s::timestamptz))::double precision, c.cohorts
FROM kit_cohorts c LEFT JOIN pending_alerts p ON p.kit_id = c.kit_id AND p.rule = %(rule)s
WHERE c.kit_id = ANY (%(kit_ids)s)

-- name: recent_alerts
-- None of a kit that is not evaluated now: nothing would open in its place.
WITH recent AS MATERIALIZED (
    SELECT a.alert_id, a.kit_id, a.evidence, a.severity, a.rule_version AS version, a.line
    FROM alerts a JOIN kit_cohorts c USING (kit_id)
    WHERE a.rule = %(rule)s AND a.opened_at > %(after)s AND a.opened_at < %(before)s
      AND a.state = 'active' AND a.suppressed_by IS NULL AND a.recovering_since IS NULL
      AND %(cohort)s::text = ANY (c.cohorts)
    ORDER BY a.alert_id
    LIMIT %(limit)s
)
SELECT * FROM recent
WHERE kit_id NOT IN (SELECT m.kit_id FROM kits_in_maintenance(ARRAY(SELECT kit_id FROM recent), %(now)s) m
                     WHERE NOT m.collect AND (m.rules IS NULL OR %(rule)s = ANY (m.rules)))
ORDER BY alert_id

-- name: left
SELECT m.incident_id, m.kit_id, a.alert_id, a.rule, a.severity, a.suppressed_by
FROM incidents i
JOIN incident_members m USING (incident_id)
JOIN alerts a ON a.kit_id = m.kit_id AND a.rule = m.rule AND a.state = 'active'
WHERE i.state = 'cleared' AND i.rule = ANY (%(rules)s::text[]) AND i.cleared_at <= %(cleared_before)s
  AND m.left_at IS NULL AND a.suppressed_by = 'incident:' || i.incident_id AND a.recovering_since IS NULL
ORDER BY m.kit_id
LIMIT %(limit)s

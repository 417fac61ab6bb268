-- name: listening
SELECT clock_s, state, resumed_clock_s, grace_from_clock_s, updated_at FROM listening

-- name: plan_scan
-- The sets are of any size and their statistics lag behind: only hashing is safe.
SELECT set_config('enable_nestloop', %(nestloop)s, true), set_config('work_mem', '64MB', true)

-- name: scan
-- One pass over kit_latest; only what is overdue is kept. `placed` kits are in an alert or an incident already. What may
-- be a wave is evidence: who turned silent within the window or unseen before it, and who is about to; large evidence is
-- sampled, evenly and always alike.
WITH overdue AS MATERIALIZED (
    SELECT kit_id,
           silence_deadline_clock_s(heard_clock_s, watch_from_clock_s, watch_allowance_s, watch_interval_s,
                                    %(resumed_clock_s)s, %(grace_from_clock_s)s) AS deadline_clock_s,
           %(clock_s)s > greatest(heard_clock_s, watch_from_clock_s) + %(overdue_slack_s)s + watch_interval_s
               * CASE WHEN watch_interval_s > %(long_interval_s)s THEN %(long_overdue_intervals)s::double precision ELSE %(overdue_intervals)s END AS late,
           CASE WHEN watch_interval_s > %(long_interval_s)s THEN %(long_wait_windows)s ELSE 1 END AS windows,
           greatest(%(window_s)s, least(%(window_of_interval)s * watch_interval_s, %(longest_window_s)s)) AS window_s
    FROM kit_latest
    WHERE heard_clock_s + watch_interval_s < %(clock_s)s  -- cheap, and true of whatever is overdue or silent
      AND watch_allowance_s IS NOT NULL
      AND %(clock_s)s > greatest(heard_clock_s, watch_from_clock_s)
            + least(%(overdue_slack_s)s + watch_interval_s
                    * CASE WHEN watch_interval_s > %(long_interval_s)s THEN %(long_overdue_intervals)s::double precision ELSE %(overdue_intervals)s END,
                    watch_allowance_s)
      AND (%(enabled)s::boolean[])[CASE WHEN rule_set < cardinality(%(enabled)s::boolean[]) THEN rule_set + 1 ELSE 1 END]
), silent AS MATERIALIZED (
    SELECT kit_id, deadline_clock_s, window_s FROM overdue WHERE %(clock_s)s > deadline_clock_s
), placed AS MATERIALIZED (
    SELECT kit_id, NULL::bigint AS incident_id, recovering_since,
           coalesce(suppressed_by LIKE 'maintenance:%%', false) AS worked_on
    FROM alerts WHERE rule = 'silent' AND state = 'active'
    UNION ALL
    SELECT kit_id, incident_id, NULL, false FROM incident_members WHERE rule = 'silent' AND left_at IS NULL
), standing AS MATERIALIZED (
    SELECT s.kit_id, s.deadline_clock_s, s.window_s, p.kit_id IS NOT NULL AS placed, p.incident_id, coalesce(p.worked_on, false) AS worked_on
    FROM silent s LEFT JOIN placed p USING (kit_id)
), excused AS MATERIALIZED (
    -- Maintenance took of their time.
    SELECT kit_id FROM kits_excused_from_silence(
        ARRAY(SELECT kit_id FROM standing WHERE NOT placed), %(clock_s)s, %(now)s) AS e(kit_id)
), unplaced AS MATERIALIZED (
    SELECT s.kit_id, s.deadline_clock_s FROM standing s
    WHERE NOT s.placed AND NOT EXISTS (SELECT FROM excused e WHERE e.kit_id = s.kit_id)
), together AS MATERIALIZED (
    -- Those whose maintenance is over, and who stay silent, turn up now.
    SELECT kit_id, CASE WHEN worked_on THEN 0
                        ELSE greatest(0, ceil((%(clock_s)s - deadline_clock_s) / (window_s / 2)) - 1) END::integer AS half,
           false AS coming, window_s
    FROM standing
    WHERE CASE WHEN placed THEN incident_id IS NULL AND (worked_on OR deadline_clock_s >= %(clock_s)s - window_s)
               ELSE true END
    UNION ALL
    SELECT kit_id, 0, true, window_s FROM overdue
    WHERE late AND deadline_clock_s BETWEEN %(clock_s)s AND %(clock_s)s + windows * window_s
), maintained AS MATERIALIZED (
    SELECT m.kit_id FROM kits_in_maintenance(ARRAY(SELECT kit_id FROM together), %(now)s) m
    WHERE m.rules IS NULL OR 'silent' = ANY (m.rules)
), evidence AS MATERIALIZED (
    -- What somebody works on is no mass event.
    SELECT * FROM together t
    WHERE NOT EXISTS (SELECT FROM maintained m WHERE m.kit_id = t.kit_id)
      AND NOT EXISTS (SELECT FROM excused e WHERE e.kit_id = t.kit_id)
), measure AS MATERIALIZED (
    SELECT count(*) AS evidence, greatest(1, count(*) / %(sample)s) AS stride FROM evidence
), sampled AS MATERIALIZED (
    SELECT e.* FROM evidence e CROSS JOIN measure m
    WHERE m.evidence > %(least)s AND (hashint4(e.kit_id)::bigint + 2147483648) %% m.stride = 0
)
SELECT (SELECT count(*) FROM unplaced) AS unplaced,
       (SELECT stride FROM measure) AS stride,
       ARRAY(SELECT kit_id FROM sampled ORDER BY kit_id) AS sample_kits,
       ARRAY(SELECT half FROM sampled ORDER BY kit_id) AS sample_halves,
       ARRAY(SELECT coming FROM sampled ORDER BY kit_id) AS sample_coming,
       ARRAY(SELECT window_s FROM sampled ORDER BY kit_id) AS sample_windows_s,
       ARRAY((SELECT kit_id FROM unplaced ORDER BY deadline_clock_s, kit_id LIMIT %(limit)s)
             UNION
             (SELECT kit_id FROM unplaced ORDER BY deadline_clock_s DESC, kit_id LIMIT %(limit)s))
           AS candidates,
       ARRAY(SELECT kit_id FROM placed p
             WHERE NOT EXISTS (SELECT FROM silent s WHERE s.kit_id = p.kit_id)
             ORDER BY recovering_since NULLS FIRST
             LIMIT %(quiet_limit)s) AS quiet,
       ARRAY(SELECT kit_id FROM placed p
             WHERE recovering_since IS NOT NULL AND EXISTS (SELECT FROM silent s WHERE s.kit_id = p.kit_id)
             LIMIT %(quiet_limit)s) AS relapsed

-- name: installed
SELECT count(watch_allowance_s) FROM kit_latest

-- name: candidates
SELECT l.kit_id, l.heard_clock_s, l.watch_allowance_s AS allowance_s, l.last_heard_at,
       silence_deadline_clock_s(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                                %(resumed_clock_s)s, %(grace_from_clock_s)s) AS deadline_clock_s,
       l.watch_interval_s AS interval_s, l.rule_set,
       CASE WHEN %(with_cohorts)s THEN (SELECT c.cohorts FROM kit_cohorts c WHERE c.kit_id = l.kit_id) ELSE '{}' END AS cohorts
FROM kit_latest l
WHERE l.kit_id = ANY (%(kit_ids)s)
  AND is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                %(clock_s)s, %(resumed_clock_s)s, %(grace_from_clock_s)s)
ORDER BY deadline_clock_s, l.kit_id

-- name: alerts_of_kits
SELECT a.alert_id, a.kit_id, a.recovering_since, a.evidence, l.heard_clock_s, l.watch_allowance_s AS allowance_s,
       is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                 %(clock_s)s, %(resumed_clock_s)s, %(grace_from_clock_s)s) AS silent,
       l.rule_set
FROM alerts a JOIN kit_latest l USING (kit_id)
WHERE a.rule = 'silent' AND a.state = 'active' AND a.kit_id = ANY(%(kit_ids)s)

-- name: alerts_of_a_moment_ago
-- What kits of a cohort opened on their own shortly before it was known why, or stays of maintenance that is over.
WITH worked_on AS MATERIALIZED (
    SELECT kit_id FROM kits_in_maintenance(ARRAY(
        SELECT kit_id FROM alerts WHERE rule = 'silent' AND state = 'active' AND suppressed_by LIKE 'maintenance:%%'), %(now)s)
)
SELECT a.alert_id, a.kit_id, a.recovering_since, a.evidence, l.heard_clock_s, l.watch_allowance_s AS allowance_s,
       true AS silent
FROM alerts a JOIN kit_latest l USING (kit_id) JOIN kit_cohorts c USING (kit_id)
WHERE a.rule = 'silent' AND a.state = 'active'
  AND CASE WHEN a.suppressed_by IS NULL THEN a.opened_at < %(opened_before)s
                AND a.opened_at > %(opened_before)s - make_interval(secs =>
                    greatest(%(window_s)s, least(%(window_of_interval)s * l.watch_interval_s, %(longest_window_s)s)))
           ELSE a.suppressed_by LIKE 'maintenance:%%' AND NOT EXISTS (SELECT FROM worked_on w WHERE w.kit_id = a.kit_id) END
  AND %(cohort)s::text = ANY (c.cohorts)
  AND is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                %(clock_s)s, %(resumed_clock_s)s, %(grace_from_clock_s)s)
ORDER BY a.alert_id
LIMIT %(limit)s

-- name: members_of_kits
SELECT m.kit_id, m.incident_id, m.heard_clock_s, m.watch_allowance_s AS allowance_s, l.heard_clock_s AS heard_clock_s_now,
       l.watch_allowance_s AS allowance_s_now,
       is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                 %(clock_s)s, %(resumed_clock_s)s, %(grace_from_clock_s)s) AS silent,
       l.rule_set
FROM incident_members m JOIN kit_latest l USING (kit_id)
WHERE m.left_at IS NULL AND m.rule = 'silent' AND m.kit_id = ANY(%(kit_ids)s)

-- name: open_incidents
SELECT incident_id, rule, cohort_kind || ':' || cohort_value AS cohort, installed_kits AS size, from_clock_s, opened_at,
       recovering_since
FROM incidents WHERE state = 'open' AND rule = ANY (%(rules)s::text[])
ORDER BY incident_id

-- name: present_members
SELECT m.incident_id, count(*)
FROM incident_members m
WHERE m.left_at IS NULL AND m.incident_id = ANY (%(incident_ids)s)
GROUP BY m.incident_id

-- name: settings
SELECT rule, enabled, least, share, window_s FROM incident_settings

-- name: releasing
-- Of each rule how many members were left when those incidents cleared of which some still are, and how many went lately.
SELECT i.rule, sum(i.left_at_clear),
       (SELECT count(*) FROM incident_members g WHERE g.rule = i.rule AND g.outcome = 'released' AND g.left_at > %(after)s)
FROM incidents i
WHERE i.state = 'cleared' AND i.rule = ANY (%(rules)s::text[])
  AND EXISTS (SELECT FROM incident_members m WHERE m.incident_id = i.incident_id AND m.left_at IS NULL)
GROUP BY i.rule

-- name: releasable
-- Who belongs to an event that is on now waits for its end.
SELECT l.kit_id, l.heard_clock_s, l.watch_allowance_s AS allowance_s, l.last_heard_at, m.incident_id,
       i.cleared_clock_s, l.watch_interval_s AS interval_s, l.rule_set,
       silence_deadline_clock_s(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                                %(resumed_clock_s)s, %(grace_from_clock_s)s) AS deadline_clock_s
FROM incident_members m JOIN incidents i USING (incident_id) JOIN kit_latest l USING (kit_id)
WHERE m.left_at IS NULL AND i.state = 'cleared' AND i.rule = 'silent'
  AND %(clock_s)s > i.cleared_clock_s + least(l.watch_interval_s, %(longest_grace_s)s)
  AND is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                %(clock_s)s, %(resumed_clock_s)s, %(grace_from_clock_s)s)
  AND (%(busy)s::text[] = '{}' OR NOT EXISTS (
       SELECT FROM kit_cohorts c WHERE c.kit_id = m.kit_id AND c.cohorts && %(busy)s::text[]))
ORDER BY m.kit_id
LIMIT %(limit)s

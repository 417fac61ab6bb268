-- name: listening
SELECT clock_s, state, resumed_clock_s, grace_from_clock_s, updated_at FROM listening

-- name: plan_scan
-- The sets are of any size and their statistics lag behind: only hashing is safe.
SELECT set_config('enable_nestloop', %(nestloop)s, true), set_config('work_mem', '64MB', true)

-- name: scan
-- One pass over kit_latest; only what is overdue is kept. `placed` kits are in an alert or an incident already.
WITH overdue AS MATERIALIZED (
    SELECT kit_id,
           silence_deadline_clock_s(heard_clock_s, watch_from_clock_s, watch_allowance_s, watch_interval_s,
                                    %(resumed_clock_s)s, %(grace_from_clock_s)s) AS deadline_clock_s,
           %(clock_s)s > greatest(heard_clock_s, watch_from_clock_s)
               + %(overdue_intervals)s * watch_interval_s + %(overdue_slack_s)s AS late
    FROM kit_latest
    WHERE heard_clock_s + watch_interval_s < %(clock_s)s  -- cheap, and true of whatever is overdue or silent
      AND watch_allowance_s IS NOT NULL
      AND %(clock_s)s > greatest(heard_clock_s, watch_from_clock_s)
            + least(%(overdue_intervals)s * watch_interval_s + %(overdue_slack_s)s, watch_allowance_s)
), silent AS MATERIALIZED (
    SELECT kit_id, deadline_clock_s FROM overdue WHERE %(clock_s)s > deadline_clock_s
), placed AS MATERIALIZED (
    SELECT kit_id, NULL::bigint AS incident_id, recovering_since
    FROM alerts WHERE rule = 'silent' AND state = 'active'
    UNION ALL
    SELECT kit_id, incident_id, NULL FROM incident_members WHERE left_at IS NULL
), unplaced AS MATERIALIZED (
    SELECT kit_id, deadline_clock_s FROM silent s
    WHERE NOT EXISTS (SELECT FROM placed p WHERE p.kit_id = s.kit_id)
)
SELECT (SELECT count(*) FROM silent WHERE deadline_clock_s >= %(clock_s)s - %(window_s)s) AS recent,
       (SELECT count(*) FROM overdue
        WHERE late AND deadline_clock_s BETWEEN %(clock_s)s AND %(clock_s)s + %(window_s)s) AS due,
       (SELECT count(*) FROM unplaced) AS unplaced,
       ARRAY(SELECT kit_id FROM unplaced ORDER BY deadline_clock_s, kit_id LIMIT %(limit)s) AS candidates,
       CASE WHEN %(incident_id)s::bigint IS NULL AND %(least)s < (
               SELECT count(*) FROM unplaced WHERE deadline_clock_s < %(clock_s)s - %(window_s)s)
           THEN (SELECT max(together) FROM (
               SELECT count(*) OVER (ORDER BY deadline_clock_s RANGE BETWEEN %(window_s)s PRECEDING AND CURRENT ROW)
               FROM unplaced) w(together))
           ELSE 0 END AS densest,
       (SELECT count(*) FROM placed WHERE incident_id = %(incident_id)s) AS members,
       ARRAY(SELECT kit_id FROM placed p
             WHERE NOT EXISTS (SELECT FROM silent s WHERE s.kit_id = p.kit_id)
             ORDER BY recovering_since NULLS FIRST
             LIMIT %(quiet_limit)s) AS quiet,
       ARRAY(SELECT kit_id FROM placed p
             WHERE recovering_since IS NOT NULL AND EXISTS (SELECT FROM silent s WHERE s.kit_id = p.kit_id)
             LIMIT %(limit)s) AS relapsed

-- name: installed
SELECT count(watch_allowance_s) FROM kit_latest

-- name: candidates
SELECT kit_id, heard_clock_s, watch_allowance_s AS allowance_s, last_heard_at,
       silence_deadline_clock_s(heard_clock_s, watch_from_clock_s, watch_allowance_s, watch_interval_s,
                                %(resumed_clock_s)s, %(grace_from_clock_s)s) AS deadline_clock_s
FROM kit_latest
WHERE kit_id = ANY(%(kit_ids)s)
  AND is_silent(heard_clock_s, watch_from_clock_s, watch_allowance_s, watch_interval_s,
                %(clock_s)s, %(resumed_clock_s)s, %(grace_from_clock_s)s)
ORDER BY deadline_clock_s, kit_id

-- name: alerts_of_kits
SELECT a.alert_id, a.kit_id, a.recovering_since, a.evidence, l.heard_clock_s, l.watch_allowance_s AS allowance_s,
       is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                 %(clock_s)s, %(resumed_clock_s)s, %(grace_from_clock_s)s) AS silent
FROM alerts a JOIN kit_latest l USING (kit_id)
WHERE a.rule = 'silent' AND a.state = 'active' AND a.kit_id = ANY(%(kit_ids)s)

-- name: alerts_of_a_moment_ago
SELECT a.alert_id, a.kit_id, a.recovering_since, a.evidence, l.heard_clock_s, l.watch_allowance_s AS allowance_s,
       is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                 %(clock_s)s, %(resumed_clock_s)s, %(grace_from_clock_s)s) AS silent
FROM alerts a JOIN kit_latest l USING (kit_id)
WHERE a.rule = 'silent' AND a.state = 'active'
  AND (a.opened_at > %(opened_after)s
       OR (a.evidence ->> 'deadline_clock_s')::double precision >= %(clock_s)s - %(window_s)s)

-- name: members_of_kits
SELECT m.kit_id, m.incident_id, m.heard_clock_s, m.watch_allowance_s AS allowance_s, l.heard_clock_s AS heard_clock_s_now,
       l.watch_allowance_s AS allowance_s_now,
       is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                 %(clock_s)s, %(resumed_clock_s)s, %(grace_from_clock_s)s) AS silent
FROM incident_members m JOIN kit_latest l USING (kit_id)
WHERE m.left_at IS NULL AND m.kit_id = ANY(%(kit_ids)s)

-- name: open_incident
SELECT incident_id, recovering_since FROM incidents WHERE rule = 'silent' AND state = 'open'

-- name: released_lately
SELECT count(*) FROM incident_members WHERE outcome = 'released' AND left_at > %(after)s

-- name: releasable
SELECT l.kit_id, l.heard_clock_s, l.watch_allowance_s AS allowance_s, l.last_heard_at, m.incident_id,
       i.cleared_clock_s, l.watch_interval_s AS interval_s,
       silence_deadline_clock_s(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                                %(resumed_clock_s)s, %(grace_from_clock_s)s) AS deadline_clock_s
FROM incident_members m JOIN incidents i USING (incident_id) JOIN kit_latest l USING (kit_id)
WHERE m.left_at IS NULL AND i.state = 'cleared' AND i.rule = 'silent'
  AND %(clock_s)s > i.cleared_clock_s + least(l.watch_interval_s, %(longest_grace_s)s)
  AND is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                %(clock_s)s, %(resumed_clock_s)s, %(grace_from_clock_s)s)
ORDER BY m.kit_id
LIMIT %(limit)s

-- name: covers
SELECT kit_id, window_id, collect, rules FROM kits_in_maintenance(%(kit_ids)s, %(now)s);

-- name: subject_covers
SELECT subject, window_id, collect, rules FROM subjects_in_maintenance(%(subjects)s, %(now)s);

-- name: shelves
SELECT kit_id, rule, until, severity, subject FROM shelves
WHERE (kit_id = ANY (%(kit_ids)s::integer[]) OR subject = ANY (%(subjects)s::text[])) AND until > %(now)s;

-- name: flaps
SELECT rule, flap_openings AS openings, flap_window_s AS window_s, flap_quiet_s AS quiet_s FROM rules;

-- name: opened_lately
-- Those that stand or came to an end by themselves: what a mass event took over, or nobody watches any more, is no flapping.
SELECT g.kit_id, g.rule, count(*)
FROM unnest(%(kit_ids)s::integer[], %(rules)s::text[], %(since)s::timestamptz[]) AS g(kit_id, rule, since)
JOIN alerts a ON a.kit_id = g.kit_id AND a.rule = g.rule AND a.opened_at > g.since
WHERE a.state = 'cleared' AND a.resolution = ANY (%(by_itself)s)
GROUP BY g.kit_id, g.rule;

-- name: flapping_among
SELECT alert_id, rule, recovering_since, clears_at
FROM alerts WHERE alert_id = ANY (%(alert_ids)s) AND flapping AND state = 'active';

-- name: defer
INSERT INTO maintenance_deferred (kit_id, rule, window_id)
SELECT * FROM unnest(%(kit_ids)s::integer[], %(rules)s::text[], %(window_ids)s::bigint[])
ON CONFLICT DO NOTHING;

-- name: tell_flapping
INSERT INTO events (at, type, kit, body)
SELECT %(now)s, 'alert.flapping', k.kit, jsonb_build_object(
    'id', a.alert_id, 'rule', a.rule, 'severity', a.severity, 'suppressed_by', a.suppressed_by)
FROM alerts a JOIN kits k USING (kit_id)
WHERE a.alert_id = ANY (%(alert_ids)s) AND a.flapping
ORDER BY a.alert_id;

-- name: sync_occurrences
-- What was edited while it is on.
UPDATE maintenance_occurrences o SET rules = w.rules, collect = w.collect
FROM maintenance_windows w
WHERE w.window_id = o.window_id AND o.ended_at IS NULL AND w.current_from = o.began_at
  AND (o.rules, o.collect) IS DISTINCT FROM (w.rules, w.collect);

-- name: end_occurrences
-- Those whose time is over, and those that somebody ended before it was.
WITH over AS (
    UPDATE maintenance_occurrences o
    SET ended_at = greatest(o.began_at, CASE WHEN w.current_from = o.began_at THEN least(w.current_to, %(now)s) ELSE %(now)s END),
        ended_clock_s = greatest(o.began_clock_s, l.clock_s)
    FROM maintenance_windows w, listening l
    WHERE w.window_id = o.window_id AND o.ended_at IS NULL
      AND (w.current_from IS DISTINCT FROM o.began_at OR w.current_to <= %(now)s)
    RETURNING o.window_id, o.organisation_id, o.began_at, o.ended_at
), told AS (
    INSERT INTO events (at, type, organisation_id, body)
    SELECT %(now)s, 'maintenance.ended', organisation_id,
           jsonb_build_object('id', window_id, 'began_at', began_at, 'ended_at', ended_at)
    FROM over
)
SELECT count(*) FROM over;

-- name: begin_occurrences
-- The listening clock ran no faster than the wall's, so this is the earliest that it can have been at the beginning.
WITH begun AS (
    INSERT INTO maintenance_occurrences (window_id, organisation_id, rules, collect, began_at, began_clock_s)
    SELECT w.window_id, w.organisation_id, w.rules, w.collect, w.current_from,
           l.clock_s - extract(epoch FROM %(now)s - w.current_from)
    FROM maintenance_windows w, listening l
    WHERE w.current_from <= %(now)s
      AND NOT EXISTS (SELECT FROM maintenance_occurrences o WHERE o.window_id = w.window_id
                      AND (o.ended_at IS NULL OR o.began_at >= w.current_from))
    RETURNING window_id, organisation_id, began_at, collect
), told AS (
    INSERT INTO events (at, type, organisation_id, body)
    SELECT %(now)s, 'maintenance.began', b.organisation_id, jsonb_build_object(
        'id', b.window_id, 'began_at', b.began_at, 'ends_at', w.current_to, 'collect', b.collect)
    FROM begun b JOIN maintenance_windows w USING (window_id)
)
SELECT count(*) FROM begun;

-- name: windows_over
SELECT window_id, starts_at, ends_at, recurrence, current_from, current_to, resumes_at
FROM maintenance_windows WHERE current_to <= %(now)s ORDER BY window_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED;

-- name: set_time
UPDATE maintenance_windows
SET current_from = %(current_from)s, current_to = %(current_to)s, ended_at = %(ended_at)s
WHERE window_id = %(window_id)s;

-- name: forget_occurrences
DELETE FROM maintenance_occurrences WHERE occurrence_id IN (
    SELECT occurrence_id FROM maintenance_occurrences WHERE ended_at < %(before)s LIMIT %(limit)s);

-- name: judge_again
-- Kits about which something would have been said, and whose maintenance is over. Of those whose window is on still a
-- sixtieth, by the second, since books change.
WITH stated AS MATERIALIZED (
    SELECT d.kit_id, d.rule, d.window_id IN (
        SELECT w.window_id FROM maintenance_windows w
        WHERE w.current_from <= %(now)s AND %(now)s < w.current_to) AS is_on
    FROM maintenance_deferred d
), waiting AS MATERIALIZED (
    SELECT kit_id, rule FROM stated
    WHERE NOT is_on OR kit_id %% 60 = extract(epoch FROM %(now)s)::bigint %% 60
    ORDER BY is_on, kit_id LIMIT %(limit)s
), still AS MATERIALIZED (
    SELECT DISTINCT ON (w.kit_id, w.rule) w.kit_id, w.rule, m.window_id
    FROM kits_in_maintenance(ARRAY(SELECT DISTINCT kit_id FROM waiting), %(now)s) m JOIN waiting w USING (kit_id)
    WHERE NOT m.collect AND (m.rules IS NULL OR w.rule = ANY (m.rules))
    ORDER BY w.kit_id, w.rule, m.window_id DESC
), kept AS (
    UPDATE maintenance_deferred d SET window_id = s.window_id
    FROM still s WHERE (d.kit_id, d.rule) = (s.kit_id, s.rule) AND d.window_id <> s.window_id
), free AS (
    DELETE FROM maintenance_deferred d USING waiting w
    WHERE (d.kit_id, d.rule) = (w.kit_id, w.rule)
      AND NOT EXISTS (SELECT FROM still s WHERE (s.kit_id, s.rule) = (d.kit_id, d.rule))
    RETURNING d.kit_id
)
INSERT INTO evaluation_queue (kit_id) SELECT DISTINCT kit_id FROM free;

-- name: end_shelves
DELETE FROM shelves WHERE until <= %(now)s;

-- name: doubtful
-- Suppressed alerts that hold, and whose reason is not there any more; then, since books change, some of the others, by the
-- second. While nobody listens, and until a kit had its time to be heard after an outage of ours, its alert waits.
WITH found AS MATERIALIZED (
    SELECT a.alert_id, a.kit_id, a.subject, a.rule, a.severity, a.suppressed_by, CASE
           WHEN a.suppressed_by LIKE 'maintenance:%%' THEN a.suppressed_by NOT IN (
               SELECT 'maintenance:' || w.window_id FROM maintenance_windows w
               WHERE w.current_from <= %(now)s AND %(now)s < w.current_to)
           WHEN a.suppressed_by LIKE 'shelved:%%' THEN NOT EXISTS (
               SELECT FROM shelves s
               WHERE s.about = coalesce(a.subject, 'kit:' || a.kit_id) AND s.rule = a.rule AND s.until > %(now)s
                 AND array_position(%(severities)s::text[], a.severity)
                     <= array_position(%(severities)s::text[], s.severity))
           ELSE false END AS gone
    FROM alerts a
    WHERE a.state = 'active' AND a.suppressed_by IS NOT NULL AND a.suppressed_by NOT LIKE 'incident:%%'
      AND a.recovering_since IS NULL
), share AS MATERIALIZED (
    SELECT greatest(60, 1 + count(*) / %(sample)s) AS parts FROM found WHERE NOT gone
)
SELECT f.alert_id, f.kit_id, f.subject, f.rule, f.severity, f.suppressed_by, count(*) FILTER (WHERE f.gone) OVER () AS waiting
FROM found f CROSS JOIN share CROSS JOIN listening g
WHERE CASE
      WHEN NOT f.gone THEN f.alert_id %% share.parts = extract(epoch FROM %(now)s)::bigint %% share.parts
      -- A mass event that has just begun takes over what is its own.
      WHEN f.suppressed_by LIKE 'maintenance:%%' AND f.rule IN (
          SELECT i.rule FROM incidents i WHERE i.state = 'open' AND i.opened_at > %(young)s) THEN false
      WHEN f.kit_id IS NULL THEN true
      ELSE g.state = 'listening' AND extract(epoch FROM %(now)s - g.updated_at) <= %(stale_s)s
           AND (g.resumed_clock_s = 0 OR g.clock_s > g.resumed_clock_s + 900
                OR g.clock_s > g.resumed_clock_s + coalesce(
                    (SELECT l.watch_interval_s FROM kit_latest l WHERE l.kit_id = f.kit_id), 0)) END
ORDER BY NOT f.gone, f.suppressed_by LIKE 'maintenance:%%', f.alert_id
LIMIT %(limit)s;

-- name: returned
-- Whose maintenance is over, with the interval that a kit has to be heard afterwards, since a moment ago.
SELECT DISTINCT a.alert_id, a.kit_id, a.rule, a.severity, a.evidence, a.rule_version AS version
FROM maintenance_occurrences o
JOIN alerts a ON a.suppressed_by = 'maintenance:' || o.window_id AND a.state = 'active' AND a.recovering_since IS NULL
JOIN kits k ON k.kit_id = a.kit_id
WHERE o.ended_at <= %(now)s AND o.ended_at > %(after)s::timestamptz - interval '15 minutes' AND a.rule <> 'silent'
  AND o.ended_at + make_interval(secs => least(k.expected_interval_s, 900)) BETWEEN %(after)s AND %(now)s
ORDER BY a.alert_id LIMIT %(limit)s;

-- name: belonging
-- Alerts that nobody heard of yet and that are of a mass event that is on; of several the narrowest.
SELECT DISTINCT ON (a.alert_id) a.alert_id, a.kit_id, a.rule, i.incident_id, i.cohort_kind || ':' || i.cohort_value AS cohort,
       l.heard_clock_s, l.watch_allowance_s AS allowance_s
FROM alerts a JOIN incidents i ON i.rule = a.rule AND i.state = 'open'
JOIN kit_cohorts c ON c.kit_id = a.kit_id AND i.cohort_kind || ':' || i.cohort_value = ANY (c.cohorts)
JOIN kit_latest l ON l.kit_id = a.kit_id
WHERE a.alert_id = ANY (%(alert_ids)s) AND a.state = 'active'
  AND CASE WHEN a.rule = 'silent' THEN (a.evidence ->> 'deadline_clock_s')::double precision
           ELSE extract(epoch FROM a.opened_at) END >= i.from_clock_s
  AND NOT EXISTS (SELECT FROM request_alerts ra WHERE ra.alert_id = a.alert_id)
ORDER BY a.alert_id, i.installed_kits, i.incident_id;

-- name: heard_lately
SELECT count(*) FROM alerts WHERE heard_at > %(after)s;

-- name: rename
UPDATE alerts a SET suppressed_by = g.reason
FROM unnest(%(alert_ids)s::bigint[], %(reasons)s::text[]) AS g(alert_id, reason)
WHERE a.alert_id = g.alert_id AND a.state = 'active';

-- name: lift
UPDATE alerts SET suppressed_by = NULL, heard_at = %(now)s
WHERE alert_id = ANY (%(alert_ids)s) AND state = 'active' AND suppressed_by IS NOT NULL
RETURNING alert_id;

-- name: tell_lifted
INSERT INTO events (at, type, kit, organisation_id, body)
SELECT %(now)s, 'alert.unsuppressed', k.kit, a.organisation_id, jsonb_build_object(
    'id', a.alert_id, 'rule', a.rule, 'severity', a.severity, 'was_suppressed_by', g.reason, 'evidence', a.evidence,
    'request', (
        SELECT r.number FROM request_alerts ra JOIN service_requests r USING (request_id)
        WHERE ra.alert_id = a.alert_id ORDER BY r.request_id DESC LIMIT 1))
    || CASE WHEN a.subject IS NULL THEN '{}' ELSE jsonb_build_object('subject', a.subject) END
FROM unnest(%(alert_ids)s::bigint[], %(reasons)s::text[]) AS g(alert_id, reason)
JOIN alerts a ON a.alert_id = g.alert_id LEFT JOIN kits k USING (kit_id)
WHERE a.alert_id = ANY (%(lifted)s)
ORDER BY a.alert_id;

-- name: rules
SELECT rule, severity, line, priority, for_s, keep_firing_for_s, enabled, parameters, version FROM rules

-- name: variants
WITH RECURSIVE depths AS (
    SELECT organisation_id, 1 AS depth FROM organisations WHERE parent_id IS NULL
    UNION ALL
    SELECT o.organisation_id, d.depth + 1 FROM organisations o JOIN depths d ON o.parent_id = d.organisation_id
)
SELECT v.variant_id, v.rule, v.version, coalesce(d.depth, 0) AS depth, v.programme, v.kit_type, v.model_id, v.severity, v.line,
       v.for_s, v.keep_firing_for_s, v.enabled, v.parameters
FROM rule_variants v LEFT JOIN depths d USING (organisation_id)

-- name: rule_sets
SELECT rule_set, variants FROM rule_sets

-- name: clock
SELECT clock_s, resumed_clock_s, grace_from_clock_s,
       state = 'listening' AND extract(epoch FROM %(now)s::timestamptz - updated_at) <= %(stale_s)s AS hears
FROM listening

-- name: take_from_queue
-- The kits are handed on to be compared with the books as well.
WITH taken AS (
    DELETE FROM evaluation_queue
    WHERE entry_id IN (SELECT entry_id FROM evaluation_queue ORDER BY entry_id LIMIT %(limit)s)
    RETURNING kit_id
), passed_on AS (
    INSERT INTO finding_queue (kit_id) SELECT DISTINCT kit_id FROM taken
)
SELECT kit_id FROM taken

-- name: take_from_sweep
-- One row without a kit when the part had none: the round goes on behind it.
WITH part AS MATERIALIZED (
    SELECT k.kit_id FROM kits k, rule_sweep s
    WHERE s.laps > 0 AND k.kit_id > s.next_kit_id AND (s.laps = 2 OR k.kit_id <= s.goal_kit_id)
    ORDER BY k.kit_id LIMIT %(limit)s
), moved AS (
    UPDATE rule_sweep s
    SET next_kit_id = CASE WHEN p.kits = %(limit)s THEN p.last WHEN s.laps = 2 THEN 0 ELSE s.goal_kit_id END,
        laps = CASE WHEN p.kits = %(limit)s THEN s.laps WHEN s.goal_kit_id = 0 THEN 0 ELSE s.laps - 1 END
    FROM (SELECT count(*) AS kits, max(kit_id) AS last FROM part) p
    WHERE s.laps > 0
    RETURNING s.laps > 0 AS goes_on
)
SELECT p.kit_id, m.goes_on FROM moved m LEFT JOIN part p ON true

-- name: kits_due
-- What may not open yet, because we catch up or the kit is silent, waits without being looked at each time.
(SELECT p.kit_id FROM pending_alerts p JOIN kit_latest l USING (kit_id)
 WHERE p.due_at <= %(now)s AND %(hears)s
   AND NOT (%(resumed_clock_s)s > 0 AND %(clock_s)s <= %(resumed_clock_s)s + least(coalesce(l.watch_interval_s, 0), 900))
   AND NOT (p.rule = ANY(%(of_heartbeats)s) AND l.heard_clock_s IS NOT NULL AND l.watch_allowance_s IS NOT NULL
            AND %(clock_s)s > greatest(l.heard_clock_s, coalesce(l.watch_from_clock_s, 0)) + l.watch_allowance_s)
 ORDER BY p.due_at LIMIT %(limit)s)
UNION ALL
(SELECT kit_id FROM alerts
 WHERE state = 'active' AND clears_at <= %(now)s AND kit_id IS NOT NULL ORDER BY clears_at LIMIT %(limit)s)
UNION ALL
(SELECT kit_id FROM evaluation_wakes WHERE at <= %(now)s ORDER BY at LIMIT %(limit)s)

-- name: make_rule_sets
INSERT INTO rule_sets (variants)
SELECT DISTINCT variants FROM variants_of_kits(%(kit_ids)s) v
WHERE NOT EXISTS (SELECT FROM rule_sets s WHERE s.variants = v.variants)
ON CONFLICT (variants) DO NOTHING

-- name: forget_rule_sets
-- Those of variants that are gone, and those that no kit has. Written by the tick alone, so that none comes into use meanwhile.
WITH used AS MATERIALIZED (SELECT DISTINCT rule_set FROM kit_latest)
DELETE FROM rule_sets s
WHERE NOT s.variants <@ ARRAY(SELECT variant_id FROM rule_variants)
   OR NOT EXISTS (SELECT FROM used u WHERE u.rule_set = s.rule_set)

-- name: assign_rule_sets
UPDATE kit_latest l SET rule_set = coalesce(s.rule_set, 0)
FROM unnest(%(kit_ids)s::integer[]) AS g(kit_id)
LEFT JOIN variants_of_kits(%(kit_ids)s) v USING (kit_id)
LEFT JOIN rule_sets s USING (variants)
WHERE l.kit_id = g.kit_id AND l.rule_set <> coalesce(s.rule_set, 0)

-- name: facts
SELECT k.kit_id, k.state, k.state_since, coalesce(l.rule_set, 0) AS rule_set, k.wanted_components AS wanted, k.kit_type,
       coalesce(pl.programme, t.programme) AS programme, k.organisation_id,
       l.watch_interval_s, l.watch_allowance_s, l.watch_from_clock_s, l.heard_clock_s, l.last_heard_at,
       l.time, l.received_at, l.battery, l.charging, l.signal_dbm, l.network, l.storage_free_mb, l.uptime_s,
       l.clock_offset_s, l.boot, s.body AS software, s.time AS software_at, p.body AS peripherals,
       p.time AS peripherals_at, u.body AS update, u.time AS update_at, b.boots, st.standing
FROM kits k
LEFT JOIN kit_latest l USING (kit_id)
LEFT JOIN placements pl ON pl.placement_id = k.placement_id
LEFT JOIN kit_types t ON t.kit_type = k.kit_type
LEFT JOIN latest_reports s ON s.kit_id = k.kit_id AND s.kind = 'software'
LEFT JOIN latest_reports p ON p.kit_id = k.kit_id AND p.kind = 'pairing'
LEFT JOIN latest_reports u ON u.kit_id = k.kit_id AND u.kind = 'update'
LEFT JOIN LATERAL (
    -- A run of the tablet begins with a software report. Of a kit that is not heard its last days count, not ours.
    SELECT array_agg(began ORDER BY began) AS boots
    FROM (SELECT min(r.time) AS began FROM reports r
          WHERE r.kit_id = k.kit_id AND r.kind = 'software'
            AND r.time > least(%(now)s::timestamptz, l.last_heard_at) - make_interval(secs => %(starts_within_s)s)
          GROUP BY r.boot) starts)
    b ON s.time > least(%(now)s::timestamptz, l.last_heard_at) - make_interval(secs => %(starts_within_s)s)
LEFT JOIN LATERAL (
    SELECT jsonb_agg(each) AS standing FROM (
        SELECT to_jsonb(f) AS each FROM (
            SELECT a.rule, a.alert_id, a.recovering_since, a.clears_at, a.evidence, a.severity, a.rule_version AS version
            FROM alerts a WHERE a.kit_id = k.kit_id AND a.state = 'active') f
        UNION ALL
        SELECT jsonb_build_object('rule', w.rule, 'pending_since', w.since)
        FROM pending_alerts w WHERE w.kit_id = k.kit_id) found) st ON true
WHERE k.kit_id = ANY(%(kit_ids)s)

-- name: pauses
-- Between the last heartbeat of a run and the first one of the next, as the tablet's clock tells their length.
WITH beats AS (
    SELECT h.kit_id, h.boot, h.received_at, h.time - lag(h.time) OVER w AS pause, lag(h.boot) OVER w AS before
    FROM unnest(%(kit_ids)s::integer[], %(since)s::timestamptz[]) AS g(kit_id, since)
    JOIN heartbeats h ON h.kit_id = g.kit_id AND h.time >= g.since - interval '1 hour'
    WINDOW w AS (PARTITION BY h.kit_id ORDER BY h.time, h.seq)
)
SELECT kit_id, array_agg(received_at - pause ORDER BY received_at) AS off, array_agg(received_at ORDER BY received_at) AS on
FROM beats
WHERE boot <> before
GROUP BY kit_id

-- name: used_days
SELECT r.kit_id, array_agg(DISTINCT (r.time AT TIME ZONE 'UTC')::date) AS days
FROM reports r
WHERE r.kit_id = ANY(%(kit_ids)s) AND r.kind IN ('software', 'pairing') AND r.time > %(after)s
GROUP BY r.kit_id

-- name: note_wakes
WITH given AS (
    SELECT * FROM unnest(%(kit_ids)s::integer[], %(moments)s::timestamptz[]) AS g(kit_id, at)
), dropped AS (
    DELETE FROM evaluation_wakes w USING given g WHERE w.kit_id = g.kit_id AND g.at IS NULL
)
INSERT INTO evaluation_wakes (kit_id, at) SELECT kit_id, at FROM given WHERE at IS NOT NULL
ON CONFLICT (kit_id) DO UPDATE SET at = excluded.at
WHERE evaluation_wakes.at > excluded.at OR evaluation_wakes.at <= %(now)s

-- name: enter
INSERT INTO kits (kit, state, state_since, expected_interval_s, wanted_components)
SELECT g.kit, 'installed', %(begin)s, g.interval_s,
       (SELECT jsonb_object_agg(split_part(pair, '=', 1), split_part(pair, '=', 2))
        FROM unnest(string_to_array(%(wanted)s, ';')) AS pair)
FROM unnest(%(kits)s::text[], %(intervals)s::integer[]) AS g(kit, interval_s)

-- name: watch
INSERT INTO kit_latest (kit_id, watch_allowance_s, watch_interval_s, watch_from_clock_s)
SELECT kit_id, watch_allowance_s(state, expected_interval_s, tolerance), expected_interval_s, 0 FROM kits

-- name: heard_now
UPDATE listening SET updated_at = %(now)s

-- name: opened
-- A request that is opened again asks for somebody once more, so it counts like a new one.
SELECT k.kit, r.cause, r.opened_at FROM service_requests r JOIN kits k USING (kit_id)
UNION ALL
SELECT k.kit, r.cause, e.at
FROM request_events e JOIN service_requests r USING (request_id) JOIN kits k USING (kit_id)
WHERE e.what = 'state' AND e.body ->> 'to' = 'open' AND e.body ->> 'from' IN ('resolved', 'closed')

-- name: incidents
SELECT rule, cohort_kind || ':' || cohort_value, opened_at FROM incidents

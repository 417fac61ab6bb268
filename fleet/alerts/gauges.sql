-- name: work
SELECT (SELECT count(*) FROM evaluation_queue) AS queue,
       (SELECT count(*) FROM incidents WHERE state = 'open') AS incidents,
       (SELECT count(*) FROM incident_members WHERE left_at IS NULL) AS members,
       (SELECT count(*) FROM service_requests
        WHERE state IN ('open', 'in_progress', 'waiting') AND due_at < now() AND sla_state <> 'paused') AS breaches

-- name: waiting
-- What other tasks of the leader should have done by now.
SELECT greatest(extract(epoch FROM now() - (SELECT min(next_escalation_at) FROM service_requests)), 0)::float8 AS escalations_s,
       greatest(extract(epoch FROM now() - (SELECT min(wanted_at) FROM cohort_counts)), 0)::float8 AS counting_s

-- name: active_alerts
SELECT r.rule, count(a.alert_id) FROM rules r LEFT JOIN alerts a ON a.rule = r.rule AND a.state = 'active'
GROUP BY r.rule

-- name: suppressed_alerts
SELECT split_part(suppressed_by, ':', 1), count(*) FROM alerts
WHERE state = 'active' AND suppressed_by IS NOT NULL GROUP BY 1

-- name: open_requests
SELECT line, state, count(*) FROM service_requests WHERE state IN ('open', 'in_progress', 'waiting')
GROUP BY line, state

-- name: kits
SELECT state, heard, silent, drifted, pairing_lost, battery_low, storage_low, clock_skewed, count(*)
FROM kit_facts
GROUP BY state, heard, silent, drifted, pairing_lost, battery_low, storage_low, clock_skewed

-- name: breaches
SELECT r.priority, b.target, count(*) FROM service_requests r, unnest(r.sla_breaches) AS b (target)
WHERE r.state IN ('open', 'in_progress', 'waiting')
GROUP BY r.priority, b.target

-- name: kits
SELECT state,
       kit_health(state = 'installed', heard, silent, drifted, pairing_lost, battery_low, storage_low,
                  clock_skewed) AS health,
       count(*) AS kits,
       count(*) FILTER (WHERE last_heard_at >= now() - interval '5 minutes') AS heard_5_minutes,
       count(*) FILTER (WHERE last_heard_at >= now() - interval '1 hour') AS heard_1_hour,
       count(*) FILTER (WHERE last_heard_at >= now() - interval '1 day') AS heard_1_day
FROM kit_facts
GROUP BY 1, 2;

-- name: alerts
SELECT rule, count(*) AS alerts FROM alerts WHERE state = 'active' GROUP BY rule;

-- name: requests
SELECT state, line, count(*) AS requests FROM service_requests
WHERE state IN ('open', 'in_progress', 'waiting')
GROUP BY state, line;

-- name: incidents
SELECT count(*) AS incidents FROM incidents WHERE state = 'open';

-- name: quarantine
SELECT reason, count(*) AS messages FROM quarantine
WHERE received_at >= now() - interval '1 day'
GROUP BY reason;

-- name: listening
SELECT state, clock_s, greatest(extract(epoch FROM clock_timestamp() - updated_at), 0)::double precision AS age_s
FROM listening;

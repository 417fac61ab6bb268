-- What the ledger is checked against: the stable views only.

-- name: stored
SELECT kit, kind, boot, seq, command, received_at
FROM grafana_messages
WHERE time BETWEEN %(from)s AND %(to)s
  AND ((boot >= %(boot_prefix)s AND starts_with(boot, %(boot_prefix)s)) OR (kind = 'reply' AND kit = ANY(%(kits)s)));

-- name: quarantined
SELECT topic, reason, count(*)
FROM grafana_quarantine
WHERE received_at >= %(from)s
GROUP BY topic, reason;

-- name: alerts
SELECT kit, rule, state, opened_at, cleared_at, suppressed_by
FROM grafana_alerts
WHERE opened_at BETWEEN %(from)s AND %(to)s AND kit = ANY(%(kits)s);

-- name: requests
SELECT number, kit, incident, cause, state, opened_at, resolved_at
FROM grafana_service_requests
WHERE opened_at BETWEEN %(from)s AND %(to)s AND (kit = ANY(%(kits)s) OR incident IS NOT NULL);

-- name: incidents
SELECT id, rule, state, opened_at, cleared_at, members, cohort_kind || '=' || cohort_value AS cohort
FROM grafana_incidents
WHERE opened_at BETWEEN %(from)s AND %(to)s;

-- name: kits_known
SELECT count(*)
FROM grafana_kits
WHERE kit = ANY(%(kits)s);

-- name: visible
SELECT count(*)
FROM grafana_heartbeats
WHERE kit = %(kit)s AND ts BETWEEN %(ts)s::timestamptz - interval '2 seconds' AND %(ts)s::timestamptz + interval '2 seconds'
  AND boot = %(boot)s AND seq = %(seq)s;

-- name: prepare
-- The functions of procrastinate name their tables without a schema.
SELECT set_config('search_path', current_setting('search_path') || ', jobs', false)

-- name: one_at_a_time
SELECT pg_try_advisory_xact_lock(%(lock)s) AS taken

-- name: fill
-- Each outlet that is behind reads on in the order of the events, below the snapshot's horizon: nothing that it has
-- passed can still appear. It is given no more than it can soon send, the rest waits as events; what has waited so for long
-- is kept for it before retention takes the events away.
WITH edge AS MATERIALIZED (
    SELECT pg_snapshot_xmin(pg_current_snapshot()) AS horizon
), head AS MATERIALIZED (
    SELECT e.tx, e.event_id FROM events e, edge WHERE e.tx < edge.horizon ORDER BY e.tx DESC, e.event_id DESC LIMIT 1
), behind AS MATERIALIZED (
    SELECT q.outlet_id, q.tx, q.event_id, o.kind, o.organisation_id, o.events, o.options,
           CASE WHEN o.organisation_id IS NOT NULL THEN scope_of(o.organisation_id) END AS scope
    FROM outlet_queues q JOIN outlets o USING (outlet_id), head h
    WHERE o.state = 'active' AND NOT is_disabled(o.user_id) AND (q.tx, q.event_id) < (h.tx, h.event_id)
      AND ((SELECT count(*) FROM (
                SELECT FROM deliveries d WHERE d.outlet_id = q.outlet_id AND d.state = 'pending' LIMIT %(room)s) p) < %(room)s
           OR (SELECT e.at FROM events e WHERE (e.tx, e.event_id) > (q.tx, q.event_id)
               ORDER BY e.tx, e.event_id LIMIT 1) < %(kept_since)s)
    ORDER BY q.tx, q.event_id
    LIMIT %(outlets)s
), passed AS MATERIALIZED (
    SELECT b.outlet_id, e.* FROM behind b, edge, LATERAL (
        SELECT e.* FROM events e
        WHERE (e.tx, e.event_id) > (b.tx, b.event_id) AND e.tx < edge.horizon
        ORDER BY e.tx, e.event_id LIMIT %(window)s) e
), queued AS (
    INSERT INTO deliveries (outlet_id, message_id, type, kit, payload, queued_at, expires_at)
    SELECT b.outlet_id, 'evt_' || e.event_id, e.type, e.kit, jsonb_build_object(
               'id', 'evt_' || e.event_id, 'type', e.type, 'at', e.at,
               'data', jsonb_strip_nulls(jsonb_build_object('kit', e.kit)) || e.body),
           -- What a digest waits for does not count.
           %(now)s, %(now)s::timestamptz + %(tries)s::interval * CASE b.kind WHEN 'mail' THEN 2 ELSE 1 END
    FROM passed e JOIN behind b USING (outlet_id)
    WHERE matches_event(e.type, b.events)
      -- What is told of an outlet is of no use to itself, and would go round in a circle.
      AND NOT (starts_with(e.type, 'outlet.') AND e.body ->> 'outlet' = b.outlet_id::text)
      -- What is kept quiet is for nobody outside; when it is heard, alert.unsuppressed says so.
      AND (e.type NOT IN ('alert.opened', 'alert.flapping', 'alert.cleared') OR e.body ->> 'suppressed_by' IS NULL
           OR e.type = 'alert.cleared' AND (e.body ->> 'suppressed_by' LIKE 'shelved:%%' OR e.body ->> 'resolution' = 'merged'))
      AND (b.organisation_id IS NULL OR e.organisation_id = ANY (b.scope) OR e.owner_id = ANY (b.scope))
      AND (jsonb_typeof(coalesce(b.options -> 'severities', 'null')) = 'null' OR NOT e.body ? 'severity' OR b.options -> 'severities' ? (e.body ->> 'severity'))
    ORDER BY e.tx, e.event_id
    ON CONFLICT (outlet_id, message_id) DO NOTHING
    RETURNING outlet_id
), moved AS (
    UPDATE outlet_queues q SET
        tx = last.tx, event_id = last.event_id,
        -- What may be urgent is looked at, whatever the rest waits for.
        hurry = q.hurry OR (last.kind = 'mail' AND q.failing_since IS NULL AND q.outlet_id IN (SELECT outlet_id FROM queued))
    FROM (SELECT DISTINCT ON (p.outlet_id) p.outlet_id, p.tx, p.event_id, b.kind
          FROM passed p JOIN behind b USING (outlet_id) ORDER BY p.outlet_id, p.tx DESC, p.event_id DESC) last
    WHERE q.outlet_id = last.outlet_id
)
SELECT (SELECT count(*) FROM passed) AS passed, (SELECT count(*) FROM queued) AS queued

-- name: restart_ahead
-- After a restore on another server transactions count anew: what is ahead of all that can be begins from here.
UPDATE outlet_queues SET tx = pg_snapshot_xmin(pg_current_snapshot()), event_id = 0
WHERE tx > pg_current_xact_id()

-- name: overflowing
SELECT outlet_id, count(*) - %(most)s AS over FROM deliveries WHERE state = 'pending'
GROUP BY outlet_id HAVING count(*) > %(most)s

-- name: overflow
-- Of more than may wait the oldest are given up, and a fact says how many.
WITH held AS MATERIALIZED (
    SELECT outlet_id FROM outlet_queues WHERE outlet_id = %(outlet_id)s FOR UPDATE
), given_up AS (
    UPDATE deliveries d SET state = 'dead', ended_at = %(now)s, error = 'overflow'
    FROM held, LATERAL (
        SELECT o.delivery_id FROM deliveries o WHERE o.outlet_id = held.outlet_id AND o.state = 'pending'
        ORDER BY o.delivery_id LIMIT %(over)s) oldest
    WHERE d.delivery_id = oldest.delivery_id AND d.state = 'pending'
    RETURNING d.outlet_id
), counted AS (
    SELECT outlet_id, count(*) AS dead FROM given_up GROUP BY outlet_id
), told AS (
    UPDATE outlet_queues q SET overflowed = q.overflowed + c.dead FROM counted c WHERE c.outlet_id = q.outlet_id
), noted AS (
    INSERT INTO events (type, body, organisation_id)
    SELECT 'outlet.overflowed', jsonb_build_object('outlet', c.outlet_id, 'kind', o.kind, 'given_up', c.dead), o.organisation_id
    FROM counted c JOIN outlets o USING (outlet_id)
)
SELECT c.outlet_id, o.kind, c.dead FROM counted c JOIN outlets o USING (outlet_id)

-- name: hurry
-- Who asked for it now does not wait for what was put off.
WITH asked AS (
    UPDATE outlet_queues SET hurry = false, next_at = NULL WHERE hurry RETURNING outlet_id
)
UPDATE jobs.procrastinate_jobs j SET scheduled_at = now()
FROM asked a WHERE j.lock = 'outlet:' || a.outlet_id AND j.status = 'todo' AND j.scheduled_at > now()

-- name: enqueue
-- One job for each outlet with something to send, and none beside one that is there: only it keeps the order.
WITH wanted AS (
    SELECT q.outlet_id, o.kind FROM outlet_queues q JOIN outlets o USING (outlet_id)
    WHERE o.state = 'active' AND NOT is_disabled(o.user_id) AND coalesce(q.next_at, '-infinity') <= %(now)s
      AND (EXISTS (SELECT FROM deliveries d WHERE d.outlet_id = q.outlet_id AND d.state = 'pending')
           OR o.kind = 'connector' AND coalesce(q.polled_at, '-infinity') < %(now)s::timestamptz - %(poll)s::interval)
      AND NOT EXISTS (SELECT FROM jobs.procrastinate_jobs j
                      WHERE j.lock = 'outlet:' || q.outlet_id AND j.status IN ('todo', 'doing'))
    ORDER BY q.outlet_id
)
SELECT coalesce(cardinality(jobs.procrastinate_defer_jobs_v1(array_agg(
    ROW('outlets', 'deliver', 0, 'outlet:' || outlet_id, 'outlet:' || outlet_id,
        jsonb_build_object('outlet_id', outlet_id), NULL)::jobs.procrastinate_job_to_defer_v1))), 0) AS jobs
FROM wanted HAVING count(*) > 0

-- name: revive
-- Jobs of workers that died begin anew.
SELECT jobs.procrastinate_retry_job_v2(j.id, now(), NULL, NULL, NULL)
FROM jobs.procrastinate_jobs j LEFT JOIN jobs.procrastinate_workers w ON w.id = j.worker_id
WHERE j.status = 'doing' AND (w.id IS NULL OR w.last_heartbeat < now() - %(dead_after)s::interval)

-- name: gauges
SELECT o.kind, (SELECT count(*) FROM deliveries d JOIN outlets x USING (outlet_id) WHERE d.state = 'dead' AND x.kind = o.kind) AS dead,
       (SELECT count(*) FROM deliveries d JOIN outlets x USING (outlet_id) WHERE d.state = 'pending' AND x.kind = o.kind) AS pending,
       coalesce((SELECT extract(epoch FROM now() - min(first.queued_at)) FROM outlets x, LATERAL (
                     SELECT d.queued_at FROM deliveries d WHERE d.outlet_id = x.outlet_id AND d.state = 'pending'
                     ORDER BY d.delivery_id LIMIT 1) first
                 WHERE x.kind = o.kind AND x.state = 'active'), 0)::float8 AS age_s,
       count(*) FILTER (WHERE q.failing_since IS NOT NULL) AS failing
FROM outlets o JOIN outlet_queues q USING (outlet_id) GROUP BY o.kind

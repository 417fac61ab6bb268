-- name: facts
-- Of the service itself, and bounded: beyond a hundred thousand it makes no difference how many.
SELECT l.state AS listening, l.updated_at AS listened_at,
       i.incidents, i.incidents_since,
       (SELECT count(*) FROM (SELECT FROM evaluation_queue LIMIT 100000) q) AS queue,
       b.breaches, b.breaches_since, o.failing, o.failing_since
FROM listening l,
     (SELECT count(*) AS incidents, min(opened_at) AS incidents_since FROM incidents WHERE state = 'open') i,
     (SELECT count(*) AS breaches, min(due_at) AS breaches_since FROM service_requests
      WHERE state IN ('open', 'in_progress', 'waiting') AND due_at < now() AND sla_state <> 'paused') b,
     (SELECT count(*) AS failing, min(q.failing_since) AS failing_since
      FROM outlet_queues q JOIN outlets USING (outlet_id)
      WHERE state = 'active' AND q.failing_since < now() - interval '1 hour') o

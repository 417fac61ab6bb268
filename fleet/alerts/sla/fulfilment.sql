-- name: fulfilment
SELECT to_char(r.opened_at AT TIME ZONE 'UTC', 'YYYY-MM') AS month, c.slug AS contract, r.priority, count(*) AS requests,
       count(*) FILTER (WHERE r.state IN ('open', 'in_progress', 'waiting')) AS open,
       count(*) FILTER (WHERE r.responded_at IS NOT NULL AND NOT 'response' = ANY (r.sla_breaches)) AS response_met,
       count(*) FILTER (WHERE 'response' = ANY (r.sla_breaches)) AS response_late,
       count(*) FILTER (WHERE 'update' = ANY (r.sla_breaches)) AS update_late,
       count(*) FILTER (WHERE r.state IN ('resolved', 'closed') AND NOT 'solution' = ANY (r.sla_breaches)) AS solution_met,
       count(*) FILTER (WHERE 'solution' = ANY (r.sla_breaches)) AS solution_late
FROM service_requests r LEFT JOIN contracts c USING (contract_id)
WHERE r.opened_at >= date_trunc('month', %(first)s::date)::timestamp AT TIME ZONE 'UTC'
  AND r.opened_at < (date_trunc('month', %(last)s::date) + interval '1 month')::timestamp AT TIME ZONE 'UTC'
  AND (%(contract)s::text IS NULL OR c.slug = %(contract)s)
  AND CASE WHEN r.merged_into IS NOT NULL THEN r.sla_state <> 'none'
           ELSE r.resolution IS DISTINCT FROM 'merged' AND NOT starts_with(coalesce(r.resolution, ''), 'merged:') END
GROUP BY 1, 2, 3
ORDER BY 1, 2, array_position(ARRAY['urgent', 'high', 'normal', 'low'], r.priority)
LIMIT %(limit)s;

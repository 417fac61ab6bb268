-- name: fix_contracts
-- Many requests of a tick are alike: each combination is looked up once.
WITH fresh AS MATERIALIZED (
    SELECT r.request_id, r.organisation_id, coalesce(p.programme, t.programme) AS programme, k.kit_type, r.opened_at
    FROM service_requests r
    LEFT JOIN kits k ON k.kit_id = r.kit_id
    LEFT JOIN kit_types t ON t.kit_type = k.kit_type
    LEFT JOIN placements p ON p.placement_id = k.placement_id
    WHERE r.request_id = ANY(%(request_ids)s) AND r.contract_id IS NULL
), chosen AS MATERIALIZED (
    SELECT c.*, contract_for(c.organisation_id, c.programme, c.kit_type, c.opened_at) AS contract_id
    FROM (SELECT DISTINCT organisation_id, programme, kit_type, opened_at FROM fresh) c
)
UPDATE service_requests r SET contract_id = c.contract_id
FROM fresh f JOIN chosen c ON (c.organisation_id, c.programme, c.kit_type, c.opened_at)
    IS NOT DISTINCT FROM (f.organisation_id, f.programme, f.kit_type, f.opened_at)
WHERE r.request_id = f.request_id;

-- name: speakers
SELECT r.request_id FROM service_requests m JOIN service_requests r ON r.number = speaks_for(m.number)
WHERE m.request_id = ANY(%(request_ids)s) AND m.merged_into IS NOT NULL;

-- name: headers
SELECT request_id, contract_id, priority, opened_at,
       merged_into IS NOT NULL AND NOT ended_before_merged(request_id) AS merged
FROM service_requests
WHERE request_id = ANY(%(request_ids)s) AND contract_id IS NOT NULL
ORDER BY request_id;

-- name: terms
SELECT contract_id, update_min, calendar, targets, steps FROM sla_terms(%(contract_ids)s::integer[]);

-- name: logs
SELECT request_id, event_id, at, actor, what, body FROM request_events
WHERE request_id = ANY(%(request_ids)s)
ORDER BY request_id, at, event_id;

-- name: spoken_for
SELECT request_id, event_id, at, actor, what, body FROM logs_spoken_for(%(request_ids)s::bigint[]);

-- name: project
UPDATE service_requests r
SET response_due_at = g.response_due_at, update_due_at = g.update_due_at, due_at = g.due_at,
    responded_at = g.responded_at, sla_state = g.sla_state, sla_breaches = string_to_array(g.sla_breaches, ','),
    next_escalation_at = g.next_escalation_at
FROM unnest(%(request_id)s::bigint[], %(response_due_at)s::timestamptz[], %(update_due_at)s::timestamptz[],
            %(due_at)s::timestamptz[], %(responded_at)s::timestamptz[], %(sla_state)s::text[],
            %(sla_breaches)s::text[], %(next_escalation_at)s::timestamptz[])
    AS g(request_id, response_due_at, update_due_at, due_at, responded_at, sla_state, sla_breaches, next_escalation_at)
WHERE r.request_id = g.request_id
  AND (r.response_due_at, r.update_due_at, r.due_at, r.responded_at, r.sla_state,
       array_to_string(r.sla_breaches, ','), r.next_escalation_at)
      IS DISTINCT FROM (g.response_due_at, g.update_due_at, g.due_at, g.responded_at, g.sla_state, g.sla_breaches,
                        g.next_escalation_at);

-- name: take_due
-- Whoever is changing a request now has it measured by that: it is passed over and found again.
SELECT request_id FROM service_requests
WHERE request_id IN (
    (SELECT request_id FROM service_requests WHERE next_escalation_at <= %(now)s
     ORDER BY next_escalation_at LIMIT %(limit)s)
    UNION ALL
    (SELECT request_id FROM service_requests
     WHERE contract_id IS NULL AND state IN ('open', 'in_progress', 'waiting') ORDER BY request_id LIMIT %(limit)s))
ORDER BY request_id
FOR UPDATE SKIP LOCKED;

-- name: contract_to_remeasure
-- Held so that requests that come under it meanwhile need not wait.
SELECT contract_id, remeasure_from FROM contracts WHERE remeasure_from IS NOT NULL
ORDER BY contract_id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED;

-- name: take_of_contract
-- The next ones by number, and whether each could be held at once: nobody is waited for, so nobody waits in a ring.
WITH wanted AS MATERIALIZED (
    SELECT request_id FROM service_requests
    WHERE contract_id = %(contract_id)s AND request_id >= %(remeasure_from)s
      AND state IN ('open', 'in_progress', 'waiting')
    ORDER BY request_id LIMIT %(limit)s
), taken AS MATERIALIZED (
    SELECT r.request_id FROM service_requests r JOIN wanted USING (request_id) FOR UPDATE OF r SKIP LOCKED
)
SELECT w.request_id, t.request_id IS NOT NULL FROM wanted w LEFT JOIN taken t USING (request_id) ORDER BY w.request_id;

-- name: remeasured
UPDATE contracts SET remeasure_from = %(next)s WHERE contract_id = %(contract_id)s;

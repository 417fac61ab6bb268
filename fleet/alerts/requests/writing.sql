-- name: hold
-- Who speaks for a merged one is measured with it, and so is held with it.
WITH wanted AS MATERIALIZED (
    SELECT request_id, number, merged_into FROM service_requests
    WHERE number = ANY (%(numbers)s) OR request_id = ANY (%(request_ids)s)
), touched AS MATERIALIZED (
    SELECT request_id FROM wanted
    UNION
    SELECT s.request_id FROM wanted w JOIN service_requests s ON s.number = speaks_for(w.number)
    WHERE w.merged_into IS NOT NULL
)
SELECT r.request_id FROM service_requests r JOIN touched t USING (request_id)
ORDER BY r.request_id
FOR UPDATE OF r;

-- name: hold_late
-- Merged while it was waited for them; nobody is waited for any more, since the order is over.
WITH late AS MATERIALIZED (
    SELECT s.request_id FROM service_requests m JOIN service_requests s ON s.number = speaks_for(m.number)
    WHERE m.request_id = ANY (%(held)s) AND m.merged_into IS NOT NULL AND s.request_id <> ALL (%(held)s)
), taken AS MATERIALIZED (
    SELECT r.request_id FROM service_requests r JOIN late USING (request_id) FOR UPDATE OF r SKIP LOCKED
)
SELECT (SELECT count(*) FROM late) = (SELECT count(*) FROM taken);

-- name: held
SELECT r.request_id, r.number, r.kit_id, k.kit, r.incident_id, r.organisation_id, k.owner_id, r.cause, r.subject, r.line, r.priority,
       r.state, r.opened_by, r.opened_at, r.description, r.waiting_for, r.assignee_id, r.assignee, r.resolved_at,
       r.resolved_by, r.resolution, r.found_cause, r.remedy, r.closed_at, r.proven, r.merged_into, r.reopened, r.has_text,
       request_revision(r.request_id) AS revision, reopen_within_s(r.contract_id) AS reopen_within_s,
       (SELECT max(e.at) FROM request_events e
        WHERE e.request_id = r.request_id
          AND e.what IN ('opened', 'state', 'line', 'priority', 'assigned', 'merged')) AS moved_at
FROM service_requests r LEFT JOIN kits k USING (kit_id)
WHERE r.request_id = ANY (%(request_ids)s)
ORDER BY r.request_id;

-- name: insert
-- A request of the same cause that is open already is locked by the idle update, so that nobody closes it before what
-- is new has joined it.
INSERT INTO service_requests (number, kit_id, incident_id, subject, organisation_id, cause, line, priority, state, opened_at,
                              due_at)
SELECT service_request_number(n.opened_at), n.kit_id, n.incident_id, n.subject, n.organisation_id, n.cause, n.line,
       n.priority, 'open', n.opened_at, n.due_at
FROM jsonb_to_recordset(%(rows)s) AS n(kit_id integer, incident_id bigint, subject text, organisation_id integer, cause text, line text, priority text,
                                       opened_at timestamptz, due_at timestamptz)
ON CONFLICT (kit_id, cause) WHERE state IN ('open', 'in_progress', 'waiting') AND kit_id IS NOT NULL
DO UPDATE SET cause = excluded.cause
RETURNING request_id, number, kit_id, cause, xmax = 0 AS fresh;

-- name: append
INSERT INTO request_events (request_id, at, actor, what, body)
SELECT e.request_id, e.at, e.actor, e.what, e.body
FROM jsonb_to_recordset(%(entries)s) AS e(n integer, request_id bigint, at timestamptz, actor text, what text, body jsonb)
ORDER BY e.n;

-- name: project
UPDATE service_requests r SET
    line = p.line, priority = p.priority, state = p.state, opened_by = p.opened_by, description = p.description,
    waiting_for = p.waiting_for, assignee_id = p.assignee_id, assignee = p.assignee, resolved_at = p.resolved_at,
    resolved_by = p.resolved_by, resolution = p.resolution, found_cause = p.found_cause, remedy = p.remedy,
    closed_at = p.closed_at, proven = p.proven, merged_into = p.merged_into, reopened = p.reopened,
    has_text = p.has_text
FROM jsonb_to_recordset(%(rows)s) AS p(
    request_id bigint, line text, priority text, state text, opened_by text, description text, waiting_for text,
    assignee_id bigint, assignee text, resolved_at timestamptz, resolved_by text, resolution text, found_cause text,
    remedy text, closed_at timestamptz, proven boolean, merged_into text, reopened integer, has_text boolean)
WHERE r.request_id = p.request_id;

-- name: tell
INSERT INTO events (at, type, kit, organisation_id, body)
SELECT t.at, t.type, t.kit, r.organisation_id, jsonb_strip_nulls(t.body || jsonb_build_object('due_at', r.due_at))
FROM jsonb_to_recordset(%(told)s) AS t(n integer, request_id bigint, at timestamptz, type text, kit text, body jsonb)
JOIN service_requests r USING (request_id)
ORDER BY t.n;

-- name: learn
-- The tablet stands for the kit: what runs on it is what faults differ by.
INSERT INTO request_lessons (request_id, at, cause, found_cause, remedy, model, kit_type, versions)
SELECT r.request_id, %(now)s, r.cause, r.found_cause, r.remedy,
       (SELECT m.manufacturer || ' ' || m.name FROM components c JOIN models m USING (model_id)
        WHERE c.kit_id = r.kit_id AND m.kind = 'tablet' ORDER BY c.component_id LIMIT 1),
       k.kit_type,
       coalesce((SELECT jsonb_strip_nulls(jsonb_build_object(
                    'os', s.body -> 'os', 'mdm', s.body -> 'mdm', 'app', s.body -> 'app',
                    'bluetooth', s.body -> 'bluetooth', 'firmware', s.body -> 'firmware'))
                 FROM latest_reports s WHERE s.kit_id = r.kit_id AND s.kind = 'software'), '{}')
FROM service_requests r LEFT JOIN kits k USING (kit_id)
WHERE r.request_id = ANY (%(request_ids)s) AND r.found_cause IS NOT NULL AND r.remedy IS NOT NULL
ON CONFLICT (request_id) DO UPDATE SET
    at = excluded.at, found_cause = excluded.found_cause, remedy = excluded.remedy, model = excluded.model,
    kit_type = excluded.kit_type, versions = excluded.versions;

-- name: join_alerts
INSERT INTO request_alerts (request_id, alert_id)
SELECT * FROM unnest(%(request_ids)s::bigint[], %(alert_ids)s::bigint[])
ON CONFLICT DO NOTHING;

-- name: settings
SELECT reopen_within_s, proof_for_s, proof_within_s, important_programmes, revision FROM request_settings;

-- name: entries
SELECT request_id, event_id, at, actor, what, body FROM request_events
WHERE request_id = ANY (%(request_ids)s) ORDER BY request_id, event_id;

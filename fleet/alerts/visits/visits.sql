-- name: now
SELECT now();

-- name: list
SELECT v.visit_id, v.number, v.kind, v.state, k.kit, v.placement_id, o.slug AS organisation, r.number AS service_request,
       v.urgent, v.ordered_at, v.planned_on, to_char(v.window_from, 'HH24:MI') AS window_from,
       to_char(v.window_to, 'HH24:MI') AS window_to, v.crew, v.target_days, v.due_on,
       v.state IN ('planned', 'under_way', 'failed') AND v.due_on < (now() AT TIME ZONE 'Europe/Copenhagen')::date AS overdue,
       v.attempts,
       (SELECT a.failure FROM visit_attempts a WHERE a.visit_id = v.visit_id ORDER BY a.attempt_id DESC LIMIT 1) AS failure,
       v.started_at, v.arrived_at, v.ended_at, v.done_on, v.took_days, v.instruction_given, v.receipt,
       v.old_equipment_taken, v.note, v.ended_reason, v.created_by, v.created_at, v.revision, v.organisation_id,
       (SELECT b.owner_id FROM kits b WHERE b.kit_id = v.kit_id) AS owner_id
FROM visits v
LEFT JOIN known_kits k ON k.kit_id = v.kit_id
LEFT JOIN organisations o ON o.organisation_id = v.organisation_id
LEFT JOIN service_requests r ON r.request_id = v.request_id
WHERE (v.planned_on, v.visit_id) > (%(after_day)s::date, %(after)s::bigint)
  AND (%(number)s::text IS NULL OR v.number = %(number)s)
  AND (%(state)s::text IS NULL OR v.state = %(state)s)
  AND (%(kind)s::text IS NULL OR v.kind = %(kind)s)
  AND (%(kit)s::text IS NULL OR v.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
  AND (%(placement_id)s::bigint IS NULL OR v.placement_id = %(placement_id)s)
  AND (%(organisation)s::text IS NULL
       OR v.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
  AND (%(crew)s::text IS NULL OR v.crew = %(crew)s)
  AND (%(day_from)s::date IS NULL OR v.planned_on >= %(day_from)s)
  AND (%(day_to)s::date IS NULL OR v.planned_on <= %(day_to)s)
  AND (%(service_request)s::text IS NULL
       OR v.request_id = (SELECT request_id FROM service_requests WHERE number = %(service_request)s))
  AND (%(overdue)s::boolean IS NULL
       OR %(overdue)s = (v.state IN ('planned', 'under_way', 'failed')
                         AND v.due_on < (now() AT TIME ZONE 'Europe/Copenhagen')::date))
ORDER BY v.planned_on, v.visit_id
LIMIT %(limit)s;

-- name: lock
SELECT v.visit_id, v.number, v.kind, v.state, v.kit_id, k.kit, k.owner_id, v.placement_id, v.organisation_id, v.request_id,
       v.urgent, v.ordered_at, v.planned_on, to_char(v.window_from, 'HH24:MI') AS window_from,
       to_char(v.window_to, 'HH24:MI') AS window_to, v.crew, v.target_days, v.due_on, v.note, v.attempts, v.revision
FROM visits v LEFT JOIN kits k ON k.kit_id = v.kit_id
WHERE v.number = %(number)s
FOR UPDATE OF v;

-- name: kit
-- With the home where it is, or the one that is planned for it.
SELECT k.kit_id, k.kit, k.organisation_id, k.owner_id,
       coalesce(k.placement_id, (SELECT p.placement_id FROM placements p
                                 WHERE p.kit_id = k.kit_id AND p.state = 'planned')) AS placement_id
FROM kits k
WHERE k.kit = %(kit)s;

-- name: placement
SELECT p.placement_id, p.organisation_id, p.state, k.kit
FROM placements p LEFT JOIN kits k ON k.kit_id = p.kit_id
WHERE p.placement_id = %(placement_id)s;

-- name: request
SELECT r.request_id, r.state, k.kit FROM service_requests r LEFT JOIN kits k USING (kit_id) WHERE r.number = %(number)s;

-- name: request_number
SELECT number FROM service_requests WHERE request_id = %(request_id)s;

-- name: target
SELECT visit_target_days(
    %(organisation_id)s::integer,
    (SELECT coalesce((SELECT programme FROM placements WHERE placement_id = %(placement_id)s::bigint),
                     (SELECT t.programme FROM kits k JOIN kit_types t USING (kit_type) WHERE k.kit_id = %(kit_id)s::integer))),
    (SELECT kit_type FROM kits WHERE kit_id = %(kit_id)s::integer), %(ordered_at)s::timestamptz, %(urgent)s::boolean);

-- name: add
INSERT INTO visits (number, kind, kit_id, placement_id, organisation_id, request_id, urgent, ordered_at, planned_on,
                    window_from, window_to, crew, target_days, due_on, note, has_text, created_by)
VALUES (visit_number(now()), %(kind)s, %(kit_id)s, %(placement_id)s, %(organisation_id)s, %(request_id)s, %(urgent)s,
        %(ordered_at)s, %(planned_on)s, %(window_from)s::time, %(window_to)s::time, %(crew)s, %(target_days)s,
        %(due_on)s, %(note)s, %(note)s <> '', %(actor)s)
RETURNING number;

-- name: change
UPDATE visits
SET state = %(state)s, kit_id = %(kit_id)s, placement_id = %(placement_id)s, organisation_id = %(organisation_id)s,
    urgent = %(urgent)s, planned_on = %(planned_on)s, window_from = %(window_from)s::time,
    window_to = %(window_to)s::time, crew = %(crew)s, target_days = %(target_days)s, due_on = %(due_on)s, note = %(note)s,
    has_text = has_text OR %(note)s NOT IN ('', '[redacted]'), revision = revision + 1, updated_at = now()
WHERE visit_id = %(visit_id)s;

-- name: start
UPDATE visits SET state = 'under_way', started_at = now(), revision = revision + 1, updated_at = now()
WHERE visit_id = %(visit_id)s;

-- name: cancel
UPDATE visits SET state = 'cancelled', ended_at = now(), ended_reason = %(reason)s, has_text = true,
    revision = revision + 1, updated_at = now()
WHERE visit_id = %(visit_id)s;

-- name: failure
SELECT true FROM visit_failures WHERE failure = %(failure)s AND active;

-- name: fail
WITH attempt AS (
    INSERT INTO visit_attempts (visit_id, at, failure, planned_on, crew, note, actor)
    SELECT visit_id, %(at)s, %(failure)s, planned_on, crew, %(note)s, %(actor)s FROM visits WHERE visit_id = %(visit_id)s
)
UPDATE visits SET state = 'failed', attempts = attempts + 1, has_text = has_text OR %(note)s <> '',
    revision = revision + 1, updated_at = now()
WHERE visit_id = %(visit_id)s;

-- name: done
UPDATE visits SET state = 'done', ended_at = %(done_at)s, arrived_at = %(arrived_at)s, done_on = %(done_on)s,
    took_days = %(took_days)s, instruction_given = %(instruction_given)s, receipt = %(receipt)s,
    old_equipment_taken = %(old_equipment_taken)s, note = %(note)s,
    has_text = has_text OR %(note)s NOT IN ('', '[redacted]'), revision = revision + 1, updated_at = now()
WHERE visit_id = %(visit_id)s;

-- name: attempts
SELECT at, failure, planned_on, crew, note, actor FROM visit_attempts
WHERE visit_id = %(visit_id)s ORDER BY attempt_id DESC LIMIT %(limit)s;

-- name: tell
INSERT INTO events (type, kit, organisation_id, body)
SELECT %(type)s, k.kit, v.organisation_id, jsonb_strip_nulls(jsonb_build_object(
    'number', v.number, 'kind', v.kind, 'state', v.state, 'service_request', r.number, 'planned_on', v.planned_on,
    'crew', v.crew, 'urgent', v.urgent, 'due_on', v.due_on, 'attempts', v.attempts, 'failure', %(failure)s::text))
FROM visits v
LEFT JOIN kits k ON k.kit_id = v.kit_id
LEFT JOIN service_requests r ON r.request_id = v.request_id
WHERE v.visit_id = %(visit_id)s;

-- name: redact
SELECT redact_visits(ARRAY[%(visit_id)s::bigint]);

-- name: lines
SELECT l.line_id, l.what, l.model_id, l.name, l.device, l.quantity, l.location, l.reservation_id,
       r.state AS reservation_state, r.component_id, r.location_id, r.organisation_id
FROM visit_lines l LEFT JOIN reservations r USING (reservation_id)
WHERE l.visit_id = ANY (%(visit_ids)s)
ORDER BY l.visit_id, l.line_id;

-- name: add_line
INSERT INTO visit_lines (visit_id, reservation_id, what, model_id, name, device, quantity, location)
VALUES (%(visit_id)s, %(reservation_id)s, %(what)s, %(model_id)s, %(name)s, %(device)s, %(quantity)s, %(location)s)
RETURNING line_id;

-- name: find_line
SELECT reservation_id FROM visit_lines WHERE visit_id = %(visit_id)s AND line_id = %(line_id)s;

-- name: remove_line
DELETE FROM visit_lines WHERE visit_id = %(visit_id)s AND line_id = %(line_id)s;

-- name: touch
UPDATE visits SET revision = revision + 1, updated_at = now() WHERE visit_id = %(visit_id)s;

-- name: end_reservations
SELECT end_visit_reservations(%(visit_id)s, %(outcome)s);

-- name: move_reservations
SELECT move_visit_reservations(%(visit_id)s, %(planned_on)s);

-- name: failures
SELECT failure, title_en, title_da, active, revision FROM visit_failures
WHERE failure > %(after)s AND (%(failure)s::text IS NULL OR failure = %(failure)s)
  AND (%(active)s::boolean IS NULL OR active = %(active)s)
ORDER BY failure LIMIT %(limit)s;

-- name: add_failure
INSERT INTO visit_failures (failure, title_en, title_da, active)
VALUES (%(failure)s, %(title_en)s, %(title_da)s, %(active)s)
ON CONFLICT DO NOTHING RETURNING failure;

-- name: lock_failure
SELECT revision FROM visit_failures WHERE failure = %(failure)s FOR UPDATE;

-- name: set_failure
UPDATE visit_failures SET title_en = %(title_en)s, title_da = %(title_da)s, active = %(active)s, revision = revision + 1
WHERE failure = %(failure)s;

-- name: settings
SELECT working_days, urgent_days, revision FROM visit_settings;

-- name: lock_settings
SELECT revision FROM visit_settings FOR UPDATE;

-- name: set_settings
UPDATE visit_settings SET working_days = %(working_days)s, urgent_days = %(urgent_days)s, revision = revision + 1;

-- name: sees_all
SELECT sees_all();

-- name: contract_target
SELECT slug, visit_days AS working_days, visit_urgent_days AS urgent_days, revision FROM contracts WHERE slug = %(slug)s;

-- name: lock_contract
SELECT revision FROM contracts WHERE slug = %(slug)s FOR UPDATE;

-- name: set_contract_target
UPDATE contracts SET visit_days = %(working_days)s, visit_urgent_days = %(urgent_days)s, revision = revision + 1,
    updated_at = now()
WHERE slug = %(slug)s;

-- name: statistics
-- What was done, by the month in which it was done; what failed, by the month in which somebody came in vain.
WITH done AS (
    SELECT to_char(v.done_on, 'YYYY-MM') AS month, v.kind, v.organisation_id, count(*) AS done,
           count(*) FILTER (WHERE v.done_on <= v.due_on AND v.took_days IS NOT NULL) AS within_target,
           count(*) FILTER (WHERE v.took_days IS NULL) AS entered_afterwards, count(DISTINCT v.kit_id) AS kits,
           percentile_cont(0.5) WITHIN GROUP (ORDER BY v.took_days) AS median_days
    FROM visits v
    WHERE v.done_on BETWEEN %(first)s AND %(last)s
    GROUP BY 1, 2, 3
), came AS (
    SELECT to_char(a.at AT TIME ZONE 'Europe/Copenhagen', 'YYYY-MM') AS month, v.kind, v.organisation_id, a.failure,
           count(*) AS times
    FROM visit_attempts a JOIN visits v USING (visit_id)
    WHERE a.at >= %(first)s::date::timestamp AT TIME ZONE 'Europe/Copenhagen'
      AND a.at < (%(last)s::date + 1)::timestamp AT TIME ZONE 'Europe/Copenhagen'
    GROUP BY 1, 2, 3, 4
), failed AS (
    SELECT month, kind, organisation_id, sum(times)::bigint AS failed, jsonb_object_agg(failure, times) AS failures
    FROM came GROUP BY 1, 2, 3
)
SELECT f.month, f.kind, o.slug AS organisation, f.done, f.within_target, f.entered_afterwards, f.kits, f.median_days, f.failed, f.failures
FROM (SELECT month, kind, organisation_id, coalesce(done, 0) AS done, coalesce(within_target, 0) AS within_target,
             coalesce(entered_afterwards, 0) AS entered_afterwards,
             coalesce(kits, 0) AS kits, median_days, coalesce(failed, 0) AS failed, coalesce(failures, '{}') AS failures
      FROM done FULL JOIN failed USING (month, kind, organisation_id)) f
LEFT JOIN organisations o USING (organisation_id)
WHERE (%(kind)s::text IS NULL OR f.kind = %(kind)s) AND (%(organisation)s::text IS NULL OR o.slug = %(organisation)s)
ORDER BY f.month, f.kind, o.slug
LIMIT %(limit)s;

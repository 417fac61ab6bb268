-- name: list
SELECT c.contract_id, c.slug, o.slug AS organisation, c.name, c.programme, c.kit_type, d.slug AS calendar, c.valid_from,
       c.valid_until, c.reopen_days, c.update_min,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('priority', t.priority, 'response_min', t.response_min,
                                                     'update_min', t.update_min, 'solution_min', t.solution_min)
                                  ORDER BY array_position(ARRAY['urgent', 'high', 'normal', 'low'], t.priority)), '[]')
        FROM contract_targets t WHERE t.contract_id = c.contract_id) AS targets,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('target', e.target, 'percent', e.percent, 'before_min', e.before_min,
                                                     'notify', e.notify, 'role', e.role, 'raise_priority', e.raise_priority)
                                  ORDER BY e.step), '[]')
        FROM escalations e WHERE e.contract_id = c.contract_id) AS escalations,
       c.revision, c.created_at, requests_to_measure(c.contract_id) AS to_measure
FROM contracts c JOIN calendars d USING (calendar_id)
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
WHERE c.slug > %(after)s
  AND (%(slug)s::text IS NULL OR c.slug = %(slug)s)
  AND (%(organisation)s::text IS NULL OR o.slug = %(organisation)s)
  AND (%(programme)s::text IS NULL OR c.programme = %(programme)s)
  AND (%(kit_type)s::text IS NULL OR c.kit_type = %(kit_type)s)
  AND (%(calendar)s::text IS NULL OR d.slug = %(calendar)s)
  AND (%(valid_at)s::timestamptz IS NULL
       OR c.valid_from <= %(valid_at)s AND (c.valid_until IS NULL OR c.valid_until > %(valid_at)s))
ORDER BY c.slug
LIMIT %(limit)s;

-- name: lock
SELECT contract_id FROM contracts WHERE slug = %(slug)s FOR NO KEY UPDATE;

-- name: of_kit
SELECT a.kit, a.contract_id, c.slug AS contract
FROM (SELECT k.kit, contract_for(k.organisation_id, coalesce(p.programme, t.programme), k.kit_type, now()) AS contract_id
      FROM kits k
      LEFT JOIN kit_types t ON t.kit_type = k.kit_type
      LEFT JOIN placements p ON p.placement_id = k.placement_id
      WHERE k.kit = %(kit)s) a
LEFT JOIN contracts c USING (contract_id);

-- name: kit_type
SELECT true FROM kit_types WHERE kit_type = %(kit_type)s;

-- name: calendar
SELECT calendar_id FROM calendars
WHERE slug = %(slug)s
  AND (organisation_id IS NULL OR %(organisation_id)s::integer = ANY (subtree_of(ARRAY[organisation_id])));

-- name: add
-- Without a conflict target: a slug that the caller cannot see is taken as well.
INSERT INTO contracts (slug, organisation_id, name, programme, kit_type, calendar_id, valid_from, valid_until, reopen_days,
                       update_min)
VALUES (%(slug)s, %(organisation_id)s, %(name)s, %(programme)s, %(kit_type)s, %(calendar_id)s, %(valid_from)s,
        %(valid_until)s, %(reopen_days)s, %(update_min)s)
ON CONFLICT DO NOTHING
RETURNING contract_id;

-- name: edit
UPDATE contracts
SET name = %(name)s, calendar_id = %(calendar_id)s, valid_from = %(valid_from)s, valid_until = %(valid_until)s,
    reopen_days = %(reopen_days)s, update_min = %(update_min)s, remeasure_from = 0, revision = revision + 1,
    updated_at = now()
WHERE contract_id = %(contract_id)s;

-- name: delete
DELETE FROM contracts WHERE contract_id = %(contract_id)s;

-- name: clear_targets
DELETE FROM contract_targets
WHERE contract_id = %(contract_id)s AND organisation_id IS NOT DISTINCT FROM %(organisation_id)s::integer;

-- name: write_targets
INSERT INTO contract_targets (contract_id, organisation_id, priority, response_min, update_min, solution_min)
SELECT %(contract_id)s, %(organisation_id)s, t.*
FROM unnest(%(priority)s::text[], %(response_min)s::integer[], %(update_min)s::integer[], %(solution_min)s::integer[]) t;

-- name: clear_escalations
DELETE FROM escalations
WHERE contract_id = %(contract_id)s AND organisation_id IS NOT DISTINCT FROM %(organisation_id)s::integer;

-- name: write_escalations
INSERT INTO escalations (contract_id, organisation_id, step, target, percent, before_min, notify, role, raise_priority)
SELECT %(contract_id)s, %(organisation_id)s, t.*
FROM unnest(%(step)s::smallint[], %(target)s::text[], %(percent)s::integer[], %(before_min)s::integer[], %(notify)s::text[],
            %(role)s::text[], %(raise_priority)s::boolean[]) t;

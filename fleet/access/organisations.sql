-- name: list
SELECT o.slug, o.name, o.kind, p.slug AS parent, o.active, o.revision, o.created_at,
       (SELECT count(*) FROM kits k WHERE k.organisation_id = o.organisation_id) AS kits
FROM organisations o LEFT JOIN organisations p ON p.organisation_id = o.parent_id
WHERE o.slug > %(after)s
  AND (%(kind)s::text IS NULL OR o.kind = %(kind)s)
  AND (%(parent)s::text IS NULL OR p.slug = %(parent)s)
ORDER BY o.slug
LIMIT %(limit)s;

-- name: find
SELECT o.slug, o.name, o.kind, p.slug AS parent, o.active, o.revision, o.created_at,
       (SELECT count(*) FROM kits k WHERE k.organisation_id = o.organisation_id) AS kits
FROM organisations o LEFT JOIN organisations p ON p.organisation_id = o.parent_id
WHERE o.slug = %(slug)s;

-- name: id
SELECT organisation_id FROM organisations WHERE slug = %(slug)s;

-- name: add
-- Without a conflict target: a slug that the caller cannot see is taken as well.
INSERT INTO organisations (slug, name, kind, parent_id) VALUES (%(slug)s, %(name)s, %(kind)s, %(parent_id)s)
ON CONFLICT DO NOTHING
RETURNING true;

-- name: lock
SELECT organisation_id, parent_id, revision FROM organisations WHERE slug = %(slug)s FOR UPDATE;

-- name: edit
UPDATE organisations
SET name = %(name)s, kind = %(kind)s, parent_id = %(parent_id)s, active = %(active)s, revision = revision + 1,
    updated_at = now()
WHERE organisation_id = %(id)s;

-- name: agreements
SELECT a.agreement_id, p.slug AS operator, o.slug AS organisation, a.valid_from, a.valid_until, a.note
FROM agreements a
JOIN organisations p ON p.organisation_id = a.operator_id
JOIN organisations o ON o.organisation_id = a.organisation_id
WHERE o.slug = %(slug)s AND a.agreement_id > %(after)s
ORDER BY a.agreement_id
LIMIT %(limit)s;

-- name: agree
WITH made AS (
    INSERT INTO agreements (operator_id, organisation_id, valid_until, note)
    VALUES (%(operator_id)s, %(organisation_id)s, %(valid_until)s, %(note)s)
    RETURNING *
)
SELECT a.agreement_id, p.slug AS operator, o.slug AS organisation, a.valid_from, a.valid_until, a.note
FROM made a
JOIN organisations p ON p.organisation_id = a.operator_id
JOIN organisations o ON o.organisation_id = a.organisation_id;

-- name: end_agreement
-- Clock time: one made in this very transaction would otherwise end before it began.
UPDATE agreements a SET valid_until = least(a.valid_until, clock_timestamp()), revision = a.revision + 1
FROM organisations o
WHERE o.organisation_id = a.organisation_id AND o.slug = %(slug)s AND a.agreement_id = %(agreement_id)s
RETURNING a.agreement_id;

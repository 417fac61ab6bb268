-- name: list
SELECT t.kit_type_id, t.kit_type, t.name_en, t.name_da, t.programme, t.calibration_margin_days,
       (SELECT coalesce(jsonb_object_agg(c.kind, c.quantity), '{}') FROM kit_type_contents c
        WHERE c.kit_type_id = t.kit_type_id) AS contents,
       t.active, t.revision, t.created_at
FROM kit_types t
WHERE t.kit_type > %(after)s
  AND (%(programme)s::text IS NULL OR t.programme = %(programme)s)
  AND (%(active)s::boolean IS NULL OR t.active = %(active)s)
ORDER BY t.kit_type
LIMIT %(limit)s;

-- name: find
SELECT t.kit_type_id, t.kit_type, t.name_en, t.name_da, t.programme, t.calibration_margin_days,
       (SELECT coalesce(jsonb_object_agg(c.kind, c.quantity), '{}') FROM kit_type_contents c
        WHERE c.kit_type_id = t.kit_type_id) AS contents,
       t.active, t.revision, t.created_at
FROM kit_types t
WHERE t.kit_type = %(kit_type)s;

-- name: lock
SELECT t.kit_type_id, t.kit_type, t.name_en, t.name_da, t.programme, t.calibration_margin_days,
       (SELECT coalesce(jsonb_object_agg(c.kind, c.quantity), '{}') FROM kit_type_contents c
        WHERE c.kit_type_id = t.kit_type_id) AS contents,
       t.active, t.revision, t.created_at
FROM kit_types t
WHERE t.kit_type = %(kit_type)s
FOR UPDATE OF t;

-- name: add
INSERT INTO kit_types (kit_type, name_en, name_da, programme, calibration_margin_days)
VALUES (%(kit_type)s, %(name_en)s, %(name_da)s, %(programme)s, %(calibration_margin_days)s)
ON CONFLICT DO NOTHING
RETURNING kit_type_id;

-- name: edit
UPDATE kit_types
SET name_en = %(name_en)s, name_da = %(name_da)s, programme = %(programme)s,
    calibration_margin_days = %(calibration_margin_days)s, active = %(active)s, revision = revision + 1, updated_at = now()
WHERE kit_type = %(kit_type)s;

-- name: drop_contents
DELETE FROM kit_type_contents WHERE kit_type_id = %(id)s AND NOT %(contents)s::jsonb ? kind;

-- name: put_contents
INSERT INTO kit_type_contents (kit_type_id, kind, quantity)
SELECT %(id)s, key, value::integer FROM jsonb_each_text(%(contents)s::jsonb)
ON CONFLICT (kit_type_id, kind) DO UPDATE SET quantity = excluded.quantity
WHERE kit_type_contents.quantity <> excluded.quantity;

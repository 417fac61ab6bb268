-- name: resolve
-- What is meant by what was scanned: whole names first, the last four characters where nothing else fits. At most 20
-- for each, those of the place first.
WITH codes AS (SELECT DISTINCT unnest(%(codes)s::text[]) AS code),
whole AS (
    SELECT q.code, k.kit_id, NULL::bigint AS component_id FROM codes q JOIN kits k ON k.kit = q.code
    UNION
    SELECT q.code, NULL, c.component_id FROM codes q JOIN components c ON c.serial = q.code
    UNION
    SELECT q.code, NULL, c.component_id FROM codes q JOIN components c ON c.asset_tag = q.code
    UNION
    SELECT q.code, NULL, c.component_id FROM codes q JOIN components c ON c.imei = q.code
    UNION
    SELECT q.code, NULL, c.component_id FROM codes q JOIN components c ON c.iccid = q.code
), tails AS (
    SELECT code FROM codes WHERE length(code) = 4 AND code NOT IN (SELECT code FROM whole)
), found AS (
    SELECT * FROM whole
    UNION ALL
    SELECT q.code, t.kit_id, NULL FROM tails q JOIN kits t ON t.serial_tail = upper(q.code)
    UNION ALL
    SELECT q.code, NULL, t.component_id FROM tails q JOIN components t ON t.serial_tail = upper(q.code)
), ranked AS (
    SELECT f.code, f.kit_id, f.component_id, coalesce(k.kit, c.serial) AS name, c.model_id, m.manufacturer,
           m.name AS model, h.kit AS in_kit, p.slug AS location, coalesce(k.state, c.state) AS state,
           row_number() OVER (PARTITION BY f.code
               ORDER BY coalesce(k.location_id, c.location_id, h.location_id) IS DISTINCT FROM %(location_id)s,
                        f.component_id, f.kit_id) AS place
    FROM found f
    LEFT JOIN kits k ON k.kit_id = f.kit_id
    LEFT JOIN components c ON c.component_id = f.component_id
    LEFT JOIN models m ON m.model_id = c.model_id
    LEFT JOIN kits h ON h.kit_id = c.kit_id
    LEFT JOIN locations p ON p.location_id = coalesce(k.location_id, c.location_id, h.location_id)
)
SELECT code, kit_id, component_id, name, model_id, manufacturer, model, in_kit, location, state
FROM ranked WHERE place <= 20
ORDER BY code, place;

-- name: named
-- What somebody pointed at, after a question.
SELECT c.serial AS code, NULL::integer AS kit_id, c.component_id, c.serial AS name, c.model_id, m.manufacturer,
       m.name AS model, h.kit AS in_kit, p.slug AS location, c.state
FROM components c
JOIN models m USING (model_id)
LEFT JOIN kits h ON h.kit_id = c.kit_id
LEFT JOIN locations p ON p.location_id = coalesce(c.location_id, h.location_id)
WHERE c.component_id = ANY (%(component_ids)s::bigint[])
UNION ALL
SELECT k.kit, k.kit_id, NULL, k.kit, NULL, NULL, NULL, NULL, p.slug, k.state
FROM kits k LEFT JOIN locations p USING (location_id)
WHERE k.kit = ANY (%(kits)s::text[]);

-- name: scan
INSERT INTO stocktake_scans (stocktake_id, organisation_id, code, kit_id, component_id, actor)
VALUES (%(stocktake_id)s, %(organisation_id)s, %(code)s, %(kit_id)s, %(component_id)s, %(actor)s)
ON CONFLICT DO NOTHING
RETURNING scan_id;

-- name: scans
SELECT s.scan_id, s.code, k.kit, s.component_id, s.scanned_at, s.actor
FROM stocktake_scans s
LEFT JOIN kits k ON k.kit_id = s.kit_id
WHERE s.stocktake_id = %(stocktake_id)s AND s.scan_id > %(after)s
ORDER BY s.scan_id
LIMIT %(limit)s;

-- name: kits
SELECT k.kit AS key, k.kit AS code, k.kit AS title, coalesce(k.kit_type, '') AS line, '' AS detail, upper(right(k.kit, 4)) AS tail
FROM kits k
WHERE k.kit = ANY (%(kits)s);

-- name: components
SELECT c.component_id::text AS key, coalesce(c.asset_tag, c.serial) AS code, coalesce(c.asset_tag, c.serial) AS title,
       concat_ws(' ', m.manufacturer, m.name) AS line, CASE WHEN c.asset_tag IS NULL THEN m.kind ELSE c.serial END AS detail,
       c.serial_tail AS tail
FROM components c JOIN models m USING (model_id)
WHERE c.component_id = ANY (%(numbers)s::bigint[]);

-- name: at_location
SELECT * FROM (
    SELECT k.kit AS key, k.kit AS code, k.kit AS title, coalesce(k.kit_type, '') AS line, '' AS detail,
           upper(right(k.kit, 4)) AS tail
    FROM kits k JOIN locations l USING (location_id)
    WHERE l.slug = %(location)s AND k.state NOT IN ('scrapped', 'returned')
    UNION ALL
    SELECT c.component_id::text, coalesce(c.asset_tag, c.serial), coalesce(c.asset_tag, c.serial),
           concat_ws(' ', m.manufacturer, m.name), CASE WHEN c.asset_tag IS NULL THEN m.kind ELSE c.serial END,
           c.serial_tail
    FROM components c JOIN models m USING (model_id) JOIN locations l USING (location_id)
    WHERE l.slug = %(location)s AND c.state NOT IN ('scrapped', 'returned')) found
ORDER BY title COLLATE "C"
LIMIT %(limit)s;

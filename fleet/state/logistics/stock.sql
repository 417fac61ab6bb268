-- name: levels
WITH levels AS (
    SELECT model_id, location_id, organisation_id,
           coalesce(sum(quantity) FILTER (WHERE what = 'in_stock'), 0)::bigint AS in_stock,
           coalesce(sum(quantity) FILTER (WHERE what = 'reserved'), 0)::bigint AS reserved,
           coalesce(sum(quantity) FILTER (WHERE what = 'faulty'), 0)::bigint AS faulty,
           coalesce(sum(quantity) FILTER (WHERE what = 'cleaning'), 0)::bigint AS cleaning,
           coalesce(sum(quantity) FILTER (WHERE what = 'calibrating'), 0)::bigint AS calibrating,
           coalesce(sum(quantity) FILTER (WHERE what = 'in_repair'), 0)::bigint AS in_repair,
           coalesce(sum(quantity) FILTER (WHERE what = 'at_supplier'), 0)::bigint AS at_supplier,
           coalesce(sum(quantity) FILTER (WHERE what IN ('to_come', 'ordered')), 0)::bigint AS on_order,
           min(expected_on) AS expected_on
    FROM stock_parts
    WHERE (%(model_id)s::integer IS NULL OR model_id = %(model_id)s)
      AND (%(kind)s::text IS NULL
           OR model_id = ANY ((SELECT array_agg(model_id) FROM models WHERE kind = %(kind)s)::integer[]))
      AND (%(location)s::text IS NULL OR location_id = (SELECT location_id FROM locations WHERE slug = %(location)s))
      AND (%(organisation)s::text IS NULL
           OR organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
    GROUP BY model_id, location_id, organisation_id
)
SELECT s.model_id, m.kind, m.manufacturer, m.name AS model, s.location_id, p.slug AS location, s.organisation_id,
       o.slug AS organisation, s.in_stock, s.reserved, s.in_stock - s.reserved AS available, s.faulty, s.cleaning,
       s.calibrating, s.in_repair, s.at_supplier, s.on_order, s.expected_on,
       coalesce(s.location_id, 0) AS location_key, coalesce(s.organisation_id, 0) AS organisation_key
FROM levels s
JOIN models m USING (model_id)
LEFT JOIN locations p USING (location_id)
LEFT JOIN organisations o ON o.organisation_id = s.organisation_id
WHERE (s.model_id, coalesce(s.location_id, 0), coalesce(s.organisation_id, 0))
      > (%(after_model)s::integer, %(after_location)s::integer, %(after_organisation)s::integer)
ORDER BY s.model_id, coalesce(s.location_id, 0), coalesce(s.organisation_id, 0)
LIMIT %(limit)s;

-- name: free
-- What nobody has reserved of a model at a place, of the organisation's own.
SELECT coalesce(sum(CASE what WHEN 'in_stock' THEN quantity ELSE -quantity END), 0)::bigint
FROM stock_parts
WHERE model_id = %(model_id)s AND location_id = %(location_id)s AND what IN ('in_stock', 'reserved')
  AND organisation_id IS NOT DISTINCT FROM %(organisation_id)s;

-- name: shortages
-- Counted is what the minimum's organisation would see: its own, what is below it, and by agreement.
WITH circles AS MATERIALIZED (
    SELECT w.organisation_id, unnest(scope_of(w.organisation_id)) AS member_id
    FROM (SELECT DISTINCT organisation_id FROM stock_minimums WHERE organisation_id IS NOT NULL) w
), counted AS MATERIALIZED (
    SELECT model_id, location_id, organisation_id,
           sum(quantity) FILTER (WHERE what = 'in_stock') AS in_stock,
           sum(quantity) FILTER (WHERE what = 'reserved') AS reserved,
           sum(quantity) FILTER (WHERE what IN ('to_come', 'ordered')) AS on_order, min(expected_on) AS expected_on
    FROM stock_parts
    WHERE what IN ('in_stock', 'reserved', 'to_come', 'ordered')
      AND location_id = ANY (ARRAY(SELECT location_id FROM stock_minimums))
    GROUP BY model_id, location_id, organisation_id
), levels AS (
    SELECT n.minimum_id, coalesce(sum(c.in_stock), 0)::bigint AS in_stock,
           coalesce(sum(c.reserved), 0)::bigint AS reserved, coalesce(sum(c.on_order), 0)::bigint AS on_order,
           min(c.expected_on) AS expected_on
    FROM stock_minimums n
    LEFT JOIN counted c ON c.model_id = n.model_id AND c.location_id = n.location_id
        AND (n.organisation_id IS NULL OR (n.organisation_id, c.organisation_id) IN (SELECT * FROM circles))
    GROUP BY n.minimum_id
)
SELECT n.minimum_id, n.model_id, m.kind, m.manufacturer, m.name AS model, n.location_id, p.slug AS location,
       n.organisation_id, o.slug AS organisation, n.minimum, n.target, l.in_stock, l.reserved,
       l.in_stock - l.reserved AS available, l.on_order, l.expected_on,
       greatest(n.minimum - (l.in_stock - l.reserved + l.on_order), 0) AS short,
       CASE WHEN l.in_stock - l.reserved + l.on_order < n.minimum
            THEN coalesce(n.target, n.minimum) - (l.in_stock - l.reserved + l.on_order) ELSE 0 END AS to_order,
       n.revision, n.created_at
FROM stock_minimums n
JOIN levels l USING (minimum_id)
JOIN models m USING (model_id)
LEFT JOIN locations p ON p.location_id = n.location_id
LEFT JOIN organisations o ON o.organisation_id = n.organisation_id
WHERE n.minimum_id > %(after)s
  AND (%(id)s::integer IS NULL OR n.minimum_id = %(id)s)
  AND (NOT %(below)s::boolean OR l.in_stock - l.reserved + l.on_order < n.minimum)
  AND (%(model_id)s::integer IS NULL OR n.model_id = %(model_id)s)
  AND (%(kind)s::text IS NULL OR m.kind = %(kind)s)
  AND (%(location)s::text IS NULL OR p.slug = %(location)s)
  AND (%(organisation)s::text IS NULL OR o.slug = %(organisation)s)
ORDER BY n.minimum_id
LIMIT %(limit)s;

-- name: add_minimum
INSERT INTO stock_minimums (organisation_id, model_id, location_id, minimum, target)
VALUES (%(organisation_id)s, %(model_id)s, %(location_id)s, %(minimum)s, %(target)s)
RETURNING minimum_id;

-- name: lock_minimum
SELECT minimum_id, minimum, target, revision FROM stock_minimums WHERE minimum_id = %(id)s FOR UPDATE;

-- name: edit_minimum
UPDATE stock_minimums
SET minimum = %(minimum)s, target = %(target)s, revision = revision + 1, updated_at = now()
WHERE minimum_id = %(id)s;

-- name: remove_minimum
DELETE FROM stock_minimums WHERE minimum_id = %(id)s;

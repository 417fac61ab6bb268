-- name: list
SELECT o.order_id, w.slug AS organisation, o.organisation_id, s.slug AS supplier, o.reference, o.supplier_reference,
       o.ordered_on, o.currency, o.note, o.state, o.ended_at, o.cancelled_reason, o.revision, o.created_at,
       l.quantity, l.received, l.expected_on
FROM orders o
LEFT JOIN organisations w ON w.organisation_id = o.organisation_id
JOIN organisations s ON s.organisation_id = o.supplier_id
CROSS JOIN LATERAL (
    SELECT coalesce(sum(quantity), 0)::bigint AS quantity, coalesce(sum(received), 0)::bigint AS received,
           min(expected_on) FILTER (WHERE cancelled_at IS NULL AND received < quantity) AS expected_on
    FROM order_lines WHERE order_id = o.order_id) l
WHERE o.order_id > %(after)s
  AND (%(id)s::bigint IS NULL OR o.order_id = %(id)s)
  AND (%(state)s::text IS NULL OR o.state = %(state)s)
  AND (%(organisation)s::text IS NULL
       OR o.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
  AND (%(supplier)s::text IS NULL OR o.supplier_id = (SELECT organisation_id FROM organisations WHERE slug = %(supplier)s))
  AND (%(reference)s::text IS NULL OR lower(o.reference) = lower(%(reference)s))
  AND (%(model_id)s::integer IS NULL
       OR EXISTS (SELECT FROM order_lines i WHERE i.order_id = o.order_id AND i.model_id = %(model_id)s))
  AND (%(expected_before)s::date IS NULL OR l.expected_on < %(expected_before)s)
ORDER BY o.order_id
LIMIT %(limit)s;

-- name: lock
SELECT order_id, state, organisation_id, revision FROM orders WHERE order_id = %(id)s FOR UPDATE;

-- name: add
INSERT INTO orders (organisation_id, supplier_id, reference, supplier_reference, ordered_on, currency, note)
VALUES (%(organisation_id)s, %(supplier_id)s, %(reference)s, %(supplier_reference)s,
        coalesce(%(ordered_on)s, current_date), %(currency)s, %(note)s)
RETURNING order_id;

-- name: edit
UPDATE orders
SET reference = %(reference)s, supplier_reference = %(supplier_reference)s, note = %(note)s
WHERE order_id = %(id)s;

-- name: touch
UPDATE orders SET revision = revision + 1, updated_at = now() WHERE order_id = %(id)s;

-- name: settle
-- An order ends when nothing more is to come: received when anything came, cancelled when nothing did.
UPDATE orders o
SET state = CASE WHEN l.received > 0 THEN 'received' ELSE 'cancelled' END, ended_at = now(),
    cancelled_reason = CASE WHEN l.received = 0 THEN l.reason END
FROM (SELECT sum(received) AS received, count(*) FILTER (WHERE cancelled_at IS NULL AND received < quantity) AS to_come,
             (array_agg(cancelled_reason ORDER BY cancelled_at DESC NULLS LAST, order_line_id))[1] AS reason
      FROM order_lines WHERE order_id = %(id)s) l
WHERE o.order_id = %(id)s AND o.state = 'open' AND l.to_come = 0;

-- name: lines
SELECT l.order_line_id, l.order_id, l.organisation_id, l.model_id, m.kind, m.manufacturer, m.name AS model,
       p.slug AS location, l.quantity, l.received, l.price, l.warranty_months, l.expected_on, l.cancelled_at,
       l.cancelled_reason,
       CASE WHEN l.received >= l.quantity THEN 'received' WHEN l.cancelled_at IS NOT NULL THEN 'cancelled'
            ELSE 'open' END AS state
FROM order_lines l
JOIN models m USING (model_id)
LEFT JOIN locations p ON p.location_id = l.location_id
WHERE l.order_id = %(order_id)s
ORDER BY l.order_line_id;

-- name: add_line
INSERT INTO order_lines (order_id, organisation_id, model_id, location_id, quantity, price, warranty_months, expected_on)
VALUES (%(order_id)s, %(organisation_id)s, %(model_id)s, %(location_id)s, %(quantity)s, %(price)s, %(warranty_months)s,
        %(expected_on)s);

-- name: edit_line
UPDATE order_lines
SET location_id = %(location_id)s, quantity = %(quantity)s, price = %(price)s, warranty_months = %(warranty_months)s,
    expected_on = %(expected_on)s
WHERE order_line_id = %(line_id)s;

-- name: cancel_lines
UPDATE order_lines SET cancelled_at = now(), cancelled_reason = %(reason)s
WHERE order_line_id = ANY (%(line_ids)s::bigint[]) AND cancelled_at IS NULL AND received < quantity;

-- name: announced
-- Pieces that the supplier has told the serial numbers of, and that did not come yet.
SELECT component_id, serial FROM components
WHERE order_line_id = ANY (%(line_ids)s::bigint[]) AND state = 'ordered'
ORDER BY component_id;

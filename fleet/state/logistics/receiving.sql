-- name: note
INSERT INTO receipts (order_id, order_line_id, organisation_id, location_id, quantity, component_ids, received_at,
                      delivery_note, actor)
VALUES (%(order_id)s, %(line_id)s, %(organisation_id)s, %(location_id)s, cardinality(%(component_ids)s::bigint[]),
        %(component_ids)s, %(received_at)s, %(delivery_note)s, %(actor)s)
RETURNING receipt_id;

-- name: count
UPDATE order_lines SET received = received + %(quantity)s WHERE order_line_id = %(line_id)s;

-- name: list
SELECT r.receipt_id, r.order_id, r.order_line_id, r.quantity, r.component_ids, p.slug AS location, r.received_at,
       r.delivery_note, r.actor, r.recorded_at
FROM receipts r
LEFT JOIN locations p USING (location_id)
WHERE r.order_id = %(order_id)s AND r.receipt_id > %(after)s
  AND (%(receipt_ids)s::bigint[] IS NULL OR r.receipt_id = ANY (%(receipt_ids)s))
ORDER BY r.receipt_id
LIMIT %(limit)s;

-- name: serialise
-- One at a time, so that entries are numbered in the order in which they are committed.
SELECT pg_advisory_xact_lock(7310011);

-- name: take_from_queue
DELETE FROM billing_queue
WHERE queued_id IN (SELECT queued_id FROM billing_queue ORDER BY queued_id LIMIT %(limit)s)
RETURNING kit_id;

-- name: period
SELECT s.first_day,
       coalesce((SELECT (max(month) + interval '1 month')::date FROM billing_months),
                date_trunc('month', s.first_day::timestamp)::date) AS closed_until
FROM billing_start s;

-- name: close_month
-- A month's rental is recorded for everybody who had a kit in it.
WITH closed AS (
    INSERT INTO billing_months (month) VALUES (%(month)s) ON CONFLICT DO NOTHING RETURNING month
)
INSERT INTO billing_queue (kit_id)
SELECT DISTINCT p.kit_id FROM closed c JOIN placements p
    ON p.during && tstzrange(c.month::timestamp AT TIME ZONE 'Europe/Copenhagen',
                             (c.month + interval '1 month')::timestamp AT TIME ZONE 'Europe/Copenhagen')
WHERE p.kit_id IS NOT NULL;

-- name: events
SELECT event_id, occurred_at, what, kit_id, component_id, removed_id, to_state, location_id, placement_id,
       organisation_id, owner_id, corrects, CASE WHEN corrects IS NOT NULL THEN after END AS after
FROM book_events
WHERE kit_id = ANY(%(kit_ids)s)
ORDER BY kit_id, event_id;

-- name: terms
SELECT placement_id, organisation_id, programme FROM placements
WHERE placement_id = ANY(%(placement_ids)s) OR kit_id = ANY(%(kit_ids)s);

-- name: standing
-- What the log is answerable for: entries not taken back, except calls, which have no history.
SELECT e.entry_id, e.kind, e.kit_id, e.placement_id, e.organisation_id, e.programme, e.quantity, e.occurred_at, e.day,
       e.until_day, e.source_event_id
FROM billable_events e
WHERE e.kit_id = ANY(%(kit_ids)s) AND e.kind <> 'call' AND e.counter_of IS NULL
  AND NOT EXISTS (SELECT FROM billable_events c WHERE c.counter_of = e.entry_id)
ORDER BY e.entry_id;

-- name: counter
INSERT INTO billable_events (kind, organisation_id, programme, kit_id, placement_id, quantity, occurred_at, day, until_day,
                             source_event_id, counter_of)
SELECT kind, organisation_id, programme, kit_id, placement_id, -quantity, occurred_at, day, until_day, source_event_id, entry_id
FROM billable_events WHERE entry_id = ANY(%(entry_ids)s)
ORDER BY entry_id;

-- name: add
INSERT INTO billable_events (kind, organisation_id, programme, kit_id, placement_id, quantity, occurred_at, day, until_day,
                             source_event_id)
SELECT * FROM unnest(%(kinds)s::text[], %(organisation_ids)s::integer[], %(programmes)s::text[], %(kit_ids)s::integer[],
                     %(placement_ids)s::bigint[], %(quantities)s::integer[], %(occurred)s::timestamptz[], %(days)s::date[],
                     %(until_days)s::date[], %(source_event_ids)s::bigint[]);

-- name: list
SELECT e.entry_id, e.recorded_at, e.kind, o.slug AS organisation, e.programme, k.kit, e.placement_id, e.quantity,
       e.occurred_at, e.day, e.until_day, e.source_event_id, e.counter_of
FROM billable_events e
JOIN organisations o USING (organisation_id)
LEFT JOIN known_kits k USING (kit_id)
WHERE e.entry_id > %(after)s
  AND (%(day_from)s::date IS NULL OR e.until_day > %(day_from)s)
  AND (%(day_to)s::date IS NULL OR e.day <= %(day_to)s)
  AND (%(kind)s::text IS NULL OR e.kind = %(kind)s)
  AND (%(programme)s::text IS NULL OR e.programme = %(programme)s)
  AND (%(organisation)s::text IS NULL
       OR e.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
  AND (%(kit)s::text IS NULL OR e.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
ORDER BY e.entry_id
LIMIT %(limit)s;

-- name: newest
SELECT coalesce(max(entry_id), 0) FROM billable_events;

-- name: month_closed
SELECT EXISTS (SELECT FROM billing_months WHERE month = %(month)s);

-- name: summary
-- Entries are never changed and numbered as they are committed: up to the same number the sums stay the same for ever.
SELECT o.slug AS organisation, e.programme, e.kind, sum(e.quantity)::bigint AS quantity,
       count(*) FILTER (WHERE e.counter_of IS NULL) AS entries, count(e.counter_of) AS counter_entries
FROM billable_events e JOIN organisations o USING (organisation_id)
WHERE e.day >= %(month)s AND e.day < %(month_end)s AND e.entry_id <= %(through)s
  AND (%(organisation)s::text IS NULL OR o.slug = %(organisation)s)
GROUP BY o.slug, e.programme, e.kind
ORDER BY o.slug COLLATE "C", e.programme COLLATE "C" NULLS FIRST, e.kind
LIMIT %(limit)s;

-- name: record_calls
-- A call is charged once, to whom the kit belonged or of whom the caller was, never to who only works for them; one that was taken back is countered.
WITH taken AS (
    DELETE FROM call_billing_queue
    WHERE queued_id IN (SELECT queued_id FROM call_billing_queue ORDER BY queued_id LIMIT %(limit)s)
    RETURNING call_id
), charged AS (
    SELECT e.* FROM billable_events e JOIN (SELECT DISTINCT call_id FROM taken) t USING (call_id) WHERE e.counter_of IS NULL
), added AS (
    INSERT INTO billable_events (kind, organisation_id, programme, kit_id, placement_id, quantity, occurred_at, day, until_day,
                                 call_id)
    SELECT 'call', c.organisation_id, p.programme, c.kit_id, c.placement_id, 1, c.at, d.day, d.day + 1, c.call_id
    FROM (SELECT DISTINCT call_id FROM taken) t
    JOIN calls c USING (call_id)
    CROSS JOIN LATERAL (SELECT (c.at AT TIME ZONE 'Europe/Copenhagen')::date AS day) d
    JOIN organisations o ON o.organisation_id = c.organisation_id AND o.kind NOT IN ('operator', 'supplier', 'lessor')
    CROSS JOIN billing_start s
    LEFT JOIN placements p ON p.placement_id = c.placement_id
    WHERE c.voided_at IS NULL AND d.day >= s.first_day
      AND NOT EXISTS (SELECT FROM charged h WHERE h.call_id = c.call_id)
    ORDER BY c.call_id
    RETURNING entry_id
), countered AS (
    INSERT INTO billable_events (kind, organisation_id, programme, kit_id, placement_id, quantity, occurred_at, day, until_day,
                                 call_id, counter_of)
    SELECT h.kind, h.organisation_id, h.programme, h.kit_id, h.placement_id, -h.quantity, h.occurred_at, h.day, h.until_day,
           h.call_id, h.entry_id
    FROM charged h JOIN calls c USING (call_id)
    WHERE c.voided_at IS NOT NULL AND NOT EXISTS (SELECT FROM billable_events b WHERE b.counter_of = h.entry_id)
    ORDER BY h.entry_id
    RETURNING entry_id
)
SELECT (SELECT count(*) FROM taken) AS taken, (SELECT count(*) FROM added) AS added,
       (SELECT count(*) FROM countered) AS countered;

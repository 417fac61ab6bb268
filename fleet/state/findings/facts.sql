-- name: listening
SELECT clock_s, resumed_clock_s, state = 'listening' AND clock_timestamp() - updated_at < interval '5 s' AS hears FROM listening;

-- name: clear_plan
-- The sets are of any size and their statistics lag behind.
SELECT set_config('jit', 'off', true), set_config('work_mem', '64MB', true), set_config('enable_memoize', 'off', true);

-- name: bounds
SELECT coalesce(min(kit_id), 0) AS first, coalesce(max(kit_id), 0) AS last FROM kits;

-- name: take_from_queue
DELETE FROM finding_queue
WHERE entry_id IN (SELECT entry_id FROM finding_queue ORDER BY entry_id LIMIT %(limit)s)
RETURNING kit_id;

-- name: heard
-- Of kits that should not report, those heard in the state they are in.
SELECT k.kit_id, k.state, k.state_since, l.last_heard_at, l.heard_clock_s
FROM kits k JOIN kit_latest l USING (kit_id)
WHERE k.state = ANY(%(states)s) AND l.last_heard_at > k.state_since AND l.heard_clock_s > %(heard_after_clock_s)s
  AND k.kit_id BETWEEN %(first)s AND %(last)s
  AND (%(kit_ids)s::integer[] IS NULL OR k.kit_id = ANY(%(kit_ids)s))
LIMIT %(limit)s;

-- name: unheard
-- Overdue as a kit would be silent that was last heard when it was installed.
SELECT k.kit_id, k.state_since, l.watch_from_clock_s,
       is_silent(l.watch_from_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                 c.clock_s, c.resumed_clock_s, c.grace_from_clock_s) AS overdue
FROM kit_latest l JOIN kits k USING (kit_id) CROSS JOIN listening c
WHERE l.heard_clock_s IS NULL AND l.watch_allowance_s IS NOT NULL AND l.watch_from_clock_s IS NOT NULL
  AND k.state = 'installed'
  AND k.kit_id BETWEEN %(first)s AND %(last)s
  AND (%(kit_ids)s::integer[] IS NULL OR k.kit_id = ANY(%(kit_ids)s))
LIMIT %(limit)s;

-- name: identities
-- Tablets that have no fields for it may tell among their components.
SELECT * FROM (
    SELECT c.kit_id, m.kind, c.component_id, c.state_since AS since, c.serial, c.imei, c.iccid,
           coalesce(r.identity ->> 'tablet_serial', r.body ->> 'tablet_serial') AS reported_serial,
           coalesce(r.identity ->> 'imei', r.body ->> 'imei') AS reported_imei,
           coalesce(r.identity ->> 'iccid', r.body ->> 'iccid') AS reported_iccid,
           r.time AS reported_at
    FROM latest_reports r
    JOIN kits k USING (kit_id)
    JOIN components c ON c.kit_id = r.kit_id
    JOIN models m USING (model_id)
    WHERE r.kind = 'software' AND (r.identity IS NOT NULL OR r.body ?| ARRAY['tablet_serial', 'imei', 'iccid'])
      AND m.kind IN ('tablet', 'sim') AND k.state = ANY(%(states)s)
      AND r.kit_id BETWEEN %(first)s AND %(last)s
      AND (%(kit_ids)s::integer[] IS NULL OR r.kit_id = ANY(%(kit_ids)s))
) told
WHERE imei <> reported_imei OR iccid <> reported_iccid OR (kind = 'tablet' AND serial <> reported_serial)
LIMIT %(limit)s;

-- name: peripherals
-- Devices of kits whose bundle is in the books: only in the books, only reported, or described differently.
WITH books AS MATERIALIZED (
    SELECT c.kit_id, c.component_id, c.state AS component_state, m.kind, c.serial, lower(btrim(c.serial)) AS plain,
           c.state_since AS since, m.manufacturer, m.name AS model, m.expected_firmware, c.firmware AS books_firmware
    FROM components c JOIN models m USING (model_id)
    WHERE c.kit_id BETWEEN %(first)s AND %(last)s AND m.kind NOT IN ('tablet', 'sim')
      AND (%(kit_ids)s::integer[] IS NULL OR c.kit_id = ANY(%(kit_ids)s))
), judged AS MATERIALIZED (
    SELECT k.kit_id, k.state AS kit_state, r.time AS reported_at, r.body, b.changed
    FROM (SELECT kit_id, max(since) AS changed FROM books GROUP BY kit_id) b
    JOIN kits k USING (kit_id)
    JOIN latest_reports r ON r.kit_id = k.kit_id AND r.kind = 'pairing'
    WHERE k.state = ANY(%(states)s)
      AND k.kit_id BETWEEN %(first)s AND %(last)s AND r.kit_id BETWEEN %(first)s AND %(last)s
), reported AS MATERIALIZED (
    SELECT j.kit_id, lower(btrim(p.serial)) AS plain, p.serial, p.kind, p.model, p.firmware, p.paired
    FROM judged j, jsonb_to_recordset(j.body) AS p(serial text, kind text, model text, firmware text, paired boolean)
), paired_off AS (
    SELECT coalesce(b.kit_id, r.kit_id) AS kit_id, b.component_id, b.component_state, b.kind, b.serial, b.since,
           b.manufacturer, b.model, b.expected_firmware, b.books_firmware, r.kind AS reported_kind,
           r.serial AS reported_serial, r.model AS reported_model, r.firmware AS reported_firmware, r.paired
    FROM (SELECT books.* FROM books WHERE EXISTS (SELECT FROM judged j WHERE j.kit_id = books.kit_id)) b
    FULL JOIN reported r ON r.kit_id = b.kit_id AND r.plain = b.plain
    WHERE b.component_id IS NULL OR r.plain IS NULL OR r.kind <> b.kind
       OR lower(r.model) <> lower(b.model) OR r.firmware <> coalesce(b.expected_firmware, b.books_firmware)
)
SELECT p.*, j.kit_state, j.reported_at,
       greatest(j.changed, (SELECT max(coalesce(upper(h.during), lower(h.during))) FROM kit_components h
                            WHERE h.kit_id = p.kit_id)) AS changed
FROM paired_off p JOIN judged j USING (kit_id)
LIMIT %(limit)s;

-- name: sightings
-- A serial number that very many kits report is none, but what some firmware says instead of one. The whole fleet is
-- gone through by hashes only, so that it fits into memory; what is alike by hash is looked at in full.
WITH hashes AS MATERIALIZED (
    SELECT r.kit_id, hashtextextended((e ->> 'kind') || '/' || lower(btrim(e ->> 'serial')), 0) AS hash
    FROM latest_reports r, jsonb_array_elements(r.body) AS e
    WHERE r.kind = 'pairing' AND e ->> 'paired' = 'true'
), alike AS MATERIALIZED (
    SELECT hash FROM hashes GROUP BY hash HAVING min(kit_id) <> max(kit_id) AND count(*) <= %(most_kits)s
), seen AS MATERIALIZED (
    SELECT r.kit_id, p.kind, p.serial, lower(btrim(p.serial)) AS plain, p.last_contact
    FROM (SELECT DISTINCT kit_id FROM hashes JOIN alike USING (hash)) k
    JOIN latest_reports r ON r.kit_id = k.kit_id AND r.kind = 'pairing',
         jsonb_to_recordset(r.body) AS p(serial text, kind text, paired boolean, last_contact timestamptz)
    -- A contact after its own report is none (fleet/state/contact.py).
    WHERE p.paired AND p.last_contact > %(contact_after)s AND p.last_contact <= r.time + %(max_ahead)s
), shared AS MATERIALIZED (
    SELECT kind, plain FROM seen GROUP BY kind, plain
    HAVING min(kit_id) <> max(kit_id) AND count(*) <= %(most_kits)s
)
SELECT k.kit_id, k.kit, k.organisation_id, k.owner_id, s.kind, s.serial, s.last_contact AS contact,
       b.kit_id AS books_kit_id, b.state_since AS books_since
FROM shared JOIN seen s USING (kind, plain) JOIN kits k USING (kit_id)
LEFT JOIN LATERAL (
    SELECT c.kit_id, c.state_since
    FROM models m JOIN components c USING (model_id)
    WHERE m.kind = s.kind AND c.serial = s.serial AND c.kit_id IS NOT NULL
    ORDER BY c.state_since DESC LIMIT 1) b ON true
WHERE k.state = ANY(%(states)s)
LIMIT %(limit)s;

-- name: dates
SELECT c.component_id, c.kit_id, m.kind, c.serial, c.state, c.calibration_due, c.lease_until, c.warranty_until
FROM components c JOIN models m USING (model_id)
WHERE (c.calibration_due < %(today)s::date OR c.lease_until <= %(ahead)s::date
       OR (c.state = 'faulty' AND c.warranty_until BETWEEN %(today)s::date AND %(ahead)s::date))
  AND c.state <> ALL(%(ended)s)
LIMIT %(limit)s;

-- name: runs
-- Of kits in use whose newest heartbeat is of another run than their newest software report, and of those that stand found:
-- by which runs their live heartbeats came, stretch by stretch, since the kit or its tablet last changed. Those that stand come
-- first, of the others another sample each time where there are very many.
WITH standing AS MATERIALIZED (
    SELECT f.kit_id FROM findings f
    WHERE f.kind = 'two_tablets' AND f.state <> 'cleared' AND f.kit_id BETWEEN %(first)s AND %(last)s
), suspects AS MATERIALIZED (
    SELECT k.kit_id, greatest(k.state_since, %(since)s::timestamptz) AS after
    FROM kits k JOIN kit_latest l USING (kit_id)
    LEFT JOIN latest_reports s ON s.kit_id = k.kit_id AND s.kind = 'software' AND s.kit_id BETWEEN %(first)s AND %(last)s
    WHERE k.state = ANY(%(states)s) AND l.received_at > %(since)s::timestamptz AND l.kit_id BETWEEN %(first)s AND %(last)s
      AND k.kit_id BETWEEN %(first)s AND %(last)s AND (%(kit_ids)s::integer[] IS NULL OR k.kit_id = ANY(%(kit_ids)s))
      AND (l.boot <> s.boot OR k.kit_id IN (SELECT kit_id FROM standing))
    ORDER BY k.kit_id IN (SELECT kit_id FROM standing) DESC, hashint8(k.kit_id # extract(epoch FROM %(since)s::timestamptz)::bigint)
    LIMIT %(most_kits)s
), live AS (
    -- OFFSET keeps it to looking kits up, however much history there is.
    SELECT s.kit_id, h.boot, h.received_at, h.time, h.seq, lag(h.boot) OVER w AS before
    FROM suspects s CROSS JOIN LATERAL (
        SELECT b.boot, b.received_at, b.time, b.seq
        FROM heartbeats b
        WHERE b.kit_id = s.kit_id AND b.time > %(since)s::timestamptz AND b.clock_offset_s IS NULL
          AND b.received_at - b.time BETWEEN - %(live)s::interval AND %(live)s::interval
          AND b.received_at > greatest(s.after, (
              SELECT max(lower(c.during)) + %(after_change)s::interval
              FROM kit_components c JOIN components p USING (component_id) JOIN models m USING (model_id)
              WHERE c.kit_id = s.kit_id AND m.kind = 'tablet'))
        OFFSET 0) h
    WINDOW w AS (PARTITION BY s.kit_id ORDER BY h.received_at, h.time, h.boot, h.seq)
), marked AS (
    SELECT kit_id, boot, received_at,
           count(*) FILTER (WHERE boot IS DISTINCT FROM before)
               OVER (PARTITION BY kit_id ORDER BY received_at, time, boot, seq) AS stretch
    FROM live
), stretches AS (
    SELECT kit_id, stretch, min(boot) AS boot, min(received_at) AS began, max(received_at) AS ended,
           row_number() OVER (PARTITION BY kit_id ORDER BY stretch DESC) AS newest
    FROM marked GROUP BY kit_id, stretch
)
SELECT kit_id, array_agg(boot ORDER BY stretch) AS boots, array_agg(began ORDER BY stretch) AS began,
       array_agg(ended ORDER BY stretch) AS ended
FROM stretches WHERE newest <= %(most_runs)s
GROUP BY kit_id HAVING count(*) > %(turns)s
LIMIT %(limit)s;

-- name: told_identities
-- IMEIs that tablets told one after the other, as they said it live.
SELECT c.kit_id, (array_agg(c.before ORDER BY c.change_id))[1:1] || array_agg(c.after ORDER BY c.change_id) AS imeis,
       array_agg(c.received_at ORDER BY c.change_id) AS changed
FROM changes c JOIN kits k USING (kit_id)
WHERE c.what = 'identity' AND c.subject = 'imei' AND c.received_at > %(since)s
  AND c.received_at - c.time BETWEEN - %(live)s::interval AND %(live)s::interval AND k.state = ANY(%(states)s)
  AND c.kit_id BETWEEN %(first)s AND %(last)s AND (%(kit_ids)s::integer[] IS NULL OR c.kit_id = ANY(%(kit_ids)s))
GROUP BY c.kit_id HAVING count(*) > %(returns)s
LIMIT %(limit)s;

-- name: seen
SELECT sees_all() AS everything, seen_organisations() AS organisations, search_words(%(text)s) AS words;

-- name: labelled
-- Kits by words of their labels. The rarest word by its look drives; the others are looked for in what it finds, and not in
-- more than so many. One row without a kit where none is found.
WITH candidates AS MATERIALIZED (
    (SELECT w.kit_id, w.word FROM kit_words w
     WHERE %(everything)s AND w.word >= %(word)s AND w.word < %(word_end)s
     ORDER BY w.word, w.kit_id LIMIT %(candidates)s)
    UNION ALL
    (SELECT f.kit_id, f.word
     FROM unnest(%(organisations)s::integer[]) AS seen(organisation_id)
     CROSS JOIN LATERAL (
        (SELECT w.kit_id, w.word FROM kit_words w
         WHERE (w.organisation_id, w.word) >= (seen.organisation_id, %(word)s)
           AND (w.organisation_id, w.word) < (seen.organisation_id, %(word_end)s)
         ORDER BY w.organisation_id, w.word, w.kit_id LIMIT %(candidates)s)
        UNION ALL
        (SELECT w.kit_id, w.word FROM kit_words w
         WHERE w.owner_id <> w.organisation_id
           AND (w.owner_id, w.word) >= (seen.organisation_id, %(word)s)
           AND (w.owner_id, w.word) < (seen.organisation_id, %(word_end)s)
         ORDER BY w.owner_id, w.word, w.kit_id LIMIT %(candidates)s)) f)
)
SELECT n.looked_at, f.kit_id
FROM (SELECT count(*) AS looked_at FROM candidates) n
LEFT JOIN (
    SELECT DISTINCT c.kit_id, c.word FROM candidates c
    WHERE NOT EXISTS (
        SELECT FROM unnest(%(more)s::text[], %(more_end)s::text[]) AS t(word, word_end)
        WHERE NOT EXISTS (SELECT FROM kit_words o WHERE o.kit_id = c.kit_id AND o.word >= t.word AND o.word < t.word_end))
    ORDER BY c.word, c.kit_id LIMIT %(limit)s) f ON true
ORDER BY f.word, f.kit_id;

-- name: search
-- Each way of finding is a branch of its own with an index of its own and a limit of its own; the first way a thing is
-- found by counts. Kits by their id, or its beginning in any case, or its last four characters.
WITH kit_hits AS (
    (SELECT k.kit_id, 'kit' AS by, 1 AS rank, k.kit AS key FROM kits k WHERE k.kit = ANY (%(ids)s::text[]) LIMIT %(limit)s)
    UNION ALL
    (SELECT k.kit_id, 'kit', 2, k.kit FROM kits k
     WHERE %(prefix)s::text IS NOT NULL AND k.kit >= %(prefix)s AND k.kit < %(prefix)s || '~' AND %(everything)s
     ORDER BY k.kit LIMIT %(limit)s)
    UNION ALL
    (SELECT f.kit_id, 'kit', 2, f.kit
     FROM unnest(%(organisations)s::integer[]) AS seen(organisation_id)
     CROSS JOIN LATERAL (
        (SELECT k.kit_id, k.kit FROM kits k
         WHERE (k.organisation_id, k.kit) >= (seen.organisation_id, %(prefix)s::text)
           AND (k.organisation_id, k.kit) < (seen.organisation_id, %(prefix)s || '~')
         ORDER BY k.organisation_id, k.kit LIMIT %(limit)s)
        UNION ALL
        (SELECT k.kit_id, k.kit FROM kits k
         WHERE (k.owner_id, k.kit) >= (seen.organisation_id, %(prefix)s::text)
           AND (k.owner_id, k.kit) < (seen.organisation_id, %(prefix)s || '~')
         ORDER BY k.owner_id, k.kit LIMIT %(limit)s)) f
     WHERE %(prefix)s::text IS NOT NULL
     ORDER BY f.kit LIMIT %(limit)s)
    UNION ALL
    (SELECT k.kit_id, 'tail', 3, k.kit FROM kits k
     WHERE k.serial_tail = %(tail)s AND (%(everything)s OR k.organisation_id = ANY (%(organisations)s::integer[])
                                         OR k.owner_id = ANY (%(organisations)s))
     ORDER BY k.kit LIMIT %(limit)s)
), kits_found AS (
    SELECT DISTINCT ON (kit_id) kit_id, by, rank
    FROM (SELECT kit_id, by, rank FROM kit_hits UNION ALL
          SELECT kit_id, 'label', 4 FROM unnest(%(labelled)s::integer[]) AS l(kit_id)) h
    ORDER BY kit_id, rank
), component_hits AS (
    (SELECT c.component_id, 'serial' AS by, 1 AS rank FROM components c WHERE c.serial = ANY (%(ids)s::text[])
     ORDER BY c.component_id LIMIT %(limit)s)
    UNION ALL
    (SELECT c.component_id, 'asset_tag', 1 FROM components c WHERE c.asset_tag = ANY (%(ids)s::text[]))
    UNION ALL
    (SELECT c.component_id, 'imei', 1 FROM components c WHERE c.imei = %(digits)s)
    UNION ALL
    (SELECT c.component_id, 'iccid', 1 FROM components c WHERE c.iccid = %(digits)s)
    UNION ALL
    (SELECT c.component_id, 'bluetooth_address', 1 FROM components c WHERE c.bluetooth_address = %(bluetooth)s
     ORDER BY c.component_id LIMIT %(limit)s)
    UNION ALL
    (SELECT c.component_id, 'tail', 3 FROM components c
     WHERE c.serial_tail = %(tail)s AND (%(everything)s OR c.organisation_id = ANY (%(organisations)s::integer[])
                                         OR c.owner_id = ANY (%(organisations)s))
     ORDER BY c.component_id LIMIT %(limit)s)
), components_found AS (
    SELECT DISTINCT ON (component_id) component_id, by, rank FROM component_hits ORDER BY component_id, rank
)
(SELECT 'kit' AS kind, f.by, f.rank, k.kit, k.label, NULL::bigint AS component_id, NULL::text AS component_kind,
        NULL::text AS model, NULL::text AS serial, NULL::text AS asset_tag, k.state,
        (SELECT slug FROM organisations WHERE organisation_id = k.organisation_id) AS organisation,
        (SELECT slug FROM locations WHERE location_id = k.location_id) AS location, k.placement_id AS placement,
        NULL::text AS number
 FROM kits_found f JOIN kits k USING (kit_id)
 ORDER BY f.rank, k.kit LIMIT %(limit)s)
UNION ALL
(SELECT 'component', f.by, f.rank, k.kit, NULL, c.component_id, m.kind, m.manufacturer || ' ' || m.name, c.serial,
        c.asset_tag, c.state, (SELECT slug FROM organisations WHERE organisation_id = c.organisation_id),
        (SELECT slug FROM locations WHERE location_id = coalesce(c.location_id, k.location_id)), k.placement_id,
        NULL
 FROM components_found f JOIN components c USING (component_id) JOIN models m USING (model_id)
 LEFT JOIN kits k ON k.kit_id = c.kit_id
 ORDER BY f.rank, c.component_id LIMIT %(limit)s)
UNION ALL
(SELECT 'request', 'number', 1, k.kit, NULL, NULL, NULL, NULL, NULL, NULL, r.state,
        (SELECT slug FROM organisations WHERE organisation_id = r.organisation_id), NULL, NULL, r.number
 FROM service_requests r LEFT JOIN kits k USING (kit_id) WHERE r.number = %(request)s);

-- name: moment
SELECT now()

-- name: kit_number
SELECT kit_id FROM kits WHERE kit = %(name)s

-- name: request_number
SELECT request_id FROM service_requests WHERE number = %(name)s

-- name: insert
INSERT INTO calls (at, minutes, channel, caller, reason, outcome, kit_id, organisation_id, request_id, tree, tree_version,
                   path, note, actor)
VALUES (%(at)s, %(minutes)s, %(channel)s, %(caller)s, %(reason)s, %(outcome)s, %(kit_id)s, %(organisation_id)s,
        %(request_id)s, %(tree)s, %(tree_version)s, %(path)s, %(note)s, %(actor)s)
RETURNING call_id

-- name: announce
INSERT INTO events (type, kit, body)
SELECT 'call.recorded', k.kit, jsonb_build_object(
    'id', c.call_id, 'reason', c.reason, 'outcome', c.outcome, 'channel', c.channel, 'minutes', c.minutes)
FROM calls c JOIN kits k USING (kit_id)
WHERE c.call_id = %(call_id)s

-- name: list
SELECT c.call_id, c.at, c.minutes::double precision AS minutes, c.channel, c.caller, c.reason, c.outcome, k.kit,
       o.slug AS organisation, r.number AS request, c.tree, c.tree_version, c.path, c.note, c.actor, c.recorded_at,
       c.voided_at, c.voided_by, c.voided_reason
FROM calls c
LEFT JOIN known_kits k USING (kit_id)
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
LEFT JOIN service_requests r ON r.request_id = c.request_id
WHERE c.call_id < %(before)s
  AND (%(call_id)s::bigint IS NULL OR c.call_id = %(call_id)s)
  AND (%(kit)s::text IS NULL OR c.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
  AND (%(organisation)s::text IS NULL
       OR c.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
  AND (%(channel)s::text IS NULL OR c.channel = %(channel)s)
  AND (%(caller)s::text IS NULL OR c.caller = %(caller)s)
  AND (%(reason)s::text IS NULL OR c.reason = %(reason)s)
  AND (%(outcome)s::text IS NULL OR c.outcome = %(outcome)s)
  AND (%(tree)s::text IS NULL OR c.tree = %(tree)s)
  AND (%(request)s::text IS NULL OR r.number = %(request)s)
  AND (%(voided)s::boolean IS NULL OR (c.voided_at IS NOT NULL) = %(voided)s)
  AND (%(since)s::timestamptz IS NULL OR c.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR c.at < %(until)s)
ORDER BY c.call_id DESC
LIMIT %(limit)s

-- name: void
UPDATE calls SET voided_at = now(), voided_by = %(actor)s, voided_reason = %(reason)s
WHERE call_id = %(call_id)s AND voided_at IS NULL
RETURNING call_id

-- name: redact
UPDATE calls SET note = '[redacted]' WHERE call_id = %(call_id)s AND note NOT IN ('', '[redacted]')

-- name: lengths
SELECT count(*) AS calls, count(DISTINCT c.kit_id) AS kits, round(avg(c.minutes), 2)::double precision AS mean,
       percentile_cont(0.5) WITHIN GROUP (ORDER BY c.minutes) AS median, max(c.minutes)::double precision AS longest
FROM calls c
WHERE c.voided_at IS NULL AND c.at >= %(since)s AND c.at < %(until)s
  AND (%(organisation)s::text IS NULL
       OR c.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))

-- name: counted
WITH chosen AS (
    SELECT c.* FROM calls c
    WHERE c.voided_at IS NULL AND c.at >= %(since)s AND c.at < %(until)s
      AND (%(organisation)s::text IS NULL
           OR c.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
)
SELECT v.what, v.word, count(*) AS calls, sum(c.minutes)::double precision AS minutes
FROM chosen c
CROSS JOIN LATERAL (VALUES ('channel', c.channel), ('caller', c.caller), ('reason', c.reason), ('outcome', c.outcome),
                           ('tree', coalesce(c.tree, 'none'))) AS v(what, word)
GROUP BY v.what, v.word
ORDER BY v.what COLLATE "C", calls DESC, v.word COLLATE "C"

-- name: by_hour
SELECT extract(isodow FROM c.at AT TIME ZONE 'Europe/Copenhagen')::integer AS weekday,
       extract(hour FROM c.at AT TIME ZONE 'Europe/Copenhagen')::integer AS hour,
       count(*) AS calls, sum(c.minutes)::double precision AS minutes
FROM calls c
WHERE c.voided_at IS NULL AND c.channel = 'phone' AND c.at >= %(since)s AND c.at < %(until)s
  AND (%(organisation)s::text IS NULL
       OR c.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
GROUP BY 1, 2
ORDER BY 1, 2

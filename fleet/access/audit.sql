-- name: meant
-- What the reader sees, and the numbers of what a filter names: known when a page is planned, so that it is planned for
-- these very values.
SELECT sees_all() AS everything,
       CASE WHEN sees_all() THEN ARRAY(SELECT o.organisation_id FROM organisations o) ELSE seen_organisations() END AS organisations,
       (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s) AS organisation_id,
       (SELECT kit_id FROM known_kits WHERE kit = %(kit)s) AS kit_id

-- name: walk
-- In the order of an index, for whoever sees everything or asks for what is little by itself.
SELECT a.at, a.audit_id, true AS complete
FROM audit a
WHERE CASE WHEN %(down)s::boolean THEN (a.at, a.audit_id) < (%(at)s::timestamptz, %(id)s::bigint)
           ELSE (a.at, a.audit_id) > (%(at)s, %(id)s) END
  AND (%(actor)s::text IS NULL OR a.actor = %(actor)s)
  AND (%(principal)s::text IS NULL OR a.principal = %(principal)s)
  AND (%(action)s::text IS NULL OR a.action = %(action)s)
  AND (%(subject_kind)s::text IS NULL OR a.subject_kind = %(subject_kind)s)
  AND (%(subject)s::text IS NULL OR a.subject = %(subject)s)
  AND (%(kit_id)s::integer IS NULL OR a.kit_id = %(kit_id)s)
  AND (%(organisation_id)s::integer IS NULL OR a.organisation_id = %(organisation_id)s)
  AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
ORDER BY CASE WHEN %(down)s THEN a.at END DESC, CASE WHEN %(down)s THEN a.audit_id END DESC,
         CASE WHEN NOT %(down)s THEN a.at END, CASE WHEN NOT %(down)s THEN a.audit_id END
LIMIT %(limit)s

-- name: walk_within
-- Organisation by organisation, as whose a line is and as who owns its kit now, `most` of each in an index: the policy
-- alone would look at everybody's. What lies beyond the end of the first that has more is left for the next look, unless
-- each gave as many as the page holds. One row without a number where there is none.
WITH found AS MATERIALIZED (
    SELECT seen.organisation_id AS source, false AS owned, f.at, f.audit_id
    FROM unnest(%(organisations)s::integer[]) AS seen(organisation_id)
    CROSS JOIN LATERAL (
        SELECT a.at, a.audit_id
        FROM audit a
        WHERE a.organisation_id = seen.organisation_id
          AND CASE WHEN %(down)s::boolean THEN (a.at, a.audit_id) < (%(at)s::timestamptz, %(id)s::bigint)
                   ELSE (a.at, a.audit_id) > (%(at)s, %(id)s) END
          AND (%(actor)s::text IS NULL OR a.actor = %(actor)s)
          AND (%(principal)s::text IS NULL OR a.principal = %(principal)s)
          AND (%(action)s::text IS NULL OR a.action = %(action)s)
          AND (%(subject_kind)s::text IS NULL OR a.subject_kind = %(subject_kind)s)
          AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
          AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
        ORDER BY CASE WHEN %(down)s THEN a.organisation_id END DESC, CASE WHEN %(down)s THEN a.at END DESC,
                 CASE WHEN %(down)s THEN a.audit_id END DESC, CASE WHEN NOT %(down)s THEN a.organisation_id END,
                 CASE WHEN NOT %(down)s THEN a.at END, CASE WHEN NOT %(down)s THEN a.audit_id END
        LIMIT %(most)s::integer) f
    WHERE %(organisation_id)s::integer IS NULL OR seen.organisation_id = %(organisation_id)s
    UNION ALL
    SELECT seen.organisation_id, true, f.at, f.audit_id
    FROM unnest(%(organisations)s::integer[]) AS seen(organisation_id)
    CROSS JOIN LATERAL (
        SELECT o.at, o.audit_id
        FROM audit_owned o
        WHERE o.owner_id = seen.organisation_id
          AND CASE WHEN %(down)s THEN (o.at, o.audit_id) < (%(at)s, %(id)s) ELSE (o.at, o.audit_id) > (%(at)s, %(id)s) END
          AND (%(organisation_id)s::integer IS NULL OR o.organisation_id = %(organisation_id)s)
          AND (%(since)s::timestamptz IS NULL OR o.at >= %(since)s)
          AND (%(until)s::timestamptz IS NULL OR o.at < %(until)s)
          AND (%(actor)s::text IS NULL OR o.actor = %(actor)s)
          AND (%(principal)s::text IS NULL OR o.principal = %(principal)s)
          AND (%(action)s::text IS NULL OR o.action = %(action)s)
          AND (%(subject_kind)s::text IS NULL OR o.subject_kind = %(subject_kind)s)
        ORDER BY CASE WHEN %(down)s THEN o.owner_id END DESC, CASE WHEN %(down)s THEN o.at END DESC,
                 CASE WHEN %(down)s THEN o.audit_id END DESC, CASE WHEN NOT %(down)s THEN o.owner_id END,
                 CASE WHEN NOT %(down)s THEN o.at END, CASE WHEN NOT %(down)s THEN o.audit_id END
        LIMIT %(most)s::integer) f
    WHERE NOT %(everything)s::boolean
    UNION ALL
    (SELECT NULL, false, a.at, a.audit_id
     FROM audit a
     WHERE %(everything)s AND a.organisation_id IS NULL
       AND CASE WHEN %(down)s THEN (a.at, a.audit_id) < (%(at)s, %(id)s) ELSE (a.at, a.audit_id) > (%(at)s, %(id)s) END
       AND (%(actor)s::text IS NULL OR a.actor = %(actor)s)
       AND (%(principal)s::text IS NULL OR a.principal = %(principal)s)
       AND (%(action)s::text IS NULL OR a.action = %(action)s)
       AND (%(subject_kind)s::text IS NULL OR a.subject_kind = %(subject_kind)s)
       AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
       AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
     ORDER BY CASE WHEN %(down)s THEN a.organisation_id END DESC, CASE WHEN %(down)s THEN a.at END DESC,
              CASE WHEN %(down)s THEN a.audit_id END DESC, CASE WHEN NOT %(down)s THEN a.organisation_id END,
              CASE WHEN NOT %(down)s THEN a.at END, CASE WHEN NOT %(down)s THEN a.audit_id END
     LIMIT %(most)s)
), ends AS (
    SELECT CASE WHEN %(down)s THEN min(at) ELSE max(at) END AS at FROM found GROUP BY source, owned HAVING count(*) >= %(most)s
), edge AS (
    SELECT CASE WHEN %(most)s >= %(limit)s::integer THEN NULL WHEN %(down)s THEN max(at) ELSE min(at) END AS at FROM ends
)
SELECT f.at, f.audit_id, e.at IS NULL AS complete
FROM edge e LEFT JOIN found f ON e.at IS NULL OR CASE WHEN %(down)s THEN f.at > e.at ELSE f.at < e.at END
GROUP BY f.at, f.audit_id, e.at
ORDER BY CASE WHEN %(down)s THEN f.at END DESC, CASE WHEN %(down)s THEN f.audit_id END DESC,
         CASE WHEN NOT %(down)s THEN f.at END, CASE WHEN NOT %(down)s THEN f.audit_id END
LIMIT %(limit)s

-- name: lines
-- Each looked up by its number: for many at once the policy would read every kit that the reader owns.
SELECT a.audit_id AS id, a.at, a.actor, a.principal, a.origin, a.action, a.subject_kind, a.subject,
       o.slug AS organisation, k.kit, a.before, a.after, a.reason, a.redacted_at
FROM unnest(%(ids)s::bigint[]) AS wanted(audit_id)
CROSS JOIN LATERAL (SELECT * FROM audit l WHERE l.audit_id = wanted.audit_id LIMIT 1) a
LEFT JOIN organisations o USING (organisation_id)
LEFT JOIN known_kits k ON k.kit_id = a.kit_id

-- name: find
SELECT a.audit_id AS id, a.at, a.actor, a.principal, a.origin, a.action, a.subject_kind, a.subject,
       o.slug AS organisation, k.kit, a.before, a.after, a.reason, a.redacted_at
FROM audit a
LEFT JOIN organisations o USING (organisation_id)
LEFT JOIN known_kits k ON k.kit_id = a.kit_id
WHERE a.audit_id = %(id)s

-- name: note
SELECT note_audit(%(action)s, %(subject_kind)s, %(subject)s, NULL, NULL, %(after)s::jsonb, %(reason)s)

-- name: head
SELECT "position", hash, unsealed, unsealed_since FROM audit_head()

-- name: redact
SELECT redact_audit(%(id)s::bigint, %(keys)s::text[], %(why)s::text)

-- name: sees_book_event
SELECT FROM book_events WHERE event_id = %(id)s

-- name: redact_book_event
SELECT redact_book_event(%(id)s::bigint, %(keys)s::text[], %(why)s::text)

-- name: sealer
-- Locked: whoever chains has the place to itself.
SELECT s.system_identifier IS NOT DISTINCT FROM c.system_identifier AS here, c.system_identifier,
       s.tx::text::bigint AS tx, s.audit_id, s.floor_id
FROM audit_sealer s, pg_control_system() c
FOR UPDATE OF s

-- name: begin_chain_on
SELECT begin_chain_on(%(system_identifier)s::bigint)

-- name: unsealed
-- What is below the horizon of this very statement's snapshot has ended, so nothing can come before it any more.
SELECT a.audit_id, a.tx::text::bigint AS tx, (extract(epoch FROM a.at) * 1000000)::bigint AS at_us, a.actor, a.principal,
       a.origin, a.action, a.subject_kind, a.subject, a.organisation_id, a.kit_id, a.before::text AS before,
       a.after::text AS after, a.reason, uuid_send(a.salt) AS salt, a.redacted_at IS NOT NULL AS redacted
FROM audit a
WHERE (a.tx, a.audit_id) > (%(tx)s::text::xid8, %(audit_id)s::bigint) AND a.audit_id > %(floor_id)s
  AND a.tx < pg_snapshot_xmin(pg_current_snapshot())
ORDER BY a.tx, a.audit_id
LIMIT %(limit)s

-- name: unsealed_of_before
-- After a restore: rows of before it without a link, by number.
SELECT a.audit_id, a.tx::text::bigint AS tx, (extract(epoch FROM a.at) * 1000000)::bigint AS at_us, a.actor, a.principal,
       a.origin, a.action, a.subject_kind, a.subject, a.organisation_id, a.kit_id, a.before::text AS before,
       a.after::text AS after, a.reason, uuid_send(a.salt) AS salt, a.redacted_at IS NOT NULL AS redacted
FROM audit a
WHERE a.audit_id > %(audit_id)s::bigint AND a.audit_id <= %(floor_id)s
  AND NOT EXISTS (SELECT FROM audit_chain l WHERE l.audit_id = a.audit_id)
ORDER BY a.audit_id
LIMIT %(limit)s

-- name: chain
INSERT INTO audit_chain (position, audit_id, digest, hash)
SELECT * FROM unnest(%(positions)s::bigint[], %(audit_ids)s::bigint[], %(digests)s::bytea[], %(hashes)s::bytea[])

-- name: sealed
UPDATE audit_sealer SET tx = %(tx)s::text::xid8, audit_id = %(audit_id)s

-- name: last_link
SELECT position, hash FROM audit_chain UNION ALL SELECT position, hash FROM audit_anchors
ORDER BY position DESC LIMIT 1

-- name: anchor
SELECT position, hash FROM audit_anchors ORDER BY position DESC LIMIT 1

-- name: links
-- Each line is looked up by its number: a page must not cost a walk over all of the audit.
SELECT c.position, c.audit_id, c.digest, c.hash, a.audit_id IS NOT NULL AS present,
       a.tx::text::bigint AS tx, (extract(epoch FROM a.at) * 1000000)::bigint AS at_us, a.actor, a.principal,
       a.origin, a.action, a.subject_kind, a.subject, a.organisation_id, a.kit_id, a.before::text AS before,
       a.after::text AS after, a.reason, uuid_send(a.salt) AS salt, a.redacted_at IS NOT NULL AS redacted
FROM (SELECT * FROM audit_chain WHERE position > %(after)s ORDER BY position LIMIT %(limit)s) c
LEFT JOIN LATERAL (SELECT * FROM audit a WHERE a.audit_id = c.audit_id LIMIT 1) a ON true
ORDER BY c.position

-- name: sealed_up_to
SELECT s.tx::text::bigint AS tx, s.audit_id, s.floor_id FROM audit_sealer s

-- name: without_link
-- `behind`: the chain has passed the place where it belongs.
SELECT a.audit_id, a.tx::text::bigint AS tx, (extract(epoch FROM a.at) * 1000000)::bigint AS at_us, a.actor, a.principal,
       a.origin, a.action, a.subject_kind, a.subject, a.organisation_id, a.kit_id, a.before::text AS before,
       a.after::text AS after, a.reason, uuid_send(a.salt) AS salt, a.redacted_at IS NOT NULL AS redacted,
       CASE WHEN s.tx IS NULL THEN a.audit_id <= s.audit_id
            ELSE a.audit_id <= s.floor_id OR (a.tx, a.audit_id) <= (s.tx, s.audit_id) END AS behind
FROM audit a, audit_sealer s
WHERE NOT EXISTS (SELECT FROM audit_chain l WHERE l.audit_id = a.audit_id)
ORDER BY a.tx, a.audit_id

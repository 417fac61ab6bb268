-- name: list
-- The newest first. Not prepared, so that filters left out cost nothing.
SELECT a.audit_id AS id, a.at, a.actor, a.principal, a.origin, a.action, a.subject_kind, a.subject,
       o.slug AS organisation, k.kit, a.before, a.after, a.reason, a.redacted_at
FROM audit a
LEFT JOIN organisations o USING (organisation_id)
LEFT JOIN known_kits k ON k.kit_id = a.kit_id
WHERE (a.at, a.audit_id) < (%(before_at)s::timestamptz, %(before_id)s::bigint)
  AND (%(actor)s::text IS NULL OR a.actor = %(actor)s)
  AND (%(principal)s::text IS NULL OR a.principal = %(principal)s)
  AND (%(action)s::text IS NULL OR a.action = %(action)s)
  AND (%(subject_kind)s::text IS NULL OR a.subject_kind = %(subject_kind)s)
  AND (%(subject)s::text IS NULL OR a.subject = %(subject)s)
  AND (%(kit)s::text IS NULL OR a.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
  AND (%(organisation)s::text IS NULL
       OR a.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
  AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
ORDER BY a.at DESC, a.audit_id DESC
LIMIT %(limit)s

-- name: export
-- The oldest first, by number, so that a page follows the one before whatever is written meanwhile.
SELECT a.audit_id AS id, a.at, a.actor, a.principal, a.origin, a.action, a.subject_kind, a.subject,
       o.slug AS organisation, k.kit, a.before, a.after, a.reason, a.redacted_at
FROM audit a
LEFT JOIN organisations o USING (organisation_id)
LEFT JOIN known_kits k ON k.kit_id = a.kit_id
WHERE a.audit_id > %(after_id)s::bigint
  AND (%(actor)s::text IS NULL OR a.actor = %(actor)s)
  AND (%(principal)s::text IS NULL OR a.principal = %(principal)s)
  AND (%(action)s::text IS NULL OR a.action = %(action)s)
  AND (%(subject_kind)s::text IS NULL OR a.subject_kind = %(subject_kind)s)
  AND (%(subject)s::text IS NULL OR a.subject = %(subject)s)
  AND (%(kit)s::text IS NULL OR a.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
  AND (%(organisation)s::text IS NULL
       OR a.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
  AND (%(since)s::timestamptz IS NULL OR a.at >= %(since)s)
  AND (%(until)s::timestamptz IS NULL OR a.at < %(until)s)
ORDER BY a.audit_id
LIMIT %(limit)s

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

-- name: list
-- Without what stood in the messages.
SELECT quarantine_id AS id, received_at, topic, reason, detail, size_bytes, redacted_at
FROM quarantine
WHERE quarantine_id < %(before)s
  AND (%(reason)s::text IS NULL OR reason = %(reason)s)
  AND (%(topic)s::text IS NULL OR topic = %(topic)s)
ORDER BY quarantine_id DESC
LIMIT %(limit)s

-- name: find
SELECT quarantine_id AS id, received_at, topic, reason, detail, size_bytes, redacted_at
FROM quarantine
WHERE quarantine_id = %(id)s

-- name: reveal
SELECT quarantine_id AS id, received_at, topic, reason, detail, size_bytes, redacted_at, payload,
       note_audit('quarantine.read', 'quarantine', quarantine_id::text, NULL)
FROM quarantine
WHERE quarantine_id = %(id)s

-- name: redact
SELECT redact_quarantine(quarantine_id, %(why)s) FROM quarantine WHERE quarantine_id = %(id)s

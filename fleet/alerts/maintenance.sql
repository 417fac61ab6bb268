-- name: prune_events
-- The oldest come first in the index, so nothing is read where there is nothing to remove.
DELETE FROM events WHERE (tx, event_id) IN (
    SELECT tx, event_id FROM (SELECT tx, event_id, at FROM events ORDER BY tx, event_id LIMIT %(limit)s) oldest
    WHERE at < %(before)s)

-- name: prune_idempotency_keys
DELETE FROM idempotency_keys WHERE (principal, key) IN (
    SELECT principal, key FROM idempotency_keys WHERE created_at < %(before)s LIMIT %(limit)s)

-- name: prune_quarantine
DELETE FROM quarantine WHERE quarantine_id IN (
    SELECT quarantine_id FROM quarantine WHERE received_at < %(before)s ORDER BY received_at LIMIT %(limit)s)

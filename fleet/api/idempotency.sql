-- name: claim
-- A second request with the same key waits here until the first has committed or failed.
INSERT INTO idempotency_keys (principal, key, request_hash, status)
VALUES (%(principal)s, %(key)s, %(request_hash)s, 0)
ON CONFLICT (principal, key) DO NOTHING
RETURNING true AS claimed;

-- name: answered
SELECT request_hash, status, body FROM idempotency_keys WHERE principal = %(principal)s AND key = %(key)s;

-- name: keep
UPDATE idempotency_keys SET status = %(status)s, body = %(body)s
WHERE principal = %(principal)s AND key = %(key)s;

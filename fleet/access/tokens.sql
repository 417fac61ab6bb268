-- name: create
INSERT INTO tokens (name, role, secret_hash, hint, expires_at)
VALUES (%(name)s, %(role)s, %(secret_hash)s, %(hint)s, %(expires_at)s)
RETURNING token_id, name, role, hint, created_at, expires_at, revoked_at, last_used_at;

-- name: list
SELECT token_id, name, role, hint, created_at, expires_at, revoked_at, last_used_at
FROM tokens
WHERE token_id > %(after)s
  AND (%(role)s::text IS NULL OR role = %(role)s)
  AND (%(name)s::text IS NULL OR name = %(name)s)
ORDER BY token_id
LIMIT %(limit)s;

-- name: revoke
UPDATE tokens SET revoked_at = coalesce(revoked_at, now())
WHERE token_id = %(token_id)s
RETURNING token_id, name, role, hint, created_at, expires_at, revoked_at, last_used_at;

-- name: by_secret
-- last_used_at moves at most once a minute, so that reading does not turn into writing.
WITH found AS (
    SELECT token_id, name, role, revoked_at IS NOT NULL AS revoked,
           coalesce(expires_at <= now(), false) AS expired, last_used_at
    FROM tokens WHERE secret_hash = %(secret_hash)s
), used AS (
    UPDATE tokens SET last_used_at = now()
    WHERE token_id = (SELECT token_id FROM found WHERE NOT revoked AND NOT expired
                      AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute'))
)
SELECT token_id, name, role, revoked, expired FROM found;

-- name: by_id
WITH found AS (
    SELECT token_id, name, role, revoked_at IS NOT NULL AS revoked,
           coalesce(expires_at <= now(), false) AS expired, last_used_at
    FROM tokens WHERE token_id = %(token_id)s
), used AS (
    UPDATE tokens SET last_used_at = now()
    WHERE token_id = (SELECT token_id FROM found WHERE NOT revoked AND NOT expired
                      AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute'))
)
SELECT token_id, name, role, revoked, expired FROM found;

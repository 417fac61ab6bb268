-- name: create
WITH made AS (
    INSERT INTO tokens (name, role, secret_hash, hint, expires_at, organisation_id, created_by)
    VALUES (%(name)s, %(role)s, %(secret_hash)s, %(hint)s, %(expires_at)s, %(organisation_id)s, %(created_by)s)
    RETURNING token_id, name, role, hint, created_at, expires_at, revoked_at, last_used_at, organisation_id, created_by
)
SELECT t.token_id, t.name, t.role, t.hint, t.created_at, t.expires_at, t.revoked_at, t.last_used_at,
       o.slug AS organisation, t.created_by
FROM made t LEFT JOIN organisations o USING (organisation_id);

-- name: organisation
SELECT organisation_id FROM organisations WHERE slug = %(slug)s;

-- name: list
SELECT t.token_id, t.name, t.role, t.hint, t.created_at, t.expires_at, t.revoked_at, t.last_used_at,
       o.slug AS organisation, t.created_by
FROM tokens t LEFT JOIN organisations o USING (organisation_id)
WHERE t.token_id > %(after)s
  AND (%(role)s::text IS NULL OR t.role = %(role)s)
  AND (%(name)s::text IS NULL OR t.name = %(name)s)
  AND (%(organisation)s::text IS NULL OR o.slug = %(organisation)s)
ORDER BY t.token_id
LIMIT %(limit)s;

-- name: revoke
WITH ended AS (
    UPDATE tokens SET revoked_at = coalesce(revoked_at, now())
    WHERE token_id = %(token_id)s
    RETURNING token_id, name, role, hint, created_at, expires_at, revoked_at, last_used_at, organisation_id, created_by
)
SELECT t.token_id, t.name, t.role, t.hint, t.created_at, t.expires_at, t.revoked_at, t.last_used_at,
       o.slug AS organisation, t.created_by
FROM ended t LEFT JOIN organisations o USING (organisation_id);

-- name: authenticate
SELECT token_id, name, role, organisation_id, organisations, own, revoked, expired
FROM authenticate_token(%(secret_hash)s, %(token_id)s);

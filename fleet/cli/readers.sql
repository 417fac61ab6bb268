-- name: login_exists
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = %(login)s) AS found;

-- name: organisation_exists
SELECT EXISTS (SELECT FROM organisations WHERE slug = %(organisation)s) AS found;

-- name: grant
INSERT INTO database_scopes (role_name, organisation_id)
VALUES (%(login)s, (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
ON CONFLICT (role_name) DO UPDATE SET organisation_id = excluded.organisation_id;

-- name: list
SELECT s.role_name, o.slug AS organisation
FROM database_scopes s LEFT JOIN organisations o USING (organisation_id)
ORDER BY s.role_name;

-- name: revoke
DELETE FROM database_scopes WHERE role_name = %(login)s;

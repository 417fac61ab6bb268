-- name: is_below
SELECT %(organisation_id)s::integer = ANY (subtree_of(%(roots)s::integer[]));

-- name: slugs
SELECT organisation_id, slug FROM organisations WHERE organisation_id = ANY (%(organisation_ids)s);

-- name: list
SELECT u.user_id, u.username, o.slug AS organisation, u.oidc_issuer IS NOT NULL AS single_sign_on,
       u.totp_confirmed_at IS NOT NULL AS second_factor, u.must_change_password, u.disabled_at IS NOT NULL AS disabled,
       u.last_login_at, u.created_at, u.created_by, u.revision,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('role', r.role, 'organisation', p.slug) ORDER BY r.role, p.slug), '[]')
        FROM user_roles r LEFT JOIN organisations p ON p.organisation_id = r.organisation_id
        WHERE r.user_id = u.user_id) AS roles
FROM users u LEFT JOIN organisations o ON o.organisation_id = u.organisation_id
WHERE u.user_id > %(after)s
  AND (%(user_id)s::bigint IS NULL OR u.user_id = %(user_id)s)
  AND (%(username)s::text IS NULL OR lower(u.username COLLATE "C") = lower(%(username)s COLLATE "C"))
  AND (%(organisation)s::text IS NULL OR o.slug = %(organisation)s)
  AND (%(disabled)s::boolean IS NULL OR (u.disabled_at IS NOT NULL) = %(disabled)s)
  AND (%(role)s::text IS NULL OR EXISTS (SELECT FROM user_roles r WHERE r.user_id = u.user_id AND r.role = %(role)s))
ORDER BY u.user_id
LIMIT %(limit)s;

-- name: lock
SELECT user_id, username, organisation_id, oidc_issuer IS NOT NULL AS single_sign_on, disabled_at IS NOT NULL AS disabled, revision
FROM users WHERE user_id = %(user_id)s FOR UPDATE;

-- name: grants
SELECT role, organisation_id, organisations, own FROM user_grants(%(user_id)s::bigint);

-- name: add
-- Without a conflict target: a name that the caller cannot see is taken as well.
INSERT INTO users (username, organisation_id, password_hash, password_changed_at, password_expires_at,
                   must_change_password, oidc_issuer, oidc_subject, created_by)
VALUES (%(username)s, %(organisation_id)s, %(password_hash)s::text,
        CASE WHEN %(password_hash)s::text IS NOT NULL THEN now() END,
        CASE WHEN %(password_hash)s::text IS NOT NULL THEN now() + make_interval(days => %(valid_days)s) END,
        %(password_hash)s::text IS NOT NULL, %(oidc_issuer)s, %(oidc_subject)s, %(created_by)s)
ON CONFLICT DO NOTHING
RETURNING user_id;

-- name: edit
UPDATE users
SET organisation_id = %(organisation_id)s, revision = revision + 1, updated_at = now(),
    disabled_at = CASE WHEN %(disabled)s::boolean THEN coalesce(disabled_at, now()) END
WHERE user_id = %(user_id)s;

-- name: roles
SELECT r.role, r.organisation_id FROM user_roles r WHERE r.user_id = %(user_id)s;

-- name: give_role
INSERT INTO user_roles (user_id, role, organisation_id) VALUES (%(user_id)s, %(role)s, %(organisation_id)s)
ON CONFLICT DO NOTHING;

-- name: take_role
DELETE FROM user_roles
WHERE user_id = %(user_id)s AND role = %(role)s AND organisation_id IS NOT DISTINCT FROM %(organisation_id)s::integer;

-- name: set_password
UPDATE users
SET password_hash = %(password_hash)s, password_changed_at = now(), must_change_password = %(one_time)s::boolean,
    password_expires_at = CASE WHEN %(one_time)s::boolean THEN now() + make_interval(days => %(valid_days)s) END,
    revision = revision + 1, updated_at = now()
WHERE user_id = %(user_id)s;

-- name: rehash
UPDATE users SET password_hash = %(password_hash)s WHERE user_id = %(user_id)s;

-- name: any_user
SELECT any_user();

-- name: facts
SELECT user_id, username, organisation_id, password_hash, password_expired, totp_secret, totp_pending, totp_last_step, disabled
FROM login_facts(%(username)s::text, %(user_id)s::bigint);

-- name: logged_in
UPDATE users SET last_login_at = now() WHERE user_id = %(user_id)s;

-- name: propose_totp
UPDATE users SET totp_pending = %(sealed)s WHERE user_id = %(user_id)s;

-- name: confirm_totp
UPDATE users
SET totp_secret = %(sealed)s, totp_pending = NULL, totp_confirmed_at = now(), totp_last_step = %(step)s,
    revision = revision + 1, updated_at = now()
WHERE user_id = %(user_id)s;

-- name: remove_totp
UPDATE users
SET totp_secret = NULL, totp_pending = NULL, totp_confirmed_at = NULL, totp_last_step = NULL, revision = revision + 1,
    updated_at = now()
WHERE user_id = %(user_id)s;

-- name: use_step
UPDATE users SET totp_last_step = %(step)s
WHERE user_id = %(user_id)s AND coalesce(totp_last_step, -1) < %(step)s
RETURNING user_id;

-- name: forget_recovery_codes
DELETE FROM recovery_codes WHERE user_id = %(user_id)s;

-- name: add_recovery_code
INSERT INTO recovery_codes (user_id, code_hash) VALUES (%(user_id)s, %(code_hash)s);

-- name: use_recovery_code
UPDATE recovery_codes SET used_at = now()
WHERE user_id = %(user_id)s AND code_hash = %(code_hash)s AND used_at IS NULL
RETURNING user_id;

-- name: recovery_codes_left
SELECT count(*) FROM recovery_codes WHERE user_id = %(user_id)s AND used_at IS NULL;

-- name: find_oidc
SELECT user_id FROM users WHERE oidc_issuer = %(oidc_issuer)s AND oidc_subject = %(oidc_subject)s FOR UPDATE;

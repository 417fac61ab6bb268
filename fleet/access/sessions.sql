-- name: begin
SELECT begin_session(%(secret_hash)s::bytea, %(user_id)s::bigint, %(token_id)s::bigint, %(method)s::text, %(stage)s::text,
                     make_interval(secs => %(lives_s)s), %(origin)s::text);

-- name: authenticate
SELECT session_id, user_id, token_id, name, organisation_id, method, stage, must_change_password, has_second_factor, ended, grants
FROM authenticate_session(%(secret_hash)s::bytea, make_interval(secs => %(idle_s)s), %(by_hand)s::boolean);

-- name: end
SELECT end_session(%(secret_hash)s::bytea);

-- name: end_all
UPDATE sessions SET revoked_at = now()
WHERE user_id = %(user_id)s AND revoked_at IS NULL AND session_id IS DISTINCT FROM %(but)s::bigint;

-- name: take
SELECT take_login_attempt(%(key)s::bytea, %(waits_s)s::double precision[], %(forget_s)s::double precision);

-- name: give_back
SELECT give_back_login_attempt(%(key)s::bytea);

-- name: forget
SELECT forget_login_attempts(%(key)s::bytea);

-- name: note
SELECT note_audit(%(action)s::text, %(kind)s::text, %(subject)s::text, %(organisation_id)s::integer, NULL, %(after)s::jsonb);

-- People: who they are, what they may do and where, how they prove it, and the sessions that follow.

CREATE TABLE users (
    user_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    username text NOT NULL CHECK (username ~ '^[A-Za-z][A-Za-z0-9._@-]{1,62}$'),
    organisation_id integer REFERENCES organisations,
    password_hash text,
    password_changed_at timestamptz,
    password_expires_at timestamptz,
    must_change_password boolean NOT NULL DEFAULT false,
    totp_secret bytea,
    totp_pending bytea,
    totp_confirmed_at timestamptz,
    totp_last_step bigint,
    oidc_issuer text,
    oidc_subject text,
    disabled_at timestamptz,
    last_login_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text,
    revision integer NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (oidc_issuer, oidc_subject),
    CHECK ((totp_secret IS NULL) = (totp_confirmed_at IS NULL)),
    CHECK ((oidc_issuer IS NULL) = (oidc_subject IS NULL)),
    -- Whoever logs in at a provider has no password here.
    CHECK (oidc_issuer IS NULL OR password_hash IS NULL)
);
COMMENT ON TABLE users IS 'People who log in, by an account name that their organisation chose and that is no civil name.';
COMMENT ON COLUMN users.organisation_id IS 'Where the person belongs, which decides who administers the account; null is the installation.';
COMMENT ON COLUMN users.password_expires_at IS 'Until when a one-time password can be used.';
COMMENT ON COLUMN users.totp_secret IS 'Encrypted with a key made of FLEET_SECRET_KEY. totp_pending is one not confirmed yet.';
COMMENT ON COLUMN users.totp_last_step IS 'The time step of the last code taken: a code counts once.';
CREATE UNIQUE INDEX users_by_name ON users (lower(username COLLATE "C"));
CREATE INDEX users_by_organisation ON users (organisation_id);

CREATE TABLE user_roles (
    user_role_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    role text NOT NULL CHECK (role IN (
        'support', 'service', 'mdm_admin', 'logistics', 'secretariat', 'auditor', 'admin', 'grafana')),
    organisation_id integer REFERENCES organisations,
    granted_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (user_id, role, organisation_id)
);
COMMENT ON TABLE user_roles IS 'What a person may do, over an organisation with all below it; a null organisation is the whole installation.';
CREATE INDEX user_roles_by_organisation ON user_roles (organisation_id);

CREATE TABLE recovery_codes (
    user_id bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    code_hash bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    PRIMARY KEY (user_id, code_hash)
);
COMMENT ON TABLE recovery_codes IS 'Stand in for the second factor, each once; hashes of random codes.';

CREATE TABLE sessions (
    session_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    secret_hash bytea NOT NULL UNIQUE,
    user_id bigint REFERENCES users ON DELETE CASCADE,
    token_id bigint REFERENCES tokens ON DELETE CASCADE,
    method text NOT NULL CHECK (method IN ('password', 'oidc', 'token')),
    stage text NOT NULL CHECK (stage IN ('code', 'open')),
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    origin text,
    CHECK (num_nonnulls(user_id, token_id) = 1),
    CHECK ((token_id IS NOT NULL) = (method = 'token'))
);
COMMENT ON TABLE sessions IS 'Logins of the console, by the hash of a random secret that only the browser has.';
COMMENT ON COLUMN sessions.stage IS 'code: the password was right and the second factor is still to come.';
CREATE INDEX sessions_by_user ON sessions (user_id) WHERE user_id IS NOT NULL;
CREATE INDEX sessions_by_token ON sessions (token_id) WHERE token_id IS NOT NULL;
CREATE INDEX sessions_by_end ON sessions (expires_at);

-- Attempts to log in, by the hash of an account's name or of an address, whether or not there is such an account. In the
-- database, so that they count over all processes, and bounded.
CREATE TABLE login_attempts (
    key bytea PRIMARY KEY,
    failures double precision NOT NULL DEFAULT 0,
    last_at timestamptz NOT NULL DEFAULT now(),
    blocked_until timestamptz
);
COMMENT ON TABLE login_attempts IS 'How often a login failed of late, and until when no further attempt is taken.';
CREATE INDEX login_attempts_by_age ON login_attempts (last_at);

-- Accounts are administered where they belong; everybody has their own. Secrets are read by login_facts() only.
CREATE FUNCTION is_self(given bigint) RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(current_setting('fleet.principal', true) = 'user:' || given::text, false);
COMMENT ON FUNCTION is_self IS 'Whether the transaction is on behalf of this user.';

CALL guard_by_organisation('users');
CREATE POLICY own ON users TO fleet_api USING (is_self(user_id)) WITH CHECK (is_self(user_id));
REVOKE SELECT, INSERT, UPDATE, DELETE ON users FROM fleet_api, fleet_worker, fleet_ingest;
GRANT SELECT (user_id, username, organisation_id, password_changed_at, password_expires_at, must_change_password,
    totp_confirmed_at, totp_last_step, oidc_issuer, oidc_subject, disabled_at, last_login_at, created_at, created_by, revision, updated_at),
    INSERT (username, organisation_id, password_hash, password_changed_at, password_expires_at, must_change_password,
    oidc_issuer, oidc_subject, created_by),
    UPDATE (organisation_id, password_hash, password_changed_at, password_expires_at, must_change_password, totp_secret,
    totp_pending, totp_confirmed_at, totp_last_step, disabled_at, last_login_at, revision, updated_at)
    ON users TO fleet_api;
CALL audited('users', 'password_hash', 'totp_secret', 'totp_pending', 'totp_last_step', 'oidc_subject', 'last_login_at');

CALL guard_by_organisation('user_roles');
CREATE POLICY own ON user_roles FOR SELECT TO fleet_api USING (is_self(user_id));
REVOKE SELECT, INSERT, UPDATE, DELETE ON user_roles FROM fleet_worker, fleet_ingest;
REVOKE UPDATE ON user_roles FROM fleet_api;
CALL audited('user_roles');

CREATE PROCEDURE guard_by_user(t regclass) LANGUAGE plpgsql AS $$
DECLARE
    rule text := format('(SELECT sees_all()) OR EXISTS (SELECT FROM users u WHERE u.user_id = %s.user_id)', t);
BEGIN
    CALL admit_processes(t);
    EXECUTE format('CREATE POLICY scope ON %s TO fleet_api USING (%s) WITH CHECK (%s)', t, rule, rule);
    EXECUTE format('REVOKE SELECT, INSERT, UPDATE, DELETE ON %s FROM fleet_worker, fleet_ingest', t);
END
$$;
COMMENT ON PROCEDURE guard_by_user IS 'Rows of a user who is visible.';

CALL guard_by_user('recovery_codes');
CALL guard_by_user('sessions');
REVOKE SELECT, INSERT, UPDATE, DELETE ON sessions FROM fleet_api;
GRANT SELECT (session_id, user_id, token_id, method, stage, created_at, last_used_at, expires_at, revoked_at, origin),
    UPDATE (revoked_at) ON sessions TO fleet_api;

CALL guard_installation('login_attempts');
REVOKE SELECT, INSERT, UPDATE, DELETE ON login_attempts FROM fleet_api, fleet_worker, fleet_ingest;

-- What a login is checked against, for one account. Asked before there is any scope.
CREATE FUNCTION login_facts(given_name text, given_id bigint)
RETURNS TABLE (user_id bigint, username text, organisation_id integer, password_hash text, password_expired boolean,
               totp_secret bytea, totp_pending bytea, totp_last_step bigint, disabled boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT u.user_id, u.username, u.organisation_id, u.password_hash, coalesce(u.password_expires_at <= now(), false),
           u.totp_secret, u.totp_pending, u.totp_last_step, u.disabled_at IS NOT NULL
    FROM users u
    WHERE lower(u.username COLLATE "C") = lower(given_name COLLATE "C") OR (given_name IS NULL AND u.user_id = given_id)
$$;

CREATE FUNCTION any_user() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
RETURN EXISTS (SELECT FROM users);

-- Everything a person may do, with the organisations each role reaches; whoever asks, so that nobody changes the account
-- of somebody who may do more than they see.
CREATE FUNCTION user_grants(given_user bigint)
RETURNS TABLE (role text, organisation_id integer, organisations integer[], own integer[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT r.role, r.organisation_id, CASE WHEN r.organisation_id IS NOT NULL THEN scope_of(r.organisation_id) END,
           CASE WHEN r.organisation_id IS NOT NULL THEN subtree_of(ARRAY[r.organisation_id]) END
    FROM user_roles r WHERE r.user_id = given_user
    ORDER BY r.role, r.organisation_id
$$;

CREATE FUNCTION begin_session(
    given_hash bytea, given_user bigint, given_token bigint, given_method text, given_stage text, lives interval,
    given_origin text
) RETURNS bigint LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO sessions (secret_hash, user_id, token_id, method, stage, expires_at, origin)
    VALUES (given_hash, given_user, given_token, given_method, given_stage, now() + lives, given_origin)
    RETURNING session_id
$$;

CREATE FUNCTION end_session(given_hash bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE sessions SET revoked_at = now() WHERE secret_hash = given_hash AND revoked_at IS NULL
$$;

-- Who holds the secret of a session. last_used_at moves at most once a minute, as with tokens, and not for what a page
-- asks by itself while nobody touches it.
CREATE FUNCTION authenticate_session(given_hash bytea, idle interval, by_hand boolean)
RETURNS TABLE (session_id bigint, user_id bigint, token_id bigint, name text, organisation_id integer, method text, stage text,
               must_change_password boolean, has_second_factor boolean, ended boolean, grants jsonb)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH found AS (
        SELECT s.*, coalesce(u.username, t.name) AS name, coalesce(u.organisation_id, t.organisation_id) AS home, t.role,
               u.must_change_password, u.totp_secret IS NOT NULL AS has_second_factor,
               s.revoked_at IS NOT NULL OR s.expires_at <= now() OR s.last_used_at <= now() - idle
               OR u.disabled_at IS NOT NULL OR t.revoked_at IS NOT NULL OR coalesce(t.expires_at <= now(), false) AS ended
        FROM sessions s LEFT JOIN users u USING (user_id) LEFT JOIN tokens t USING (token_id)
        WHERE s.secret_hash = given_hash
    ), used AS (
        UPDATE sessions s SET last_used_at = now() FROM found f
        WHERE s.session_id = f.session_id AND by_hand AND NOT f.ended AND f.last_used_at < now() - interval '1 minute'
    ), token_used AS (
        UPDATE tokens t SET last_used_at = now() FROM found f
        WHERE t.token_id = f.token_id AND NOT f.ended
          AND (t.last_used_at IS NULL OR t.last_used_at < now() - interval '1 minute')
    ), granted AS (
        SELECT g.role, g.organisation_id, g.organisations, g.own FROM found f, user_grants(f.user_id) g
        UNION ALL
        SELECT f.role, f.home, CASE WHEN f.home IS NOT NULL THEN scope_of(f.home) END,
               CASE WHEN f.home IS NOT NULL THEN subtree_of(ARRAY[f.home]) END FROM found f
        WHERE f.token_id IS NOT NULL
    )
    SELECT f.session_id, f.user_id, f.token_id, f.name, f.home, f.method, f.stage, coalesce(f.must_change_password, false),
           coalesce(f.has_second_factor, false), f.ended,
           (SELECT coalesce(jsonb_agg(to_jsonb(g) ORDER BY g.role, g.organisation_id), '[]') FROM granted g)
    FROM found f
$$;

-- One attempt to log in: 0 when it may be made, else for how many seconds not yet. It counts as failed until it is given
-- back. waits: seconds to wait after the first, second … failure, the last for all further ones; one failure is forgotten
-- every forget_s seconds.
CREATE FUNCTION take_login_attempt(given_key bytea, waits double precision[], forget_s double precision)
RETURNS double precision LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    present timestamptz := clock_timestamp();
    a login_attempts;
    counted double precision;
BEGIN
    IF random() < 0.01 THEN
        PERFORM forget_old_attempts(100000);
    END IF;
    INSERT INTO login_attempts AS l (key) VALUES (given_key) ON CONFLICT (key) DO UPDATE SET key = l.key RETURNING * INTO a;
    IF a.blocked_until > present THEN
        RETURN extract(epoch FROM a.blocked_until - present);
    END IF;
    counted := greatest(0, a.failures - greatest(0, extract(epoch FROM present - a.last_at)) / forget_s) + 1;
    UPDATE login_attempts SET failures = counted, last_at = present, blocked_until =
        present + make_interval(secs => waits[least(round(counted)::integer, cardinality(waits))])
    WHERE key = given_key;
    RETURN 0;
END
$$;

CREATE FUNCTION give_back_login_attempt(given_key bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE login_attempts SET failures = greatest(0, failures - 1), blocked_until = NULL WHERE key = given_key
$$;

CREATE FUNCTION forget_login_attempts(given_key bytea) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    DELETE FROM login_attempts WHERE key = given_key
$$;

-- Never more than so many rows, whoever tries which names: the oldest go first.
CREATE FUNCTION forget_old_attempts(most bigint) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH gone AS (
        DELETE FROM login_attempts WHERE key IN (
            SELECT key FROM login_attempts
            WHERE last_at < now() - interval '2 days' OR key IN (
                SELECT key FROM login_attempts ORDER BY last_at
                LIMIT greatest(0, (SELECT count(*) FROM login_attempts) - most))
            FOR UPDATE SKIP LOCKED)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;

REVOKE EXECUTE ON FUNCTION login_facts, any_user, user_grants, begin_session, end_session, authenticate_session, take_login_attempt,
    give_back_login_attempt, forget_login_attempts, forget_old_attempts FROM PUBLIC;
GRANT EXECUTE ON FUNCTION login_facts, any_user, user_grants, begin_session, end_session, authenticate_session, take_login_attempt,
    give_back_login_attempt, forget_login_attempts TO fleet_api;

-- Who may see what: the tree of organisations, scopes, and the policies every table gets.

ALTER TABLE organisations
    ADD COLUMN kind text NOT NULL DEFAULT 'other' CHECK (kind IN (
        'region', 'municipality', 'hospital', 'operator', 'supplier', 'lessor', 'other')),
    ADD COLUMN parent_id integer REFERENCES organisations,
    ADD COLUMN active boolean NOT NULL DEFAULT true,
    ADD COLUMN revision integer NOT NULL DEFAULT 1,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD CHECK (parent_id <> organisation_id);
CREATE INDEX organisations_by_parent ON organisations (parent_id);
COMMENT ON TABLE organisations IS 'Parties in a tree: what is below one is seen by it.';

-- An operator sees the organisations it has agreements with, and what is below them.
CREATE TABLE agreements (
    agreement_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    operator_id integer NOT NULL REFERENCES organisations,
    organisation_id integer NOT NULL REFERENCES organisations,
    valid_from timestamptz NOT NULL DEFAULT now(),
    valid_until timestamptz,
    note text NOT NULL DEFAULT '',
    revision integer NOT NULL DEFAULT 1,
    CHECK (valid_until > valid_from),
    CHECK (operator_id <> organisation_id)
);
CREATE INDEX agreements_by_operator ON agreements (operator_id);

-- What a reading database login sees; set by an administrator only. A null organisation means everything.
CREATE TABLE database_scopes (
    role_name text COLLATE "C" PRIMARY KEY,
    organisation_id integer REFERENCES organisations
);
-- Readers of before saw everything and go on to.
INSERT INTO database_scopes (role_name)
SELECT r.rolname FROM pg_auth_members m JOIN pg_roles r ON r.oid = m.member JOIN pg_roles g ON g.oid = m.roleid
WHERE g.rolname = 'fleet_grafana' AND r.rolcanlogin AND NOT r.rolsuper;

CREATE FUNCTION subtree_of(roots integer[]) RETURNS integer[] LANGUAGE sql STABLE AS $$
    WITH RECURSIVE below AS (
        SELECT organisation_id FROM organisations WHERE organisation_id = ANY (roots)
        UNION
        SELECT o.organisation_id FROM organisations o JOIN below b ON o.parent_id = b.organisation_id
    )
    SELECT coalesce(array_agg(organisation_id ORDER BY organisation_id), '{}') FROM below
$$;
COMMENT ON FUNCTION subtree_of IS 'The organisations and everything below them.';

-- The tree stays a tree.
CREATE FUNCTION refuse_cycle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.parent_id = ANY (subtree_of(ARRAY[NEW.organisation_id])) THEN
        RAISE EXCEPTION 'organisation % would be below itself', NEW.slug
            USING ERRCODE = 'check_violation', CONSTRAINT = 'organisations_are_a_tree';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER organisations_are_a_tree BEFORE UPDATE OF parent_id ON organisations
    FOR EACH ROW WHEN (NEW.parent_id IS NOT NULL) EXECUTE FUNCTION refuse_cycle();

CREATE FUNCTION scope_of(home integer) RETURNS integer[] LANGUAGE sql STABLE AS $$
    SELECT subtree_of(own || ARRAY(
        SELECT organisation_id FROM agreements
        WHERE operator_id = ANY (own) AND valid_from <= now() AND (valid_until IS NULL OR valid_until > now())))
    FROM subtree_of(ARRAY[home]) AS own
$$;
COMMENT ON FUNCTION scope_of IS 'What somebody placed at this organisation sees: its subtree, and by agreement that of others.';

-- What the login itself may see, for readers that are no process of ours (dashboards): nothing a reader sets widens it.
CREATE FUNCTION login_sees_all() RETURNS boolean LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = session_user AND rolsuper)
        OR pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = 'kits'::regclass), 'USAGE')
        OR EXISTS (SELECT FROM database_scopes WHERE role_name = session_user AND organisation_id IS NULL)
$$;
CREATE FUNCTION login_organisations() RETURNS integer[] LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT coalesce(
        (SELECT scope_of(organisation_id) FROM database_scopes
         WHERE role_name = session_user AND organisation_id IS NOT NULL), '{}')
$$;

CREATE FUNCTION sees_all() RETURNS boolean LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE current_user
    WHEN 'fleet_api' THEN coalesce(current_setting('fleet.scope', true) = '*', false)
    WHEN 'fleet_worker' THEN true
    WHEN 'fleet_ingest' THEN true
    ELSE login_sees_all()
END;
COMMENT ON FUNCTION sees_all IS 'Whether the reader is bound to no organisation. For the API it is what the transaction says.';

CREATE FUNCTION seen_organisations() RETURNS integer[] LANGUAGE sql STABLE PARALLEL SAFE
RETURN CASE
    WHEN current_user <> 'fleet_api' THEN login_organisations()
    WHEN coalesce(current_setting('fleet.scope', true), '') IN ('', '*') THEN '{}'::integer[]
    ELSE current_setting('fleet.scope', true)::integer[]
END;
COMMENT ON FUNCTION seen_organisations IS
    'The organisations that the reader sees. Write `= ANY ((SELECT seen_organisations())::integer[])`: asked once per statement.';

-- Every table gets one of the following; a test reads the catalogue and finds those that have none.
CREATE PROCEDURE admit_processes(t regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', t);
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO fleet_worker, fleet_api', t);
    EXECUTE format('GRANT SELECT ON %s TO fleet_ingest', t);
    EXECUTE format('CREATE POLICY processes ON %s TO fleet_worker, fleet_ingest USING (true) WITH CHECK (true)', t);
END
$$;

CREATE FUNCTION has_column(t regclass, wanted text) RETURNS boolean LANGUAGE sql STABLE
RETURN EXISTS (SELECT FROM pg_attribute WHERE attrelid = t AND attname = wanted AND NOT attisdropped);

CREATE PROCEDURE guard_by_organisation(t regclass) LANGUAGE plpgsql AS $$
DECLARE
    seen text := 'ANY ((SELECT seen_organisations())::integer[])';
    rule text := '(SELECT sees_all()) OR organisation_id = ' || seen;
BEGIN
    CALL admit_processes(t);
    IF has_column(t, 'owner_id') THEN
        rule := rule || ' OR owner_id = ' || seen;
    ELSIF has_column(t, 'kit_id') THEN
        rule := rule || format(' OR EXISTS (SELECT FROM kits k WHERE k.kit_id = %s.kit_id AND k.owner_id = %s)', t, seen);
    END IF;
    EXECUTE format('CREATE POLICY scope ON %s TO fleet_api USING (%s) WITH CHECK (%s)', t, rule, rule);
END
$$;
COMMENT ON PROCEDURE guard_by_organisation IS 'Rows of an organisation in scope; its owner sees all of a kit.';

CREATE PROCEDURE guard_by_kit(t regclass) LANGUAGE plpgsql AS $$
DECLARE
    rule text := format('(SELECT sees_all()) OR EXISTS (SELECT FROM kits k WHERE k.kit_id = %s.kit_id)', t);
BEGIN
    CALL admit_processes(t);
    EXECUTE format('CREATE POLICY scope ON %s TO fleet_api USING (%s) WITH CHECK (%s)', t, rule, rule);
END
$$;
COMMENT ON PROCEDURE guard_by_kit IS 'Rows of a kit that is visible itself.';

CREATE PROCEDURE guard_by_component(t regclass) LANGUAGE plpgsql AS $$
DECLARE
    rule text := format(
        '(SELECT sees_all()) OR EXISTS (SELECT FROM components c WHERE c.component_id = %s.component_id)', t);
BEGIN
    CALL admit_processes(t);
    EXECUTE format('CREATE POLICY scope ON %s TO fleet_api USING (%s) WITH CHECK (%s)', t, rule, rule);
END
$$;
COMMENT ON PROCEDURE guard_by_component IS 'Rows of a component that is visible itself.';

CREATE PROCEDURE guard_installation(t regclass) LANGUAGE plpgsql AS $$
BEGIN
    CALL admit_processes(t);
    EXECUTE format('CREATE POLICY installation ON %s TO fleet_api USING ((SELECT sees_all())) WITH CHECK ((SELECT sees_all()))', t);
END
$$;
COMMENT ON PROCEDURE guard_installation IS 'Only for those who are bound to no organisation.';

CREATE PROCEDURE share(t regclass) LANGUAGE plpgsql AS $$
BEGIN
    CALL admit_processes(t);
    EXECUTE format('CREATE POLICY shared ON %s FOR SELECT TO fleet_api USING (true)', t);
    EXECUTE format('CREATE POLICY shared_insert ON %s FOR INSERT TO fleet_api WITH CHECK (true)', t);
    EXECUTE format('CREATE POLICY shared_update ON %s FOR UPDATE TO fleet_api USING ((SELECT sees_all()))', t);
    EXECUTE format('CREATE POLICY shared_delete ON %s FOR DELETE TO fleet_api USING ((SELECT sees_all()))', t);
END
$$;
COMMENT ON PROCEDURE share IS
    'A catalogue that holds nothing of anybody: seen and added to by all, changed by who is bound to no organisation.';

-- Organisations: suppliers, lessors and operators are a directory for all; everybody else is seen by scope.
CALL admit_processes('organisations');
CREATE POLICY scope ON organisations FOR SELECT TO fleet_api USING (
    (SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[])
    OR parent_id = ANY ((SELECT seen_organisations())::integer[]) OR kind IN ('supplier', 'lessor', 'operator'));
CREATE POLICY scope_insert ON organisations FOR INSERT TO fleet_api WITH CHECK (
    (SELECT sees_all()) OR parent_id = ANY ((SELECT seen_organisations())::integer[]));
-- The root of a scope keeps its place: only those above it may move it, and only to where they are as well. The function
-- sees the row as it was before the statement.
CREATE FUNCTION parent_before(child integer) RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT
RETURN (SELECT o.parent_id FROM organisations o WHERE o.organisation_id = child);
REVOKE EXECUTE ON FUNCTION parent_before FROM PUBLIC;
GRANT EXECUTE ON FUNCTION parent_before TO fleet_api;
CREATE POLICY scope_update ON organisations FOR UPDATE TO fleet_api
    USING ((SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[]))
    WITH CHECK ((SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[])
        AND (parent_id IS NOT DISTINCT FROM parent_before(organisation_id)
            OR ARRAY[parent_id, parent_before(organisation_id)] <@ (SELECT seen_organisations())::integer[]));
CALL guard_by_organisation('agreements');
CALL guard_installation('database_scopes');

-- Tokens: bound to an organisation, or to none (the whole installation).
ALTER TABLE tokens ADD COLUMN organisation_id integer REFERENCES organisations, ADD COLUMN created_by text;
CALL guard_by_organisation('tokens');
REVOKE SELECT, UPDATE, DELETE ON tokens FROM fleet_api;
GRANT SELECT (token_id, name, role, hint, created_at, expires_at, revoked_at, last_used_at, organisation_id, created_by),
    UPDATE (revoked_at) ON tokens TO fleet_api;

-- Who holds a secret, asked before there is any scope. last_used_at moves at most once a minute, so that reading does
-- not turn into writing.
CREATE FUNCTION authenticate_token(given_hash bytea, given_id bigint)
RETURNS TABLE (token_id bigint, name text, role text, organisation_id integer, organisations integer[], own integer[],
               revoked boolean, expired boolean)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH found AS (
        SELECT t.*, t.revoked_at IS NOT NULL AS is_revoked, coalesce(t.expires_at <= now(), false) AS is_expired
        FROM tokens t WHERE t.secret_hash = given_hash OR (given_hash IS NULL AND t.token_id = given_id)
    ), used AS (
        UPDATE tokens t SET last_used_at = now() FROM found f
        WHERE t.token_id = f.token_id AND NOT f.is_revoked AND NOT f.is_expired
          AND (f.last_used_at IS NULL OR f.last_used_at < now() - interval '1 minute')
    )
    SELECT f.token_id, f.name, f.role, f.organisation_id,
           CASE WHEN f.organisation_id IS NOT NULL THEN scope_of(f.organisation_id) END,
           CASE WHEN f.organisation_id IS NOT NULL THEN subtree_of(ARRAY[f.organisation_id]) END, f.is_revoked, f.is_expired
    FROM found f
$$;

-- Answers to POST requests are the caller's own, whether a token or a person.
DROP TABLE idempotency_keys;
CREATE TABLE idempotency_keys (
    principal text NOT NULL,
    key text NOT NULL,
    request_hash bytea NOT NULL,
    status integer NOT NULL,
    body json,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (principal, key)
);
CALL admit_processes('idempotency_keys');
CREATE POLICY own ON idempotency_keys TO fleet_api USING (principal = (SELECT current_setting('fleet.principal', true)))
    WITH CHECK (principal = (SELECT current_setting('fleet.principal', true)));

GRANT SELECT ON alembic_version TO fleet_api, fleet_worker, fleet_ingest;

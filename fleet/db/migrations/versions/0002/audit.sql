-- Who changed or read what: append-only, for everybody.

CREATE TABLE audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL DEFAULT coalesce(nullif(current_setting('fleet.actor', true), ''), session_user),
    principal text DEFAULT nullif(current_setting('fleet.principal', true), ''),
    origin text DEFAULT nullif(current_setting('fleet.origin', true), ''),
    action text NOT NULL,
    subject_kind text NOT NULL,
    subject text,
    organisation_id integer,
    before jsonb,
    after jsonb,
    reason text
);
COMMENT ON TABLE audit IS 'Who did what, when and from where; also reads of what is sensitive. Never changed.';
CREATE INDEX audit_by_subject ON audit (subject_kind, subject, audit_id);
CREATE INDEX audit_by_actor ON audit (actor, audit_id);
CREATE INDEX audit_in_order ON audit (tx, audit_id);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE PROCEDURE append_only(t regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM fleet_api, fleet_worker, fleet_ingest', t);
    EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %s FOR EACH ROW EXECUTE FUNCTION refuse_change()', t);
    EXECUTE format('CREATE TRIGGER append_only_whole BEFORE TRUNCATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', t);
END
$$;
COMMENT ON PROCEDURE append_only IS 'Refuses UPDATE, DELETE and TRUNCATE to everybody, the owner included.';

CALL guard_by_organisation('audit');
REVOKE INSERT ON audit FROM fleet_api;
CALL append_only('audit');

CREATE FUNCTION note_audit(
    action text, subject_kind text, subject text, organisation_id integer,
    before jsonb DEFAULT NULL, after jsonb DEFAULT NULL, reason text DEFAULT NULL
) RETURNS bigint LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO audit (action, subject_kind, subject, organisation_id, before, after, reason)
    VALUES (action, subject_kind, subject, organisation_id, before, after, reason)
    RETURNING audit_id
$$;
COMMENT ON FUNCTION note_audit IS 'One line of the audit; the actor is what the transaction says.';

-- TG_ARGV: the key's column, then the columns that are left out.
CREATE FUNCTION audit_rows() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    key text := TG_ARGV[0];
    hidden text[] := TG_ARGV[1:] || ARRAY['revision', 'updated_at', 'last_used_at'];
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO audit (action, subject_kind, subject, organisation_id, after)
        SELECT TG_TABLE_NAME || '.created', TG_TABLE_NAME, r ->> key, (r ->> 'organisation_id')::integer,
               jsonb_strip_nulls(r - hidden)
        FROM (SELECT to_jsonb(n) AS r FROM new_rows n) rows;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO audit (action, subject_kind, subject, organisation_id, before)
        SELECT TG_TABLE_NAME || '.deleted', TG_TABLE_NAME, r ->> key, (r ->> 'organisation_id')::integer,
               jsonb_strip_nulls(r - hidden)
        FROM (SELECT to_jsonb(o) AS r FROM old_rows o) rows;
    ELSE
        INSERT INTO audit (action, subject_kind, subject, organisation_id, before, after)
        SELECT TG_TABLE_NAME || '.changed', TG_TABLE_NAME, n ->> key, (n ->> 'organisation_id')::integer, d.before, d.after
        FROM (SELECT to_jsonb(o) AS o FROM old_rows o) olds
        JOIN (SELECT to_jsonb(n) AS n FROM new_rows n) news ON o ->> key = n ->> key,
        LATERAL (SELECT jsonb_object_agg(e.key, o -> e.key) AS before, jsonb_object_agg(e.key, e.value) AS after
                 FROM jsonb_each(n - hidden) e WHERE e.value IS DISTINCT FROM o -> e.key) d
        WHERE d.after IS NOT NULL;
    END IF;
    RETURN NULL;
END
$$;

CREATE PROCEDURE audited(t regclass, VARIADIC hidden text[] DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
    key text := (SELECT attname FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
                 WHERE i.indrelid = t AND i.indisprimary);
    arguments text := (SELECT string_agg(quote_literal(a), ', ') FROM unnest(key || hidden) AS a);
BEGIN
    EXECUTE format('CREATE TRIGGER audit_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION audit_rows(%s)', t, arguments);
    EXECUTE format('CREATE TRIGGER audit_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION audit_rows(%s)', t, arguments);
    EXECUTE format('CREATE TRIGGER audit_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION audit_rows(%s)', t, arguments);
END
$$;
COMMENT ON PROCEDURE audited IS 'Every change of the table is noted in the audit, without the columns named.';

CALL audited('organisations');
CALL audited('agreements');
CALL audited('database_scopes');
CALL audited('tokens', 'secret_hash', 'hint');

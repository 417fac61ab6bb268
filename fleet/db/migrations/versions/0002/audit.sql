-- Who changed or read what: append-only for everybody, and chained by hashes so that tampering shows.

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
    kit_id integer,
    before jsonb CHECK (jsonb_typeof(before) = 'object'),
    after jsonb CHECK (jsonb_typeof(after) = 'object'),
    reason text DEFAULT nullif(current_setting('fleet.reason', true), ''),
    salt uuid DEFAULT gen_random_uuid(),
    redacted_at timestamptz,
    CHECK ((salt IS NULL) = (redacted_at IS NOT NULL))
);
COMMENT ON TABLE audit IS 'Who did what, when and from where; also reads of what is sensitive. Never changed.';
COMMENT ON COLUMN audit.subject IS 'The key of the row that was changed; null when one line tells of many rows.';
COMMENT ON COLUMN audit.salt IS 'Goes into the digest of before, after and reason, and away with them.';
CREATE INDEX audit_in_order ON audit (tx, audit_id);
CREATE INDEX audit_by_time ON audit (at, audit_id);
CREATE INDEX audit_by_subject ON audit (subject_kind, subject, at, audit_id);
CREATE INDEX audit_by_actor ON audit (actor, at, audit_id);
CREATE INDEX audit_by_action ON audit (action, at, audit_id);
CREATE INDEX audit_by_kit ON audit (kit_id, at, audit_id) WHERE kit_id IS NOT NULL;

-- The chain (fleet/access/chain.py): a link for each row, in the order (tx, audit_id), made once no row can come before.
CREATE TABLE audit_chain (
    position bigint PRIMARY KEY CHECK (position > 0),
    audit_id bigint NOT NULL UNIQUE,
    digest bytea NOT NULL CHECK (octet_length(digest) = 32),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32)
);
COMMENT ON TABLE audit_chain IS 'A hash of every line of the audit and the one before it; says nothing by itself.';

-- What stands in place of the beginning of the chain once that was removed past its time.
CREATE TABLE audit_anchors (
    position bigint PRIMARY KEY CHECK (position > 0),
    hash bytea NOT NULL CHECK (octet_length(hash) = 32),
    removed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE audit_anchors IS 'Where the chain begins after its oldest lines were removed past their time.';

-- Up to where rows were chained. Transaction numbers mean something on one server only: after a restore from a dump
-- they begin anew, which the server's identifier tells. floor_id: rows up to it are of an earlier server. While those of
-- them that have no link yet are chained, by number, tx is null.
CREATE TABLE audit_sealer (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    system_identifier bigint,
    tx xid8 DEFAULT '0',
    audit_id bigint NOT NULL DEFAULT 0,
    floor_id bigint NOT NULL DEFAULT 0
);
COMMENT ON TABLE audit_sealer IS 'Where the making of the chain stands.';
INSERT INTO audit_sealer DEFAULT VALUES;

-- TG_ARGV: columns that a redaction may change. `fleet.lifted` is set by the functions for redaction and retention
-- while they run; whoever may not change the table anyway gains nothing by setting it.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lifted text := coalesce(current_setting('fleet.lifted', true), '');
BEGIN
    IF TG_OP = 'DELETE' AND lifted = 'retention' THEN
        RETURN OLD;
    ELSIF TG_OP = 'UPDATE' AND lifted = 'redaction' AND to_jsonb(NEW) - TG_ARGV = to_jsonb(OLD) - TG_ARGV THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'insufficient_privilege';
END
$$;

CREATE PROCEDURE append_only(t regclass, VARIADIC erasable text[] DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
    arguments text := coalesce((SELECT string_agg(quote_literal(e), ', ') FROM unnest(erasable) AS e), '');
BEGIN
    EXECUTE format('REVOKE UPDATE, DELETE, TRUNCATE ON %s FROM fleet_api, fleet_worker, fleet_ingest', t);
    EXECUTE format('CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON %s
        FOR EACH ROW EXECUTE FUNCTION refuse_change(%s)', t, arguments);
    EXECUTE format('CREATE OR REPLACE TRIGGER append_only_whole BEFORE TRUNCATE ON %s
        FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', t);
END
$$;
COMMENT ON PROCEDURE append_only IS
    'Refuses UPDATE, DELETE and TRUNCATE to everybody, the owner included. The named columns can be redacted by a function made for it.';

-- The audit's own guard stands in the part `retention`: it asks for the owner of a kit.
CALL guard_installation('audit_chain');
REVOKE INSERT ON audit_chain FROM fleet_api;
CALL append_only('audit_chain');
CALL guard_installation('audit_anchors');
REVOKE INSERT ON audit_anchors FROM fleet_api, fleet_worker;
CALL append_only('audit_anchors');
CALL guard_installation('audit_sealer');
REVOKE INSERT, UPDATE, DELETE ON audit_sealer FROM fleet_api;
REVOKE INSERT, DELETE ON audit_sealer FROM fleet_worker;

CREATE FUNCTION note_audit(
    action text, subject_kind text, subject text, organisation_id integer,
    before jsonb DEFAULT NULL, after jsonb DEFAULT NULL, reason text DEFAULT NULL, kit_id integer DEFAULT NULL
) RETURNS bigint LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    INSERT INTO audit (action, subject_kind, subject, organisation_id, kit_id, before, after, reason)
    VALUES (action, subject_kind, subject, organisation_id, kit_id, before, after,
            coalesce(reason, nullif(current_setting('fleet.reason', true), '')))
    RETURNING audit_id
$$;
COMMENT ON FUNCTION note_audit IS 'One line of the audit; the actor is what the transaction says.';
REVOKE EXECUTE ON FUNCTION note_audit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION note_audit TO fleet_api, fleet_worker, fleet_ingest;

-- After a restore on another server: what is there now is chained by number, what comes by transaction again. The lock
-- waits for those who are writing, so that no number up to the floor can still appear; once in the life of a server.
CREATE FUNCTION begin_chain_on(identifier bigint) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF EXISTS (SELECT FROM audit_sealer WHERE system_identifier IS NOT NULL) THEN
        LOCK TABLE audit IN SHARE ROW EXCLUSIVE MODE;
        UPDATE audit_sealer SET tx = NULL, audit_id = 0, floor_id = (SELECT coalesce(max(a.audit_id), 0) FROM audit a);
    END IF;
    UPDATE audit_sealer SET system_identifier = identifier;
END
$$;
REVOKE EXECUTE ON FUNCTION begin_chain_on FROM PUBLIC;
GRANT EXECUTE ON FUNCTION begin_chain_on TO fleet_worker;

-- The last link, for whoever may read the audit at all: it tells nothing of what is in the rows. Counted are the lines
-- that wait for their link, a million at most.
CREATE FUNCTION audit_head(OUT "position" bigint, OUT hash bytea, OUT unsealed bigint, OUT unsealed_since timestamptz)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    s audit_sealer;
BEGIN
    SELECT l.position, l.hash INTO "position", hash FROM (
        SELECT c.position, c.hash FROM audit_chain c UNION ALL SELECT a.position, a.hash FROM audit_anchors a
        ORDER BY position DESC LIMIT 1) l;
    "position" := coalesce("position", 0);
    hash := coalesce(hash, decode(repeat('00', 32), 'hex'));
    SELECT * INTO s FROM audit_sealer;
    IF s.tx IS NULL THEN
        SELECT count(*), min(w.at) INTO unsealed, unsealed_since FROM (
            SELECT a.at FROM audit a
            WHERE a.audit_id > s.audit_id AND NOT EXISTS (SELECT FROM audit_chain c WHERE c.audit_id = a.audit_id)
            LIMIT 1000000) w;
    ELSE
        SELECT count(*), min(w.at) INTO unsealed, unsealed_since FROM (
            SELECT a.at FROM audit a
            WHERE (a.tx, a.audit_id) > (s.tx, s.audit_id) AND a.audit_id > s.floor_id
            ORDER BY a.tx, a.audit_id LIMIT 1000000) w;
    END IF;
END
$$;
REVOKE EXECUTE ON FUNCTION audit_head FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit_head TO fleet_api, fleet_worker;

-- A statement on more rows than this is told in one line for each organisation: how many rows, and a SHA-256 over them.
CREATE FUNCTION most_audited_rows() RETURNS integer LANGUAGE sql IMMUTABLE PARALLEL SAFE RETURN 1000;

CREATE FUNCTION audit_key(r jsonb, keys text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
BEGIN
    IF cardinality(keys) = 1 THEN
        RETURN r ->> keys[1];
    END IF;
    RETURN (SELECT string_agg(r ->> k, '/' ORDER BY n) FROM unnest(keys) WITH ORDINALITY AS u (k, n));
END
$$;

-- Whose a row is: its own organisation, or that of its kit or component. Inlined; the tables are asked when needed.
CREATE FUNCTION audit_place(r jsonb) RETURNS integer LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
    RETURN CASE
        WHEN r ? 'kit_id' THEN (SELECT k.organisation_id FROM kits k WHERE k.kit_id = (r ->> 'kit_id')::integer)
        WHEN r ? 'component_id' THEN (
            SELECT c.organisation_id FROM components c WHERE c.component_id = (r ->> 'component_id')::bigint)
    END;
END
$$;
CREATE FUNCTION audit_organisation(r jsonb) RETURNS integer LANGUAGE sql STABLE
RETURN CASE WHEN r ? 'organisation_id' THEN (r ->> 'organisation_id')::integer ELSE audit_place(r) END;

CREATE FUNCTION audit_summary(keys text[], digests bytea) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN jsonb_build_object('rows', cardinality(keys), 'first', keys[1], 'last', keys[cardinality(keys)],
                          'sha256', encode(sha256(digests), 'hex'));
COMMENT ON FUNCTION audit_summary IS
    'Many rows in one line: their keys in order (shorter ones first), and the SHA-256 of each row, in that order.';

-- The triggers of audited(). One line for each row, or for many rows a summary for each organisation, made of each row
-- as jsonb text without nulls (of a change: as it was, then as it is). A row's own reason becomes the line's.
CREATE FUNCTION audit_created() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
DECLARE
    keys text[] := string_to_array(TG_ARGV[0], ',');
    hidden text[] := TG_ARGV[1:] || ARRAY['revision', 'updated_at', 'last_used_at', 'serial_tail', 'reason'];
    given text := nullif(current_setting('fleet.reason', true), '');
BEGIN
    IF (SELECT count(*) FROM (SELECT FROM new_rows LIMIT most_audited_rows() + 1) few) <= most_audited_rows() THEN
        INSERT INTO audit (action, subject_kind, subject, organisation_id, kit_id, after, reason)
        WITH rows AS MATERIALIZED (SELECT to_jsonb(n) AS r FROM new_rows n)
        SELECT TG_TABLE_NAME || '.created', TG_TABLE_NAME, audit_key(r, keys),
               audit_organisation(r),
               (r ->> 'kit_id')::integer, jsonb_strip_nulls(r - hidden), coalesce(r ->> 'reason', given)
        FROM rows;
    ELSE
        INSERT INTO audit (action, subject_kind, organisation_id, after, reason)
        WITH rows AS MATERIALIZED (SELECT to_jsonb(n) AS r FROM new_rows n),
        digests AS MATERIALIZED (
            SELECT audit_key(r, keys) AS key, r ->> 'reason' AS reason,
                   audit_organisation(r) AS organisation,
                   sha256(convert_to(jsonb_strip_nulls(r - hidden)::text, 'UTF8')) AS digest
            FROM rows)
        SELECT TG_TABLE_NAME || '.created', TG_TABLE_NAME, organisation,
               audit_summary(array_agg(key ORDER BY length(key), key COLLATE "C"),
                             string_agg(digest, '' ORDER BY length(key), key COLLATE "C")),
               CASE WHEN min(reason) = max(reason) THEN min(reason) ELSE given END
        FROM digests GROUP BY organisation;
    END IF;
    RETURN NULL;
END
$$;

CREATE FUNCTION audit_deleted() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
DECLARE
    keys text[] := string_to_array(TG_ARGV[0], ',');
    hidden text[] := TG_ARGV[1:] || ARRAY['revision', 'updated_at', 'last_used_at', 'serial_tail'];
    given text := nullif(current_setting('fleet.reason', true), '');
BEGIN
    -- What goes past its time does not live on here.
    IF current_setting('fleet.lifted', true) = 'retention' THEN
        INSERT INTO audit (action, subject_kind, organisation_id, after)
        WITH rows AS MATERIALIZED (SELECT to_jsonb(o) AS r FROM old_rows o)
        SELECT TG_TABLE_NAME || '.removed', TG_TABLE_NAME, audit_organisation(r) AS organisation,
               jsonb_build_object('rows', count(*))
        FROM rows GROUP BY organisation;
    ELSIF (SELECT count(*) FROM (SELECT FROM old_rows LIMIT most_audited_rows() + 1) few) <= most_audited_rows() THEN
        INSERT INTO audit (action, subject_kind, subject, organisation_id, kit_id, before, reason)
        WITH rows AS MATERIALIZED (SELECT to_jsonb(o) AS r FROM old_rows o)
        SELECT TG_TABLE_NAME || '.deleted', TG_TABLE_NAME, audit_key(r, keys),
               audit_organisation(r),
               (r ->> 'kit_id')::integer, jsonb_strip_nulls(r - hidden), given
        FROM rows;
    ELSE
        INSERT INTO audit (action, subject_kind, organisation_id, before, reason)
        WITH rows AS MATERIALIZED (SELECT to_jsonb(o) AS r FROM old_rows o),
        digests AS MATERIALIZED (
            SELECT audit_key(r, keys) AS key, given AS reason,
                   audit_organisation(r) AS organisation,
                   sha256(convert_to(jsonb_strip_nulls(r - hidden)::text, 'UTF8')) AS digest
            FROM rows)
        SELECT TG_TABLE_NAME || '.deleted', TG_TABLE_NAME, organisation,
               audit_summary(array_agg(key ORDER BY length(key), key COLLATE "C"),
                             string_agg(digest, '' ORDER BY length(key), key COLLATE "C")),
               CASE WHEN min(reason) = max(reason) THEN min(reason) ELSE given END
        FROM digests GROUP BY organisation;
    END IF;
    RETURN NULL;
END
$$;

-- Only what changed is told; what changes hands is told to both. A change of the key is told with nothing before.
CREATE FUNCTION audit_changed() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
DECLARE
    keys text[] := string_to_array(TG_ARGV[0], ',');
    hidden text[] := TG_ARGV[1:] || ARRAY['revision', 'updated_at', 'last_used_at', 'serial_tail'];
BEGIN
    IF current_setting('fleet.lifted', true) = 'redaction' THEN
        INSERT INTO audit (action, subject_kind, subject, organisation_id, kit_id, after)
        WITH news AS MATERIALIZED (SELECT to_jsonb(n) AS n, audit_key(to_jsonb(n), keys) AS key FROM new_rows n),
        olds AS MATERIALIZED (SELECT to_jsonb(o) AS o, audit_key(to_jsonb(o), keys) AS key FROM old_rows o)
        SELECT TG_TABLE_NAME || '.redacted', TG_TABLE_NAME, key, audit_organisation(n),
               (n ->> 'kit_id')::integer, jsonb_build_object('columns', d.columns)
        FROM news JOIN olds USING (key),
        LATERAL (SELECT jsonb_agg(e.key ORDER BY e.key) AS columns
                 FROM jsonb_each(n - hidden) e WHERE e.value IS DISTINCT FROM o -> e.key) d
        WHERE d.columns IS NOT NULL;
    ELSIF (SELECT count(*) FROM (SELECT FROM new_rows LIMIT most_audited_rows() + 1) few) <= most_audited_rows() THEN
        INSERT INTO audit (action, subject_kind, subject, organisation_id, kit_id, before, after)
        WITH news AS MATERIALIZED (SELECT to_jsonb(n) AS n, audit_key(to_jsonb(n), keys) AS key FROM new_rows n),
        olds AS MATERIALIZED (SELECT to_jsonb(o) AS o, audit_key(to_jsonb(o), keys) AS key FROM old_rows o)
        SELECT TG_TABLE_NAME || '.changed', TG_TABLE_NAME, key, w.organisation, (n ->> 'kit_id')::integer, d.before, d.after
        FROM news LEFT JOIN olds USING (key),
        LATERAL (SELECT jsonb_object_agg(e.key, o -> e.key) AS before, jsonb_object_agg(e.key, e.value) AS after
                 FROM jsonb_each(n - hidden) e WHERE e.value IS DISTINCT FROM o -> e.key) d,
        LATERAL (SELECT audit_organisation(n) AS organisation
                 UNION SELECT (o ->> 'organisation_id')::integer WHERE o ? 'organisation_id') w
        WHERE d.after IS NOT NULL;
    ELSE
        INSERT INTO audit (action, subject_kind, organisation_id, after)
        WITH news AS MATERIALIZED (SELECT to_jsonb(n) AS n FROM new_rows n),
        olds AS MATERIALIZED (SELECT to_jsonb(o) AS o FROM old_rows o),
        pairs AS MATERIALIZED (
            SELECT news.key, n, o, jsonb_strip_nulls(o - hidden)::text AS was, jsonb_strip_nulls(n - hidden)::text AS now_is
            FROM (SELECT n, audit_key(n, keys) AS key FROM news) news
            LEFT JOIN (SELECT o, audit_key(o, keys) AS key FROM olds) olds USING (key)),
        digests AS MATERIALIZED (
            SELECT key, audit_organisation(n) AS organisation,
                   (o ->> 'organisation_id')::integer AS earlier, o ? 'organisation_id' AS had,
                   sha256(convert_to(coalesce(was, '') || now_is, 'UTF8')) AS digest
            FROM pairs WHERE was IS DISTINCT FROM now_is),
        told AS (
            SELECT key, digest, organisation FROM digests UNION ALL
            SELECT key, digest, earlier FROM digests WHERE had AND earlier IS DISTINCT FROM organisation)
        SELECT TG_TABLE_NAME || '.changed', TG_TABLE_NAME, organisation,
               audit_summary(array_agg(key ORDER BY length(key), key COLLATE "C"),
                             string_agg(digest, '' ORDER BY length(key), key COLLATE "C"))
        FROM told GROUP BY organisation;
    END IF;
    RETURN NULL;
END
$$;

CREATE PROCEDURE audited(t regclass, VARIADIC hidden text[] DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
    keys text := (SELECT string_agg(a.attname, ',' ORDER BY k.n)
                  FROM pg_index i, unnest(i.indkey) WITH ORDINALITY AS k (attnum, n), pg_attribute a
                  WHERE i.indrelid = t AND i.indisprimary AND a.attrelid = t AND a.attnum = k.attnum);
    arguments text := (SELECT string_agg(quote_literal(a), ', ') FROM unnest(keys || hidden) AS a);
BEGIN
    EXECUTE format('CREATE TRIGGER audit_insert AFTER INSERT ON %s REFERENCING NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION audit_created(%s)', t, arguments);
    IF EXISTS (SELECT FROM pg_trigger WHERE tgrelid = t AND tgname = 'append_only') THEN
        RETURN;
    END IF;
    EXECUTE format('CREATE TRIGGER audit_update AFTER UPDATE ON %s REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
        FOR EACH STATEMENT EXECUTE FUNCTION audit_changed(%s)', t, arguments);
    EXECUTE format('CREATE TRIGGER audit_delete AFTER DELETE ON %s REFERENCING OLD TABLE AS old_rows
        FOR EACH STATEMENT EXECUTE FUNCTION audit_deleted(%s)', t, arguments);
END
$$;
COMMENT ON PROCEDURE audited IS 'Every change of the table is noted in the audit, without the columns named.';

-- The same for tables that rules write as well: told is what people and programs change, not what the worker does.
CREATE PROCEDURE audited_for_people(t regclass, VARIADIC hidden text[] DEFAULT '{}') LANGUAGE plpgsql AS $$
DECLARE
    name text;
    definition text;
BEGIN
    CALL audited(t, VARIADIC hidden);
    FOR name, definition IN SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger
                            WHERE tgrelid = t AND tgname IN ('audit_insert', 'audit_update', 'audit_delete') LOOP
        EXECUTE format('DROP TRIGGER %I ON %s', name, t);
        EXECUTE replace(definition, ' EXECUTE FUNCTION ', $w$ WHEN (current_user <> 'fleet_worker') EXECUTE FUNCTION $w$);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE audited_for_people IS 'As audited(), but for what the worker does by rule.';

CALL audited('organisations');
CALL audited('agreements');
CALL audited('database_scopes');
CALL audited('tokens', 'secret_hash', 'hint');

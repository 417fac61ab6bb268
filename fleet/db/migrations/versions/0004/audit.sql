-- Reading the audit by who may see it as fast as by time.

-- What is filtered by, and then by organisation: each organisation's part is read in its order, whatever is asked for. A
-- subject tells by itself; with its kind alone it would be half of everything.
DROP INDEX audit_by_actor, audit_by_action, audit_by_subject;
CREATE INDEX audit_by_actor ON audit (actor, organisation_id, at, audit_id);
CREATE INDEX audit_by_action ON audit (action, organisation_id, at, audit_id);
CREATE INDEX audit_by_kind ON audit (subject_kind, organisation_id, at, audit_id);
CREATE INDEX audit_by_principal ON audit (principal, organisation_id, at, audit_id) WHERE principal IS NOT NULL;
CREATE INDEX audit_by_subject ON audit (subject, subject_kind, at, audit_id);

-- Lines that somebody sees as the owner of a kit and not as whose it was then.
CREATE TABLE audit_owned (
    audit_id bigint PRIMARY KEY,
    kit_id integer NOT NULL,
    owner_id integer NOT NULL,
    organisation_id integer,
    at timestamptz NOT NULL,
    actor text NOT NULL,
    principal text,
    action text NOT NULL,
    subject_kind text NOT NULL
);
COMMENT ON TABLE audit_owned IS 'Lines of the audit about kits that somebody else owns now; follows the owner.';
CREATE INDEX audit_owned_by_owner ON audit_owned (owner_id, at, audit_id)
    INCLUDE (organisation_id, actor, principal, action, subject_kind);
CREATE INDEX audit_owned_by_kit ON audit_owned (kit_id);

-- The kit's row is held as a foreign key would hold it, so that nobody changes its owner between looking and writing.
CREATE FUNCTION note_owned_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    WITH held AS MATERIALIZED (
        SELECT n.*, k.owner_id FROM new_rows n JOIN kits k ON k.kit_id = n.kit_id FOR KEY SHARE OF k)
    INSERT INTO audit_owned (audit_id, kit_id, owner_id, organisation_id, at, actor, principal, action, subject_kind)
    SELECT h.audit_id, h.kit_id, h.owner_id, h.organisation_id, h.at, h.actor, h.principal, h.action, h.subject_kind
    FROM held h
    WHERE h.owner_id IS NOT NULL AND h.owner_id IS DISTINCT FROM h.organisation_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER owned_lines_noted AFTER INSERT ON audit REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION note_owned_lines();

-- Waits for those who are writing lines about the kit; what they wrote is seen then.
CREATE FUNCTION move_owned_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM kits WHERE kit_id = NEW.kit_id FOR UPDATE;
    DELETE FROM audit_owned WHERE kit_id = NEW.kit_id;
    INSERT INTO audit_owned (audit_id, kit_id, owner_id, organisation_id, at, actor, principal, action, subject_kind)
    SELECT a.audit_id, a.kit_id, NEW.owner_id, a.organisation_id, a.at, a.actor, a.principal, a.action, a.subject_kind
    FROM audit a
    WHERE a.kit_id = NEW.kit_id AND NEW.owner_id IS NOT NULL AND NEW.owner_id IS DISTINCT FROM a.organisation_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER owned_lines_moved AFTER UPDATE OF owner_id ON kits FOR EACH ROW
    WHEN (NEW.owner_id IS DISTINCT FROM OLD.owner_id) EXECUTE FUNCTION move_owned_lines();

CREATE FUNCTION drop_owned_lines() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    DELETE FROM audit_owned o USING old_rows a WHERE o.audit_id = a.audit_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER owned_lines_dropped AFTER DELETE ON audit REFERENCING OLD TABLE AS old_rows
    FOR EACH STATEMENT EXECUTE FUNCTION drop_owned_lines();

INSERT INTO audit_owned (audit_id, kit_id, owner_id, organisation_id, at, actor, principal, action, subject_kind)
SELECT a.audit_id, a.kit_id, k.owner_id, a.organisation_id, a.at, a.actor, a.principal, a.action, a.subject_kind
FROM audit a JOIN kits k USING (kit_id)
WHERE k.owner_id IS NOT NULL AND k.owner_id IS DISTINCT FROM a.organisation_id;

CALL guard_by_organisation('audit_owned');
REVOKE INSERT, UPDATE, DELETE ON audit_owned FROM fleet_api, fleet_worker;

-- A function with its owner's rights is called by those it is made for, and one of a trigger by its trigger alone: on a
-- temporary table of one's own it would act on rows that nobody but its owner writes. Called again by whatever makes more.
CREATE PROCEDURE close_trigger_functions() LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    f regprocedure;
BEGIN
    FOR f IN SELECT p.oid FROM pg_proc p
             WHERE p.prosecdef AND p.prorettype = 'trigger'::regtype AND p.pronamespace = current_schema()::regnamespace LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', f);
    END LOOP;
END
$$;
COMMENT ON PROCEDURE close_trigger_functions IS
    'Nobody makes triggers of functions that run with their owner''s rights; to be called at the end of each migration that adds one.';
CALL close_trigger_functions();
REVOKE EXECUTE ON FUNCTION authenticate_token FROM PUBLIC;
GRANT EXECUTE ON FUNCTION authenticate_token TO fleet_api;

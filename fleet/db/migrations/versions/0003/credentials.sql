-- What a tablet enters the broker with: the password as the broker keeps it, and whether the broker has heard of it.
-- The row is the outbox as well: it is written with the fact, and waits until `applied_at` is set.

CREATE TABLE kit_credentials (
    kit_id integer PRIMARY KEY REFERENCES kits,
    generation integer NOT NULL DEFAULT 1 CHECK (generation > 0),
    state text COLLATE "C" NOT NULL DEFAULT 'issued' CHECK (state IN ('issued', 'revoked')),
    tablet_id bigint REFERENCES components,
    password_hash bytea CHECK (octet_length(password_hash) = 64),
    salt bytea CHECK (octet_length(salt) = 12),
    iterations integer CHECK (iterations > 0),
    sealed bytea CHECK (octet_length(sealed) < 200),
    issued_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    issued_by text NOT NULL,
    revoked_at timestamptz,
    revoked_by text,
    revoked_because text COLLATE "C" CHECK (revoked_because IN ('kit_gone', 'tablet_gone', 'withdrawn')),
    change bigint NOT NULL DEFAULT 1,
    wanted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    applied_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    problem text,
    CHECK ((state = 'issued') = (password_hash IS NOT NULL AND salt IS NOT NULL AND iterations IS NOT NULL)),
    CHECK ((state = 'revoked') = (revoked_at IS NOT NULL AND revoked_by IS NOT NULL AND revoked_because IS NOT NULL)),
    CHECK (sealed IS NULL OR (state = 'issued' AND applied_at IS NULL))
);
COMMENT ON TABLE kit_credentials IS 'What a kit''s tablet enters the broker with, and whether the broker was told.';
COMMENT ON COLUMN kit_credentials.generation IS 'Rises with every new password; the broker keeps it beside the password.';
COMMENT ON COLUMN kit_credentials.tablet_id IS
    'The tablet in the kit when the password was issued, which knows it: when that tablet goes, so does the password.';
COMMENT ON COLUMN kit_credentials.password_hash IS 'PBKDF2-HMAC-SHA512, as Mosquitto keeps it; away once revoked.';
COMMENT ON COLUMN kit_credentials.sealed IS 'The password, encrypted with FLEET_SECRET_KEY, until the broker has it.';
COMMENT ON COLUMN kit_credentials.change IS 'Rises with everything that the broker has to be told.';
COMMENT ON COLUMN kit_credentials.wanted_at IS 'Since when the broker is to have it so.';
COMMENT ON COLUMN kit_credentials.applied_at IS 'When the broker had it so; null while it waits.';
COMMENT ON COLUMN kit_credentials.next_attempt_at IS 'Infinity: waits for the broker''s file.';
CREATE INDEX kit_credentials_waiting ON kit_credentials (next_attempt_at) WHERE applied_at IS NULL;
CREATE INDEX kit_credentials_by_tablet ON kit_credentials (tablet_id) WHERE state = 'issued';

CALL guard_by_kit('kit_credentials');
-- The API writes what it never reads again.
REVOKE ALL ON kit_credentials FROM fleet_api, fleet_ingest;
GRANT SELECT (kit_id, generation, state, tablet_id, issued_at, issued_by, revoked_at, revoked_by, revoked_because, change,
              wanted_at, applied_at, attempts, next_attempt_at, problem),
    INSERT (kit_id, tablet_id, password_hash, salt, iterations, sealed, issued_by, next_attempt_at),
    UPDATE (generation, state, tablet_id, password_hash, salt, iterations, sealed, issued_at, issued_by, revoked_at,
            revoked_by, revoked_because, change, wanted_at, applied_at, attempts, next_attempt_at, problem)
    ON kit_credentials TO fleet_api;
REVOKE INSERT, DELETE ON kit_credentials FROM fleet_worker;
-- Issued and revoked is told; how far the broker is with it is the machine's doing and stands in the row.
CALL audited('kit_credentials', 'password_hash', 'salt', 'iterations', 'sealed', 'change', 'wanted_at', 'applied_at',
             'attempts', 'next_attempt_at', 'problem');
COMMENT ON COLUMN kits.credentials_revoked_at IS
    'Since when no credentials of it count any more (scrapped, returned, withdrawn); new ones take it back.';

-- What is gone lets nobody in, whichever way it went: a step, a bulk step, a correction or an import. It is done with the
-- rights of the owner, because whoever takes the step need not be one who issues passwords.
CREATE FUNCTION revoke_credentials(gone integer[], because text) RETURNS void LANGUAGE sql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH ended AS (
        UPDATE kit_credentials
        SET state = 'revoked', revoked_at = clock_timestamp(), revoked_because = because,
            revoked_by = coalesce(nullif(current_setting('fleet.actor', true), ''), session_user),
            password_hash = NULL, salt = NULL, iterations = NULL, sealed = NULL, change = change + 1,
            wanted_at = clock_timestamp(), applied_at = NULL, attempts = 0, next_attempt_at = clock_timestamp(),
            problem = NULL
        WHERE kit_id = ANY (gone) AND state = 'issued'
        RETURNING kit_id, generation
    )
    INSERT INTO events (type, kit, body)
    SELECT 'credentials.revoked', k.kit, jsonb_build_object('generation', e.generation, 'because', because)
    FROM ended e JOIN kits k USING (kit_id)
$$;
REVOKE EXECUTE ON FUNCTION revoke_credentials FROM PUBLIC;

CREATE FUNCTION revoke_with_kit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM revoke_credentials(ARRAY[NEW.kit_id], 'kit_gone');
    RETURN NULL;
END
$$;
CREATE TRIGGER revoke_credentials AFTER UPDATE OF state ON kits
    FOR EACH ROW WHEN (NEW.state IN ('scrapped', 'returned') AND OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION revoke_with_kit();

-- No row of `kits` is touched: it is locked before its pieces everywhere else.
CREATE FUNCTION revoke_with_tablet() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM revoke_credentials(
        ARRAY(SELECT c.kit_id FROM kit_credentials c WHERE c.tablet_id = NEW.component_id AND c.state = 'issued'),
        'tablet_gone');
    RETURN NULL;
END
$$;
CREATE TRIGGER revoke_credentials AFTER UPDATE OF state ON components
    FOR EACH ROW WHEN (NEW.state IN ('scrapped', 'returned') AND OLD.state IS DISTINCT FROM NEW.state)
    EXECUTE FUNCTION revoke_with_tablet();

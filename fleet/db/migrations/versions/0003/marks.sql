-- What lists of kits by health, and by when they were heard, are read from. Nothing here is about a column that every
-- message changes: those stay without an index, so that kit_latest is updated in place.

-- What a kit is judged to be apart from silence, which comes by time alone; kit_facts says the same with it.
CREATE VIEW kits_at_rest AS
SELECT k.kit_id, k.kit, k.state, k.kit_type, k.organisation_id, k.owner_id, k.location_id,
       kit_health(k.state = 'installed', l.heard_clock_s IS NOT NULL, false,
                  s.body IS NOT NULL AND NOT s.body @> k.wanted_components,
                  coalesce(p.body @> '[{"paired": false}]', false),
                  coalesce(l.battery < 15 AND NOT coalesce(l.charging, false), false),
                  coalesce(l.storage_free_mb < 500, false),
                  l.clock_offset_s IS NOT NULL) AS health
FROM kits k
JOIN kit_latest l USING (kit_id)
LEFT JOIN latest_reports s ON s.kit_id = k.kit_id AND s.kind = 'software'
LEFT JOIN latest_reports p ON p.kit_id = k.kit_id AND p.kind = 'pairing';
REVOKE ALL ON kits_at_rest FROM PUBLIC;

CREATE TABLE kit_marks (
    kit_id integer NOT NULL REFERENCES kits,
    organisation_id integer,
    owner_id integer,
    kit text COLLATE "C" NOT NULL,
    state text NOT NULL,
    kit_type text,
    location_id integer,
    health text COLLATE "C" NOT NULL CHECK (health IN ('ok', 'attention', 'fault', 'unknown')),
    PRIMARY KEY (kit_id) INCLUDE (organisation_id, owner_id, kit, health)
);
COMMENT ON TABLE kit_marks IS
    'What each kit is judged to be while it is not silent, with what lists are filtered by; kept by triggers.';
INSERT INTO kit_marks (kit_id, organisation_id, owner_id, kit, state, kit_type, location_id, health)
SELECT kit_id, organisation_id, owner_id, kit, state, kit_type, location_id, health FROM kits_at_rest;
CREATE INDEX kit_marks_by_health ON kit_marks (health, kit) INCLUDE (kit_id, organisation_id, owner_id);
CREATE INDEX kit_marks_by_health_and_state ON kit_marks (health, state, kit);
CREATE INDEX kit_marks_by_organisation ON kit_marks (organisation_id, health, kit) INCLUDE (kit_id, owner_id, state);
CREATE INDEX kit_marks_by_owner ON kit_marks (owner_id, health, kit) INCLUDE (kit_id, organisation_id, state);

CREATE FUNCTION make_kit_marks() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO kit_marks (kit_id, organisation_id, owner_id, kit, state, kit_type, location_id, health)
    SELECT r.kit_id, r.organisation_id, r.owner_id, r.kit, r.state, r.kit_type, r.location_id, r.health
    FROM added a JOIN kits_at_rest r USING (kit_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER kit_marks_made AFTER INSERT ON kit_latest REFERENCING NEW TABLE AS added
    FOR EACH STATEMENT EXECUTE FUNCTION make_kit_marks();

-- With its owner's rights. Whoever changes one of the rows that a mark is made from waits at the kit's latest state for
-- whoever changes another one, and then sees what they did: the two together never leave a mark that neither would.
CREATE FUNCTION keep_kit_mark() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    changed integer := CASE WHEN TG_OP = 'DELETE' THEN OLD.kit_id ELSE NEW.kit_id END;
BEGIN
    PERFORM FROM kit_latest WHERE kit_id = changed FOR NO KEY UPDATE;
    UPDATE kit_marks m
    SET organisation_id = r.organisation_id, owner_id = r.owner_id, state = r.state, kit_type = r.kit_type,
        location_id = r.location_id, health = r.health
    FROM kits_at_rest r
    WHERE m.kit_id = changed AND r.kit_id = changed
      AND (m.organisation_id, m.owner_id, m.state, m.kit_type, m.location_id, m.health)
          IS DISTINCT FROM (r.organisation_id, r.owner_id, r.state, r.kit_type, r.location_id, r.health);
    RETURN NULL;
END
$$;
-- The condition is all that a message costs as long as it changes no mark.
CREATE TRIGGER kit_marks_kept AFTER UPDATE ON kit_latest FOR EACH ROW
    WHEN ((OLD.heard_clock_s IS NULL) <> (NEW.heard_clock_s IS NULL)
          OR (OLD.clock_offset_s IS NULL) <> (NEW.clock_offset_s IS NULL)
          OR coalesce(OLD.storage_free_mb < 500, false) <> coalesce(NEW.storage_free_mb < 500, false)
          OR coalesce(OLD.battery < 15 AND NOT coalesce(OLD.charging, false), false)
             <> coalesce(NEW.battery < 15 AND NOT coalesce(NEW.charging, false), false))
    EXECUTE FUNCTION keep_kit_mark();
CREATE TRIGGER kit_marks_kept AFTER UPDATE ON kits FOR EACH ROW
    WHEN ((OLD.state, OLD.kit_type, OLD.location_id, OLD.wanted_components, OLD.organisation_id, OLD.owner_id) IS DISTINCT FROM
          (NEW.state, NEW.kit_type, NEW.location_id, NEW.wanted_components, NEW.organisation_id, NEW.owner_id))
    EXECUTE FUNCTION keep_kit_mark();
CREATE TRIGGER kit_marks_kept AFTER UPDATE ON latest_reports FOR EACH ROW
    WHEN (NEW.kind IN ('software', 'pairing') AND OLD.body <> NEW.body) EXECUTE FUNCTION keep_kit_mark();
CREATE TRIGGER kit_marks_kept_at_first AFTER INSERT ON latest_reports FOR EACH ROW
    WHEN (NEW.kind IN ('software', 'pairing')) EXECUTE FUNCTION keep_kit_mark();
CREATE TRIGGER kit_marks_kept_without AFTER DELETE ON latest_reports FOR EACH ROW
    WHEN (OLD.kind IN ('software', 'pairing')) EXECUTE FUNCTION keep_kit_mark();

CALL guard_by_organisation('kit_marks');
REVOKE INSERT, UPDATE, DELETE ON kit_marks FROM fleet_api, fleet_worker;

-- What is filtered by in every list of kits, once; the planner puts it in place of the call.
CREATE FUNCTION kit_fits(
    kit text, state text, kit_type text, organisation_id integer, owner_id integer, location_id integer,
    its_kit text, its_beginning text, its_state text, its_kit_type text, its_organisation_id integer, its_owner_id integer,
    its_location_id integer
) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (its_kit IS NULL OR kit COLLATE "C" = its_kit COLLATE "C")
    AND (its_beginning IS NULL
         OR kit COLLATE "C" >= its_beginning COLLATE "C" AND kit COLLATE "C" < its_beginning || '~' COLLATE "C")
    AND (its_state IS NULL OR state = its_state)
    AND (its_kit_type IS NULL OR kit_type = its_kit_type)
    AND (its_organisation_id IS NULL OR organisation_id = its_organisation_id)
    AND (its_owner_id IS NULL OR owner_id = its_owner_id)
    AND (its_location_id IS NULL OR location_id = its_location_id);
COMMENT ON FUNCTION kit_fits IS 'Whether a kit passes the filters of a list; those that are null do not count.';

-- When kits were heard, what tells whether they are silent (`held`: an alert says so still), and their marks. What of the
-- latest state is in question is chosen there, for it is narrow, and only then the mark is looked up: OFFSET keeps that
-- order. With its owner's rights: the policy of kit_latest would ask for each kit by itself.
CREATE VIEW seen_heard AS
SELECT l.kit_id, l.last_heard_at, l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
       l.watch_allowance_s IS NOT NULL AND l.kit_id IN (
           SELECT a.kit_id FROM alerts a
           WHERE a.rule = 'silent' AND a.state = 'active' AND a.recovering_since IS NULL) AS held,
       m.kit, m.state, m.kit_type, m.organisation_id, m.owner_id, m.location_id, m.resting
FROM kit_latest l
CROSS JOIN LATERAL (
    SELECT m.kit, m.state, m.kit_type, m.organisation_id, m.owner_id, m.location_id, m.health AS resting
    FROM kit_marks m
    WHERE m.kit_id = l.kit_id
      AND ((SELECT sees_all()) OR m.organisation_id = ANY ((SELECT seen_organisations())::integer[])
           OR m.owner_id = ANY ((SELECT seen_organisations())::integer[]))
    OFFSET 0
) m;
GRANT SELECT ON seen_heard TO fleet_api, fleet_worker;

-- The same the other way about, for those whose marks are in question.
CREATE VIEW seen_marks AS
SELECT m.kit_id, l.last_heard_at, l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s, l.held,
       m.kit, m.state, m.kit_type, m.organisation_id, m.owner_id, m.location_id, m.health AS resting
FROM kit_marks m
CROSS JOIN LATERAL (
    SELECT l.*, l.watch_allowance_s IS NOT NULL AND l.kit_id IN (
        SELECT a.kit_id FROM alerts a
        WHERE a.rule = 'silent' AND a.state = 'active' AND a.recovering_since IS NULL) AS held
    FROM kit_latest l
    WHERE l.kit_id = m.kit_id
    OFFSET 0
) l
WHERE (SELECT sees_all()) OR m.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR m.owner_id = ANY ((SELECT seen_organisations())::integer[]);
GRANT SELECT ON seen_marks TO fleet_api, fleet_worker;

-- When a hundredth of the kits were heard, always the same ones, and whether they are silent: it tells how far a page by
-- that time has to look, and of no kit and of nobody.
CREATE VIEW heard_sample AS
SELECT l.last_heard_at,
       is_silent(l.heard_clock_s, l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s,
                 c.clock_s, c.resumed_clock_s, c.grace_from_clock_s) AS silent
FROM kit_latest l TABLESAMPLE SYSTEM (1) REPEATABLE (11) CROSS JOIN listening c
WHERE l.last_heard_at IS NOT NULL;
GRANT SELECT ON heard_sample TO fleet_api, fleet_worker;

-- An organisation's lines of the audit, newest first.
CREATE INDEX audit_by_organisation ON audit (organisation_id, at, audit_id);

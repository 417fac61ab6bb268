-- Requests and quieting, as desks found them wanting: mass events of several organisations, alerts about places, kits that
-- move while they fail.

-- Whose the kits are of which a mass event is: of those that are in it, or of all that were once it is over. Each pair is
-- an organisation and an owner. Asked by who sees some of them, to find out that others are not theirs.
CREATE FUNCTION incident_parties(of_incident bigint) RETURNS jsonb LANGUAGE sql STABLE
SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT coalesce(jsonb_agg(jsonb_build_array(p.organisation_id, p.owner_id)), '[]')
    FROM (SELECT DISTINCT m.organisation_id, k.owner_id
          FROM incident_members m JOIN kits k USING (kit_id)
          WHERE m.incident_id = of_incident
            AND (m.left_at IS NULL OR NOT EXISTS (
                SELECT FROM incident_members o WHERE o.incident_id = of_incident AND o.left_at IS NULL))) p
$$;
REVOKE EXECUTE ON FUNCTION incident_parties FROM PUBLIC;
GRANT EXECUTE ON FUNCTION incident_parties TO fleet_api, fleet_worker;

CREATE FUNCTION covers_incident(of_incident bigint, seen integer[]) RETURNS boolean LANGUAGE sql STABLE
RETURN (SELECT coalesce(bool_and(coalesce((p ->> 0)::integer = ANY (seen), false)
                                 OR coalesce((p ->> 1)::integer = ANY (seen), false)), false)
        FROM jsonb_array_elements(incident_parties(of_incident)) AS p);
COMMENT ON FUNCTION covers_incident IS 'Whether every kit of a mass event is in these organisations, or owned by one of them.';

-- Who sees every kit of a mass event does with its request as with any other; who sees some reads and comments.
CREATE FUNCTION acts_for_incident(of_incident bigint, organisation integer) RETURNS boolean LANGUAGE sql STABLE
RETURN (SELECT sees_all()) OR coalesce(organisation = ANY ((SELECT seen_organisations())::integer[]), false)
    OR covers_incident(of_incident, (SELECT seen_organisations())::integer[]);

CREATE FUNCTION refuse_part_of_a_mass_event() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT acts_for_incident(OLD.incident_id, OLD.organisation_id) THEN
        RAISE EXCEPTION 'row-level security: not every kit of the mass event is in scope'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER refuse_part_of_a_mass_event BEFORE UPDATE OF
    incident_id, organisation_id, cause, line, priority, state, waiting_for, assignee_id, assignee, resolved_at, resolved_by,
    resolution, found_cause, remedy, closed_at, proven, merged_into, reopened
    ON service_requests FOR EACH ROW
    WHEN (current_user = 'fleet_api' AND OLD.incident_id IS NOT NULL
          AND (OLD.incident_id, OLD.organisation_id, OLD.cause, OLD.line, OLD.priority, OLD.state, OLD.waiting_for,
               OLD.assignee_id, OLD.assignee, OLD.resolved_at, OLD.resolved_by, OLD.resolution, OLD.found_cause, OLD.remedy,
               OLD.closed_at, OLD.proven, OLD.merged_into, OLD.reopened)
              IS DISTINCT FROM
              (NEW.incident_id, NEW.organisation_id, NEW.cause, NEW.line, NEW.priority, NEW.state, NEW.waiting_for,
               NEW.assignee_id, NEW.assignee, NEW.resolved_at, NEW.resolved_by, NEW.resolution, NEW.found_cause, NEW.remedy,
               NEW.closed_at, NEW.proven, NEW.merged_into, NEW.reopened))
    EXECUTE FUNCTION refuse_part_of_a_mass_event();
CREATE POLICY part_of_a_mass_event ON request_events AS RESTRICTIVE FOR INSERT TO fleet_api WITH CHECK (
    what IN ('comment', 'reference', 'linked', 'call', 'visit', 'told')
    OR EXISTS (SELECT FROM service_requests r WHERE r.request_id = request_events.request_id
               AND (r.incident_id IS NULL OR acts_for_incident(r.incident_id, r.organisation_id))));
-- What is done about it is told, whoever may be told of it.
CREATE POLICY of_a_mass_event ON events FOR INSERT TO fleet_api WITH CHECK (
    type LIKE 'request.%' AND kit IS NULL
    AND EXISTS (SELECT FROM service_requests r
                WHERE r.number = events.body ->> 'number' AND r.incident_id IS NOT NULL
                  AND r.organisation_id IS NOT DISTINCT FROM events.organisation_id));

-- What is about a place or an organisation is shelved as what is about a kit.
ALTER TABLE shelves
    DROP CONSTRAINT shelves_pkey,
    ALTER COLUMN kit_id DROP NOT NULL,
    ADD COLUMN subject text COLLATE "C" CHECK (subject <> ''),
    ADD COLUMN organisation_id integer REFERENCES organisations,
    ADD COLUMN about text COLLATE "C" NOT NULL GENERATED ALWAYS AS (coalesce(subject, 'kit:' || kit_id::text)) STORED,
    ADD PRIMARY KEY (about, rule),
    ADD CHECK (num_nonnulls(kit_id, subject) = 1);
COMMENT ON TABLE shelves IS
    'Rules that somebody does not want to hear of for a kit, a place or an organisation until then, unless it gets worse than it was.';
COMMENT ON COLUMN shelves.subject IS 'As alerts.subject.';
COMMENT ON COLUMN shelves.organisation_id IS 'Whose the subject is; a kit''s shelf goes with the kit.';
COMMENT ON COLUMN shelves.about IS 'The subject, or the kit by its number: kit:12.';
CREATE INDEX shelves_by_kit ON shelves (kit_id) WHERE kit_id IS NOT NULL;
ALTER POLICY scope ON shelves
    USING ((SELECT sees_all()) OR EXISTS (SELECT FROM kits k WHERE k.kit_id = shelves.kit_id)
           OR kit_id IS NULL AND organisation_id = ANY ((SELECT seen_organisations())::integer[]))
    WITH CHECK ((SELECT sees_all()) OR EXISTS (SELECT FROM kits k WHERE k.kit_id = shelves.kit_id)
           OR kit_id IS NULL AND organisation_id = ANY ((SELECT seen_organisations())::integer[]));
DROP TRIGGER audit_insert ON shelves;
DROP TRIGGER audit_update ON shelves;
DROP TRIGGER audit_delete ON shelves;
CALL audited_for_people('shelves', 'about');

-- A window may be for a place: what is about it, and the kits that stand there.
ALTER TABLE maintenance_windows ADD COLUMN location_id integer REFERENCES locations;
COMMENT ON COLUMN maintenance_windows.location_id IS 'Only for this place and the kits that stand there; null is all.';

CREATE OR REPLACE FUNCTION kits_of_windows(windows bigint[], among integer[])
RETURNS TABLE (kit_id integer, window_id bigint) LANGUAGE sql STABLE AS $$
    SELECT k.kit_id, w.window_id
    FROM (SELECT m.*, subtree_of(ARRAY[m.organisation_id]) AS below
          FROM maintenance_windows m WHERE m.window_id = ANY (windows)) w
    JOIN kits k ON k.kit_id = ANY (among)
    WHERE (w.organisation_id IS NULL OR k.organisation_id = ANY (w.below))
      AND (w.location_id IS NULL OR k.location_id = w.location_id)
      AND (w.kit_type IS NULL OR k.kit_type = w.kit_type)
      AND (w.programme IS NULL OR w.programme = coalesce(
          (SELECT p.programme FROM placements p WHERE p.placement_id = k.placement_id),
          (SELECT t.programme FROM kit_types t WHERE t.kit_type = k.kit_type)))
      AND (w.model_id IS NULL
           OR EXISTS (SELECT FROM components c WHERE c.kit_id = k.kit_id AND c.model_id = w.model_id))
      AND (NOT w.names_kits
           OR EXISTS (SELECT FROM maintenance_window_kits n WHERE n.window_id = w.window_id AND n.kit_id = k.kit_id))
$$;

-- Windows that say nothing of kits are for places and organisations as well; those need no time to be heard afterwards.
CREATE FUNCTION subjects_in_maintenance(among text[], at timestamptz)
RETURNS TABLE (subject text, window_id bigint, collect boolean, rules text[]) LANGUAGE sql STABLE AS $$
    SELECT s.subject, w.window_id, w.collect, w.rules
    FROM (SELECT m.*, subtree_of(ARRAY[m.organisation_id]) AS below FROM maintenance_windows m
          WHERE m.current_from <= at AND at < m.current_to
            AND num_nonnulls(m.kit_type, m.model_id, m.programme) = 0 AND NOT m.names_kits) w
    CROSS JOIN unnest(among) AS s (subject)
    LEFT JOIN locations l ON l.slug = split_part(s.subject, ':', 2) AND split_part(s.subject, ':', 1) = 'location'
    LEFT JOIN organisations o ON o.slug = split_part(s.subject, ':', 2) AND split_part(s.subject, ':', 1) = 'organisation'
    WHERE (w.location_id IS NULL OR w.location_id = l.location_id)
      AND (w.organisation_id IS NULL OR coalesce(l.organisation_id, o.organisation_id) = ANY (w.below))
$$;
COMMENT ON FUNCTION subjects_in_maintenance IS
    'Which of these places and organisations (as alerts.subject) are in which maintenance at that time, and for which rules.';

-- A kit that moves while it fails is theirs who have it now: what was resolved before stays with whom it was, and what goes
-- on gets a request of its own, which the worker opens. Alerts are locked before requests, each in the order of their ids.
ALTER TABLE alerts ADD COLUMN moved_at timestamptz;
COMMENT ON COLUMN alerts.moved_at IS 'When its kit went to others, until it was seen to that they have a request.';
CREATE INDEX alerts_moved ON alerts (alert_id) WHERE moved_at IS NOT NULL;
DROP TRIGGER audit_insert ON alerts;
DROP TRIGGER audit_update ON alerts;
DROP TRIGGER audit_delete ON alerts;
CALL audited_for_people('alerts', 'evidence', 'recovering_since', 'acknowledgement', 'heard_at', 'moved_at');

CREATE OR REPLACE FUNCTION move_open_cases() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM alerts WHERE kit_id = NEW.kit_id AND state = 'active' ORDER BY alert_id FOR NO KEY UPDATE;
    UPDATE alerts SET organisation_id = NEW.organisation_id, moved_at = now()
    WHERE kit_id = NEW.kit_id AND state = 'active';
    PERFORM FROM service_requests WHERE kit_id = NEW.kit_id AND state IN ('open', 'in_progress', 'waiting')
    ORDER BY request_id FOR UPDATE;
    UPDATE service_requests SET organisation_id = NEW.organisation_id
    WHERE kit_id = NEW.kit_id AND state IN ('open', 'in_progress', 'waiting');
    UPDATE incident_members SET organisation_id = NEW.organisation_id WHERE kit_id = NEW.kit_id AND left_at IS NULL;
    UPDATE commands SET organisation_id = NEW.organisation_id WHERE kit_id = NEW.kit_id AND state IN ('pending', 'sent');
    UPDATE components SET organisation_id = NEW.organisation_id WHERE kit_id = NEW.kit_id;
    RETURN NULL;
END
$$;

-- How many open requests of a contract are still to be measured anew after a change, whoever sees them.
CREATE FUNCTION requests_to_measure(of_contract integer) RETURNS bigint LANGUAGE sql STABLE
SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT count(*) FROM contracts c JOIN service_requests r ON r.contract_id = c.contract_id
    WHERE c.contract_id = of_contract AND r.request_id >= c.remeasure_from AND r.state IN ('open', 'in_progress', 'waiting')
$$;
REVOKE EXECUTE ON FUNCTION requests_to_measure FROM PUBLIC;
GRANT EXECUTE ON FUNCTION requests_to_measure TO fleet_api, fleet_worker;

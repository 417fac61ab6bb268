-- Visits: somebody goes to a kit, on a day that was planned, with what was kept for it; and by when that should be done.

CREATE TABLE visit_failures (
    failure text COLLATE "C" PRIMARY KEY CHECK (failure ~ '^[a-z][a-z0-9_-]{0,62}$'),
    title_en text NOT NULL CHECK (title_en <> ''),
    title_da text NOT NULL CHECK (title_da <> ''),
    active boolean NOT NULL DEFAULT true,
    revision integer NOT NULL DEFAULT 1
);
COMMENT ON TABLE visit_failures IS 'Why a visit may fail.';
INSERT INTO visit_failures (failure, title_en, title_da) VALUES
    ('nobody_home', 'Nobody at home', 'Ingen hjemme'),
    ('refused', 'Was refused', 'Blev afvist'),
    ('wrong_equipment', 'Wrong equipment brought', 'Forkert udstyr medbragt'),
    ('no_access', 'No access', 'Ingen adgang'),
    ('faulty_on_arrival', 'Equipment was faulty on arrival', 'Udstyret var defekt ved ankomst'),
    ('other', 'Something else', 'Andet');
CALL share('visit_failures');
ALTER POLICY shared_insert ON visit_failures WITH CHECK ((SELECT sees_all()));
CALL audited('visit_failures');
REVOKE DELETE ON visit_failures FROM fleet_api, fleet_worker;

CREATE TABLE visit_settings (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    working_days integer NOT NULL DEFAULT 12 CHECK (working_days BETWEEN 0 AND 250),
    urgent_days integer NOT NULL DEFAULT 2 CHECK (urgent_days BETWEEN 0 AND 250),
    revision integer NOT NULL DEFAULT 1
);
COMMENT ON TABLE visit_settings IS 'Within how many working days a visit is to be done, where no contract says otherwise.';
INSERT INTO visit_settings DEFAULT VALUES;
CALL share('visit_settings');
ALTER POLICY shared_insert ON visit_settings WITH CHECK ((SELECT sees_all()));
CALL audited('visit_settings');
REVOKE INSERT, DELETE ON visit_settings FROM fleet_api, fleet_worker;

ALTER TABLE contracts
    ADD COLUMN visit_days integer CHECK (visit_days BETWEEN 0 AND 250),
    ADD COLUMN visit_urgent_days integer CHECK (visit_urgent_days BETWEEN 0 AND 250);
COMMENT ON COLUMN contracts.visit_days IS 'Within how many working days a visit is to be done; null as for all.';
COMMENT ON COLUMN contracts.visit_urgent_days IS 'The same for urgent ones.';

-- Asked also by those who do not see the contract.
CREATE FUNCTION visit_target_days(wanted_organisation integer, wanted_programme text, wanted_kit_type text, at timestamptz,
                                  is_urgent boolean)
RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT CASE WHEN is_urgent THEN coalesce(c.visit_urgent_days, s.urgent_days)
                ELSE coalesce(c.visit_days, s.working_days) END
    FROM visit_settings s
    LEFT JOIN contracts c
        ON c.contract_id = contract_for(wanted_organisation, wanted_programme, wanted_kit_type, at)
$$;
REVOKE EXECUTE ON FUNCTION visit_target_days FROM PUBLIC;
GRANT EXECUTE ON FUNCTION visit_target_days TO fleet_api, fleet_worker;

CREATE SEQUENCE visit_numbers;
GRANT USAGE ON SEQUENCE visit_numbers TO fleet_api, fleet_worker;
CREATE FUNCTION visit_number(at timestamptz) RETURNS text LANGUAGE sql VOLATILE
RETURN to_char(at AT TIME ZONE 'UTC', '"V-"YYYY-') || (
    SELECT lpad(n::text, greatest(6, length(n::text)), '0') FROM nextval('visit_numbers') AS n);

CREATE TABLE visits (
    visit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number text COLLATE "C" NOT NULL UNIQUE,
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('install', 'swap', 'take_down', 'repair', 'training', 'calibration')),
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'under_way', 'done', 'failed', 'cancelled')),
    kit_id integer REFERENCES kits,
    placement_id bigint REFERENCES placements,
    organisation_id integer NOT NULL REFERENCES organisations,
    request_id bigint REFERENCES service_requests ON DELETE SET NULL,
    urgent boolean NOT NULL DEFAULT false,
    ordered_at timestamptz NOT NULL,
    planned_on date NOT NULL,
    window_from time,
    window_to time,
    crew text COLLATE "C" CHECK (crew ~ '^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$'),
    target_days integer NOT NULL CHECK (target_days >= 0),
    due_on date NOT NULL,
    attempts integer NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    started_at timestamptz,
    arrived_at timestamptz,
    ended_at timestamptz,
    done_on date,
    took_days integer,
    instruction_given boolean,
    receipt text CHECK (receipt IN ('citizen', 'relative', 'care_staff')),
    old_equipment_taken boolean,
    note text NOT NULL DEFAULT '',
    ended_reason text,
    has_text boolean NOT NULL DEFAULT false,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    revision integer NOT NULL DEFAULT 1,
    CHECK (kind = 'training' OR num_nonnulls(kit_id, placement_id) > 0),
    CHECK (num_nonnulls(window_from, window_to) IN (0, 2)),
    CHECK (window_to > window_from),
    CHECK ((state IN ('done', 'cancelled')) = (ended_at IS NOT NULL)),
    CHECK ((state = 'done') = (done_on IS NOT NULL)),
    CHECK ((done_on IS NULL) = (took_days IS NULL)),
    CHECK (state <> 'cancelled' OR ended_reason IS NOT NULL)
);
COMMENT ON TABLE visits IS 'Somebody goes there: what for, when, with what, and what came of it. Nobody is named.';
COMMENT ON COLUMN visits.organisation_id IS 'Whose: that of the placement, else of the kit, else as was said.';
COMMENT ON COLUMN visits.ordered_at IS 'When it was asked for: its target counts from there.';
COMMENT ON COLUMN visits.planned_on IS 'The day in Denmark, as the window is in Danish time.';
COMMENT ON COLUMN visits.crew IS 'Who goes, as a code or an account; never a citizen.';
COMMENT ON COLUMN visits.target_days IS 'Working days within which it is to be done, as they were when it was planned.';
COMMENT ON COLUMN visits.due_on IS 'The last day within the target.';
COMMENT ON COLUMN visits.attempts IS 'How often it failed.';
COMMENT ON COLUMN visits.took_days IS 'Working days from the order to the day on which it was done.';
COMMENT ON COLUMN visits.receipt IS 'In which role somebody received or handed over the equipment; never who.';
CREATE INDEX visits_by_day ON visits (planned_on, visit_id);
CREATE INDEX visits_by_organisation ON visits (organisation_id, planned_on, visit_id);
CREATE INDEX visits_by_kit ON visits (kit_id, visit_id) WHERE kit_id IS NOT NULL;
CREATE INDEX visits_by_placement ON visits (placement_id) WHERE placement_id IS NOT NULL;
CREATE INDEX visits_by_request ON visits (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX visits_by_crew ON visits (crew, planned_on) WHERE crew IS NOT NULL;
CREATE INDEX visits_to_do ON visits (due_on) WHERE state IN ('planned', 'under_way', 'failed');
CREATE INDEX visits_done ON visits (done_on) WHERE done_on IS NOT NULL;
CREATE INDEX visits_with_text ON visits (ended_at) WHERE has_text;
CALL guard_by_organisation('visits');
CALL audited_for_people('visits', 'note', 'ended_reason', 'has_text');
REVOKE DELETE ON visits FROM fleet_api, fleet_worker;

-- What is not over goes with the kit, as everywhere; what is for a home stays with whose home it is.
CREATE FUNCTION move_open_visits() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE visits SET organisation_id = NEW.organisation_id
    WHERE kit_id = NEW.kit_id AND placement_id IS NULL AND state IN ('planned', 'under_way', 'failed')
      AND NEW.organisation_id IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER move_open_visits AFTER UPDATE OF organisation_id ON kits FOR EACH ROW
    WHEN (NEW.organisation_id IS DISTINCT FROM OLD.organisation_id) EXECUTE FUNCTION move_open_visits();

CREATE PROCEDURE guard_by_visit(t regclass) LANGUAGE plpgsql AS $$
DECLARE
    rule text := format('(SELECT sees_all()) OR EXISTS (SELECT FROM visits v WHERE v.visit_id = %s.visit_id)', t);
BEGIN
    CALL admit_processes(t);
    EXECUTE format('CREATE POLICY scope ON %s TO fleet_api USING (%s) WITH CHECK (%s)', t, rule, rule);
END
$$;
COMMENT ON PROCEDURE guard_by_visit IS 'Rows of a visit that is visible itself.';

CREATE TABLE visit_lines (
    line_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id bigint NOT NULL REFERENCES visits,
    reservation_id bigint NOT NULL UNIQUE REFERENCES reservations,
    what text NOT NULL CHECK (what IN ('model', 'component', 'kit')),
    model_id integer REFERENCES models,
    name text NOT NULL,
    device text,
    quantity integer NOT NULL CHECK (quantity > 0),
    location text,
    added_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE visit_lines IS 'What to bring to a visit; each is kept in stock by a reservation.';
COMMENT ON COLUMN visit_lines.name IS 'Model, serial number or kit; told here, since whose stock it is may be others.';
CREATE INDEX visit_lines_by_visit ON visit_lines (visit_id, line_id);
CALL guard_by_visit('visit_lines');
CALL audited('visit_lines');

CREATE TABLE visit_attempts (
    attempt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit_id bigint NOT NULL REFERENCES visits,
    at timestamptz NOT NULL,
    failure text COLLATE "C" NOT NULL REFERENCES visit_failures,
    planned_on date NOT NULL,
    crew text,
    note text NOT NULL DEFAULT '',
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE visit_attempts IS 'Each time somebody went and came back without having done it.';
CREATE INDEX visit_attempts_by_visit ON visit_attempts (visit_id, attempt_id);
CREATE INDEX visit_attempts_by_time ON visit_attempts (at);
CALL guard_by_visit('visit_attempts');
CALL audited_for_people('visit_attempts', 'note');
REVOKE UPDATE, DELETE ON visit_attempts FROM fleet_api;
GRANT UPDATE (note) ON visit_attempts TO fleet_api;

-- What is kept for a visit may be of a stock that whoever ends or moves it does not see.
CREATE FUNCTION end_visit_reservations(wanted bigint, outcome text) RETURNS void LANGUAGE sql VOLATILE
SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE reservations r
    SET state = outcome, ended_at = now(), revision = r.revision + 1, updated_at = now()
    FROM visit_lines l
    WHERE l.visit_id = wanted AND r.reservation_id = l.reservation_id AND r.state = 'active'
$$;
CREATE FUNCTION move_visit_reservations(wanted bigint, last_day date) RETURNS void LANGUAGE sql VOLATILE
SECURITY DEFINER SET search_path FROM CURRENT AS $$
    UPDATE reservations r
    SET during = daterange(least(lower(r.during), last_day), last_day, '[]'), revision = r.revision + 1,
        updated_at = now()
    FROM visit_lines l
    WHERE l.visit_id = wanted AND r.reservation_id = l.reservation_id AND r.state = 'active'
$$;
REVOKE EXECUTE ON FUNCTION end_visit_reservations, move_visit_reservations FROM PUBLIC;
GRANT EXECUTE ON FUNCTION end_visit_reservations, move_visit_reservations TO fleet_api, fleet_worker;

-- What people wrote about a visit, of those the caller sees.
CREATE FUNCTION redact_visits(wanted bigint[]) RETURNS bigint LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE visit_attempts SET note = '[redacted]' WHERE visit_id = ANY (wanted) AND note NOT IN ('', '[redacted]');
    UPDATE visits SET note = CASE WHEN note = '' THEN '' ELSE '[redacted]' END,
        ended_reason = CASE WHEN ended_reason IS NULL THEN NULL ELSE '[redacted]' END, has_text = false
    WHERE visit_id = ANY (wanted) AND has_text;
    RETURN cardinality(wanted);
END
$$;
REVOKE EXECUTE ON FUNCTION redact_visits FROM PUBLIC;
GRANT EXECUTE ON FUNCTION redact_visits TO fleet_api, fleet_worker;

INSERT INTO retention_policies (kind, keep_days, default_days, min_days, max_days) VALUES ('visit_texts', 365, 365, 30, 1827);

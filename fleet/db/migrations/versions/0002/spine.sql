-- The tables of the first step get their guards, and their rows the organisation of their time.

ALTER TABLE alerts ADD COLUMN organisation_id integer REFERENCES organisations;
ALTER TABLE service_requests ADD COLUMN organisation_id integer REFERENCES organisations;
ALTER TABLE incident_members ADD COLUMN organisation_id integer REFERENCES organisations;
ALTER TABLE events ADD COLUMN organisation_id integer, ADD COLUMN owner_id integer;
UPDATE alerts a SET organisation_id = k.organisation_id FROM kits k WHERE k.kit_id = a.kit_id;
UPDATE incident_members m SET organisation_id = k.organisation_id FROM kits k WHERE k.kit_id = m.kit_id;
UPDATE service_requests r SET organisation_id = k.organisation_id FROM kits k WHERE k.kit_id = r.kit_id;
UPDATE events e SET organisation_id = k.organisation_id, owner_id = k.owner_id FROM kits k WHERE k.kit = e.kit;

CREATE FUNCTION stamp_organisation() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.kit_id IS NOT NULL THEN
        NEW.organisation_id := (SELECT organisation_id FROM kits WHERE kit_id = NEW.kit_id);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER stamp_organisation BEFORE INSERT ON alerts FOR EACH ROW EXECUTE FUNCTION stamp_organisation();
CREATE TRIGGER stamp_organisation BEFORE INSERT ON service_requests FOR EACH ROW EXECUTE FUNCTION stamp_organisation();
CREATE TRIGGER stamp_organisation BEFORE INSERT ON incident_members FOR EACH ROW EXECUTE FUNCTION stamp_organisation();

CREATE FUNCTION stamp_event() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    SELECT k.organisation_id, k.owner_id INTO NEW.organisation_id, NEW.owner_id FROM kits k WHERE k.kit = NEW.kit;
    RETURN NEW;
END
$$;
CREATE TRIGGER stamp_event BEFORE INSERT ON events FOR EACH ROW WHEN (NEW.kit IS NOT NULL) EXECUTE FUNCTION stamp_event();

-- A kit that moves takes its future along: what is open goes with it, what is over stays with whom it was.
CREATE FUNCTION move_open_cases() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE alerts SET organisation_id = NEW.organisation_id WHERE kit_id = NEW.kit_id AND state = 'active';
    UPDATE service_requests SET organisation_id = NEW.organisation_id
    WHERE kit_id = NEW.kit_id AND state IN ('open', 'in_progress', 'waiting');
    UPDATE incident_members SET organisation_id = NEW.organisation_id WHERE kit_id = NEW.kit_id AND left_at IS NULL;
    UPDATE commands SET organisation_id = NEW.organisation_id WHERE kit_id = NEW.kit_id AND state IN ('pending', 'sent');
    UPDATE components SET organisation_id = NEW.organisation_id WHERE kit_id = NEW.kit_id;
    RETURN NULL;
END
$$;
CREATE TRIGGER move_open_cases AFTER UPDATE OF organisation_id ON kits FOR EACH ROW
    WHEN (NEW.organisation_id IS DISTINCT FROM OLD.organisation_id) EXECUTE FUNCTION move_open_cases();

ALTER FUNCTION evaluate_all_kits() SECURITY DEFINER;

CALL guard_by_kit('kit_latest');
CALL guard_by_kit('latest_reports');
CALL guard_by_kit('pending_alerts');
CALL guard_by_organisation('incident_members');
CALL guard_by_organisation('alerts');
CALL share('rules');
CALL share('listening');
CALL guard_installation('quarantine');
CALL guard_installation('changes');
CALL guard_by_organisation('events');

CALL admit_processes('incidents');
CREATE POLICY scope ON incidents FOR SELECT TO fleet_api USING (
    (SELECT sees_all()) OR EXISTS (SELECT FROM incident_members m WHERE m.incident_id = incidents.incident_id));
CALL admit_processes('service_requests');
CREATE POLICY scope ON service_requests TO fleet_api USING (
    (SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[])
    OR EXISTS (SELECT FROM kits k WHERE k.kit_id = service_requests.kit_id
               AND k.owner_id = ANY ((SELECT seen_organisations())::integer[]))
    OR EXISTS (SELECT FROM incidents i WHERE i.incident_id = service_requests.incident_id));
CALL admit_processes('request_alerts');
CREATE POLICY scope ON request_alerts TO fleet_api USING (
    (SELECT sees_all()) OR EXISTS (SELECT FROM alerts a WHERE a.alert_id = request_alerts.alert_id));
CALL admit_processes('evaluation_queue');
CREATE POLICY enqueue ON evaluation_queue FOR INSERT TO fleet_api WITH CHECK (true);

REVOKE INSERT, DELETE ON alerts, incidents, incident_members, request_alerts, rules, listening FROM fleet_api;
REVOKE UPDATE ON incidents, incident_members, request_alerts, listening FROM fleet_api;
REVOKE ALL ON changes FROM fleet_api;
REVOKE SELECT, UPDATE, DELETE ON evaluation_queue FROM fleet_api;

-- What ingest writes, and nothing else.
GRANT INSERT, UPDATE ON kit_latest, latest_reports TO fleet_ingest;
GRANT INSERT ON changes, events, evaluation_queue, quarantine TO fleet_ingest;
GRANT UPDATE ON listening TO fleet_ingest;
GRANT USAGE ON SEQUENCE service_request_numbers TO fleet_worker, fleet_api;

-- Days of the history where it is partitioned by us: the worker's, for whom ingest may ask as well.
CREATE FUNCTION attach_history_day(history text, day date) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
DECLARE
    partition text := history || to_char(day, '_YYYYMMDD');
BEGIN
    IF history NOT IN ('heartbeats', 'reports') THEN
        RAISE EXCEPTION '% is no history table', history USING ERRCODE = 'invalid_parameter_value';
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', partition, history);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
                   history, partition, day::timestamptz, (day + 1)::timestamptz);
END
$$;
ALTER FUNCTION attach_history_day(text, date) OWNER TO fleet_worker;
REVOKE EXECUTE ON FUNCTION attach_history_day(text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION attach_history_day(text, date) TO fleet_worker, fleet_ingest;

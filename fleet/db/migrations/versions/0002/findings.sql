-- Books against reality: what the kits say of themselves, what contradicts the books, and the alert that follows.

ALTER TABLE latest_reports ADD COLUMN identity jsonb CHECK (jsonb_typeof(identity) = 'object');
COMMENT ON COLUMN latest_reports.identity IS
    'Of software: tablet_serial, imei, iccid as the tablet tells them; null when it tells none.';
ALTER TABLE changes DROP CONSTRAINT changes_what_check, ADD CONSTRAINT changes_what_check
    CHECK (what IN ('version', 'pairing', 'peripheral', 'peripheral_firmware', 'identity'));

CREATE TABLE findings (
    finding_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind IN (
        'reports_while_stored', 'reports_while_scrapped', 'reports_while_lost', 'never_heard', 'other_tablet', 'other_sim',
        'peripheral_in_two_kits', 'peripheral_not_in_books', 'peripheral_missing', 'model_differs', 'firmware_differs',
        'below_minimum', 'calibration_overdue', 'lease_ending', 'warranty_ending')),
    subject text COLLATE "C" NOT NULL CHECK (subject <> ''),
    kit_id integer REFERENCES kits,
    component_id bigint REFERENCES components,
    model_id integer REFERENCES models,
    location_id integer REFERENCES locations,
    organisation_id integer REFERENCES organisations,
    owner_id integer REFERENCES organisations,
    severity text NOT NULL CHECK (severity IN ('critical', 'major', 'minor', 'warning')),
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'dismissed', 'cleared')),
    opened_at timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL,
    cleared_at timestamptz,
    evidence jsonb NOT NULL CHECK (jsonb_typeof(evidence) = 'object'),
    acknowledged_at timestamptz,
    acknowledged_by text,
    dismissed_at timestamptz,
    dismissed_by text,
    dismissed_reason text,
    dismissed_until timestamptz,
    CHECK (num_nonnulls(kit_id, component_id, model_id) > 0),
    CHECK ((state = 'cleared') = (cleared_at IS NOT NULL)),
    CHECK (state <> 'acknowledged' OR acknowledged_by IS NOT NULL),
    CHECK (state <> 'dismissed' OR num_nulls(dismissed_at, dismissed_by, dismissed_reason) = 0)
) WITH (fillfactor = 90);
COMMENT ON TABLE findings IS 'Where the books and reality disagree, each once for as long as it lasts.';
COMMENT ON COLUMN findings.subject IS
    'What tells it from others of its kind: numbers of kit, piece, model or place, and what was reported instead.';
COMMENT ON COLUMN findings.last_seen_at IS 'When it last held, to the hour.';
COMMENT ON COLUMN findings.dismissed_until IS 'Opens again then if it still holds; null for as long as it holds.';
CREATE UNIQUE INDEX one_standing_finding ON findings (kind, subject) WHERE state <> 'cleared';
CREATE INDEX findings_by_kit ON findings (kit_id, finding_id) WHERE kit_id IS NOT NULL;
CREATE INDEX findings_by_component ON findings (component_id, finding_id) WHERE component_id IS NOT NULL;
CREATE INDEX findings_by_organisation ON findings (organisation_id, finding_id);
CREATE INDEX findings_by_owner ON findings (owner_id, finding_id);
CREATE INDEX standing_findings ON findings (finding_id) WHERE state <> 'cleared';

-- What stands goes with the piece to its new organisation; what is over stays with whom it was.
CREATE FUNCTION move_standing_findings() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_TABLE_NAME = 'kits' THEN
        UPDATE findings SET organisation_id = NEW.organisation_id, owner_id = NEW.owner_id
        WHERE kit_id = NEW.kit_id AND state <> 'cleared';
    ELSE
        UPDATE findings SET organisation_id = NEW.organisation_id, owner_id = NEW.owner_id
        WHERE component_id = NEW.component_id AND kit_id IS NULL AND state <> 'cleared';
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER move_standing_findings AFTER UPDATE OF organisation_id, owner_id ON kits FOR EACH ROW
    WHEN ((NEW.organisation_id, NEW.owner_id) IS DISTINCT FROM (OLD.organisation_id, OLD.owner_id))
    EXECUTE FUNCTION move_standing_findings();
CREATE TRIGGER move_standing_findings AFTER UPDATE OF organisation_id, owner_id ON components FOR EACH ROW
    WHEN ((NEW.organisation_id, NEW.owner_id) IS DISTINCT FROM (OLD.organisation_id, OLD.owner_id))
    EXECUTE FUNCTION move_standing_findings();

CALL guard_by_organisation('findings');
REVOKE INSERT, UPDATE, DELETE ON findings FROM fleet_api;
REVOKE DELETE ON findings FROM fleet_worker;
GRANT UPDATE (state, acknowledged_at, acknowledged_by, dismissed_at, dismissed_by, dismissed_reason, dismissed_until)
    ON findings TO fleet_api;
CALL audited_for_people('findings', 'evidence', 'last_seen_at');

-- Kits to be compared again: filled by the worker from the queue of the rules, and where what describes a piece or a
-- model changes; emptied by the task that compares.
CREATE TABLE finding_queue (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_id integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01);
CALL guard_installation('finding_queue');
REVOKE ALL ON finding_queue FROM fleet_api;

CREATE FUNCTION queue_for_comparison() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_TABLE_NAME = 'components' THEN
        INSERT INTO finding_queue (kit_id) VALUES (NEW.kit_id);
    ELSE
        INSERT INTO finding_queue (kit_id)
        SELECT DISTINCT c.kit_id FROM components c WHERE c.model_id = NEW.model_id AND c.kit_id IS NOT NULL;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER queue_for_comparison AFTER UPDATE OF model_id, serial, imei, iccid, firmware ON components FOR EACH ROW
    WHEN (NEW.kit_id IS NOT NULL AND (NEW.model_id, NEW.serial, NEW.imei, NEW.iccid, NEW.firmware)
          IS DISTINCT FROM (OLD.model_id, OLD.serial, OLD.imei, OLD.iccid, OLD.firmware))
    EXECUTE FUNCTION queue_for_comparison();
CREATE TRIGGER queue_for_comparison AFTER UPDATE OF manufacturer, name, expected_firmware ON models FOR EACH ROW
    WHEN ((NEW.manufacturer, NEW.name, NEW.expected_firmware)
          IS DISTINCT FROM (OLD.manufacturer, OLD.name, OLD.expected_firmware))
    EXECUTE FUNCTION queue_for_comparison();

INSERT INTO rules (rule, severity, line, priority, for_s, keep_firing_for_s, title_en, title_da) VALUES
    ('books_against_reality', 'minor', 'logistics', 'normal', 0, 0,
     'Books and reality disagree', 'Registrering og virkelighed stemmer ikke overens');

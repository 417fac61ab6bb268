-- The rules: their parameters, variants for some kits, every version of both, and what a look at the fleet needs.

ALTER TABLE rules
    ADD COLUMN parameters jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(parameters) = 'object'),
    ADD COLUMN version integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN rules.parameters IS 'As fleet/alerts/judging/parameters.py describes them; what is missing is the default.';
UPDATE rules SET title_da = 'Telekit er tavst' WHERE rule = 'silent' AND title_da = 'Telekit er tavs';
COMMENT ON COLUMN rules.version IS 'The newest row of rule_versions about the rule itself; 0 before it was ever edited.';
INSERT INTO rules (rule, severity, line, priority, for_s, keep_firing_for_s, parameters, title_en, title_da) VALUES
    ('never_heard', 'major', 'logistics', 'high', 0, 15, '{"at_least_s": 900}',
     'Installed kit was never heard', 'Opsat telekit er aldrig hørt'),
    ('pairing_lost', 'major', 'support', 'high', 900, 600, '{"used_days": 14}',
     'Device has lost its connection', 'Udstyr har mistet forbindelsen'),
    ('peripheral_battery_low', 'minor', 'support', 'normal', 900, 600, '{"below_percent": 15}',
     'Device battery is low', 'Udstyrets batteri er lavt'),
    ('update_failed', 'minor', 'service', 'normal', 0, 60, '{}',
     'Update failed', 'Opdatering mislykkedes'),
    ('restarts', 'minor', 'service', 'normal', 0, 3600, '{"more_than": 6, "within_s": 86400}',
     'Tablet restarts too often', 'Tabletten genstarter for ofte'),
    ('tablet_battery_low', 'warning', 'support', 'low', 86400, 900, '{"below_percent": 15}',
     'Tablet battery is low', 'Tablettens batteri er lavt'),
    ('not_charging', 'minor', 'support', 'normal', 172800, 900, '{"below_percent": 40, "from_percent": 15}',
     'Tablet does not charge', 'Tabletten oplades ikke'),
    ('storage_low', 'minor', 'service', 'normal', 3600, 900, '{"below_mb": 500}',
     'Storage is low', 'Lidt lagerplads'),
    ('no_network', 'minor', 'service', 'normal', 21600, 1800, '{"weak_below_dbm": -110, "late_s": 3600}',
     'Bad network for long', 'Dårligt netværk i længere tid'),
    ('clock_skew', 'minor', 'service', 'normal', 1800, 900, '{"over_s": 120}',
     'Tablet clock is wrong', 'Tablettens ur går forkert'),
    ('tablet_or_sim_swapped', 'major', 'logistics', 'high', 0, 0, '{}',
     'Tablet or SIM was swapped', 'Tablet eller SIM-kort er byttet'),
    ('credentials_misused', 'critical', 'service', 'urgent', 0, 0, '{}',
     'Ended credentials are used', 'Spærrede adgangsoplysninger bruges'),
    ('calibration_due', 'minor', 'logistics', 'normal', 0, 0, '{}',
     'Calibration is due', 'Kalibrering er forfalden'),
    ('warranty_ending', 'warning', 'logistics', 'low', 0, 0, '{}',
     'Warranty of a faulty piece ends', 'Garantien på en defekt enhed udløber'),
    ('lease_ending', 'warning', 'logistics', 'low', 0, 0, '{}',
     'Lease ends', 'Leasing udløber'),
    ('stock_low', 'minor', 'logistics', 'normal', 0, 0, '{}',
     'Stock is low', 'Lavt lager');

-- Other settings for some kits: null, or a parameter that is not named, is as with the rule.
CREATE TABLE rule_variants (
    variant_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule text COLLATE "C" NOT NULL REFERENCES rules,
    organisation_id integer REFERENCES organisations,
    programme text CHECK (programme <> ''),
    kit_type text COLLATE "C" REFERENCES kit_types (kit_type),
    model_id integer REFERENCES models,
    severity text CHECK (severity IN ('critical', 'major', 'minor', 'warning')),
    for_s double precision CHECK (for_s >= 0),
    keep_firing_for_s double precision CHECK (keep_firing_for_s >= 0),
    enabled boolean,
    parameters jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(parameters) = 'object'),
    note text NOT NULL DEFAULT '',
    version integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(organisation_id, programme, kit_type, model_id) > 0),
    CHECK (num_nonnulls(programme, kit_type, model_id) <= 1)
);
COMMENT ON TABLE rule_variants IS
    'Settings of a rule for an organisation with what is below it, for a programme, a kit type or a model of which a piece is in the kit. Of several the more specific says more: model, kit type, programme, organisation; alike, the deeper organisation.';
CREATE UNIQUE INDEX one_variant_per_scope ON rule_variants (
    rule, coalesce(organisation_id, 0), coalesce(programme, ''), coalesce(kit_type, ''), coalesce(model_id, 0));
CREATE INDEX rule_variants_by_organisation ON rule_variants (organisation_id) WHERE organisation_id IS NOT NULL;

-- Seen by whom they apply to; changed by who is bound to their organisation, or to none.
CALL admit_processes('rule_variants');
CREATE POLICY scope ON rule_variants FOR SELECT TO fleet_api USING (
    (SELECT sees_all()) OR organisation_id IS NULL OR organisation_id = ANY ((SELECT seen_organisations())::integer[]));
CREATE POLICY scope_insert ON rule_variants FOR INSERT TO fleet_api WITH CHECK (
    (SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[]));
CREATE POLICY scope_update ON rule_variants FOR UPDATE TO fleet_api
    USING ((SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[]))
    WITH CHECK ((SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[]));
CREATE POLICY scope_delete ON rule_variants FOR DELETE TO fleet_api
    USING ((SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[]));
CALL audited('rule_variants');

CREATE TABLE rule_versions (
    version_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule text COLLATE "C" NOT NULL REFERENCES rules,
    variant_id integer,
    organisation_id integer REFERENCES organisations,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    what text NOT NULL CHECK (what IN ('created', 'changed', 'removed')),
    before jsonb CHECK (jsonb_typeof(before) = 'object'),
    after jsonb CHECK (jsonb_typeof(after) = 'object'),
    CHECK ((before IS NULL) = (what = 'created')),
    CHECK ((after IS NULL) = (what = 'removed'))
);
COMMENT ON TABLE rule_versions IS 'Every change of a rule (no variant_id) or of one of its variants: by whom, before and after.';
CREATE INDEX rule_versions_by_rule ON rule_versions (rule, version_id);
CALL admit_processes('rule_versions');
CREATE POLICY scope ON rule_versions FOR SELECT TO fleet_api USING (
    (SELECT sees_all()) OR organisation_id IS NULL OR organisation_id = ANY ((SELECT seen_organisations())::integer[]));
CREATE POLICY scope_insert ON rule_versions FOR INSERT TO fleet_api WITH CHECK (
    (SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[]));
CALL append_only('rule_versions');

-- Kits to which the same variants apply have the same number, which stands where the look at the fleet sees it.
CREATE TABLE rule_sets (
    rule_set integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    variants integer[] NOT NULL UNIQUE CHECK (cardinality(variants) > 0)
);
COMMENT ON TABLE rule_sets IS 'Which variants apply together to some kits, by number. Without any it is set 0.';
CALL guard_installation('rule_sets');
REVOKE ALL ON rule_sets FROM fleet_api;
ALTER TABLE kit_latest ADD COLUMN rule_set integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN kit_latest.rule_set IS 'Which variants of the rules apply (rule_sets); kept by the worker.';

CREATE FUNCTION variants_of_kits(among integer[]) RETURNS TABLE (kit_id integer, variants integer[]) LANGUAGE sql STABLE AS $$
    WITH RECURSIVE paths AS (
        SELECT o.organisation_id, o.organisation_id AS above, o.parent_id FROM organisations o
        UNION ALL
        SELECT p.organisation_id, o.organisation_id, o.parent_id
        FROM paths p JOIN organisations o ON o.organisation_id = p.parent_id
    )
    SELECT k.kit_id, array_agg(v.variant_id ORDER BY v.variant_id)
    FROM kits k
    LEFT JOIN placements p ON p.placement_id = k.placement_id
    LEFT JOIN kit_types t ON t.kit_type = k.kit_type
    JOIN rule_variants v ON (v.kit_type IS NULL OR v.kit_type = k.kit_type)
        AND (v.programme IS NULL OR v.programme = coalesce(p.programme, t.programme))
        AND (v.organisation_id IS NULL OR EXISTS (
            SELECT FROM paths o WHERE o.organisation_id = k.organisation_id AND o.above = v.organisation_id))
        AND (v.model_id IS NULL OR EXISTS (
            SELECT FROM components c WHERE c.kit_id = k.kit_id AND c.model_id = v.model_id))
    WHERE k.kit_id = ANY (among)
    GROUP BY k.kit_id
$$;
COMMENT ON FUNCTION variants_of_kits IS 'The variants that apply to kits by the books as they are now; without a row where none does.';

-- After a change of the settings every kit is looked at once more, some at a time; a further change begins the
-- round anew where it stands.
CREATE TABLE rule_sweep (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    next_kit_id integer NOT NULL DEFAULT 0,
    goal_kit_id integer NOT NULL DEFAULT 0,
    laps smallint NOT NULL CHECK (laps BETWEEN 0 AND 2),
    scanned_kit_id integer NOT NULL DEFAULT 0
);
COMMENT ON COLUMN rule_sweep.laps IS '2: on the way to the highest number; 1: from the lowest to the goal; 0: done.';
COMMENT ON COLUMN rule_sweep.scanned_kit_id IS 'Up to where the latest heartbeats of a large fleet were looked over; 0 at the beginning.';
INSERT INTO rule_sweep (laps) VALUES (2);
CALL guard_installation('rule_sweep');
REVOKE ALL ON rule_sweep FROM fleet_api;

-- When time alone may change what is to be said of a kit: it is looked at again then.
CREATE TABLE evaluation_wakes (
    kit_id integer PRIMARY KEY REFERENCES kits,
    at timestamptz NOT NULL
);
CREATE INDEX evaluation_wakes_by_time ON evaluation_wakes (at);
CALL guard_by_kit('evaluation_wakes');
REVOKE ALL ON evaluation_wakes FROM fleet_api;

DROP TRIGGER rule_switched_on ON rules;
DROP FUNCTION evaluate_all_kits();
-- Kits about which something stands by the rule are looked at first.
CREATE FUNCTION evaluate_changed_rule() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    changed text := CASE WHEN TG_OP = 'DELETE' THEN OLD.rule ELSE NEW.rule END;
BEGIN
    UPDATE rule_sweep SET goal_kit_id = next_kit_id, laps = 2;
    INSERT INTO evaluation_queue (kit_id)
    SELECT kit_id FROM (
        SELECT a.kit_id FROM alerts a WHERE a.rule = changed AND a.state = 'active' AND a.kit_id IS NOT NULL
        UNION
        SELECT p.kit_id FROM pending_alerts p WHERE p.rule = changed
        LIMIT 20000) standing;
    RETURN NULL;
END
$$;
CREATE TRIGGER evaluate_changed_rule AFTER UPDATE ON rules FOR EACH ROW
    WHEN ((NEW.enabled, NEW.severity, NEW.for_s, NEW.keep_firing_for_s, NEW.parameters)
          IS DISTINCT FROM (OLD.enabled, OLD.severity, OLD.for_s, OLD.keep_firing_for_s, OLD.parameters))
    EXECUTE FUNCTION evaluate_changed_rule();
CREATE TRIGGER evaluate_changed_variant AFTER INSERT OR UPDATE OR DELETE ON rule_variants
    FOR EACH ROW EXECUTE FUNCTION evaluate_changed_rule();

-- A tablet that started anew is looked at, though it reports the same as before.
CREATE FUNCTION evaluate_started_kit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO evaluation_queue (kit_id) VALUES (NEW.kit_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER evaluate_started_kit AFTER UPDATE OF boot ON latest_reports FOR EACH ROW
    WHEN (NEW.kind = 'software' AND NEW.boot <> OLD.boot) EXECUTE FUNCTION evaluate_started_kit();

-- What is pending, and what recovers, is looked at when its time has come and not before.
ALTER TABLE pending_alerts ADD COLUMN due_at timestamptz;
UPDATE pending_alerts p SET due_at = p.since + make_interval(secs => r.for_s) FROM rules r WHERE r.rule = p.rule;
ALTER TABLE pending_alerts ALTER COLUMN due_at SET NOT NULL;
DROP INDEX pending_alerts_by_time;
CREATE INDEX pending_alerts_by_time ON pending_alerts (due_at);
COMMENT ON COLUMN pending_alerts.due_at IS 'When the condition has held for long enough.';

-- An alert is of a kit, or of a place or organisation whose stock or pieces it is about.
ALTER TABLE alerts
    ALTER COLUMN kit_id DROP NOT NULL,
    ADD COLUMN subject text COLLATE "C" CHECK (subject <> ''),
    ADD COLUMN rule_version integer,
    ADD COLUMN clears_at timestamptz,
    ADD CHECK (num_nonnulls(kit_id, subject) = 1);
UPDATE alerts a SET rule_version = 0,
    clears_at = a.recovering_since + make_interval(secs => r.keep_firing_for_s)
FROM rules r WHERE r.rule = a.rule AND a.state = 'active' AND a.rule <> 'silent';
COMMENT ON COLUMN alerts.subject IS 'What it is about where that is no kit: location:<slug>, organisation:<slug>, installation.';
COMMENT ON COLUMN alerts.rule_version IS 'Number of the newest change among the settings it was judged by.';
COMMENT ON COLUMN alerts.clears_at IS 'When its condition has been gone for long enough; null while it holds.';
COMMENT ON COLUMN alerts.resolution IS 'Why it cleared: one of fleet.alerts.rules.Resolution.';
CREATE UNIQUE INDEX one_active_alert_per_subject_and_rule ON alerts (subject, rule) WHERE state = 'active' AND subject IS NOT NULL;
CREATE INDEX alerts_to_clear ON alerts (clears_at) WHERE state = 'active' AND clears_at IS NOT NULL;
DROP INDEX recovering_alerts;

-- The request of an alert that is about no kit.
ALTER TABLE service_requests
    ADD COLUMN subject text COLLATE "C" CHECK (subject <> ''),
    DROP CONSTRAINT service_requests_check,
    ADD CONSTRAINT service_requests_check CHECK (num_nonnulls(kit_id, incident_id, subject) = 1);
COMMENT ON COLUMN service_requests.subject IS 'As alerts.subject.';
CREATE UNIQUE INDEX one_open_request_per_subject_and_cause ON service_requests (subject, cause)
    WHERE state IN ('open', 'in_progress', 'waiting') AND subject IS NOT NULL;
CREATE INDEX service_requests_by_subject ON service_requests (subject, request_id) WHERE subject IS NOT NULL;

-- Dashboards see what is about a place too.
CREATE OR REPLACE VIEW grafana_alerts AS
SELECT a.alert_id AS id, k.kit, a.rule, a.severity, a.state, a.acknowledged, a.opened_at, a.cleared_at, a.suppressed_by,
       a.subject
FROM alerts a LEFT JOIN kits k USING (kit_id)
WHERE (SELECT sees_all()) OR a.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[]);
COMMENT ON COLUMN grafana_alerts.kit IS 'The kit''s id; null when it is about a place.';
COMMENT ON COLUMN grafana_alerts.subject IS 'What it is about where that is no kit: location:<slug>, organisation:<slug>, installation.';

CREATE OR REPLACE VIEW grafana_service_requests AS
SELECT r.number, k.kit, r.incident_id AS incident, r.cause, r.line, r.priority, r.state, r.opened_at, r.due_at, r.resolved_at,
       r.subject
FROM service_requests r LEFT JOIN kits k USING (kit_id)
WHERE (SELECT sees_all()) OR r.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[])
   OR r.incident_id IN (SELECT m.incident_id FROM seen_members m);
COMMENT ON COLUMN grafana_service_requests.kit IS 'The kit''s id; null when it is about an incident or a place.';
COMMENT ON COLUMN grafana_service_requests.subject IS 'As grafana_alerts.subject; null when it is about a kit or an incident.';

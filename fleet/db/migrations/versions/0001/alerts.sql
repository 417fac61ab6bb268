-- Rules, alerts, incidents and service requests.

CREATE TABLE rules (
    rule text COLLATE "C" PRIMARY KEY,
    severity text NOT NULL CHECK (severity IN ('critical', 'major', 'minor', 'warning')),
    line text NOT NULL CHECK (line IN ('support', 'service', 'logistics', 'supplier')),
    priority text NOT NULL CHECK (priority IN ('urgent', 'high', 'normal', 'low')),
    for_s double precision NOT NULL CHECK (for_s >= 0),
    keep_firing_for_s double precision NOT NULL CHECK (keep_firing_for_s >= 0),
    enabled boolean NOT NULL DEFAULT true,
    title_en text NOT NULL,
    title_da text NOT NULL
);
COMMENT ON COLUMN rules.for_s IS 'How long the condition must hold before an alert opens.';
COMMENT ON COLUMN rules.keep_firing_for_s IS 'How long the condition must be gone before the alert clears.';
INSERT INTO rules (rule, severity, line, priority, for_s, keep_firing_for_s, title_en, title_da) VALUES
    ('silent', 'major', 'support', 'high', 0, 15, 'Kit is silent', 'Telekit er tavs'),
    ('version_drift', 'minor', 'service', 'normal', 30, 15, 'Version drift', 'Versionsafvigelse');

-- What a rule switched off did not look at, it looks at once it is switched on again.
CREATE FUNCTION evaluate_all_kits() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO evaluation_queue (kit_id) SELECT kit_id FROM kits WHERE state = 'installed';
    RETURN NULL;
END
$$;
CREATE TRIGGER rule_switched_on AFTER UPDATE OF enabled ON rules
    FOR EACH ROW WHEN (new.enabled AND NOT old.enabled) EXECUTE FUNCTION evaluate_all_kits();

CREATE TABLE incidents (
    incident_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rule text NOT NULL REFERENCES rules,
    state text NOT NULL CHECK (state IN ('open', 'cleared')),
    opened_at timestamptz NOT NULL,
    cleared_at timestamptz,
    opened_clock_s double precision NOT NULL,
    cleared_clock_s double precision,
    recovering_since timestamptz,
    installed_kits integer NOT NULL,
    CHECK ((state = 'cleared') = (cleared_at IS NOT NULL)),
    CHECK ((state = 'cleared') = (cleared_clock_s IS NOT NULL))
);
COMMENT ON COLUMN incidents.recovering_since IS 'Since when no more members than the threshold are silent; null while more are.';
COMMENT ON COLUMN incidents.installed_kits IS 'Installed kits when it opened, of which the threshold is a part.';
CREATE UNIQUE INDEX one_open_incident_per_rule ON incidents (rule) WHERE state = 'open';

CREATE TABLE incident_members (
    incident_id bigint NOT NULL REFERENCES incidents,
    kit_id integer NOT NULL REFERENCES kits,
    joined_at timestamptz NOT NULL,
    left_at timestamptz,
    outcome text CHECK (outcome IN ('returned', 'released', 'not_watched')),
    heard_clock_s double precision NOT NULL,
    watch_allowance_s double precision NOT NULL,
    PRIMARY KEY (incident_id, kit_id),
    CHECK ((left_at IS NULL) = (outcome IS NULL))
);
COMMENT ON COLUMN incident_members.heard_clock_s IS
    'As in kit_latest when the kit joined: it returned when it was heard at a later value.';
CREATE UNIQUE INDEX one_membership_at_a_time ON incident_members (kit_id) INCLUDE (incident_id) WHERE left_at IS NULL;
CREATE INDEX released_members ON incident_members (left_at) WHERE outcome = 'released';

CREATE TABLE alerts (
    alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_id integer NOT NULL REFERENCES kits,
    rule text COLLATE "C" NOT NULL REFERENCES rules,
    severity text NOT NULL,
    state text NOT NULL CHECK (state IN ('active', 'cleared')),
    acknowledged boolean NOT NULL DEFAULT false,
    opened_at timestamptz NOT NULL,
    cleared_at timestamptz,
    resolution text,
    suppressed_by text,
    recovering_since timestamptz,
    evidence jsonb NOT NULL,
    CHECK ((state = 'cleared') = (cleared_at IS NOT NULL)),
    CHECK ((state = 'cleared') = (resolution IS NOT NULL))
);
COMMENT ON COLUMN alerts.resolution IS
    'Why it cleared: proof, wanted_changed, expectation_changed, not_watched, rule_disabled, merged.';
COMMENT ON COLUMN alerts.suppressed_by IS 'What took its place, for example incident:7.';
COMMENT ON COLUMN alerts.recovering_since IS 'Since when the condition is gone; null while it holds.';
CREATE UNIQUE INDEX one_active_alert_per_kit_and_rule ON alerts (kit_id, rule) WHERE state = 'active';
CREATE INDEX active_alerts ON alerts (rule, alert_id) WHERE state = 'active';
CREATE INDEX recovering_alerts ON alerts (rule, recovering_since) WHERE state = 'active' AND recovering_since IS NOT NULL;
CREATE INDEX alerts_by_kit ON alerts (kit_id, alert_id);

-- Conditions that hold but not yet for long enough (`rules.for_s`).
CREATE TABLE pending_alerts (
    kit_id integer NOT NULL REFERENCES kits,
    rule text COLLATE "C" NOT NULL REFERENCES rules,
    since timestamptz NOT NULL,
    evidence jsonb NOT NULL,
    PRIMARY KEY (kit_id, rule)
);
CREATE INDEX pending_alerts_by_time ON pending_alerts (rule, since);

-- The value of the listening clock after which a kit is silent, null while it is not watched; is_silent() says the same.
CREATE FUNCTION silence_deadline_clock_s(
    heard_clock_s double precision, watch_from_clock_s double precision, watch_allowance_s double precision,
    watch_interval_s double precision, resumed_clock_s double precision, grace_from_clock_s double precision
) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
    WHEN heard_clock_s IS NULL OR watch_allowance_s IS NULL THEN NULL
    WHEN greatest(heard_clock_s, watch_from_clock_s) + watch_allowance_s < grace_from_clock_s
        THEN greatest(heard_clock_s, watch_from_clock_s) + watch_allowance_s
    ELSE greatest(greatest(heard_clock_s, watch_from_clock_s) + watch_allowance_s,
                  resumed_clock_s + least(watch_interval_s, 900))
END;

CREATE SEQUENCE service_request_numbers;
-- The next number, for example SR-2026-000042; grows longer than six digits when it has to.
CREATE FUNCTION service_request_number(at timestamptz) RETURNS text LANGUAGE sql VOLATILE
RETURN to_char(at AT TIME ZONE 'UTC', '"SR-"YYYY-') || (
    SELECT lpad(n::text, greatest(6, length(n::text)), '0') FROM nextval('service_request_numbers') AS n);
CREATE TABLE service_requests (
    request_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    number text COLLATE "C" NOT NULL UNIQUE,
    kit_id integer REFERENCES kits,
    incident_id bigint REFERENCES incidents,
    cause text NOT NULL,
    line text NOT NULL CHECK (line IN ('support', 'service', 'logistics', 'supplier')),
    priority text NOT NULL CHECK (priority IN ('urgent', 'high', 'normal', 'low')),
    state text NOT NULL CHECK (state IN ('open', 'in_progress', 'waiting', 'resolved', 'closed')),
    opened_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    resolved_at timestamptz,
    resolution text,
    CHECK (num_nonnulls(kit_id, incident_id) = 1),
    CHECK ((state IN ('resolved', 'closed')) = (resolved_at IS NOT NULL))
);
CREATE UNIQUE INDEX one_open_request_per_kit_and_cause ON service_requests (kit_id, cause)
    WHERE state IN ('open', 'in_progress', 'waiting') AND kit_id IS NOT NULL;
CREATE UNIQUE INDEX one_request_per_incident ON service_requests (incident_id) WHERE incident_id IS NOT NULL;
CREATE INDEX service_requests_by_kit ON service_requests (kit_id, request_id);
CREATE INDEX open_service_requests ON service_requests (request_id) WHERE state IN ('open', 'in_progress', 'waiting');

CREATE TABLE request_alerts (
    request_id bigint NOT NULL REFERENCES service_requests,
    alert_id bigint NOT NULL REFERENCES alerts,
    PRIMARY KEY (request_id, alert_id)
);
CREATE INDEX request_alerts_by_alert ON request_alerts (alert_id);

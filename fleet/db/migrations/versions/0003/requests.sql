-- Service requests: the log of what was done, of which a request's row is the projection, and the lists it speaks in.

-- What a request may be opened for (besides the rules), and what is found in the end.
CREATE TABLE request_causes (
    cause text COLLATE "C" PRIMARY KEY CHECK (cause ~ '^[a-z][a-z0-9_-]{0,62}$'),
    title_en text NOT NULL CHECK (title_en <> ''),
    title_da text NOT NULL CHECK (title_da <> ''),
    opens boolean NOT NULL,
    explains boolean NOT NULL,
    line text NOT NULL DEFAULT 'support' CHECK (line IN ('support', 'service', 'logistics', 'supplier')),
    severity text NOT NULL DEFAULT 'minor' CHECK (severity IN ('critical', 'major', 'minor', 'warning')),
    proof boolean NOT NULL DEFAULT true,
    active boolean NOT NULL DEFAULT true,
    revision integer NOT NULL DEFAULT 1
);
COMMENT ON TABLE request_causes IS 'What a request may be opened for, and what may be found to be the cause.';
COMMENT ON COLUMN request_causes.opens IS 'Whether a request may be opened for it.';
COMMENT ON COLUMN request_causes.explains IS 'Whether it may be given as what was found in the end.';
COMMENT ON COLUMN request_causes.proof IS 'Whether a request for it closes by proof only: the kit must show that it works.';
INSERT INTO request_causes (cause, title_en, title_da, opens, explains, line, severity) VALUES
    ('cannot_measure', 'Citizen cannot measure', 'Borger kan ikke måle', true, false, 'support', 'major'),
    ('tablet_fault', 'Tablet does not work', 'Tablet virker ikke', true, true, 'service', 'major'),
    ('peripheral_fault', 'A device does not work', 'Et måleapparat virker ikke', true, true, 'service', 'major'),
    ('app_fault', 'Application does not work', 'Appen virker ikke', true, true, 'service', 'major'),
    ('damaged', 'Damaged equipment', 'Beskadiget udstyr', true, true, 'logistics', 'minor'),
    ('lost_equipment', 'Equipment is missing', 'Udstyr mangler', true, true, 'logistics', 'minor'),
    ('delivery', 'Set-up, swap or take-down wanted', 'Opsætning, ombytning eller nedtagning ønskes', true, false, 'logistics', 'minor'),
    ('instruction', 'Instruction wanted', 'Instruktion ønskes', true, true, 'support', 'warning'),
    ('other', 'Something else', 'Andet', true, true, 'support', 'minor'),
    ('no_fault_found', 'No fault found', 'Ingen fejl fundet', false, true, 'support', 'minor'),
    ('switched_off', 'Was switched off or without power', 'Var slukket eller uden strøm', false, true, 'support', 'minor'),
    ('no_coverage', 'No mobile coverage', 'Ingen mobildækning', false, true, 'service', 'minor'),
    ('operator_outage', 'Outage of the mobile operator', 'Driftsforstyrrelse hos mobiloperatøren', false, true, 'supplier', 'minor'),
    ('sim_fault', 'SIM card or subscription', 'SIM-kort eller abonnement', false, true, 'supplier', 'minor'),
    ('battery_fault', 'Battery or charger', 'Batteri eller oplader', false, true, 'logistics', 'minor'),
    ('pairing_fault', 'Bluetooth pairing', 'Bluetooth-parring', false, true, 'service', 'minor'),
    ('update_fault', 'An update of software', 'En opdatering af software', false, true, 'service', 'minor'),
    ('use_error', 'Wrong use', 'Forkert brug', false, true, 'support', 'minor'),
    ('books_wrong', 'The books were wrong', 'Registreringen var forkert', false, true, 'logistics', 'minor'),
    ('self-cleared', 'Went away by itself', 'Gik over af sig selv', false, true, 'support', 'minor');
UPDATE request_causes SET proof = false WHERE cause IN ('damaged', 'lost_equipment', 'delivery', 'instruction', 'other');
CALL share('request_causes');
ALTER POLICY shared_insert ON request_causes WITH CHECK ((SELECT sees_all()));
CALL audited('request_causes');
REVOKE DELETE ON request_causes FROM fleet_api, fleet_worker;

CREATE TABLE request_remedies (
    remedy text COLLATE "C" PRIMARY KEY CHECK (remedy ~ '^[a-z][a-z0-9_-]{0,62}$'),
    title_en text NOT NULL CHECK (title_en <> ''),
    title_da text NOT NULL CHECK (title_da <> ''),
    active boolean NOT NULL DEFAULT true,
    revision integer NOT NULL DEFAULT 1
);
COMMENT ON TABLE request_remedies IS 'What was done about a request.';
INSERT INTO request_remedies (remedy, title_en, title_da) VALUES
    ('advice', 'Advice by telephone', 'Vejledning i telefonen'),
    ('restarted', 'Restarted', 'Genstartet'),
    ('charged', 'Charged or plugged in', 'Opladet eller tilsluttet strøm'),
    ('paired_again', 'Paired again', 'Parret igen'),
    ('configured', 'Configured or updated remotely', 'Indstillet eller opdateret på afstand'),
    ('rolled_back', 'Went back to an earlier version', 'Tilbage til en tidligere version'),
    ('swapped_piece', 'Swapped a piece', 'Ombyttet en del'),
    ('swapped_kit', 'Swapped the kit', 'Ombyttet telekittet'),
    ('repaired', 'Repaired', 'Repareret'),
    ('delivered', 'Delivered, set up or taken down', 'Leveret, opsat eller nedtaget'),
    ('supplier_solved', 'Solved by the supplier', 'Løst af leverandøren'),
    ('books_corrected', 'Put the books right', 'Rettet registreringen'),
    ('nothing', 'Nothing was needed', 'Intet var nødvendigt'),
    ('self-cleared', 'Went away by itself', 'Gik over af sig selv');
CALL share('request_remedies');
ALTER POLICY shared_insert ON request_remedies WITH CHECK ((SELECT sees_all()));
CALL audited('request_remedies');
REVOKE DELETE ON request_remedies FROM fleet_api, fleet_worker;

-- One row: how requests end and come back, the same for all.
CREATE TABLE request_settings (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    reopen_within_s integer NOT NULL DEFAULT 604800 CHECK (reopen_within_s BETWEEN 0 AND 31622400),
    proof_for_s integer NOT NULL DEFAULT 86400 CHECK (proof_for_s BETWEEN 60 AND 2678400),
    proof_within_s integer NOT NULL DEFAULT 1209600 CHECK (proof_within_s BETWEEN 60 AND 31622400),
    important_programmes text[] NOT NULL DEFAULT '{}' CHECK (cardinality(important_programmes) <= 100),
    revision integer NOT NULL DEFAULT 1
);
COMMENT ON TABLE request_settings IS 'How service requests end and come back.';
COMMENT ON COLUMN request_settings.reopen_within_s IS 'A cause that comes back so soon after its request ended opens that again.';
COMMENT ON COLUMN request_settings.proof_for_s IS 'How long a kit must be well after the fix before the request closes.';
COMMENT ON COLUMN request_settings.proof_within_s IS 'By when it must be: otherwise what was resolved by hand opens again.';
COMMENT ON COLUMN request_settings.important_programmes IS 'Programmes whose kits are answered one priority sooner.';
INSERT INTO request_settings DEFAULT VALUES;
CALL share('request_settings');
ALTER POLICY shared_insert ON request_settings WITH CHECK ((SELECT sees_all()));
CALL audited('request_settings');
REVOKE INSERT, DELETE ON request_settings FROM fleet_api, fleet_worker;

-- What rules write as a resolution are words of ours.
CREATE OR REPLACE FUNCTION is_free_text(resolution text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN resolution !~ ('^(proof|wanted_changed|expectation_changed|not_watched|rule_disabled|rule_changed|books_agree|dismissed'
                      || '|merged(:\d+|:SR-\d+-\d+)?|\[redacted\])$');

ALTER TABLE service_requests
    ADD COLUMN opened_by text NOT NULL DEFAULT 'alert' CHECK (opened_by IN ('alert', 'agent', 'program')),
    ADD COLUMN description text NOT NULL DEFAULT '',
    ADD COLUMN waiting_for text CHECK (waiting_for IN ('citizen', 'supplier', 'transport', 'other')),
    ADD COLUMN assignee_id bigint REFERENCES users ON DELETE SET NULL,
    ADD COLUMN assignee text,
    ADD COLUMN resolved_by text,
    ADD COLUMN found_cause text COLLATE "C" REFERENCES request_causes,
    ADD COLUMN remedy text COLLATE "C" REFERENCES request_remedies,
    ADD COLUMN closed_at timestamptz,
    ADD COLUMN proven boolean,
    ADD COLUMN merged_into text COLLATE "C" REFERENCES service_requests (number) ON DELETE SET NULL,
    ADD COLUMN reopened integer NOT NULL DEFAULT 0,
    ADD COLUMN has_text boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN service_requests.opened_by IS 'What opened it: a rule, somebody at the desk, a program.';
COMMENT ON COLUMN service_requests.assignee IS 'The account it is given to; null while it is the line''s.';
COMMENT ON COLUMN service_requests.found_cause IS 'What was found to be the cause; self-cleared where nobody needed to find it.';
COMMENT ON COLUMN service_requests.proven IS 'Once closed: whether the kit itself showed that the fault is gone.';
COMMENT ON COLUMN service_requests.merged_into IS 'The request that speaks for this one.';
COMMENT ON COLUMN service_requests.reopened IS 'How often it was opened again.';
COMMENT ON COLUMN service_requests.has_text IS 'Whether its log holds what people wrote.';
CREATE INDEX service_requests_by_assignee ON service_requests (assignee_id, request_id) WHERE assignee_id IS NOT NULL;
CREATE INDEX service_requests_by_organisation ON service_requests (organisation_id, request_id);
CREATE INDEX service_requests_to_prove ON service_requests (request_id) WHERE state = 'resolved';
CREATE INDEX service_requests_merged ON service_requests (merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX service_requests_with_text ON service_requests (resolved_at) WHERE has_text;

CREATE PROCEDURE guard_by_request(t regclass) LANGUAGE plpgsql AS $$
DECLARE
    rule text := format(
        '(SELECT sees_all()) OR EXISTS (SELECT FROM service_requests r WHERE r.request_id = %s.request_id)', t);
BEGIN
    CALL admit_processes(t);
    EXECUTE format('CREATE POLICY scope ON %s TO fleet_api USING (%s) WITH CHECK (%s)', t, rule, rule);
END
$$;
COMMENT ON PROCEDURE guard_by_request IS 'Rows of a service request that is visible itself.';

CREATE TABLE request_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    request_id bigint NOT NULL REFERENCES service_requests,
    at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    what text NOT NULL CHECK (what IN (
        'opened', 'state', 'line', 'priority', 'assigned', 'comment', 'reference', 'alert', 'linked', 'merged', 'visit',
        'call', 'told', 'escalated', 'redacted')),
    body jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(body) = 'object')
);
COMMENT ON TABLE request_events IS 'What was done about service requests; their rows are its projection. Append-only.';
COMMENT ON COLUMN request_events.actor IS '`system` for what rules and clocks do.';
CREATE INDEX request_events_in_order ON request_events (request_id, event_id);
CALL guard_by_request('request_events');
CALL append_only('request_events', 'body');

-- What is learned from a request that ended: with what its kit was and ran at that time.
CREATE TABLE request_lessons (
    request_id bigint PRIMARY KEY REFERENCES service_requests,
    at timestamptz NOT NULL,
    cause text NOT NULL,
    found_cause text COLLATE "C" NOT NULL REFERENCES request_causes,
    remedy text COLLATE "C" NOT NULL REFERENCES request_remedies,
    model text,
    kit_type text,
    versions jsonb NOT NULL DEFAULT '{}'
);
COMMENT ON TABLE request_lessons IS 'Cause and remedy of requests that ended, with model and versions of the kit then.';
CREATE INDEX request_lessons_by_time ON request_lessons (at);
CALL guard_by_request('request_lessons');
CALL audited_for_people('request_lessons');
REVOKE DELETE ON request_lessons FROM fleet_api;

-- Whoever opens or merges requests joins alerts to them, both of which they must see.
GRANT INSERT, DELETE ON request_alerts TO fleet_api;

-- Requests of before get a log that says as much as is known.
INSERT INTO request_events (request_id, at, recorded_at, actor, what, body)
SELECT request_id, opened_at, opened_at, 'system', 'opened', jsonb_build_object(
    'by', 'alert', 'cause', cause, 'line', line, 'priority', priority)
FROM service_requests ORDER BY request_id;
INSERT INTO request_events (request_id, at, recorded_at, actor, what, body)
SELECT request_id, a.opened_at, a.opened_at, 'system', 'alert', jsonb_build_object('alert', alert_id, 'rule', a.rule)
FROM request_alerts JOIN alerts a USING (alert_id) ORDER BY request_id, alert_id;
INSERT INTO request_events (request_id, at, recorded_at, actor, what, body)
SELECT request_id, coalesce(resolved_at, opened_at), coalesce(resolved_at, opened_at),
       CASE WHEN is_free_text(resolution) THEN 'unknown' ELSE 'system' END, 'state', jsonb_strip_nulls(jsonb_build_object(
           'from', 'open', 'to', state, 'resolution', resolution))
FROM service_requests WHERE state <> 'open' ORDER BY request_id;
CALL audited_for_people('request_events', 'body');
ALTER TABLE service_requests DISABLE TRIGGER audit_update;
UPDATE service_requests r SET
    resolved_by = CASE WHEN state NOT IN ('resolved', 'closed') THEN NULL
                       WHEN is_free_text(resolution) THEN 'unknown' ELSE 'system' END,
    closed_at = CASE WHEN state = 'closed' THEN resolved_at END,
    proven = CASE WHEN state = 'closed' THEN false END,
    has_text = coalesce(is_free_text(resolution), false);
ALTER TABLE service_requests ENABLE TRIGGER audit_update;

-- What an edit is based on: the last entry that somebody may overwrite.
CREATE FUNCTION request_revision(given bigint) RETURNS bigint LANGUAGE sql STABLE
RETURN coalesce((SELECT e.event_id FROM request_events e
                 WHERE e.request_id = given AND e.what NOT IN ('alert', 'told', 'escalated', 'visit', 'call')
                 ORDER BY e.event_id DESC LIMIT 1), 0);

-- How long after its end a request is opened again instead of a new one: as its contract says, or as for all. Asked also
-- by those who do not see the contract.
CREATE FUNCTION reopen_within_s(contract integer) RETURNS integer LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    RETURN coalesce(86400 * (SELECT c.reopen_days FROM contracts c WHERE c.contract_id = contract),
                    (SELECT s.reopen_within_s FROM request_settings s));
END
$$;
REVOKE EXECUTE ON FUNCTION reopen_within_s FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reopen_within_s TO fleet_api, fleet_worker;

-- The request that speaks for this one, through all that were merged.
CREATE FUNCTION speaks_for(given text) RETURNS text LANGUAGE sql STABLE AS $$
    WITH RECURSIVE way AS (
        SELECT number, merged_into, 0 AS steps FROM service_requests WHERE number = given
        UNION ALL
        SELECT r.number, r.merged_into, w.steps + 1 FROM way w JOIN service_requests r ON r.number = w.merged_into
        WHERE w.steps < 100
    )
    SELECT number FROM way ORDER BY steps DESC LIMIT 1
$$;

-- What people wrote: of the entries that hold them, these members.
CREATE FUNCTION request_texts() RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY['text', 'reason', 'description', 'resolution', 'title', 'url', 'document'];

CREATE FUNCTION redacted_request_body(body jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN (SELECT coalesce(jsonb_object_agg(key, CASE
            WHEN key = ANY (request_texts()) AND jsonb_typeof(value) = 'string' AND is_free_text(value #>> '{}')
            THEN to_jsonb('[redacted]'::text) ELSE value END), '{}')
        FROM jsonb_each(body));

CREATE OR REPLACE FUNCTION redact_request(wanted bigint, why text) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET fleet.lifted = 'redaction' AS $$
DECLARE
    line bigint;
    before service_requests;
    actor text := CASE WHEN why = 'retention' THEN 'system'
                    ELSE coalesce(nullif(current_setting('fleet.actor', true), ''), session_user) END;
BEGIN
    PERFORM set_config('fleet.reason', coalesce(why, ''), true);
    SELECT * INTO before FROM service_requests r WHERE r.request_id = wanted FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF before.has_text OR is_free_text(before.resolution) OR before.description NOT IN ('', '[redacted]') THEN
        UPDATE request_events e SET body = redacted_request_body(e.body)
        WHERE e.request_id = wanted AND e.body <> redacted_request_body(e.body);
        INSERT INTO request_events (request_id, at, actor, what) VALUES (wanted, now(), actor, 'redacted');
        UPDATE service_requests r SET
            resolution = CASE WHEN is_free_text(r.resolution) THEN '[redacted]' ELSE r.resolution END,
            description = CASE WHEN r.description = '' THEN '' ELSE '[redacted]' END,
            has_text = false
        WHERE r.request_id = wanted;
    END IF;
    FOR line IN SELECT a.audit_id FROM audit a
                WHERE a.subject_kind = 'service_requests' AND a.subject = wanted::text
                  AND (is_free_text(a.before ->> 'resolution') OR is_free_text(a.after ->> 'resolution')
                       OR a.before ->> 'description' NOT IN ('', '[redacted]')
                       OR a.after ->> 'description' NOT IN ('', '[redacted]')) LOOP
        PERFORM redact_audit(line, ARRAY['resolution', 'description'], why);
    END LOOP;
    RETURN true;
END
$$;

CREATE OR REPLACE FUNCTION redact_old_requests(cutoff timestamptz, most integer) RETURNS bigint LANGUAGE sql VOLATILE
SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT count(redact_request(request_id, 'retention'))
    FROM (SELECT request_id FROM service_requests
          WHERE resolved_at < cutoff AND (has_text OR is_free_text(resolution)) ORDER BY resolved_at LIMIT most) old
$$;

-- Requests past their time, with their logs: the worker may not touch a log by itself.
CREATE FUNCTION trim_requests(cutoff timestamptz, most integer) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET fleet.lifted = 'retention' AS $$
DECLARE
    old bigint[] := ARRAY(SELECT request_id FROM service_requests WHERE resolved_at < cutoff ORDER BY resolved_at LIMIT most);
BEGIN
    DELETE FROM request_alerts WHERE request_id = ANY (old);
    DELETE FROM request_lessons WHERE request_id = ANY (old);
    DELETE FROM request_events WHERE request_id = ANY (old);
    DELETE FROM service_requests WHERE request_id = ANY (old);
    RETURN cardinality(old);
END
$$;
REVOKE EXECUTE ON FUNCTION trim_requests FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trim_requests TO fleet_worker;

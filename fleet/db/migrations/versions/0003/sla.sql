-- Business calendars, contracts with their targets and steps of escalation, and how requests stand against them.

-- What is of nobody is for everybody: shown to all who may see anything, changed by who is bound to no organisation.
CREATE PROCEDURE guard_with_nobodys(t regclass) LANGUAGE plpgsql AS $$
BEGIN
    CALL guard_by_organisation(t);
    EXECUTE format('CREATE POLICY nobodys ON %s FOR SELECT TO fleet_api USING (organisation_id IS NULL
        AND cardinality((SELECT seen_organisations())::integer[]) > 0)', t);
END
$$;
COMMENT ON PROCEDURE guard_with_nobodys IS 'Rows of an organisation in scope, and to read those that are of none.';

CREATE TABLE calendars (
    calendar_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text COLLATE "C" NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    organisation_id integer REFERENCES organisations,
    name text NOT NULL,
    time_zone text NOT NULL DEFAULT 'Europe/Copenhagen',
    always boolean NOT NULL DEFAULT false,
    hours jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(hours) = 'object'),
    holidays text CHECK (holidays ~ '^[A-Z]{2}$'),
    optional_days jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(optional_days) = 'object'),
    days jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(days) = 'array' AND jsonb_array_length(days) <= 400),
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE calendars IS 'When a desk is open; one of no organisation is for all.';
COMMENT ON COLUMN calendars.always IS 'Around the clock: hours, holidays and days do not matter.';
COMMENT ON COLUMN calendars.hours IS 'Open hours by weekday in local time, {"mon": [["08:00", "16:00"]]}; a day that is missing is closed.';
COMMENT ON COLUMN calendars.holidays IS 'The country whose public holidays are closed.';
COMMENT ON COLUMN calendars.optional_days IS 'Days that are no public holidays and closed, or half, all the same: {"december_24": "closed"}.';
COMMENT ON COLUMN calendars.days IS 'Exceptions, which win: [{"day": "2026-12-23", "hours": [], "note": ""}].';
CREATE INDEX calendars_by_organisation ON calendars (organisation_id);
CALL guard_with_nobodys('calendars');

CREATE TABLE contracts (
    contract_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text COLLATE "C" NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    organisation_id integer REFERENCES organisations,
    name text NOT NULL,
    programme text,
    kit_type text COLLATE "C" REFERENCES kit_types (kit_type),
    calendar_id integer NOT NULL REFERENCES calendars,
    valid_from timestamptz NOT NULL,
    valid_until timestamptz,
    reopen_days integer CHECK (reopen_days BETWEEN 0 AND 365),
    update_min integer CHECK (update_min BETWEEN 1 AND 129600),
    remeasure_from bigint,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (valid_until > valid_from),
    -- There is always a contract that applies.
    CHECK (slug <> 'standard' OR valid_from <= '1970-01-01T00:00:00Z'
           AND num_nonnulls(organisation_id, programme, kit_type, valid_until) = 0)
);
COMMENT ON TABLE contracts IS
    'What is promised for kits of an organisation and those below it, a programme, a kit type; what is null is for all.';
COMMENT ON COLUMN contracts.reopen_days IS 'How long after its end a request is opened again instead of a new one; null as for all.';
COMMENT ON COLUMN contracts.update_min IS 'How often somebody must do or say something, in open minutes, where a priority does not say it.';
COMMENT ON COLUMN contracts.remeasure_from IS 'From which number on its open requests are still to be measured anew, after a change; else null.';
CREATE INDEX contracts_by_organisation ON contracts (organisation_id);
CREATE INDEX contracts_by_calendar ON contracts (calendar_id);
CREATE INDEX contracts_to_measure ON contracts (contract_id) WHERE remeasure_from IS NOT NULL;
CALL guard_with_nobodys('contracts');

CREATE TABLE contract_targets (
    contract_id integer NOT NULL REFERENCES contracts ON DELETE CASCADE,
    priority text NOT NULL CHECK (priority IN ('urgent', 'high', 'normal', 'low')),
    organisation_id integer REFERENCES organisations,
    response_min integer CHECK (response_min BETWEEN 1 AND 129600),
    update_min integer CHECK (update_min BETWEEN 1 AND 129600),
    solution_min integer NOT NULL CHECK (solution_min BETWEEN 1 AND 129600),
    PRIMARY KEY (contract_id, priority)
);
COMMENT ON TABLE contract_targets IS 'Targets by priority in minutes of the contract''s open hours; null promises nothing.';
CALL guard_with_nobodys('contract_targets');

CREATE TABLE escalations (
    contract_id integer NOT NULL REFERENCES contracts ON DELETE CASCADE,
    step smallint NOT NULL CHECK (step BETWEEN 1 AND 20),
    organisation_id integer REFERENCES organisations,
    target text NOT NULL CHECK (target IN ('response', 'update', 'solution')),
    percent integer CHECK (percent BETWEEN 1 AND 500),
    before_min integer CHECK (before_min BETWEEN 1 AND 129600),
    notify text NOT NULL DEFAULT 'line' CHECK (notify IN ('line', 'assignee', 'role')),
    role text,
    raise_priority boolean NOT NULL DEFAULT false,
    PRIMARY KEY (contract_id, step),
    CHECK (num_nonnulls(percent, before_min) = 1),
    CHECK ((notify = 'role') = (role IS NOT NULL))
);
COMMENT ON TABLE escalations IS 'Whom to tell when a share of a target''s time is over, or so many open minutes before its end.';
CALL guard_with_nobodys('escalations');

INSERT INTO calendars (slug, name, always) VALUES ('always', 'Døgnet rundt', true);
INSERT INTO calendars (slug, name, hours, holidays, optional_days)
SELECT 'working-days', 'Danske arbejdsdage', jsonb_object_agg(day, '[["08:00", "16:00"]]'::jsonb), 'DK',
       '{"december_24": "closed", "december_31": "closed", "june_5": "closed"}'
FROM unnest(ARRAY['mon', 'tue', 'wed', 'thu', 'fri']) AS day;

-- What held before there were contracts: 4 hours, 1, 3 and 10 days from opening to solution, around the clock.
WITH made AS (
    INSERT INTO contracts (slug, name, calendar_id, valid_from)
    SELECT 'standard', 'Standard', calendar_id, '1970-01-01T00:00:00Z' FROM calendars WHERE slug = 'always'
    RETURNING contract_id
)
INSERT INTO contract_targets (contract_id, priority, solution_min)
SELECT contract_id, priority, minutes
FROM made, (VALUES ('urgent', 240), ('high', 1440), ('normal', 4320), ('low', 14400)) AS v (priority, minutes);

CALL audited('calendars');
CALL audited('contracts', 'remeasure_from');
CALL audited('contract_targets');
CALL audited('escalations');

-- The contract that applies: nearest up the organisations first, then of the kit type, then of the programme, then the newest.
-- Asked by whoever opens a request, who need not see the contracts of those above.
CREATE FUNCTION contract_for(wanted_organisation integer, wanted_programme text, wanted_kit_type text, at timestamptz)
RETURNS integer LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH RECURSIVE path AS (
        SELECT o.organisation_id, o.parent_id, 0 AS distance FROM organisations o
        WHERE o.organisation_id = wanted_organisation
        UNION ALL
        SELECT o.organisation_id, o.parent_id, p.distance + 1
        FROM organisations o JOIN path p ON o.organisation_id = p.parent_id
    )
    SELECT c.contract_id
    FROM contracts c LEFT JOIN path p ON p.organisation_id = c.organisation_id
    WHERE (c.organisation_id IS NULL OR p.organisation_id IS NOT NULL)
      AND (c.programme IS NULL OR c.programme = wanted_programme)
      AND (c.kit_type IS NULL OR c.kit_type = wanted_kit_type)
      AND c.valid_from <= at AND (c.valid_until IS NULL OR c.valid_until > at)
    ORDER BY p.distance NULLS LAST, c.kit_type IS NULL, c.programme IS NULL, c.valid_from DESC, c.contract_id DESC
    LIMIT 1
$$;
REVOKE EXECUTE ON FUNCTION contract_for FROM PUBLIC;
GRANT EXECUTE ON FUNCTION contract_for TO fleet_api, fleet_worker;

CREATE FUNCTION sla_terms(wanted integer[])
RETURNS TABLE (contract_id integer, update_min integer, reopen_days integer, calendar jsonb, targets jsonb, steps jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT c.contract_id, c.update_min, c.reopen_days, to_jsonb(d),
           (SELECT coalesce(jsonb_agg(to_jsonb(t)), '[]') FROM contract_targets t WHERE t.contract_id = c.contract_id),
           (SELECT coalesce(jsonb_agg(to_jsonb(e) ORDER BY e.step), '[]') FROM escalations e
            WHERE e.contract_id = c.contract_id)
    FROM contracts c JOIN calendars d USING (calendar_id) WHERE c.contract_id = ANY (wanted)
$$;
COMMENT ON FUNCTION sla_terms IS 'What requests are measured by, also for those who see the request and not the contract.';
REVOKE EXECUTE ON FUNCTION sla_terms FROM PUBLIC;
GRANT EXECUTE ON FUNCTION sla_terms TO fleet_api, fleet_worker;

ALTER TABLE service_requests
    ADD COLUMN contract_id integer REFERENCES contracts,
    ADD COLUMN response_due_at timestamptz,
    ADD COLUMN update_due_at timestamptz,
    ADD COLUMN responded_at timestamptz,
    ADD COLUMN sla_state text NOT NULL DEFAULT 'running' CHECK (sla_state IN ('running', 'paused', 'met', 'breached')),
    ADD COLUMN sla_breaches text[] NOT NULL DEFAULT '{}' CHECK (sla_breaches <@ ARRAY['response', 'update', 'solution']),
    ADD COLUMN next_escalation_at timestamptz;
COMMENT ON COLUMN service_requests.contract_id IS 'The contract that applied when it was opened; null until it was measured.';
COMMENT ON COLUMN service_requests.due_at IS 'By when it must be solved; while its clocks are paused, by when if they went on now.';
COMMENT ON COLUMN service_requests.sla_breaches IS 'The targets that were missed.';
COMMENT ON COLUMN service_requests.next_escalation_at IS 'When the worker looks at it next: a step of escalation, a breach.';
CREATE INDEX requests_to_escalate ON service_requests (next_escalation_at) WHERE next_escalation_at IS NOT NULL;
CREATE INDEX requests_without_contract ON service_requests (request_id)
    WHERE contract_id IS NULL AND state IN ('open', 'in_progress', 'waiting');
CREATE INDEX open_requests_by_contract ON service_requests (contract_id, request_id)
    WHERE state IN ('open', 'in_progress', 'waiting');
CREATE INDEX service_requests_by_opening ON service_requests (opened_at);
-- A step is told once, whoever tells it.
CREATE UNIQUE INDEX one_escalation_per_key ON request_events (request_id, (body ->> 'key')) WHERE what = 'escalated';

-- How a request stands follows from its log and the clock: that is no change that somebody makes.
DROP TRIGGER audit_insert ON service_requests;
DROP TRIGGER audit_update ON service_requests;
DROP TRIGGER audit_delete ON service_requests;
CALL audited_for_people('service_requests', 'contract_id', 'response_due_at', 'update_due_at', 'due_at', 'responded_at',
                        'sla_state', 'sla_breaches', 'next_escalation_at');

-- Requests of before are under the contract that says what held before; those that are open the worker measures at once.
UPDATE service_requests r SET
    contract_id = c.contract_id,
    responded_at = r.resolved_at,
    sla_state = CASE WHEN coalesce(r.resolved_at, now()) > r.due_at THEN 'breached'
                     WHEN r.resolved_at IS NOT NULL THEN 'met' ELSE 'running' END,
    sla_breaches = CASE WHEN coalesce(r.resolved_at, now()) > r.due_at THEN '{solution}' ELSE '{}' END::text[],
    next_escalation_at = CASE WHEN r.resolved_at IS NULL THEN now() END
FROM contracts c WHERE c.slug = 'standard';

-- The first line: problem trees as an installation maintains them, and a record of every contact.

-- Versions of trees that people entered; those that came with the program are in its files. The newest version counts.
CREATE TABLE problem_trees (
    tree text COLLATE "C" NOT NULL CHECK (tree ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    version integer NOT NULL CHECK (version >= 1),
    body text NOT NULL CHECK (octet_length(body) <= 65536),
    retired boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    created_by text NOT NULL,
    PRIMARY KEY (tree, version)
);
COMMENT ON TABLE problem_trees IS 'Trees as YAML, version by version; a retired one is not offered any more.';
CALL share('problem_trees');
ALTER POLICY shared_insert ON problem_trees WITH CHECK ((SELECT sees_all()));
CALL audited('problem_trees');
REVOKE UPDATE, DELETE ON problem_trees FROM fleet_api, fleet_worker;
GRANT UPDATE (retired) ON problem_trees TO fleet_api;

CREATE TABLE calls (
    call_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL,
    minutes numeric(5, 1) NOT NULL CHECK (minutes BETWEEN 0 AND 600),
    channel text NOT NULL CHECK (channel IN ('phone', 'mail', 'portal')),
    caller text NOT NULL CHECK (caller IN (
        'citizen', 'relative', 'nurse', 'municipality', 'hospital', 'technician', 'other')),
    reason text COLLATE "C" NOT NULL CHECK (reason IN (
        'not_heard', 'measurement_missing', 'battery', 'app', 'clock', 'damaged', 'lost', 'instruction', 'delivery',
        'question', 'other')),
    outcome text COLLATE "C" NOT NULL CHECK (outcome IN (
        'solved', 'advised', 'forwarded', 'visit_planned', 'informed', 'no_answer')),
    kit_id integer REFERENCES kits,
    organisation_id integer REFERENCES organisations,
    placement_id bigint REFERENCES placements,
    request_id bigint REFERENCES service_requests ON DELETE SET NULL,
    tree text COLLATE "C",
    tree_version integer,
    path jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(path) = 'array'),
    note text NOT NULL DEFAULT '',
    actor text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    voided_at timestamptz,
    voided_by text,
    voided_reason text,
    CHECK ((tree IS NULL) = (tree_version IS NULL)),
    CHECK (num_nulls(voided_at, voided_by, voided_reason) IN (0, 3))
);
COMMENT ON TABLE calls IS 'Every contact at the first line, also when it was solved at once. Nobody is named.';
COMMENT ON COLUMN calls.organisation_id IS 'Whose kit it was at that time, else of whom the caller is; it is charged for the call.';
COMMENT ON COLUMN calls.path IS 'The way through the tree: node, answer, and who answered.';
COMMENT ON COLUMN calls.voided_at IS 'Entered wrongly: it is not counted and not charged.';
CREATE INDEX calls_by_organisation ON calls (organisation_id, call_id);
CREATE INDEX calls_by_kit ON calls (kit_id, call_id) WHERE kit_id IS NOT NULL;
CREATE INDEX calls_by_request ON calls (request_id) WHERE request_id IS NOT NULL;
CREATE INDEX calls_by_time ON calls (at);
CALL guard_by_organisation('calls');
CREATE INDEX calls_with_texts ON calls (recorded_at) WHERE note NOT IN ('', '[redacted]');
CALL audited_for_people('calls', 'note', 'path', 'voided_reason');
REVOKE DELETE ON calls FROM fleet_api;
REVOKE UPDATE ON calls FROM fleet_api;
GRANT UPDATE (voided_at, voided_by, voided_reason, note) ON calls TO fleet_api;

INSERT INTO retention_policies (kind, keep_days, default_days, min_days, max_days) VALUES ('call_notes', 365, 365, 30, 1827);

CREATE FUNCTION stamp_call() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.kit_id IS NOT NULL THEN
        NEW.organisation_id := (SELECT organisation_id FROM kits WHERE kit_id = NEW.kit_id);
        NEW.placement_id := (
            SELECT placement_id FROM placements WHERE kit_id = NEW.kit_id AND during @> NEW.at LIMIT 1);
    END IF;
    RETURN NEW;
END
$$;
CREATE TRIGGER stamp_call BEFORE INSERT ON calls FOR EACH ROW EXECUTE FUNCTION stamp_call();

-- Calls are charged like everything else: by the worker, in the order of its entries.
ALTER TABLE billable_events ADD COLUMN call_id bigint REFERENCES calls;
CREATE UNIQUE INDEX one_entry_of_a_call ON billable_events (call_id) WHERE call_id IS NOT NULL AND counter_of IS NULL;
COMMENT ON COLUMN billable_events.call_id IS 'The call that it is for; of other kinds null.';

CREATE TABLE call_billing_queue (
    queued_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    call_id bigint NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01);
CALL guard_installation('call_billing_queue');
REVOKE ALL ON call_billing_queue FROM fleet_api;

CREATE FUNCTION queue_call_for_billing() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO call_billing_queue (call_id) VALUES (NEW.call_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER queue_call_for_billing AFTER INSERT OR UPDATE OF voided_at ON calls
    FOR EACH ROW EXECUTE FUNCTION queue_call_for_billing();

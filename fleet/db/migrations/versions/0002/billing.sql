-- What partners are charged for, recorded from the log. Nothing is changed: what turns out otherwise is countered.

CREATE TABLE billable_events (
    entry_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind text COLLATE "C" NOT NULL CHECK (kind IN ('set_up', 'swap', 'take_down', 'call', 'rental_days')),
    organisation_id integer NOT NULL REFERENCES organisations,
    programme text,
    kit_id integer REFERENCES kits,
    placement_id bigint REFERENCES placements,
    quantity integer NOT NULL CHECK (quantity <> 0),
    occurred_at timestamptz NOT NULL,
    day date NOT NULL,
    until_day date NOT NULL,
    source_event_id bigint,
    counter_of bigint UNIQUE REFERENCES billable_events,
    CHECK ((counter_of IS NULL) = (quantity > 0)),
    CHECK (until_day > day),
    CHECK (kind <> 'rental_days' OR abs(quantity) = until_day - day),
    CHECK (extract(year FROM day) = extract(year FROM until_day - 1) AND extract(month FROM day) = extract(month FROM until_day - 1)),
    CHECK (kind = 'rental_days' OR until_day = day + 1),
    CHECK (kind = 'call' OR num_nulls(kit_id, placement_id) = 0)
);
COMMENT ON TABLE billable_events IS
    'Append-only. A sum over quantity is what is charged; a counter-entry takes an entry back, dated as that one.';
COMMENT ON COLUMN billable_events.organisation_id IS 'The municipality that is charged.';
COMMENT ON COLUMN billable_events.day IS 'The day in Denmark on which it happened, of rental the first one.';
COMMENT ON COLUMN billable_events.until_day IS 'The day after the last one.';
COMMENT ON COLUMN billable_events.source_event_id IS 'The event of the log that it was read from.';
CREATE INDEX billable_events_by_organisation ON billable_events (organisation_id, entry_id);
CREATE INDEX billable_events_by_day ON billable_events (day, organisation_id);
CREATE INDEX billable_events_by_kit ON billable_events (kit_id, entry_id) WHERE kit_id IS NOT NULL;

CALL guard_by_organisation('billable_events');
CALL append_only('billable_events');
REVOKE INSERT ON billable_events FROM fleet_api;

-- The first day of which anything is recorded: what was before it was charged elsewhere.
CREATE TABLE billing_start (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    first_day date NOT NULL
);
INSERT INTO billing_start (first_day) VALUES ((now() AT TIME ZONE 'Europe/Copenhagen')::date);
CALL share('billing_start');
REVOKE INSERT, UPDATE, DELETE ON billing_start FROM fleet_api, fleet_worker;

-- Months whose rental is recorded.
CREATE TABLE billing_months (
    month date PRIMARY KEY CHECK (extract(day FROM month) = 1),
    closed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CALL share('billing_months');
REVOKE INSERT, UPDATE, DELETE ON billing_months FROM fleet_api;

-- Kits whose entries must be compared with the log again; written with the fact that makes it so, so nothing is missed.
CREATE TABLE billing_queue (
    queued_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_id integer NOT NULL
) WITH (autovacuum_vacuum_scale_factor = 0.01);
CALL guard_installation('billing_queue');
REVOKE ALL ON billing_queue FROM fleet_api;

CREATE FUNCTION queue_for_billing() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO billing_queue (kit_id)
    SELECT DISTINCT n.kit_id FROM new_rows n
    WHERE n.kit_id IS NOT NULL AND EXISTS (SELECT FROM placements p WHERE p.kit_id = n.kit_id);
    RETURN NULL;
END
$$;
CREATE TRIGGER queue_for_billing AFTER INSERT ON book_events REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION queue_for_billing();

-- Whom a placement is charged to can be corrected after it began.
CREATE FUNCTION queue_placement_for_billing() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO billing_queue (kit_id) SELECT k FROM unnest(ARRAY[OLD.kit_id, NEW.kit_id]) AS k WHERE k IS NOT NULL;
    RETURN NULL;
END
$$;
CREATE TRIGGER queue_placement_for_billing AFTER UPDATE OF programme, organisation_id, during, kit_id ON placements FOR EACH ROW
    WHEN ((NEW.programme, NEW.organisation_id, NEW.during, NEW.kit_id)
          IS DISTINCT FROM (OLD.programme, OLD.organisation_id, OLD.during, OLD.kit_id))
    EXECUTE FUNCTION queue_placement_for_billing();

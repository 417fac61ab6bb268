-- The registry, the event log and its projections, placements.

CREATE EXTENSION IF NOT EXISTS btree_gist;

-- The views of the first step are made anew in the last part.
DROP VIEW grafana_kits, grafana_heartbeats, grafana_messages, grafana_changes, grafana_software, grafana_peripherals,
    grafana_alerts, grafana_incidents, grafana_service_requests, grafana_quarantine, grafana_listening;
DROP VIEW kit_facts;

CREATE TABLE locations (
    location_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    slug text COLLATE "C" NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text NOT NULL,
    kind text NOT NULL CHECK (kind IN (
        'depot', 'repair_shop', 'vehicle', 'transit', 'supplier', 'lessor', 'office', 'other')),
    organisation_id integer REFERENCES organisations,
    active boolean NOT NULL DEFAULT true,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE locations IS 'Where pieces can be, except in a citizen''s home: that is a placement.';
CREATE INDEX locations_by_organisation ON locations (organisation_id);
CREATE INDEX locations_by_name ON locations (lower(name));

CREATE TABLE models (
    model_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text COLLATE "C" NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,31}$'),
    manufacturer text NOT NULL,
    name text NOT NULL,
    calibration_interval_days integer CHECK (calibration_interval_days BETWEEN 1 AND 36500),
    firmware_source text,
    expected_firmware text,
    price numeric(12, 2) CHECK (price >= 0),
    currency text NOT NULL DEFAULT 'DKK' CHECK (currency ~ '^[A-Z]{3}$'),
    photo_url text,
    active boolean NOT NULL DEFAULT true,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX models_by_name ON models (lower(manufacturer), lower(name));
COMMENT ON COLUMN models.firmware_source IS 'Where the expected firmware is told, for example an address or a document.';

CREATE TABLE kit_types (
    kit_type_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_type text COLLATE "C" NOT NULL UNIQUE CHECK (kit_type <> '' AND length(kit_type) <= 1000),
    name_en text NOT NULL DEFAULT '',
    name_da text NOT NULL DEFAULT '',
    programme text,
    calibration_margin_days integer NOT NULL DEFAULT 0 CHECK (calibration_margin_days BETWEEN 0 AND 3650),
    active boolean NOT NULL DEFAULT true,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE kit_types IS 'What a kit of a programme contains; one without contents has no list to be complete by.';
CREATE TABLE kit_type_contents (
    kit_type_id integer NOT NULL REFERENCES kit_types ON DELETE CASCADE,
    kind text COLLATE "C" NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]{0,31}$'),
    quantity integer NOT NULL DEFAULT 1 CHECK (quantity BETWEEN 1 AND 100),
    PRIMARY KEY (kit_type_id, kind)
);

-- Kits: their place and owner; the free text of before becomes a location.
INSERT INTO kit_types (kit_type) SELECT DISTINCT kit_type FROM kits WHERE coalesce(kit_type, '') <> '';
UPDATE kits SET kit_type = NULL WHERE kit_type = '';
INSERT INTO locations (slug, name, kind)
SELECT coalesce(nullif(trim(BOTH '-' FROM left(regexp_replace(lower(location), '[^a-z0-9]+', '-', 'g'), 40)), '') || '-', '')
       || 'l' || row_number() OVER (ORDER BY location), location, 'other'
FROM (SELECT DISTINCT location FROM kits WHERE coalesce(location, '') <> '') given;
ALTER TABLE kits
    ADD COLUMN owner_id integer REFERENCES organisations,
    ADD COLUMN location_id integer REFERENCES locations,
    ADD COLUMN placement_id bigint,
    ADD COLUMN state_since timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN credentials_revoked_at timestamptz,
    ADD COLUMN serial_tail text GENERATED ALWAYS AS (upper(right(kit, 4))) STORED,
    ADD FOREIGN KEY (kit_type) REFERENCES kit_types (kit_type);
UPDATE kits k SET owner_id = organisation_id,
    location_id = (SELECT location_id FROM locations l WHERE l.name = k.location),
    state_since = coalesce((SELECT max(e.at) FROM kit_events e WHERE e.kit_id = k.kit_id AND e.after ? 'state'), k.created_at);
ALTER TABLE kits DROP COLUMN location;
ALTER TABLE kits ADD CHECK (num_nonnulls(location_id, placement_id) <= 1);
CREATE INDEX kits_by_owner ON kits (owner_id, kit);
CREATE INDEX kits_by_location ON kits (location_id, kit);
COMMENT ON COLUMN kits.organisation_id IS 'Whose it is now: who is responsible for it and sees it.';
COMMENT ON COLUMN kits.owner_id IS 'Who bought it; sees all its history.';
COMMENT ON COLUMN kits.state_since IS 'When it came into its state, as it happened.';
COMMENT ON COLUMN kits.credentials_revoked_at IS 'When the credentials of its tablet were ended (scrapped).';

CREATE TABLE components (
    component_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    model_id integer NOT NULL REFERENCES models,
    serial text COLLATE "C" NOT NULL CHECK (serial <> '' AND length(serial) <= 100),
    asset_tag text COLLATE "C" UNIQUE CHECK (asset_tag <> '' AND length(asset_tag) <= 100),
    state text NOT NULL CHECK (state IN (
        'ordered', 'in_stock', 'in_kit', 'faulty', 'cleaning', 'calibrating', 'in_repair', 'at_supplier',
        'scrapped', 'lost', 'returned')),
    state_since timestamptz NOT NULL DEFAULT now(),
    organisation_id integer REFERENCES organisations,
    owner_id integer REFERENCES organisations,
    location_id integer REFERENCES locations,
    kit_id integer REFERENCES kits,
    supplier_id integer REFERENCES organisations,
    order_line_id bigint,
    purchased_on date,
    price numeric(12, 2) CHECK (price >= 0),
    currency text NOT NULL DEFAULT 'DKK' CHECK (currency ~ '^[A-Z]{3}$'),
    warranty_until date,
    lessor_id integer REFERENCES organisations,
    lease_contract text,
    lease_until date,
    calibrated_on date,
    calibration_due date,
    calibrated_by text,
    calibration_certificate text,
    imei text COLLATE "C",
    iccid text COLLATE "C",
    bluetooth_address text COLLATE "C",
    system_id text COLLATE "C",
    firmware text,
    note text NOT NULL DEFAULT '',
    serial_tail text COLLATE "C" GENERATED ALWAYS AS (upper(right(serial, 4))) STORED,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (model_id, serial),
    -- A piece that is faulty in somebody's home is still in its kit until it is swapped.
    CHECK (CASE WHEN kit_id IS NULL THEN state <> 'in_kit' ELSE state IN ('in_kit', 'faulty') END),
    CHECK (num_nonnulls(location_id, kit_id) <= 1)
);
COMMENT ON TABLE components IS 'A piece: tablet, SIM or peripheral. In a kit it is where the kit is.';
COMMENT ON COLUMN components.system_id IS 'IEEE 11073 system id (EUI-64), sixteen hexadecimal digits.';
CREATE INDEX components_by_kit ON components (kit_id) WHERE kit_id IS NOT NULL;
CREATE INDEX components_by_location ON components (location_id, component_id);
CREATE INDEX components_by_organisation ON components (organisation_id, component_id);
CREATE INDEX components_by_owner ON components (owner_id, component_id);
CREATE INDEX components_by_order_line ON components (order_line_id) WHERE order_line_id IS NOT NULL;
CREATE UNIQUE INDEX components_by_imei ON components (imei) WHERE imei IS NOT NULL;
CREATE UNIQUE INDEX components_by_iccid ON components (iccid) WHERE iccid IS NOT NULL;

-- A citizen's home: the reference stands here and nowhere else, so that it can be erased.
CREATE TABLE placement_references (
    reference_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id integer NOT NULL REFERENCES organisations,
    reference text COLLATE "C" CHECK (reference ~ '^[A-Za-z0-9._:-]{4,64}$'),
    created_at timestamptz NOT NULL DEFAULT now(),
    erased_at timestamptz,
    UNIQUE (organisation_id, reference),
    CHECK ((reference IS NULL) = (erased_at IS NOT NULL))
);
COMMENT ON TABLE placement_references IS 'Pseudonyms of the care system; everything else knows the number only.';
CREATE INDEX placement_references_by_text ON placement_references (reference);

CREATE TABLE placements (
    placement_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_id integer REFERENCES kits,
    reference_id bigint NOT NULL REFERENCES placement_references,
    organisation_id integer NOT NULL REFERENCES organisations,
    programme text,
    state text NOT NULL DEFAULT 'planned' CHECK (state IN ('planned', 'active', 'ended', 'cancelled')),
    planned_from date,
    planned_until date,
    during tstzrange,
    ended_reason text,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (planned_until >= planned_from),
    CHECK ((state IN ('active', 'ended')) = (during IS NOT NULL)),
    CHECK (during IS NULL OR kit_id IS NOT NULL),
    CHECK (state <> 'active' OR upper_inf(during)),
    CHECK (state <> 'ended' OR NOT upper_inf(during)),
    EXCLUDE USING gist (kit_id WITH =, during WITH &&)
);
COMMENT ON TABLE placements IS 'A kit with a citizen; a row that was ever active stays.';
CREATE INDEX placements_by_reference ON placements (reference_id);
CREATE INDEX placements_by_organisation ON placements (organisation_id, placement_id);
CREATE UNIQUE INDEX one_planned_placement_per_kit ON placements (kit_id) WHERE state = 'planned' AND kit_id IS NOT NULL;
CREATE FUNCTION keep_placement() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' AND OLD.during IS NOT NULL THEN
        RAISE EXCEPTION 'placement % was active and cannot be deleted', OLD.placement_id USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN OLD;
END
$$;
CREATE TRIGGER keep_placement BEFORE DELETE ON placements FOR EACH ROW EXECUTE FUNCTION keep_placement();
ALTER TABLE kits ADD FOREIGN KEY (placement_id) REFERENCES placements;
CREATE INDEX kits_by_placement ON kits (placement_id) WHERE placement_id IS NOT NULL;

-- The log: every change of state, place, bundle, organisation and description of a kit or a component.
CREATE TABLE book_events (
    event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    occurred_at timestamptz NOT NULL DEFAULT now(),
    what text NOT NULL CHECK (what IN ('opening', 'status', 'location', 'edit', 'swap', 'assign', 'correction')),
    kit_id integer REFERENCES kits,
    component_id bigint REFERENCES components,
    removed_id bigint REFERENCES components,
    from_state text,
    to_state text,
    location_id integer REFERENCES locations,
    placement_id bigint REFERENCES placements,
    organisation_id integer REFERENCES organisations,
    owner_id integer REFERENCES organisations,
    before jsonb,
    after jsonb,
    corrects bigint REFERENCES book_events,
    backdated boolean NOT NULL DEFAULT false,
    override boolean NOT NULL DEFAULT false,
    batch uuid,
    actor text NOT NULL,
    reason text,
    CHECK (num_nonnulls(kit_id, component_id, removed_id) > 0),
    CHECK ((what = 'correction') = (corrects IS NOT NULL)),
    CHECK (what <> 'status' OR to_state IS NOT NULL),
    CHECK (what <> 'swap' OR (kit_id IS NOT NULL AND num_nonnulls(component_id, removed_id) > 0)),
    CHECK (num_nonnulls(location_id, placement_id) <= 1)
);
COMMENT ON TABLE book_events IS
    'Append-only. What is current is a projection of it (fleet books check, rebuild). organisation_id: whose it was then.';
CREATE INDEX book_events_by_kit ON book_events (kit_id, event_id) WHERE kit_id IS NOT NULL;
CREATE INDEX book_events_by_component ON book_events (component_id, event_id) WHERE component_id IS NOT NULL;
CREATE INDEX book_events_by_removed ON book_events (removed_id, event_id) WHERE removed_id IS NOT NULL;
CREATE INDEX book_events_of_pieces_by_organisation ON book_events (organisation_id, component_id)
    WHERE component_id IS NOT NULL AND kit_id IS NULL;
CREATE INDEX book_events_by_correction ON book_events (corrects) WHERE corrects IS NOT NULL;

INSERT INTO book_events (recorded_at, occurred_at, what, kit_id, from_state, to_state, location_id, organisation_id, owner_id,
                         before, after, actor, reason)
SELECT e.at, e.at, CASE e.what WHEN 'transition' THEN 'status' ELSE e.what END, e.kit_id,
       CASE WHEN e.what = 'transition' THEN e.before ->> 'state' END,
       CASE WHEN e.what IN ('transition', 'opening') THEN e.after ->> 'state' END,
       (SELECT location_id FROM locations l WHERE l.name = e.after ->> 'location'),
       k.organisation_id, k.owner_id, e.before, e.after, e.actor, e.reason
FROM kit_events e JOIN kits k USING (kit_id) ORDER BY e.event_id;
DROP TABLE kit_events;

-- Projections over time, held together by the database: one place per piece, one kit per component, one custody per kit.
CREATE TABLE stays (
    stay_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_id integer REFERENCES kits,
    component_id bigint REFERENCES components,
    location_id integer REFERENCES locations,
    placement_id bigint REFERENCES placements,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    CHECK (num_nonnulls(kit_id, component_id) = 1),
    CHECK (num_nonnulls(location_id, placement_id) = 1),
    CONSTRAINT one_place_per_kit EXCLUDE USING gist (kit_id WITH =, during WITH &&) WHERE (kit_id IS NOT NULL),
    CONSTRAINT one_place_per_component EXCLUDE USING gist (component_id WITH =, during WITH &&) WHERE (component_id IS NOT NULL)
);
CREATE INDEX stays_by_location ON stays (location_id) WHERE location_id IS NOT NULL;

CREATE TABLE kit_components (
    membership_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_id integer NOT NULL REFERENCES kits,
    component_id bigint NOT NULL REFERENCES components,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    CONSTRAINT one_kit_per_component EXCLUDE USING gist (component_id WITH =, during WITH &&)
);
CREATE INDEX kit_components_by_kit ON kit_components (kit_id);

CREATE TABLE custodies (
    custody_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kit_id integer NOT NULL REFERENCES kits,
    organisation_id integer NOT NULL REFERENCES organisations,
    during tstzrange NOT NULL CHECK (NOT isempty(during)),
    CONSTRAINT one_custody_per_kit EXCLUDE USING gist (kit_id WITH =, during WITH &&)
);
CREATE INDEX custodies_that_ended ON custodies (organisation_id, kit_id) WHERE NOT upper_inf(during);
COMMENT ON TABLE custodies IS 'Whose a kit was when. The first one of a kit has no beginning: nobody else had it in these books.';

INSERT INTO stays (kit_id, location_id, during)
SELECT kit_id, location_id, tstzrange(state_since, NULL) FROM kits WHERE location_id IS NOT NULL;
INSERT INTO custodies (kit_id, organisation_id, during)
SELECT kit_id, organisation_id, tstzrange(NULL, NULL) FROM kits WHERE organisation_id IS NOT NULL;

CALL admit_processes('locations');
CREATE POLICY scope ON locations TO fleet_api USING (
    (SELECT sees_all()) OR organisation_id IS NULL OR organisation_id = ANY ((SELECT seen_organisations())::integer[]))
    WITH CHECK ((SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[]));
CALL share('models');
CALL share('kit_types');
CALL share('kit_type_contents');
CALL guard_by_organisation('kits');
CALL guard_by_organisation('components');
CALL guard_by_organisation('placement_references');
CALL guard_by_organisation('placements');
CALL guard_by_organisation('book_events');
CALL append_only('book_events');
-- A stay is of one or the other.
CALL admit_processes('stays');
-- Where a kit was is seen by whose it was then; who may see it now may say where it is.
CREATE POLICY scope ON stays TO fleet_api USING (
    (SELECT sees_all())
    OR EXISTS (SELECT FROM custodies y WHERE y.kit_id = stays.kit_id AND y.during && stays.during)
    OR EXISTS (SELECT FROM kits k WHERE k.kit_id = stays.kit_id
               AND k.owner_id = ANY ((SELECT seen_organisations())::integer[]))
    OR EXISTS (SELECT FROM components c WHERE c.component_id = stays.component_id
               AND c.owner_id = ANY ((SELECT seen_organisations())::integer[]))
    -- A piece that was somebody else's: what was over before anything was told of it here is not shown.
    OR (EXISTS (SELECT FROM components c WHERE c.component_id = stays.component_id)
        AND EXISTS (SELECT FROM book_events e WHERE e.component_id = stays.component_id
                    AND e.organisation_id = ANY ((SELECT seen_organisations())::integer[])
                    AND e.occurred_at < coalesce(upper(stays.during), 'infinity'))))
    WITH CHECK (
    (SELECT sees_all()) OR EXISTS (SELECT FROM kits k WHERE k.kit_id = stays.kit_id)
    OR EXISTS (SELECT FROM components c WHERE c.component_id = stays.component_id));
-- What was in a kit is seen by whose the kit was then, and by the owners of both.
CALL admit_processes('kit_components');
CREATE POLICY scope ON kit_components TO fleet_api USING (
    (SELECT sees_all())
    OR EXISTS (SELECT FROM custodies y WHERE y.kit_id = kit_components.kit_id AND y.during && kit_components.during)
    OR EXISTS (SELECT FROM kits k WHERE k.kit_id = kit_components.kit_id
               AND k.owner_id = ANY ((SELECT seen_organisations())::integer[]))
    OR EXISTS (SELECT FROM components c WHERE c.component_id = kit_components.component_id
               AND c.owner_id = ANY ((SELECT seen_organisations())::integer[])))
    WITH CHECK ((SELECT sees_all())
    OR EXISTS (SELECT FROM components c WHERE c.component_id = kit_components.component_id));
CALL guard_by_organisation('custodies');

-- A step replays the whole life of a piece, the part under earlier organisations too, which its caller may not see. The
-- ledger names the pieces it has locked (and which the caller therefore sees), or whose history it was asked for by
-- somebody who has or had them, for as long as it replays them; answered of what is read so is the caller's part only.
CREATE FUNCTION replayed_kits() RETURNS integer[] LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('fleet.replayed_kits', true), ''), '{}')::integer[];
CREATE FUNCTION replayed_components() RETURNS bigint[] LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('fleet.replayed_components', true), ''), '{}')::bigint[];
CREATE POLICY replay ON book_events FOR SELECT TO fleet_api USING (
    kit_id = ANY ((SELECT replayed_kits())::integer[])
    OR component_id = ANY ((SELECT replayed_components())::bigint[])
    OR removed_id = ANY ((SELECT replayed_components())::bigint[]));
CREATE POLICY replay ON stays TO fleet_api
    USING (kit_id = ANY ((SELECT replayed_kits())::integer[])
           OR component_id = ANY ((SELECT replayed_components())::bigint[]))
    WITH CHECK (kit_id = ANY ((SELECT replayed_kits())::integer[])
                OR component_id = ANY ((SELECT replayed_components())::bigint[]));
CREATE POLICY replay ON kit_components TO fleet_api
    USING (component_id = ANY ((SELECT replayed_components())::bigint[]))
    WITH CHECK (component_id = ANY ((SELECT replayed_components())::bigint[]));
CREATE POLICY replay ON placements TO fleet_api
    USING (kit_id = ANY ((SELECT replayed_kits())::integer[]))
    WITH CHECK (kit_id = ANY ((SELECT replayed_kits())::integer[]));
CREATE POLICY replay ON custodies TO fleet_api
    USING (kit_id = ANY ((SELECT replayed_kits())::integer[]))
    WITH CHECK (kit_id = ANY ((SELECT replayed_kits())::integer[]));

CALL audited('locations');
CALL audited('models');
CALL audited('kit_types');
CALL audited('kit_type_contents');
CALL audited('placements');

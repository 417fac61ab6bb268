-- Orders and what came of them, stock and what it should be, stock-takes, reservations, repairs.

CREATE TABLE orders (
    order_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id integer REFERENCES organisations,
    supplier_id integer NOT NULL REFERENCES organisations,
    reference text CHECK (reference <> ''),
    supplier_reference text,
    ordered_on date NOT NULL DEFAULT current_date,
    currency text NOT NULL DEFAULT 'DKK' CHECK (currency ~ '^[A-Z]{3}$'),
    note text NOT NULL DEFAULT '',
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'received', 'cancelled')),
    ended_at timestamptz,
    cancelled_reason text,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'open') = (ended_at IS NULL)),
    CHECK (state <> 'cancelled' OR cancelled_reason IS NOT NULL)
);
COMMENT ON TABLE orders IS 'What was ordered from whom. It ends by itself when nothing more is to come.';
COMMENT ON COLUMN orders.organisation_id IS 'Who buys, and whose the pieces become.';
COMMENT ON COLUMN orders.reference IS 'The number in the buyer''s own purchasing system.';
CREATE UNIQUE INDEX orders_by_reference ON orders (organisation_id, lower(reference)) NULLS NOT DISTINCT
    WHERE reference IS NOT NULL;
CREATE INDEX orders_by_organisation ON orders (organisation_id, order_id);
CREATE INDEX orders_by_supplier ON orders (supplier_id, order_id);

CREATE TABLE order_lines (
    order_line_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES orders,
    organisation_id integer REFERENCES organisations,
    model_id integer NOT NULL REFERENCES models,
    location_id integer REFERENCES locations,
    quantity integer NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
    received integer NOT NULL DEFAULT 0 CHECK (received >= 0),
    price numeric(12, 2) CHECK (price >= 0),
    warranty_months integer CHECK (warranty_months BETWEEN 0 AND 240),
    expected_on date,
    cancelled_at timestamptz,
    cancelled_reason text,
    CHECK ((cancelled_at IS NULL) = (cancelled_reason IS NULL))
);
COMMENT ON TABLE order_lines IS 'How many of a model, at what price each, expected when and where.';
COMMENT ON COLUMN order_lines.received IS 'More than the quantity only where that was said to be meant.';
CREATE INDEX order_lines_by_order ON order_lines (order_id, order_line_id);
CREATE INDEX order_lines_to_come ON order_lines (organisation_id, model_id)
    WHERE cancelled_at IS NULL AND received < quantity;
ALTER TABLE components ADD FOREIGN KEY (order_line_id) REFERENCES order_lines;

CREATE TABLE receipts (
    receipt_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL REFERENCES orders,
    order_line_id bigint NOT NULL REFERENCES order_lines,
    organisation_id integer REFERENCES organisations,
    location_id integer NOT NULL REFERENCES locations,
    quantity integer NOT NULL CHECK (quantity > 0),
    component_ids bigint[] NOT NULL,
    received_at timestamptz NOT NULL,
    delivery_note text,
    recorded_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    CHECK (cardinality(component_ids) = quantity)
);
COMMENT ON TABLE receipts IS 'Who received which pieces when, against which line. Never changed.';
CREATE INDEX receipts_by_order ON receipts (order_id, receipt_id);
CREATE INDEX receipts_by_line ON receipts (order_line_id);

CREATE TABLE stock_minimums (
    minimum_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id integer REFERENCES organisations,
    model_id integer NOT NULL REFERENCES models,
    location_id integer NOT NULL REFERENCES locations,
    minimum integer NOT NULL CHECK (minimum BETWEEN 1 AND 1000000),
    target integer CHECK (target <= 1000000),
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (target >= minimum),
    UNIQUE NULLS NOT DISTINCT (model_id, location_id, organisation_id)
);
COMMENT ON TABLE stock_minimums IS 'How many of a model an organisation wants to have at a place.';
COMMENT ON COLUMN stock_minimums.organisation_id IS
    'Whose: counted are pieces of it, of those below it and of those it has agreements with; null counts all.';
COMMENT ON COLUMN stock_minimums.target IS 'Up to how many to order when it is below the minimum.';
CREATE INDEX stock_minimums_by_location ON stock_minimums (location_id);

CREATE TABLE reservations (
    reservation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id integer REFERENCES organisations,
    model_id integer REFERENCES models,
    location_id integer REFERENCES locations,
    quantity integer NOT NULL DEFAULT 1 CHECK (quantity BETWEEN 1 AND 10000),
    component_id bigint REFERENCES components,
    kit_id integer REFERENCES kits,
    placement_id bigint REFERENCES placements,
    visit text COLLATE "C" CHECK (visit <> '' AND length(visit) <= 64),
    during daterange NOT NULL CHECK (NOT isempty(during) AND NOT lower_inf(during)),
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'fulfilled', 'released')),
    ended_at timestamptz,
    ended_reason text,
    actor text NOT NULL,
    revision integer NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK (num_nonnulls(model_id, component_id, kit_id) = 1),
    CHECK ((model_id IS NULL) = (location_id IS NULL)),
    CHECK (model_id IS NOT NULL OR quantity = 1),
    CHECK (num_nonnulls(placement_id, visit) >= 1),
    CHECK ((state = 'active') = (ended_at IS NULL)),
    CONSTRAINT one_reservation_per_component EXCLUDE USING gist (component_id WITH =, during WITH &&)
        WHERE (state = 'active' AND component_id IS NOT NULL),
    CONSTRAINT one_reservation_per_kit EXCLUDE USING gist (kit_id WITH =, during WITH &&)
        WHERE (state = 'active' AND kit_id IS NOT NULL)
);
COMMENT ON TABLE reservations IS
    'A number of a model from a place, a certain piece or a kit, for a placement or a visit. One past its last day holds nothing.';
CREATE INDEX reservations_by_organisation ON reservations (organisation_id, reservation_id);
CREATE INDEX reservations_of_models ON reservations (organisation_id, model_id, location_id)
    WHERE state = 'active' AND model_id IS NOT NULL;
CREATE INDEX reservations_of_components ON reservations (component_id) WHERE state = 'active' AND component_id IS NOT NULL;
CREATE INDEX reservations_by_placement ON reservations (placement_id) WHERE placement_id IS NOT NULL;
CREATE INDEX reservations_by_visit ON reservations (visit) WHERE visit IS NOT NULL;

CREATE TABLE stocktakes (
    stocktake_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id integer REFERENCES organisations,
    location_id integer NOT NULL REFERENCES locations,
    state text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'closed', 'cancelled')),
    note text NOT NULL DEFAULT '',
    opened_at timestamptz NOT NULL DEFAULT now(),
    opened_by text NOT NULL,
    ended_at timestamptz,
    ended_by text,
    counts jsonb,
    revision integer NOT NULL DEFAULT 1,
    CHECK ((state = 'open') = (ended_at IS NULL)),
    CHECK ((state = 'closed') = (counts IS NOT NULL))
);
COMMENT ON TABLE stocktakes IS 'Somebody scans what is at a place, and the books are compared with that.';
COMMENT ON COLUMN stocktakes.organisation_id IS
    'Whose pieces should be there: its own, of those below it and of those it has agreements with; null means all.';
CREATE UNIQUE INDEX one_open_stocktake ON stocktakes (location_id, organisation_id) NULLS NOT DISTINCT WHERE state = 'open';
CREATE INDEX stocktakes_by_organisation ON stocktakes (organisation_id, stocktake_id);

CREATE TABLE stocktake_scans (
    scan_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    stocktake_id bigint NOT NULL REFERENCES stocktakes,
    organisation_id integer REFERENCES organisations,
    code text COLLATE "C" NOT NULL CHECK (code <> '' AND length(code) <= 200),
    kit_id integer REFERENCES kits,
    component_id bigint REFERENCES components,
    scanned_at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    CHECK (num_nonnulls(kit_id, component_id) <= 1),
    UNIQUE (stocktake_id, kit_id),
    UNIQUE (stocktake_id, component_id)
);
COMMENT ON TABLE stocktake_scans IS 'What was there: by whom it was scanned, when, and what it is, if the books know it.';
CREATE UNIQUE INDEX stocktake_scans_unknown ON stocktake_scans (stocktake_id, code)
    WHERE kit_id IS NULL AND component_id IS NULL;

CREATE TABLE stocktake_results (
    stocktake_id bigint NOT NULL REFERENCES stocktakes,
    item text COLLATE "C" NOT NULL,
    organisation_id integer REFERENCES organisations,
    finding text NOT NULL CHECK (finding IN ('present', 'missing', 'misplaced', 'extra', 'unknown')),
    kit_id integer REFERENCES kits,
    component_id bigint REFERENCES components,
    name text COLLATE "C" NOT NULL,
    model_id integer REFERENCES models,
    state text,
    location text,
    in_kit text,
    resolution text CHECK (resolution IN ('moved', 'lost', 'found')),
    reason text,
    PRIMARY KEY (stocktake_id, item)
);
COMMENT ON TABLE stocktake_results IS 'What a stock-take came to, as the books were when it was closed. Never changed.';
COMMENT ON COLUMN stocktake_results.name IS 'The kit, the serial number, or what was scanned; told here, since it may be others'' later.';
COMMENT ON COLUMN stocktake_results.location IS 'Where the books had it.';

CREATE TABLE repairs (
    repair_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    component_id bigint NOT NULL REFERENCES components,
    model_id integer NOT NULL REFERENCES models,
    serial text COLLATE "C" NOT NULL,
    organisation_id integer REFERENCES organisations,
    owner_id integer REFERENCES organisations,
    kind text NOT NULL CHECK (kind IN ('repair', 'supplier_return', 'calibration')),
    fault text NOT NULL DEFAULT '',
    workshop_id integer REFERENCES organisations,
    workshop_reference text,
    warranty_claim boolean NOT NULL DEFAULT false,
    expected_on date,
    cost numeric(12, 2) CHECK (cost >= 0),
    currency text NOT NULL DEFAULT 'DKK' CHECK (currency ~ '^[A-Z]{3}$'),
    note text NOT NULL DEFAULT '',
    opened_at timestamptz NOT NULL DEFAULT now(),
    opened_by text NOT NULL,
    closed_at timestamptz,
    closed_by text,
    outcome text CHECK (outcome IN ('repaired', 'no_fault_found', 'calibrated', 'calibration_failed', 'not_repaired',
                                    'scrapped', 'returned', 'withdrawn')),
    revision integer NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((closed_at IS NULL) = (outcome IS NULL)),
    CHECK (closed_at >= opened_at)
);
COMMENT ON TABLE repairs IS 'A piece away to be mended, calibrated or given back, until that is closed.';
COMMENT ON COLUMN repairs.serial IS 'Told here, since who had the piece then may not see it any more.';
CREATE UNIQUE INDEX one_open_repair ON repairs (component_id) WHERE closed_at IS NULL;
CREATE INDEX repairs_by_component ON repairs (component_id, repair_id);
CREATE INDEX repairs_by_organisation ON repairs (organisation_id, repair_id);
CREATE INDEX repairs_by_owner ON repairs (owner_id, repair_id);

-- What is open goes with the piece, as with its kit; what is over stays with whom it was.
CREATE FUNCTION move_open_logistics() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_TABLE_NAME = 'kits' THEN
        UPDATE reservations SET organisation_id = NEW.organisation_id WHERE kit_id = NEW.kit_id AND state = 'active';
    ELSE
        UPDATE reservations SET organisation_id = NEW.organisation_id
        WHERE component_id = NEW.component_id AND state = 'active';
        UPDATE repairs SET organisation_id = NEW.organisation_id, owner_id = NEW.owner_id
        WHERE component_id = NEW.component_id AND closed_at IS NULL;
    END IF;
    RETURN NULL;
END
$$;
CREATE TRIGGER move_open_logistics AFTER UPDATE OF organisation_id ON kits FOR EACH ROW
    WHEN (NEW.organisation_id IS DISTINCT FROM OLD.organisation_id) EXECUTE FUNCTION move_open_logistics();
CREATE TRIGGER move_open_logistics AFTER UPDATE OF organisation_id, owner_id ON components FOR EACH ROW
    WHEN (NEW.organisation_id IS DISTINCT FROM OLD.organisation_id OR NEW.owner_id IS DISTINCT FROM OLD.owner_id)
    EXECUTE FUNCTION move_open_logistics();

-- Stock by model and place is counted from these alone, without the table: the condition stands in stock_parts again.
CREATE INDEX components_on_shelves ON components (organisation_id, location_id, model_id, state)
    INCLUDE (owner_id, order_line_id)
    WHERE kit_id IS NULL AND state NOT IN ('in_kit', 'scrapped', 'lost', 'returned');
CREATE INDEX components_on_shelves_of_others ON components (owner_id, organisation_id, location_id, model_id, state)
    INCLUDE (order_line_id)
    WHERE kit_id IS NULL AND state NOT IN ('in_kit', 'scrapped', 'lost', 'returned')
      AND organisation_id IS DISTINCT FROM owner_id;
CREATE INDEX components_to_clean ON components (state_since, component_id) WHERE state = 'cleaning';
CREATE INDEX kits_to_clean ON kits (state_since, kit_id) WHERE state = 'cleaning';
CREATE INDEX components_to_calibrate ON components (calibration_due, component_id)
    WHERE calibration_due IS NOT NULL AND state NOT IN ('ordered', 'scrapped', 'lost', 'returned');

-- A policy's OR uses no index, so that whoever is bound to organisations reads what is theirs by the first two parts,
-- and the last is for those who see all. `what` is the state of a piece, or `reserved` or `to_come`.
CREATE VIEW stock_parts WITH (security_invoker = true) AS
SELECT model_id, location_id, organisation_id, state AS what, count(*) AS quantity, NULL::date AS expected_on
FROM components
WHERE kit_id IS NULL AND state NOT IN ('in_kit', 'scrapped', 'lost', 'returned')
  AND (state <> 'ordered' OR order_line_id IS NULL)
  AND NOT (SELECT sees_all()) AND organisation_id = ANY ((SELECT seen_organisations())::integer[])
GROUP BY model_id, location_id, organisation_id, state
UNION ALL
SELECT model_id, location_id, organisation_id, state, count(*), NULL
FROM components
WHERE kit_id IS NULL AND state NOT IN ('in_kit', 'scrapped', 'lost', 'returned')
  AND (state <> 'ordered' OR order_line_id IS NULL)
  AND NOT (SELECT sees_all()) AND owner_id = ANY ((SELECT seen_organisations())::integer[])
  AND organisation_id IS DISTINCT FROM owner_id
  AND (organisation_id = ANY ((SELECT seen_organisations())::integer[])) IS NOT TRUE
GROUP BY model_id, location_id, organisation_id, state
UNION ALL
SELECT model_id, location_id, organisation_id, state, count(*), NULL
FROM components
WHERE kit_id IS NULL AND state NOT IN ('in_kit', 'scrapped', 'lost', 'returned')
  AND (state <> 'ordered' OR order_line_id IS NULL)
  AND (SELECT sees_all())
GROUP BY model_id, location_id, organisation_id, state
UNION ALL
SELECT model_id, location_id, organisation_id, 'to_come', quantity - received, expected_on
FROM order_lines
WHERE cancelled_at IS NULL AND received < quantity
UNION ALL
SELECT model_id, location_id, organisation_id, 'reserved', quantity, NULL
FROM reservations
WHERE state = 'active' AND model_id IS NOT NULL AND NOT during << daterange(current_date, NULL)
UNION ALL
SELECT model_id, location_id, organisation_id, 'reserved', 1, NULL
FROM components
WHERE state = 'in_stock' AND component_id IN (
    SELECT component_id FROM reservations
    WHERE state = 'active' AND component_id IS NOT NULL AND NOT during << daterange(current_date, NULL));
COMMENT ON VIEW stock_parts IS 'What counts as stock, within what the reader sees.';
GRANT SELECT ON stock_parts TO fleet_api, fleet_worker;

-- The books against the scans, as both are now. Expected is what stands at the place, of everybody whom the stock-take's
-- organisation would see; a piece in a kit is where the kit is, and the kit's label stands for it.
CREATE FUNCTION stocktake_standing(number bigint, place integer, whose integer)
RETURNS TABLE (item text, finding text, kit_id integer, component_id bigint, name text, model_id integer, state text,
               location text, in_kit text)
LANGUAGE sql STABLE AS $$
    WITH circle AS MATERIALIZED (
        SELECT CASE WHEN whose IS NULL THEN NULL
                    ELSE scope_of(whose) END AS members
    ), expected AS (
        SELECT k.kit_id, NULL::bigint AS component_id
        FROM kits k, circle
        WHERE k.location_id = place AND k.state NOT IN ('ordered', 'scrapped', 'lost', 'returned')
          AND (members IS NULL OR k.organisation_id = ANY (members))
        UNION ALL
        SELECT NULL, c.component_id
        FROM components c, circle
        WHERE c.location_id = place AND c.state NOT IN ('ordered', 'scrapped', 'lost', 'returned')
          AND (members IS NULL OR c.organisation_id = ANY (members))
    ), seen AS (
        SELECT kit_id, component_id, code FROM stocktake_scans WHERE stocktake_id = number
    ), paired AS (
        SELECT coalesce(e.kit_id, s.kit_id) AS kit_id, NULL::bigint AS component_id, s.code
        FROM (SELECT kit_id FROM expected WHERE kit_id IS NOT NULL) e
        FULL JOIN (SELECT * FROM seen WHERE kit_id IS NOT NULL) s ON s.kit_id = e.kit_id
        UNION ALL
        SELECT NULL, coalesce(e.component_id, s.component_id), s.code
        FROM (SELECT component_id FROM expected WHERE component_id IS NOT NULL) e
        FULL JOIN (SELECT * FROM seen WHERE component_id IS NOT NULL) s ON s.component_id = e.component_id
        UNION ALL
        SELECT NULL, NULL, code FROM seen WHERE kit_id IS NULL AND component_id IS NULL
    ), described AS (
        SELECT q.kit_id, q.component_id, q.code, coalesce(k.kit, c.serial, q.code) AS name, c.model_id,
               coalesce(k.state, c.state) AS state, h.kit AS in_kit, p.slug AS location,
               coalesce(k.location_id, c.location_id, h.location_id) AS location_id,
               CASE WHEN q.kit_id IS NOT NULL THEN 'k:' || lpad(q.kit_id::text, 20, '0')
                    WHEN q.component_id IS NOT NULL THEN 'c:' || lpad(q.component_id::text, 20, '0')
                    ELSE 'u:' || q.code END COLLATE "C" AS item
        FROM paired q
        LEFT JOIN kits k ON k.kit_id = q.kit_id
        LEFT JOIN components c ON c.component_id = q.component_id
        LEFT JOIN kits h ON h.kit_id = c.kit_id
        LEFT JOIN locations p ON p.location_id = coalesce(k.location_id, c.location_id, h.location_id)
    ), judged AS (
        SELECT d.*, CASE WHEN d.state IS NULL THEN 'unknown'
                         WHEN d.code IS NULL THEN 'missing'
                         WHEN d.state IN ('ordered', 'scrapped', 'lost', 'returned') OR d.location_id IS NULL THEN 'extra'
                         WHEN d.location_id <> place THEN 'misplaced'
                         ELSE 'present' END AS finding
        FROM described d
    )
    SELECT j.item, j.finding, j.kit_id, j.component_id, j.name, j.model_id, j.state, j.location, j.in_kit FROM judged j
$$;

CALL guard_by_organisation('orders');
CALL guard_by_organisation('order_lines');
CALL guard_by_organisation('receipts');
CALL guard_by_organisation('stock_minimums');
CALL guard_by_organisation('stocktakes');
CALL guard_by_organisation('repairs');
-- These name kits and are yet their organisation's alone: the owner of a kit has no part in them, and a policy that asked
-- for it would read all kits for each list.
CREATE PROCEDURE guard_by_organisation_alone(t regclass) LANGUAGE plpgsql AS $$
DECLARE
    rule text := '(SELECT sees_all()) OR organisation_id = ANY ((SELECT seen_organisations())::integer[])';
BEGIN
    CALL admit_processes(t);
    EXECUTE format('CREATE POLICY scope ON %s TO fleet_api USING (%s) WITH CHECK (%s)', t, rule, rule);
END
$$;
COMMENT ON PROCEDURE guard_by_organisation_alone IS 'Rows of an organisation in scope, whatever else they name.';
CALL guard_by_organisation_alone('reservations');
CALL guard_by_organisation_alone('stocktake_scans');
CALL guard_by_organisation_alone('stocktake_results');
CALL append_only('receipts');
CALL append_only('stocktake_scans');
CALL append_only('stocktake_results');
CALL audited('orders');
CALL audited('order_lines');
CALL audited('receipts');
CALL audited('stock_minimums');
CALL audited('reservations');
CALL audited('stocktakes');
CALL audited('stocktake_results');
CALL audited('repairs');

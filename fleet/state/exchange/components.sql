-- name: make_stage
CREATE TEMP TABLE component_stage (
    line integer NOT NULL,
    manufacturer text NOT NULL,
    model text NOT NULL,
    serial text COLLATE "C" NOT NULL,
    asset_tag text COLLATE "C",
    state text,
    since timestamptz,
    kit text COLLATE "C",
    location text COLLATE "C",
    organisation text COLLATE "C",
    owner text COLLATE "C",
    supplier text COLLATE "C",
    order_line_id bigint,
    purchased_on date,
    price numeric(12, 2),
    currency text,
    warranty_until date,
    lessor text COLLATE "C",
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
    note text
) ON COMMIT DROP;

-- name: copy_stage
COPY component_stage (line, manufacturer, model, serial, asset_tag, state, since, kit, location, organisation, owner,
    supplier, order_line_id, purchased_on, price, currency, warranty_until, lessor, lease_contract, lease_until,
    calibrated_on, calibration_due, calibrated_by, calibration_certificate, imei, iccid, bluetooth_address, system_id,
    firmware, note) FROM STDIN;

-- name: analyze_stage
ANALYZE component_stage;

-- name: staged
SELECT count(*) FROM component_stage;

-- name: lock
-- Kits before pieces and in their order, as every other writer does.
SELECT count(*) FROM (
    SELECT FROM kits WHERE kit IN (SELECT kit FROM component_stage) ORDER BY kit_id FOR NO KEY UPDATE) locked;

-- name: complaints
-- What the books say against a line, the first reason of each; what is out of the caller's sight is told by `not_entered`.
WITH known AS (
    SELECT s.*, m.model_id, m.kind,
           min(s.line) OVER (PARTITION BY lower(s.manufacturer), lower(s.model), s.serial) AS first_line,
           min(s.line) OVER (PARTITION BY s.asset_tag) AS first_tag,
           min(s.line) OVER (PARTITION BY s.imei) AS first_imei,
           min(s.line) OVER (PARTITION BY s.iccid) AS first_iccid
    FROM component_stage s
    LEFT JOIN models m ON lower(m.manufacturer) = lower(s.manufacturer) AND lower(m.name) = lower(s.model)
), asked AS (
    SELECT s.*, concat_ws(' ', s.manufacturer, s.model, s.serial) AS key,
           c.component_id, c.state AS is_state, ck.kit AS is_kit, c.location_id AS is_location_id,
           c.organisation_id AS is_organisation_id, c.owner_id AS is_owner_id, c.calibrated_on AS is_calibrated_on,
           c.calibration_due AS is_calibration_due,
           k.kit_id, k.state AS kit_state, k.organisation_id AS kit_organisation_id, k.owner_id AS kit_owner_id,
           l.location_id, l.known AS location_known,
           o.organisation_id, o.reached AS organisation_reached, w.organisation_id AS owner_id,
           w.reached AS owner_reached, u.organisation_id AS supplier_id, e.organisation_id AS lessor_id,
           t.component_id AS tag_taken, i.component_id AS imei_taken, d.component_id AS iccid_taken
    FROM known s
    LEFT JOIN components c ON c.model_id = s.model_id AND c.serial = s.serial
    LEFT JOIN kits ck ON ck.kit_id = c.kit_id
    LEFT JOIN kits k ON k.kit = s.kit
    LEFT JOIN named_location l ON l.name = s.location
    LEFT JOIN named_organisation o ON o.name = s.organisation
    LEFT JOIN named_organisation w ON w.name = s.owner
    LEFT JOIN named_organisation u ON u.name = s.supplier
    LEFT JOIN named_organisation e ON e.name = s.lessor
    LEFT JOIN components t ON t.asset_tag = s.asset_tag
    LEFT JOIN components i ON i.imei = s.imei
    LEFT JOIN components d ON d.iccid = s.iccid
)
SELECT line, key, reason
FROM asked, LATERAL (SELECT CASE
    WHEN model_id IS NULL THEN format('model: there is no %%s %%s: enter the model first', manufacturer, model)
    WHEN first_line <> line THEN format('serial: stands in line %%s already', first_line)
    WHEN asset_tag IS NOT NULL AND first_tag <> line THEN format('asset_tag: stands in line %%s already', first_tag)
    WHEN imei IS NOT NULL AND first_imei <> line THEN format('imei: stands in line %%s already', first_imei)
    WHEN iccid IS NOT NULL AND first_iccid <> line THEN format('iccid: stands in line %%s already', first_iccid)
    WHEN component_id IS NOT NULL AND NOT %(update)s THEN 'serial: is in the books already'
    WHEN tag_taken <> coalesce(component_id, 0) THEN 'asset_tag: is in the books already'
    WHEN imei_taken <> coalesce(component_id, 0) THEN 'imei: is in the books already'
    WHEN iccid_taken <> coalesce(component_id, 0) THEN 'iccid: is in the books already'
    WHEN imei IS NOT NULL AND kind <> ALL (%(imei_kinds)s::text[]) THEN format('imei: a %%s has none', kind)
    WHEN iccid IS NOT NULL AND kind <> ALL (%(iccid_kinds)s::text[]) THEN format('iccid: a %%s has none', kind)
    WHEN bluetooth_address IS NOT NULL AND kind = 'sim' THEN 'bluetooth_address: a sim has none'
    WHEN kit IS NOT NULL AND kit_id IS NULL THEN format('kit: there is no %%s', kit)
    WHEN location IS NOT NULL AND location_known AND location_id IS NULL
        THEN 'location: several are called so: give its slug'
    WHEN location IS NOT NULL AND location_id IS NULL AND NOT %(makes_names)s
        THEN format('location: there is no %%s: enter the location first', location)
    WHEN organisation IS NOT NULL AND organisation_id IS NULL AND NOT %(makes_names)s
        THEN format('organisation: there is no %%s', organisation)
    WHEN owner IS NOT NULL AND owner_id IS NULL AND NOT %(makes_names)s THEN format('owner: there is no %%s', owner)
    WHEN supplier IS NOT NULL AND supplier_id IS NULL AND NOT %(makes_names)s
        THEN format('supplier: there is no %%s', supplier)
    WHEN lessor IS NOT NULL AND lessor_id IS NULL AND NOT %(makes_names)s THEN format('lessor: there is no %%s', lessor)
    WHEN order_line_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM order_lines n WHERE n.order_line_id = asked.order_line_id AND n.model_id = asked.model_id)
        THEN format('order_line_id: there is no line %%s for this model', order_line_id)
    -- A known piece is described; what happens to it is told by steps.
    WHEN component_id IS NOT NULL THEN CASE
        WHEN state <> is_state THEN format('state: is %%s in the books; take a step', is_state)
        WHEN kit IS DISTINCT FROM is_kit AND kit IS NOT NULL THEN 'kit: is another in the books; swap it'
        WHEN location IS NOT NULL AND location_id IS DISTINCT FROM is_location_id
            THEN 'location: is another in the books; move it'
        WHEN organisation IS NOT NULL AND organisation_id IS DISTINCT FROM is_organisation_id
            THEN 'organisation: is another in the books; assign it'
        WHEN owner IS NOT NULL AND owner_id IS DISTINCT FROM is_owner_id THEN 'owner: is another in the books; assign it'
        WHEN calibrated_on <> is_calibrated_on OR calibration_due <> is_calibration_due
            OR (is_calibrated_on IS NULL AND calibrated_on IS NOT NULL)
            THEN 'calibrated_on: is another in the books; record a calibration'
        END
    WHEN since > clock_timestamp() THEN 'since: lies in the future'
    WHEN kit_state IN ('scrapped', 'returned') THEN format('kit: %%s is %%s', kit, kit_state)
    WHEN kit_id IS NOT NULL AND organisation IS NOT NULL AND organisation_id IS DISTINCT FROM kit_organisation_id
        THEN 'organisation: is another than that of its kit'
    WHEN NOT coalesce((SELECT sees_all()) OR organisation_reached OR owner_reached
            OR kit_organisation_id = ANY ((SELECT seen_organisations())::integer[]), false)
        THEN CASE WHEN organisation IS NULL AND owner IS NULL THEN 'organisation: say whose it is'
             ELSE 'organisation: it would be outside of your organisations' END
    END AS reason) why
WHERE reason IS NOT NULL
ORDER BY line;

-- name: drop_bad
DELETE FROM component_stage WHERE line = ANY (%(lines)s::integer[]);

-- name: forget_names
WITH forgotten AS (
    DELETE FROM named_location WHERE name NOT IN (SELECT location FROM component_stage WHERE location IS NOT NULL)
)
DELETE FROM named_organisation WHERE name NOT IN (
    SELECT v.name FROM component_stage s, LATERAL (VALUES (s.organisation), (s.owner), (s.supplier), (s.lessor)) v (name)
    WHERE v.name IS NOT NULL);

-- name: make_added
CREATE TEMP TABLE component_added (
    component_id bigint, model_id integer, serial text COLLATE "C", state text, state_since timestamptz,
    location_id integer, kit_id integer, organisation_id integer, owner_id integer
) ON COMMIT DROP;

-- name: insert
-- Without a conflict target: what the caller cannot see is taken as well, and told by `not_entered`.
WITH added AS (
    INSERT INTO components (model_id, serial, asset_tag, state, state_since, organisation_id, owner_id, location_id, kit_id,
                            supplier_id, order_line_id, purchased_on, price, currency, warranty_until, lessor_id,
                            lease_contract, lease_until, calibrated_on, calibration_due, calibrated_by,
                            calibration_certificate, imei, iccid, bluetooth_address, system_id, firmware, note)
    SELECT m.model_id, s.serial, s.asset_tag, coalesce(s.state, CASE WHEN s.kit IS NULL THEN 'in_stock' ELSE 'in_kit' END),
           coalesce(s.since, now()), CASE WHEN s.kit IS NULL THEN o.organisation_id ELSE k.organisation_id END,
           coalesce(w.organisation_id, o.organisation_id, k.owner_id), l.location_id, k.kit_id, u.organisation_id,
           s.order_line_id, s.purchased_on, s.price, coalesce(s.currency, 'DKK'), s.warranty_until, e.organisation_id,
           s.lease_contract, s.lease_until, s.calibrated_on,
           coalesce(s.calibration_due, s.calibrated_on + m.calibration_interval_days), s.calibrated_by,
           s.calibration_certificate, s.imei, s.iccid, s.bluetooth_address, s.system_id, s.firmware, coalesce(s.note, '')
    FROM component_stage s
    JOIN models m ON lower(m.manufacturer) = lower(s.manufacturer) AND lower(m.name) = lower(s.model)
    LEFT JOIN kits k ON k.kit = s.kit
    LEFT JOIN named_location l ON l.name = s.location
    LEFT JOIN named_organisation o ON o.name = s.organisation
    LEFT JOIN named_organisation w ON w.name = s.owner
    LEFT JOIN named_organisation u ON u.name = s.supplier
    LEFT JOIN named_organisation e ON e.name = s.lessor
    WHERE NOT EXISTS (SELECT FROM components c WHERE c.model_id = m.model_id AND c.serial = s.serial)
    ORDER BY s.line
    ON CONFLICT DO NOTHING
    RETURNING component_id, model_id, serial, state, state_since, location_id, kit_id, organisation_id, owner_id
), kept AS (
    INSERT INTO component_added SELECT * FROM added RETURNING 1
)
SELECT count(*) FROM kept;

-- name: not_entered
SELECT s.line, concat_ws(' ', s.manufacturer, s.model, s.serial) AS key,
       concat_ws(', ', 'serial', CASE WHEN s.asset_tag IS NOT NULL THEN 'asset_tag' END,
                 CASE WHEN s.imei IS NOT NULL THEN 'imei' END, CASE WHEN s.iccid IS NOT NULL THEN 'iccid' END)
       || CASE WHEN num_nonnulls(s.asset_tag, s.imei, s.iccid) > 0 THEN ': one of them is' ELSE ': is' END
       || ' in the books already' AS reason
FROM component_stage s
JOIN models m ON lower(m.manufacturer) = lower(s.manufacturer) AND lower(m.name) = lower(s.model)
WHERE NOT EXISTS (SELECT FROM components c WHERE c.model_id = m.model_id AND c.serial = s.serial)
ORDER BY s.line;

-- name: log_added
INSERT INTO book_events (occurred_at, what, component_id, kit_id, to_state, location_id, organisation_id, owner_id, after,
                         batch, actor)
SELECT state_since, 'opening', component_id, kit_id, state, location_id, organisation_id, owner_id,
       jsonb_build_object('state', state), %(batch)s, %(actor)s
FROM component_added
ORDER BY component_id;

-- name: place_added
INSERT INTO stays (component_id, location_id, during)
SELECT component_id, location_id, tstzrange(state_since, NULL) FROM component_added WHERE location_id IS NOT NULL;

-- name: bundle_added
INSERT INTO kit_components (component_id, kit_id, during)
SELECT component_id, kit_id, tstzrange(state_since, NULL) FROM component_added WHERE kit_id IS NOT NULL;

-- name: lock_known
SELECT count(*) FROM (
    SELECT FROM components WHERE component_id IN (
        SELECT c.component_id FROM component_stage s
        JOIN models m ON lower(m.manufacturer) = lower(s.manufacturer) AND lower(m.name) = lower(s.model)
        JOIN components c ON c.model_id = m.model_id AND c.serial = s.serial)
    ORDER BY component_id FOR NO KEY UPDATE) locked;

-- name: make_change
-- The components that the file describes otherwise, as they are and as they become.
CREATE TEMP TABLE component_change ON COMMIT DROP AS
SELECT * FROM (
    SELECT c.component_id, c.organisation_id, c.owner_id,
           coalesce(u.organisation_id, c.supplier_id) AS supplier_id, coalesce(e.organisation_id, c.lessor_id) AS lessor_id,
           coalesce(s.asset_tag, c.asset_tag) AS asset_tag, coalesce(s.purchased_on, c.purchased_on) AS purchased_on,
           coalesce(s.price, c.price) AS price, coalesce(s.currency, c.currency) AS currency,
           coalesce(s.warranty_until, c.warranty_until) AS warranty_until,
           coalesce(s.lease_contract, c.lease_contract) AS lease_contract,
           coalesce(s.lease_until, c.lease_until) AS lease_until, coalesce(s.imei, c.imei) AS imei,
           coalesce(s.iccid, c.iccid) AS iccid, coalesce(s.bluetooth_address, c.bluetooth_address) AS bluetooth_address,
           coalesce(s.system_id, c.system_id) AS system_id, coalesce(s.firmware, c.firmware) AS firmware,
           coalesce(s.note, c.note) AS note,
           jsonb_build_object(
               'asset_tag', c.asset_tag, 'supplier', cu.slug, 'purchased_on', c.purchased_on, 'price', c.price::text,
               'currency', c.currency, 'warranty_until', c.warranty_until, 'lessor', ce.slug,
               'lease_contract', c.lease_contract, 'lease_until', c.lease_until, 'imei', c.imei, 'iccid', c.iccid,
               'bluetooth_address', c.bluetooth_address, 'system_id', c.system_id, 'firmware', c.firmware,
               'note', c.note) AS was,
           jsonb_strip_nulls(jsonb_build_object(
               'asset_tag', s.asset_tag, 'supplier', u.slug, 'purchased_on', s.purchased_on, 'price', s.price::text,
               'currency', s.currency, 'warranty_until', s.warranty_until, 'lessor', e.slug,
               'lease_contract', s.lease_contract, 'lease_until', s.lease_until, 'imei', s.imei, 'iccid', s.iccid,
               'bluetooth_address', s.bluetooth_address, 'system_id', s.system_id, 'firmware', s.firmware,
               'note', s.note)) AS becomes
    FROM component_stage s
    JOIN models m ON lower(m.manufacturer) = lower(s.manufacturer) AND lower(m.name) = lower(s.model)
    JOIN components c ON c.model_id = m.model_id AND c.serial = s.serial
    LEFT JOIN named_organisation u ON u.name = s.supplier
    LEFT JOIN named_organisation e ON e.name = s.lessor
    LEFT JOIN organisations cu ON cu.organisation_id = c.supplier_id
    LEFT JOIN organisations ce ON ce.organisation_id = c.lessor_id
) told
WHERE NOT was @> becomes;

-- name: analyze_change
ANALYZE component_change;

-- name: update
UPDATE components c
SET asset_tag = h.asset_tag, supplier_id = h.supplier_id, purchased_on = h.purchased_on, price = h.price,
    currency = h.currency, warranty_until = h.warranty_until, lessor_id = h.lessor_id, lease_contract = h.lease_contract,
    lease_until = h.lease_until, imei = h.imei, iccid = h.iccid, bluetooth_address = h.bluetooth_address,
    system_id = h.system_id, firmware = h.firmware, note = h.note, revision = c.revision + 1, updated_at = now()
FROM component_change h
WHERE c.component_id = h.component_id;

-- name: log_changes
INSERT INTO book_events (occurred_at, what, component_id, organisation_id, owner_id, before, after, batch, actor)
SELECT clock_timestamp(), 'edit', h.component_id, h.organisation_id, h.owner_id, told.was, told.becomes, %(batch)s, %(actor)s
FROM component_change h, LATERAL (
    SELECT jsonb_object_agg(b.key, h.was -> b.key) AS was, jsonb_object_agg(b.key, b.value) AS becomes
    FROM jsonb_each(h.becomes) b WHERE h.was -> b.key IS DISTINCT FROM b.value) told
ORDER BY h.component_id;

-- name: announce
INSERT INTO events (type, body, organisation_id, owner_id)
SELECT 'components.imported', jsonb_build_object('created', count(*)), organisation_id, owner_id
FROM component_added GROUP BY organisation_id, owner_id;

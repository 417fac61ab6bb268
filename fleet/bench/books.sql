-- name: quietly
-- A database of our own, filled by its owner: triggers are for what people change.
SET session_replication_role = replica;

-- name: regions
INSERT INTO organisations (slug, name, kind) SELECT 'region-' || g, 'Region ' || g, 'region' FROM generate_series(1, 5) g;

-- name: municipalities
INSERT INTO organisations (slug, name, kind, parent_id)
SELECT 'kommune-' || g, 'Kommune ' || g, 'municipality',
       (SELECT organisation_id FROM organisations WHERE slug = 'region-' || (g %% 5 + 1))
FROM generate_series(1, %(municipalities)s::integer) g;

-- name: operator
INSERT INTO organisations (slug, name, kind) VALUES ('operator', 'Operator', 'operator');

-- name: agreements
INSERT INTO agreements (operator_id, organisation_id)
SELECT (SELECT organisation_id FROM organisations WHERE slug = 'operator'), o.organisation_id
FROM organisations o WHERE o.kind = 'municipality' ORDER BY o.organisation_id LIMIT %(agreements)s;

-- name: locations
INSERT INTO locations (slug, name, kind, organisation_id)
SELECT 'depot-' || slug, 'Depot ' || name, 'depot', organisation_id FROM organisations
WHERE kind IN ('region', 'municipality');

-- name: models
INSERT INTO models (kind, manufacturer, name, calibration_interval_days) VALUES
    ('tablet', 'Maker', 'T 10', NULL), ('sim', 'Net', 'SIM', NULL), ('scale', 'Maker', 'S 2', 365), ('oximeter', 'Maker', 'O 3', 730),
    ('thermometer', 'Maker', 'rare', 365);

-- name: kit_types
INSERT INTO kit_types (kit_type) VALUES ('copd'), ('heart'), ('rare');

-- name: chosen
-- Which organisation has a number: a few large ones and many small ones, as municipalities are.
CREATE TEMPORARY TABLE chosen (n integer, organisation_id integer, parent_id integer, location_id integer);

-- name: choose
INSERT INTO chosen (n, organisation_id, parent_id, location_id)
SELECT n, m.organisation_id, m.parent_id, l.location_id
FROM generate_series(0, %(count)s::integer - 1) n
JOIN (SELECT organisation_id, parent_id, row_number() OVER (ORDER BY organisation_id) - 1 AS place FROM organisations
      WHERE kind = 'municipality') m
    ON m.place = floor(%(municipalities)s * ((n::bigint * 7919 + 13) %% 10007 / 10007.0) ^ 2)::integer
JOIN locations l USING (organisation_id);

-- name: kits
INSERT INTO kits (kit, label, state, state_since, organisation_id, owner_id, location_id, kit_type, wanted_components)
SELECT 'B-' || lpad(n::text, 7, '0'),
       (ARRAY['Ærø', 'Østerbro', 'Åbenrå', 'Nørrebro', 'Vejle', 'Kolding', 'Hjørring', 'Næstved', 'Randers', 'Skive',
              'Tønder', 'Varde', 'Viborg', 'Thisted', 'Struer', 'Holbæk', 'Køge', 'Sorø', 'Rødovre', 'Dragør'])[n %% 20 + 1]
       || ' ' || (ARRAY['lungemedicin', 'hjertesvigt', 'hjemmepleje', 'sundhedscenter', 'akutteam', 'rehabilitering',
                        'reserve'])[n %% 7 + 1]
       || ' ' || n + 100000,
       CASE WHEN n %% 4 = 0 THEN 'installed' WHEN n %% 9973 = 1 THEN 'lost' WHEN n %% 97 = 2 THEN 'cleaning'
            WHEN n %% 11 = 3 THEN 'scrapped' WHEN n %% 7 = 5 THEN 'ready' ELSE 'in_stock' END,
       '2026-01-01', organisation_id, CASE WHEN n %% 3 = 0 THEN parent_id ELSE organisation_id END,
       CASE WHEN n %% 4 > 0 THEN location_id END,
       CASE WHEN n %% 5003 = 6 THEN 'rare' WHEN n %% 2 = 0 THEN 'copd' ELSE 'heart' END, '{"app": "4.2.0"}'
FROM chosen ORDER BY n;

-- name: words
INSERT INTO kit_words (kit_id, word, organisation_id, owner_id)
SELECT kit_id, word, organisation_id, owner_id FROM kits, unnest(search_words(label)) AS word;

-- name: references
INSERT INTO placement_references (organisation_id, reference)
SELECT organisation_id, 'REF-' || kit_id FROM kits WHERE state = 'installed' ORDER BY kit_id;

-- name: placements
INSERT INTO placements (kit_id, reference_id, organisation_id, programme, state, during)
SELECT substr(reference, 5)::integer, reference_id, organisation_id, 'copd', 'active', tstzrange('2026-01-01', NULL)
FROM placement_references ORDER BY reference_id;

-- name: place
UPDATE kits k SET placement_id = p.placement_id FROM placements p WHERE p.kit_id = k.kit_id;

-- name: latest
-- A few are silent, a few run low, one in a thousand is not heard yet.
INSERT INTO kit_latest (kit_id, last_heard_at, heard_clock_s, watch_allowance_s, watch_interval_s, watch_from_clock_s,
                        boot, seq, time, received_at, battery, network, online)
SELECT kit_id, CASE WHEN s THEN now() - random() * CASE WHEN silent THEN interval '9 days' ELSE interval '5 minutes' END END,
       CASE WHEN s THEN CASE WHEN silent THEN 10 ELSE 1000 - 300 * random() END END,
       CASE WHEN w THEN 900 END, CASE WHEN w THEN 300 END, CASE WHEN w THEN 0 END, CASE WHEN s THEN 'b' END,
       CASE WHEN s THEN 1 END, CASE WHEN s THEN now() END, CASE WHEN s THEN now() END,
       CASE WHEN s THEN CASE WHEN kit_id %% 37 = 0 THEN 10 ELSE 80 END END,
       CASE WHEN s THEN '4g' END, CASE WHEN s THEN true END
FROM (SELECT kit_id, state = 'installed' AS w, state = 'installed' AND kit_id %% 997 > 0 AS s, kit_id %% 61 = 0 AS silent
      FROM kits ORDER BY kit_id) k;

-- name: reports
-- A few lost a peripheral, a few are not up to date.
INSERT INTO latest_reports (kit_id, kind, boot, seq, time, received_at, body)
SELECT kit_id, kind, 'b', 1, now(), now(), body
FROM kits
CROSS JOIN LATERAL (VALUES
    ('pairing', jsonb_build_array(jsonb_build_object('serial', 'S-1', 'kind', 'scale', 'paired', kit_id %% 53 > 0))),
    ('software', jsonb_build_object('os', '14', 'app', CASE WHEN kit_id %% 83 = 0 THEN '4.1.0' ELSE '4.2.0' END,
                                    'mdm', '9.1', 'bluetooth', '5.3'))) AS r (kind, body)
WHERE state = 'installed' AND kit_id %% 997 > 0 ORDER BY kit_id;

-- name: marks
INSERT INTO kit_marks (kit_id, organisation_id, owner_id, kit, state, kit_type, location_id, health)
SELECT kit_id, organisation_id, owner_id, kit, state, kit_type, location_id, health FROM kits_at_rest ORDER BY kit_id;

-- name: listening
UPDATE listening SET clock_s = 1000, resumed_clock_s = 0, state = 'listening', updated_at = clock_timestamp();

-- name: components
-- Four in most installed kits: tablet, SIM, scale and oximeter; the others lie in stock.
INSERT INTO components (model_id, serial, asset_tag, state, state_since, organisation_id, owner_id, location_id, kit_id,
                        calibrated_on, calibration_due, warranty_until, lease_until, imei, iccid, bluetooth_address)
SELECT CASE WHEN n %% 7919 = 1 THEN 5 ELSE n %% 4 + 1 END, 'SN-' || lpad((n::bigint * 104729 %% 99999989)::text, 8, '0'),
       'A-' || lpad(n::text, 8, '0'),
       CASE WHEN c.used THEN 'in_kit' WHEN n %% 6007 = 2 THEN 'at_supplier' WHEN n %% 13 = 1 THEN 'scrapped'
            ELSE 'in_stock' END,
       '2026-01-01', c.organisation_id, k.owner_id, CASE WHEN NOT c.used THEN c.location_id END,
       CASE WHEN c.used THEN k.kit_id END,
       '2026-01-01', date '2026-06-01' + n %% 700, date '2026-06-01' + n %% 1500,
       CASE WHEN n %% 10 = 0 THEN date '2026-06-01' + n %% 900 END,
       CASE WHEN n %% 4 = 0 THEN lpad(n::text, 15, '0') END, CASE WHEN n %% 4 = 1 THEN '89' || lpad(n::text, 16, '0') END,
       CASE WHEN n %% 4 > 1 THEN upper(regexp_replace(lpad(to_hex(n), 12, '0'), '(..)(?=.)', '\1:', 'g')) END
FROM (SELECT n, n / 4 * 4 AS kit_n, n / 4 %% 10 < 8 AS used, organisation_id, location_id FROM chosen) c
JOIN kits k ON k.kit = 'B-' || lpad(kit_n::text, 7, '0')
ORDER BY n;

-- name: log
-- Every piece with its opening, as the books have it.
INSERT INTO book_events (occurred_at, what, kit_id, component_id, to_state, location_id, placement_id, organisation_id, owner_id,
                         after, actor)
SELECT state_since, 'opening', kit_id, NULL, state, location_id, placement_id, organisation_id, owner_id,
       jsonb_build_object('state', state), 'bench' FROM kits
UNION ALL
SELECT state_since, 'opening', kit_id, component_id, state, location_id, NULL, organisation_id, owner_id,
       jsonb_build_object('state', state), 'bench' FROM components;

-- name: stays
-- Of one kit in so many only, those that are moved: they are slow to fill and cost the others nothing.
INSERT INTO stays (kit_id, location_id, placement_id, during)
SELECT kit_id, location_id, placement_id, tstzrange(state_since, NULL) FROM kits WHERE kit_id %% %(every)s::integer = 0;

-- name: custodies
INSERT INTO custodies (kit_id, organisation_id, during)
SELECT kit_id, organisation_id, tstzrange(NULL, NULL) FROM kits WHERE kit_id %% %(every)s::integer = 0;

-- name: audit
-- As many lines as kits: most tell of a kit, one in twenty of what it did elsewhere before; some of what is nobody's.
INSERT INTO audit (at, actor, principal, origin, action, subject_kind, subject, organisation_id, kit_id, before, after)
SELECT timestamptz '2025-01-01' + c.n * interval '60 seconds', 'user ' || c.n * 7 %% 1999, 'user:' || c.n * 7 %% 1999, '10.0.0.1',
       a.kind || CASE WHEN c.n %% 5 = 0 THEN '.created' ELSE '.changed' END, a.kind, c.n::text,
       CASE WHEN c.n %% 50 = 0 THEN NULL WHEN c.n %% 20 = 1 THEN e.organisation_id ELSE k.organisation_id END,
       CASE WHEN a.kind <> 'orders' AND c.n %% 50 > 0 THEN k.kit_id END, '{"state": "in_stock"}', '{"state": "preparing"}'
FROM chosen c
CROSS JOIN LATERAL (SELECT c.n::bigint * 7919 %% %(count)s::bigint AS of_kit) p
JOIN kits k ON k.kit = 'B-' || lpad(p.of_kit::text, 7, '0')
JOIN chosen e ON e.n = (c.n::bigint * 104729 %% %(count)s::bigint)
CROSS JOIN LATERAL (SELECT (ARRAY['kits', 'placements', 'alerts', 'commands', 'service_requests', 'findings', 'orders']
                           )[CASE WHEN c.n %% 10007 = 5 THEN 7 ELSE c.n %% 6 + 1 END] AS kind) a
ORDER BY c.n;

-- name: audit_owned
INSERT INTO audit_owned (audit_id, kit_id, owner_id, organisation_id, at, actor, principal, action, subject_kind)
SELECT a.audit_id, a.kit_id, k.owner_id, a.organisation_id, a.at, a.actor, a.principal, a.action, a.subject_kind
FROM audit a JOIN kits k USING (kit_id) WHERE k.owner_id IS DISTINCT FROM a.organisation_id ORDER BY a.audit_id;

-- name: indexes
-- Made again after the rows, which is several times faster than keeping them up to date.
SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS definition
FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relname IN ('kits', 'components', 'kit_words', 'kit_marks', 'book_events', 'audit', 'audit_owned') AND c.relnamespace = current_schema()::regnamespace
  AND NOT EXISTS (SELECT FROM pg_constraint k WHERE k.conindid = i.indexrelid);

-- name: drawn
-- What somebody at an organisation (nobody's: everywhere) has before them: an installed kit, a piece of it, its home.
SELECT k.kit, k.label, c.serial, r.reference
FROM kits k JOIN components c USING (kit_id) JOIN placements p ON p.placement_id = k.placement_id
JOIN placement_references r USING (reference_id)
WHERE %(organisation)s::text IS NULL OR k.organisation_id = ANY (scope_of(
    (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s)))
ORDER BY md5(c.serial) LIMIT 500;

-- name: waiting
-- Kits in stock whose life is in the books.
SELECT k.kit FROM kits k
WHERE k.state = 'in_stock' AND k.kit_id %% %(every)s::integer = 0
  AND (%(organisation)s::text IS NULL OR k.organisation_id = ANY (scope_of(
       (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))))
ORDER BY md5(k.kit) LIMIT 500;

-- name: told
-- Lines of the audit about what is somebody's, with half a day of theirs.
SELECT a.actor, a.principal, a.action, a.subject_kind, a.subject, k.kit, o.slug AS organisation,
       to_char(a.at, 'YYYY-MM-DD"T"00:00:00"Z"') AS midnight, to_char(a.at, 'YYYY-MM-DD"T"12:00:00"Z"') AS noon
FROM audit a JOIN organisations o USING (organisation_id) JOIN kits k USING (kit_id)
WHERE %(organisation)s::text IS NULL OR a.organisation_id = ANY (scope_of(
    (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s)))
ORDER BY md5(a.subject) LIMIT 500;

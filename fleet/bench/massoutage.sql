-- name: make_regions
INSERT INTO organisations (slug, name, kind)
SELECT 'region-' || g, 'Region ' || g, 'region' FROM generate_series(1, 5) g

-- name: make_municipalities
INSERT INTO organisations (slug, name, kind, parent_id)
SELECT 'kommune-' || g, 'Kommune ' || g, 'municipality', o.organisation_id
FROM generate_series(1, 98) g JOIN organisations o ON o.slug = 'region-' || (1 + g % 5)

-- name: spread_kits
UPDATE kits SET organisation_id = o.organisation_id
FROM organisations o WHERE o.slug = 'kommune-' || (1 + (kits.kit_id / 10) % 98)

-- name: spread_operators
-- All were heard a moment ago, so that for as long as the measurement lasts none is late but those of the outage.
UPDATE kit_latest SET operator = (%(operators)s::text[])[1 + kit_id %% 10],
                      heard_clock_s = l.clock_s - 20 * random()
FROM listening l

-- name: break_operator
UPDATE kit_latest SET heard_clock_s = %(clock_s)s::double precision - %(allowance_s)s::double precision
                                      + %(within_s)s::double precision * random()
WHERE operator = %(operator)s

-- name: no_round
-- The round over all kits that follows a change of the rules is over.
UPDATE rule_sweep SET laps = 0

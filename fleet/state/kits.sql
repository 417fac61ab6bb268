-- name: record
SELECT k.kit_id, k.kit, k.label, k.state, k.state_since, o.slug AS organisation, w.slug AS owner, k.kit_type,
       d.slug AS location, k.placement_id AS placement, k.organisation_id, k.owner_id, k.expected_interval_s, k.tolerance,
       k.wanted_components, k.revision, k.created_at, k.updated_at
FROM kits k
LEFT JOIN organisations o ON o.organisation_id = k.organisation_id
LEFT JOIN organisations w ON w.organisation_id = k.owner_id
LEFT JOIN locations d ON d.location_id = k.location_id
WHERE k.kit = %(kit)s;

-- name: record_for_update
-- Not FOR UPDATE: that would hold up whoever refers to the kit, such as ingest.
SELECT k.kit_id, k.kit, k.label, k.state, k.state_since, o.slug AS organisation, w.slug AS owner, k.kit_type,
       d.slug AS location, k.placement_id AS placement, k.organisation_id, k.owner_id, k.expected_interval_s, k.tolerance,
       k.wanted_components, k.revision, k.created_at, k.updated_at
FROM kits k
LEFT JOIN organisations o ON o.organisation_id = k.organisation_id
LEFT JOIN organisations w ON w.organisation_id = k.owner_id
LEFT JOIN locations d ON d.location_id = k.location_id
WHERE k.kit = %(kit)s
FOR NO KEY UPDATE OF k;

-- name: insert
-- Without a conflict target: a kit that the caller cannot see is taken as well.
INSERT INTO kits (kit, label, state, state_since, organisation_id, owner_id, kit_type, location_id, expected_interval_s,
                  tolerance, wanted_components)
VALUES (%(kit)s, %(label)s, %(state)s, clock_timestamp(), %(organisation_id)s, %(owner_id)s, %(kit_type)s,
        %(location_id)s, %(expected_interval_s)s, %(tolerance)s, %(wanted_components)s)
ON CONFLICT DO NOTHING
RETURNING kit_id;

-- name: insert_latest
INSERT INTO kit_latest (kit_id, watch_allowance_s, watch_interval_s, watch_from_clock_s)
SELECT k.kit_id, w.allowance_s,
       CASE WHEN w.allowance_s IS NOT NULL THEN k.expected_interval_s END,
       CASE WHEN w.allowance_s IS NOT NULL THEN c.clock_s END
FROM kits k CROSS JOIN listening c,
     LATERAL (SELECT watch_allowance_s(k.state, k.expected_interval_s, k.tolerance) AS allowance_s) w
WHERE k.kit_id = %(kit_id)s;

-- name: update
UPDATE kits SET label = %(label)s, kit_type = %(kit_type)s, expected_interval_s = %(expected_interval_s)s,
    tolerance = %(tolerance)s, wanted_components = %(wanted_components)s, revision = revision + 1, updated_at = now()
WHERE kit_id = %(kit_id)s;

-- name: kit_type_exists
SELECT EXISTS (SELECT FROM kit_types WHERE kit_type = %(kit_type)s);

-- name: begin_replay
-- The caller has its subjects, or had them; their events under other organisations are read for the replay only.
SELECT clock_timestamp() AS now,
       set_config('fleet.replayed_kits', %(kit_ids)s::integer[]::text, true),
       set_config('fleet.replayed_components', %(component_ids)s::bigint[]::text, true);

-- name: end_replay
SELECT set_config('fleet.replayed_kits', '', true), set_config('fleet.replayed_components', '', true);

-- name: kit_ids
SELECT kit_id, kit FROM kits WHERE kit = ANY(%(kits)s);

-- name: kits_holding
SELECT DISTINCT kit_id FROM components WHERE component_id = ANY(%(component_ids)s) AND kit_id IS NOT NULL;

-- name: components_held
SELECT component_id FROM components WHERE kit_id = ANY(%(kit_ids)s);

-- name: lock_kits
-- Always in order of kit_id, kits before components, so that no two of these wait for each other in a circle; not
-- FOR UPDATE, which would hold up ingest's references to the kit.
SELECT kit_id, kit, state, state_since, location_id, placement_id, organisation_id, owner_id, kit_type, revision
FROM kits
WHERE kit_id = ANY(%(kit_ids)s)
ORDER BY kit_id
FOR NO KEY UPDATE;

-- name: lock_components
SELECT c.component_id, m.kind, c.serial, c.state, c.state_since, c.location_id, c.kit_id, c.organisation_id, c.owner_id,
       m.calibration_interval_days IS NOT NULL AS calibrated, c.calibration_due, c.revision
FROM components c JOIN models m USING (model_id)
WHERE c.component_id = ANY(%(component_ids)s)
ORDER BY c.component_id
FOR NO KEY UPDATE OF c;

-- name: events
SELECT event_id, occurred_at, what, kit_id, component_id, removed_id, to_state, location_id, placement_id,
       organisation_id, owner_id, corrects, CASE WHEN corrects IS NOT NULL THEN after END AS after
FROM book_events
WHERE kit_id = ANY(%(kit_ids)s::integer[]) OR component_id = ANY(%(component_ids)s::bigint[])
   OR removed_id = ANY(%(component_ids)s::bigint[])
ORDER BY event_id;

-- name: append
INSERT INTO book_events (occurred_at, what, kit_id, component_id, removed_id, from_state, to_state, location_id,
                         placement_id, organisation_id, owner_id, before, after, corrects, backdated, override, batch,
                         actor, reason)
VALUES (%(occurred_at)s, %(what)s, %(kit_id)s, %(component_id)s, %(removed_id)s, %(from_state)s, %(to_state)s,
        %(location_id)s, %(placement_id)s, %(organisation_id)s, %(owner_id)s, %(before)s, %(after)s, %(corrects)s,
        %(backdated)s, %(override)s, %(batch)s, %(actor)s, %(reason)s)
RETURNING event_id;

-- name: update_kit
-- What leaves for good has no credentials any more; taking the step back does not give them back.
UPDATE kits
SET state = %(state)s, state_since = %(since)s, location_id = %(location_id)s, placement_id = %(placement_id)s,
    organisation_id = %(organisation_id)s, owner_id = %(owner_id)s,
    credentials_revoked_at = CASE WHEN %(state)s IN ('scrapped', 'returned')
                                  THEN coalesce(credentials_revoked_at, now()) ELSE credentials_revoked_at END,
    revision = revision + 1, updated_at = now()
WHERE kit_id = %(kit_id)s;

-- name: update_component
UPDATE components
SET state = %(state)s, state_since = %(since)s, location_id = %(location_id)s, kit_id = %(kit_id)s,
    organisation_id = %(organisation_id)s, owner_id = %(owner_id)s, revision = revision + 1, updated_at = now()
WHERE component_id = %(component_id)s;

-- name: kit_spells
-- What is stored of a kit over time, in one question. The numbers are cast, because an index over time (gist) serves its
-- own type only, and a small number comes as a smaller one.
SELECT 'stay' AS what, stay_id AS row_id, location_id, placement_id, NULL::bigint AS value, lower(during) AS start,
       upper(during) AS "end"
FROM stays WHERE kit_id = %(kit_id)s::integer
UNION ALL
SELECT 'custody', custody_id, NULL, NULL, organisation_id, lower(during), upper(during)
FROM custodies WHERE kit_id = %(kit_id)s::integer
UNION ALL
SELECT 'placement', placement_id, NULL, NULL, placement_id, lower(during), upper(during)
FROM placements WHERE kit_id = %(kit_id)s::integer AND during IS NOT NULL;

-- name: component_spells
SELECT 'stay' AS what, stay_id AS row_id, location_id, placement_id, NULL::bigint AS value, lower(during) AS start,
       upper(during) AS "end"
FROM stays WHERE component_id = %(component_id)s::bigint
UNION ALL
SELECT 'membership', membership_id, NULL, NULL, kit_id, lower(during), upper(during)
FROM kit_components WHERE component_id = %(component_id)s::bigint;

-- name: remove_stay
DELETE FROM stays WHERE stay_id = ANY(%(row_ids)s);

-- name: end_stay
UPDATE stays SET during = tstzrange(%(start)s, %(end)s) WHERE stay_id = %(row_id)s;

-- name: add_stay
INSERT INTO stays (kit_id, component_id, location_id, placement_id, during)
VALUES (%(kit_id)s, %(component_id)s, %(location_id)s, %(placement_id)s, tstzrange(%(start)s, %(end)s));

-- name: remove_custody
DELETE FROM custodies WHERE custody_id = ANY(%(row_ids)s);

-- name: end_custody
UPDATE custodies SET during = tstzrange(%(start)s, %(end)s) WHERE custody_id = %(row_id)s;

-- name: add_custody
INSERT INTO custodies (kit_id, organisation_id, during)
VALUES (%(kit_id)s, %(value)s, tstzrange(%(start)s, %(end)s));

-- name: remove_membership
DELETE FROM kit_components WHERE membership_id = ANY(%(row_ids)s);

-- name: end_membership
UPDATE kit_components SET during = tstzrange(%(start)s, %(end)s) WHERE membership_id = %(row_id)s;

-- name: add_membership
INSERT INTO kit_components (component_id, kit_id, during)
VALUES (%(component_id)s, %(value)s, tstzrange(%(start)s, %(end)s));

-- name: place_kit
-- A placement is active from when its kit is installed there, and ended when the kit is in use no more. What another
-- kit has meanwhile is not taken from it.
UPDATE placements
SET kit_id = %(kit_id)s, during = tstzrange(%(start)s, %(end)s),
    state = CASE WHEN %(end)s::timestamptz IS NULL THEN 'active' ELSE 'ended' END,
    ended_reason = CASE WHEN %(end)s::timestamptz IS NOT NULL THEN coalesce(ended_reason, %(reason)s) END,
    revision = revision + 1, updated_at = now()
WHERE placement_id = %(value)s AND (kit_id IS NULL OR kit_id = %(kit_id)s);

-- name: displace_kit
-- The installation was taken back: the placement is planned again, unless the kit is planned elsewhere by now. One that
-- was at another time keeps why it ended.
UPDATE placements p
SET during = NULL, ended_reason = CASE WHEN p.placement_id = ANY(%(moved)s::bigint[]) THEN p.ended_reason END,
    revision = revision + 1, updated_at = now(),
    state = CASE WHEN EXISTS (SELECT FROM placements o WHERE o.kit_id = p.kit_id AND o.state = 'planned')
                   OR p.placement_id > (SELECT min(row_id) FROM unnest(%(row_ids)s::bigint[]) AS row_id)
                 THEN 'cancelled' ELSE 'planned' END
WHERE p.placement_id = ANY(%(row_ids)s::bigint[]);

-- name: set_watch
-- The watch begins at the clock's value of now when it was off; a mere edit does not begin it anew.
UPDATE kit_latest l
SET watch_allowance_s = w.allowance_s,
    watch_interval_s = CASE WHEN w.allowance_s IS NOT NULL THEN k.expected_interval_s END,
    watch_from_clock_s = CASE WHEN w.allowance_s IS NULL THEN NULL
                              WHEN l.watch_allowance_s IS NULL THEN c.clock_s
                              ELSE l.watch_from_clock_s END
FROM kits k CROSS JOIN listening c,
     LATERAL (SELECT watch_allowance_s(k.state, k.expected_interval_s, k.tolerance) AS allowance_s) w
WHERE k.kit_id = %(kit_id)s AND l.kit_id = k.kit_id;

-- name: enqueue
INSERT INTO evaluation_queue (kit_id) VALUES (%(kit_id)s);

-- name: announce
INSERT INTO events (type, kit, body, organisation_id, owner_id)
VALUES (%(type)s, %(kit)s, %(body)s, %(organisation_id)s, %(owner_id)s);

-- name: opened_kits
-- Kits entered by an INSERT get their opening from their row, and the projections that follow from it.
WITH entered AS (
    SELECT kit_id, state, state_since, location_id, placement_id, organisation_id, owner_id
    FROM kits WHERE kit_id = ANY(%(kit_ids)s)
), logged AS (
    INSERT INTO book_events (occurred_at, what, kit_id, to_state, location_id, placement_id, organisation_id, owner_id,
                             after, batch, actor, reason)
    SELECT e.state_since, 'opening', e.kit_id, e.state, e.location_id, e.placement_id, e.organisation_id, e.owner_id,
           coalesce(%(after)s::jsonb, '{}') || jsonb_build_object('state', e.state), %(batch)s, %(actor)s, %(reason)s
    FROM entered e ORDER BY e.kit_id
), placed AS (
    INSERT INTO stays (kit_id, location_id, placement_id, during)
    SELECT kit_id, location_id, placement_id, tstzrange(state_since, NULL) FROM entered
    WHERE num_nonnulls(location_id, placement_id) = 1
)
INSERT INTO custodies (kit_id, organisation_id, during)
SELECT kit_id, organisation_id, tstzrange(NULL, NULL) FROM entered WHERE organisation_id IS NOT NULL;

-- name: opened_components
WITH entered AS (
    SELECT component_id, kit_id, state, state_since, location_id, organisation_id, owner_id
    FROM components WHERE component_id = ANY(%(component_ids)s)
), logged AS (
    INSERT INTO book_events (occurred_at, what, component_id, kit_id, to_state, location_id, organisation_id, owner_id,
                             after, batch, actor, reason)
    SELECT e.state_since, 'opening', e.component_id, e.kit_id, e.state, e.location_id, e.organisation_id, e.owner_id,
           coalesce(%(after)s::jsonb, '{}') || jsonb_build_object('state', e.state), %(batch)s, %(actor)s, %(reason)s
    FROM entered e ORDER BY e.component_id
), placed AS (
    INSERT INTO stays (component_id, location_id, during)
    SELECT component_id, location_id, tstzrange(state_since, NULL) FROM entered WHERE location_id IS NOT NULL
)
INSERT INTO kit_components (component_id, kit_id, during)
SELECT component_id, kit_id, tstzrange(state_since, NULL) FROM entered WHERE kit_id IS NOT NULL;

-- name: location_known
SELECT EXISTS (SELECT FROM locations WHERE slug = %(text)s OR lower(name) = lower(%(text)s));

-- name: placement
SELECT placement_id, kit_id AS planned_kit_id, organisation_id, state
FROM placements WHERE placement_id = %(placement_id)s
FOR UPDATE;

-- name: planned_placement
SELECT placement_id, kit_id AS planned_kit_id, organisation_id, state
FROM placements WHERE kit_id = %(kit_id)s AND state = 'planned'
FOR UPDATE;

-- name: organisation_slug
SELECT slug FROM organisations WHERE organisation_id = %(organisation_id)s;

-- name: now
SELECT clock_timestamp();

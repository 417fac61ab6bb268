-- name: meant
-- What the reader sees, and the numbers of what a filter names: known when the list is planned, so that it is planned for
-- these very values.
SELECT sees_all() AS everything, seen_organisations() AS organisations,
       (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s) AS organisation_id,
       (SELECT organisation_id FROM organisations WHERE slug = %(owner)s) AS owner_id,
       (SELECT location_id FROM locations WHERE slug = %(location)s) AS location_id;

-- name: span_by_kit
-- The next kits by id; filters that are null do not count. `sort_key` goes into the cursor. With `narrow` only
-- kits that may be silent, or were never heard, are candidates: that reads one narrow table instead of all. What
-- they are is judged by `facts`.
WITH candidates AS MATERIALIZED (
    SELECT w.kit_id FROM seen_watch w CROSS JOIN listening c
    WHERE (%(everything)s OR w.organisation_id = ANY (%(organisations)s::integer[]) OR w.owner_id = ANY (%(organisations)s))
      AND CASE WHEN %(health)s::text = 'unknown' THEN w.heard_clock_s IS NULL
               ELSE is_silent(w.heard_clock_s, w.watch_from_clock_s, w.watch_allowance_s, w.watch_interval_s,
                              c.clock_s, c.resumed_clock_s, c.grace_from_clock_s) END
    UNION
    SELECT kit_id FROM alerts WHERE rule = 'silent' AND state = 'active'
)
SELECT k.kit_id, k.kit AS sort_key
FROM kits k
WHERE k.kit > %(after)s
  AND (%(kit)s::text IS NULL OR k.kit = %(kit)s)
  AND (%(q)s::text IS NULL OR k.kit >= %(q)s AND k.kit < %(q)s || '~')
  AND (%(state)s::text IS NULL OR k.state = %(state)s)
  AND (%(kit_type)s::text IS NULL OR k.kit_type = %(kit_type)s)
  AND (%(organisation_id)s::integer IS NULL OR k.organisation_id = %(organisation_id)s)
  AND (%(owner_id)s::integer IS NULL OR k.owner_id = %(owner_id)s)
  AND (%(location_id)s::integer IS NULL OR k.location_id = %(location_id)s)
  AND (NOT %(narrow)s::boolean OR k.kit_id = ANY (ARRAY(SELECT kit_id FROM candidates)))
ORDER BY k.kit
LIMIT %(limit)s;

-- name: span_by_kit_down
WITH candidates AS MATERIALIZED (
    SELECT w.kit_id FROM seen_watch w CROSS JOIN listening c
    WHERE (%(everything)s OR w.organisation_id = ANY (%(organisations)s::integer[]) OR w.owner_id = ANY (%(organisations)s))
      AND CASE WHEN %(health)s::text = 'unknown' THEN w.heard_clock_s IS NULL
               ELSE is_silent(w.heard_clock_s, w.watch_from_clock_s, w.watch_allowance_s, w.watch_interval_s,
                              c.clock_s, c.resumed_clock_s, c.grace_from_clock_s) END
    UNION
    SELECT kit_id FROM alerts WHERE rule = 'silent' AND state = 'active'
)
SELECT k.kit_id, k.kit AS sort_key
FROM kits k
WHERE k.kit < %(after)s
  AND (%(kit)s::text IS NULL OR k.kit = %(kit)s)
  AND (%(q)s::text IS NULL OR k.kit >= %(q)s AND k.kit < %(q)s || '~')
  AND (%(state)s::text IS NULL OR k.state = %(state)s)
  AND (%(kit_type)s::text IS NULL OR k.kit_type = %(kit_type)s)
  AND (%(organisation_id)s::integer IS NULL OR k.organisation_id = %(organisation_id)s)
  AND (%(owner_id)s::integer IS NULL OR k.owner_id = %(owner_id)s)
  AND (%(location_id)s::integer IS NULL OR k.location_id = %(location_id)s)
  AND (NOT %(narrow)s::boolean OR k.kit_id = ANY (ARRAY(SELECT kit_id FROM candidates)))
ORDER BY k.kit DESC
LIMIT %(limit)s;

-- name: span_by_kit_within
-- Organisation by organisation, as whose it is and as who owns it, each in its index: the policy alone would look at
-- everybody's. A range instead of an equality, so that the planner does not walk all ids in the hope of meeting one soon.
SELECT f.kit_id, f.kit AS sort_key
FROM unnest(%(organisations)s::integer[]) AS seen(organisation_id)
CROSS JOIN LATERAL (
    (SELECT k.kit_id, k.kit
    FROM kits k
    WHERE (k.organisation_id, k.kit) > (seen.organisation_id, %(after)s) AND k.organisation_id <= seen.organisation_id
      AND (%(kit)s::text IS NULL OR k.kit = %(kit)s)
      AND (%(q)s::text IS NULL OR k.kit >= %(q)s AND k.kit < %(q)s || '~')
      AND (%(state)s::text IS NULL OR k.state = %(state)s)
      AND (%(kit_type)s::text IS NULL OR k.kit_type = %(kit_type)s)
      AND (%(organisation_id)s::integer IS NULL OR k.organisation_id = %(organisation_id)s)
      AND (%(owner_id)s::integer IS NULL OR k.owner_id = %(owner_id)s)
      AND (%(location_id)s::integer IS NULL OR k.location_id = %(location_id)s)
    ORDER BY k.organisation_id, k.kit
    LIMIT %(limit)s)
    UNION ALL
    (SELECT k.kit_id, k.kit
    FROM kits k
    WHERE (k.owner_id, k.kit) > (seen.organisation_id, %(after)s) AND k.owner_id <= seen.organisation_id
      AND (%(kit)s::text IS NULL OR k.kit = %(kit)s)
      AND (%(q)s::text IS NULL OR k.kit >= %(q)s AND k.kit < %(q)s || '~')
      AND (%(state)s::text IS NULL OR k.state = %(state)s)
      AND (%(kit_type)s::text IS NULL OR k.kit_type = %(kit_type)s)
      AND (%(organisation_id)s::integer IS NULL OR k.organisation_id = %(organisation_id)s)
      AND (%(owner_id)s::integer IS NULL OR k.owner_id = %(owner_id)s)
      AND (%(location_id)s::integer IS NULL OR k.location_id = %(location_id)s)
    ORDER BY k.owner_id, k.kit
    LIMIT %(limit)s)) f
GROUP BY f.kit_id, f.kit
ORDER BY f.kit
LIMIT %(limit)s;

-- name: span_by_kit_down_within
SELECT f.kit_id, f.kit AS sort_key
FROM unnest(%(organisations)s::integer[]) AS seen(organisation_id)
CROSS JOIN LATERAL (
    (SELECT k.kit_id, k.kit
    FROM kits k
    WHERE (k.organisation_id, k.kit) < (seen.organisation_id, %(after)s) AND k.organisation_id >= seen.organisation_id
      AND (%(kit)s::text IS NULL OR k.kit = %(kit)s)
      AND (%(q)s::text IS NULL OR k.kit >= %(q)s AND k.kit < %(q)s || '~')
      AND (%(state)s::text IS NULL OR k.state = %(state)s)
      AND (%(kit_type)s::text IS NULL OR k.kit_type = %(kit_type)s)
      AND (%(organisation_id)s::integer IS NULL OR k.organisation_id = %(organisation_id)s)
      AND (%(owner_id)s::integer IS NULL OR k.owner_id = %(owner_id)s)
      AND (%(location_id)s::integer IS NULL OR k.location_id = %(location_id)s)
    ORDER BY k.organisation_id DESC, k.kit DESC
    LIMIT %(limit)s)
    UNION ALL
    (SELECT k.kit_id, k.kit
    FROM kits k
    WHERE (k.owner_id, k.kit) < (seen.organisation_id, %(after)s) AND k.owner_id >= seen.organisation_id
      AND (%(kit)s::text IS NULL OR k.kit = %(kit)s)
      AND (%(q)s::text IS NULL OR k.kit >= %(q)s AND k.kit < %(q)s || '~')
      AND (%(state)s::text IS NULL OR k.state = %(state)s)
      AND (%(kit_type)s::text IS NULL OR k.kit_type = %(kit_type)s)
      AND (%(organisation_id)s::integer IS NULL OR k.organisation_id = %(organisation_id)s)
      AND (%(owner_id)s::integer IS NULL OR k.owner_id = %(owner_id)s)
      AND (%(location_id)s::integer IS NULL OR k.location_id = %(location_id)s)
    ORDER BY k.owner_id DESC, k.kit DESC
    LIMIT %(limit)s)) f
GROUP BY f.kit_id, f.kit
ORDER BY f.kit DESC
LIMIT %(limit)s;

-- name: span_by_heard
-- No index on what every message changes: this reads the whole (narrow) table once per page.
WITH candidates AS MATERIALIZED (
    SELECT w.kit_id FROM seen_watch w CROSS JOIN listening c
    WHERE (%(everything)s OR w.organisation_id = ANY (%(organisations)s::integer[]) OR w.owner_id = ANY (%(organisations)s))
      AND CASE WHEN %(health)s::text = 'unknown' THEN w.heard_clock_s IS NULL
               ELSE is_silent(w.heard_clock_s, w.watch_from_clock_s, w.watch_allowance_s, w.watch_interval_s,
                              c.clock_s, c.resumed_clock_s, c.grace_from_clock_s) END
    UNION
    SELECT kit_id FROM alerts WHERE rule = 'silent' AND state = 'active'
)
SELECT k.kit_id, coalesce(extract(epoch FROM k.last_heard_at), 0)::text AS sort_key
FROM seen_watch k
WHERE (coalesce(extract(epoch FROM k.last_heard_at), 0), k.kit_id) > (%(after)s::numeric, %(after_id)s)
  AND (%(everything)s OR k.organisation_id = ANY (%(organisations)s::integer[]) OR k.owner_id = ANY (%(organisations)s))
  AND (%(kit)s::text IS NULL OR k.kit = %(kit)s)
  AND (%(q)s::text IS NULL OR k.kit >= %(q)s AND k.kit < %(q)s || '~')
  AND (%(state)s::text IS NULL OR k.state = %(state)s)
  AND (%(kit_type)s::text IS NULL OR k.kit_type = %(kit_type)s)
  AND (%(organisation_id)s::integer IS NULL OR k.organisation_id = %(organisation_id)s)
  AND (%(owner_id)s::integer IS NULL OR k.owner_id = %(owner_id)s)
  AND (%(location_id)s::integer IS NULL OR k.location_id = %(location_id)s)
  AND (NOT %(narrow)s::boolean OR k.kit_id = ANY (ARRAY(SELECT kit_id FROM candidates)))
ORDER BY coalesce(extract(epoch FROM k.last_heard_at), 0), k.kit_id
LIMIT %(limit)s;

-- name: span_by_heard_down
WITH candidates AS MATERIALIZED (
    SELECT w.kit_id FROM seen_watch w CROSS JOIN listening c
    WHERE (%(everything)s OR w.organisation_id = ANY (%(organisations)s::integer[]) OR w.owner_id = ANY (%(organisations)s))
      AND CASE WHEN %(health)s::text = 'unknown' THEN w.heard_clock_s IS NULL
               ELSE is_silent(w.heard_clock_s, w.watch_from_clock_s, w.watch_allowance_s, w.watch_interval_s,
                              c.clock_s, c.resumed_clock_s, c.grace_from_clock_s) END
    UNION
    SELECT kit_id FROM alerts WHERE rule = 'silent' AND state = 'active'
)
SELECT k.kit_id, coalesce(extract(epoch FROM k.last_heard_at), 0)::text AS sort_key
FROM seen_watch k
WHERE (coalesce(extract(epoch FROM k.last_heard_at), 0), k.kit_id) < (%(after)s::numeric, %(after_id)s)
  AND (%(everything)s OR k.organisation_id = ANY (%(organisations)s::integer[]) OR k.owner_id = ANY (%(organisations)s))
  AND (%(kit)s::text IS NULL OR k.kit = %(kit)s)
  AND (%(q)s::text IS NULL OR k.kit >= %(q)s AND k.kit < %(q)s || '~')
  AND (%(state)s::text IS NULL OR k.state = %(state)s)
  AND (%(kit_type)s::text IS NULL OR k.kit_type = %(kit_type)s)
  AND (%(organisation_id)s::integer IS NULL OR k.organisation_id = %(organisation_id)s)
  AND (%(owner_id)s::integer IS NULL OR k.owner_id = %(owner_id)s)
  AND (%(location_id)s::integer IS NULL OR k.location_id = %(location_id)s)
  AND (NOT %(narrow)s::boolean OR k.kit_id = ANY (ARRAY(SELECT kit_id FROM candidates)))
ORDER BY coalesce(extract(epoch FROM k.last_heard_at), 0) DESC, k.kit_id DESC
LIMIT %(limit)s;

-- name: facts
SELECT kit_id, kit, label, state, state_since, organisation, owner, organisation_id, owner_id, kit_type, location,
       location_name, location_kind, placement_id, expected_interval_s, tolerance,
       wanted_components, revision, last_heard_at, watch_allowance_s, boot, seq, time, received_at, battery,
       charging, signal_dbm, network, operator, storage_free_mb, uptime_s, clock_offset_s, online,
       connection_at, software, software_at, peripherals, peripherals_at, heard, silent, drifted,
       pairing_lost, battery_low, storage_low, clock_skewed
FROM kit_facts
WHERE kit_id = ANY(%(kit_ids)s::integer[])
  AND (%(health)s::text IS NULL
       OR kit_health(state = 'installed', heard, silent, drifted, pairing_lost, battery_low, storage_low,
                     clock_skewed) = %(health)s);

-- name: facts_of_kit
SELECT kit_id, kit, label, state, state_since, organisation, owner, organisation_id, owner_id, kit_type, location,
       location_name, location_kind, placement_id, expected_interval_s, tolerance,
       wanted_components, revision, last_heard_at, watch_allowance_s, boot, seq, time, received_at, battery,
       charging, signal_dbm, network, operator, storage_free_mb, uptime_s, clock_offset_s, online,
       connection_at, software, software_at, peripherals, peripherals_at, heard, silent, drifted,
       pairing_lost, battery_low, storage_low, clock_skewed
FROM kit_facts
WHERE kit = %(kit)s;

-- name: kit_id
SELECT kit_id FROM known_kits WHERE kit = %(kit)s;

-- name: heartbeats
SELECT time, received_at, boot, seq, battery, charging, signal_dbm, network, operator, storage_free_mb,
       uptime_s, clock_offset_s
FROM seen_heartbeats
WHERE kit_id = %(kit_id)s AND time >= %(start)s AND time < %(end)s
  AND (%(after_time)s::timestamptz IS NULL
       OR (time, boot, seq) < (%(after_time)s, %(after_boot)s, %(after_seq)s))
ORDER BY time DESC, boot DESC, seq DESC
LIMIT %(limit)s;

-- name: changes
-- What the kit reported and what people entered, newest first by the time we learnt of it.
SELECT source, id, at, time, what, subject, before, after, actor, reason
FROM (
    SELECT 'reported' AS source, c.change_id AS id, c.received_at AS at, c.time, c.what, c.subject,
           to_jsonb(c.before) AS before, to_jsonb(c.after) AS after, NULL::text AS actor, NULL::text AS reason
    FROM seen_changes c WHERE c.kit_id = %(kit_id)s
    UNION ALL
    SELECT 'books', e.event_id, e.recorded_at, e.occurred_at, e.what, c.serial,
           CASE WHEN e.from_state IS NULL THEN e.before ELSE jsonb_build_object('state', e.from_state) END,
           CASE WHEN e.to_state IS NULL AND e.location_id IS NULL THEN e.after
                ELSE coalesce(e.after, '{}') || jsonb_strip_nulls(
                    jsonb_build_object('state', e.to_state, 'location', l.slug, 'placement', e.placement_id)) END,
           e.actor, e.reason
    FROM book_events e
    LEFT JOIN locations l USING (location_id)
    LEFT JOIN known_components c ON c.component_id = coalesce(e.component_id, e.removed_id)
    WHERE e.kit_id = %(kit_id)s
) both_logs
WHERE %(after_at)s::timestamptz IS NULL
   OR (at, source, id) < (%(after_at)s, %(after_source)s::text, %(after_id)s::bigint)
ORDER BY at DESC, source DESC, id DESC
LIMIT %(limit)s;

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

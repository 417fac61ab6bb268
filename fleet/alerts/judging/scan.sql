-- name: plan
-- The sets are of any size and their statistics lag behind: only hashing is safe.
SELECT set_config('enable_nestloop', %(nestloop)s, true), set_config('work_mem', '64MB', true)

-- name: take_part
-- A fleet that fits into one part is looked over whole, and nothing need be noted.
WITH part AS MATERIALIZED (
    SELECT s.scanned_kit_id AS after, s.scanned_kit_id + %(size)s AS upto, coalesce(m.last, 0) AS last
    FROM rule_sweep s, (SELECT max(kit_id) AS last FROM kit_latest) m
), moved AS (
    UPDATE rule_sweep s SET scanned_kit_id = CASE WHEN p.upto < p.last THEN p.upto ELSE 0 END
    FROM part p WHERE s.scanned_kit_id > 0 OR p.upto < p.last
)
SELECT after, upto FROM part

-- name: differing
-- The first conditions are cheap and true of whatever the thresholds of any set reach; what is left is compared by its
-- own set. Each rule has a bit: what holds against what is pending or alerted.
WITH reached AS MATERIALIZED (
    SELECT kit_id, CASE WHEN rule_set < cardinality(%(battery)s::real[]) THEN rule_set + 1 ELSE 1 END AS i, battery, charging,
           storage_free_mb, signal_dbm, network, clock_offset_s, heard_clock_s, watch_from_clock_s, watch_allowance_s, watch_interval_s,
           CASE WHEN %(resumed_clock_s)s > 0
                 AND heard_clock_s - coalesce(extract(epoch FROM last_heard_at - received_at), 0) - %(resumed_clock_s)s
                     <= greatest(0, least(coalesce(extract(epoch FROM received_at - time), 0), %(back_within_s)s))
                THEN NULL ELSE received_at - time END AS late
    FROM kit_latest
    WHERE kit_id > %(after)s AND kit_id <= %(upto)s AND watch_allowance_s IS NOT NULL
      AND (battery < %(any_battery)s::real OR storage_free_mb < %(any_storage_mb)s OR signal_dbm < %(any_signal_dbm)s
           OR network = 'none' OR clock_offset_s IS NOT NULL OR heard_clock_s IS NULL
           OR received_at - time > make_interval(secs => %(any_late_s)s))
), holding AS MATERIALIZED (
    SELECT kit_id,
           CASE WHEN heard_clock_s IS NULL AND watch_from_clock_s IS NOT NULL AND %(clock_s)s > silence_deadline_clock_s(
                    watch_from_clock_s, watch_from_clock_s, greatest(watch_allowance_s, (%(unheard_s)s::double precision[])[i]),
                    coalesce(watch_interval_s, 0), %(resumed_clock_s)s, %(grace_from_clock_s)s)
                THEN %(never_heard)s ELSE 0 END
         | CASE WHEN battery < (%(battery)s::real[])[i] AND charging IS NOT TRUE THEN %(tablet_battery_low)s ELSE 0 END
         | CASE WHEN battery < (%(uncharged)s::real[])[i] AND battery >= (%(uncharged_from)s::real[])[i] AND charging IS FALSE
                THEN %(not_charging)s ELSE 0 END
         | CASE WHEN storage_free_mb < (%(storage_mb)s::double precision[])[i] THEN %(storage_low)s ELSE 0 END
         | CASE WHEN (network = 'none' AND (%(offline)s::boolean[])[i])
                  OR (signal_dbm < (%(signal_dbm)s::double precision[])[i] AND network IS DISTINCT FROM 'wifi')
                  OR late > make_interval(secs => (%(late_s)s::double precision[])[i])
                THEN %(no_network)s ELSE 0 END
         | CASE WHEN abs(clock_offset_s) >= (%(skew_s)s::double precision[])[i] THEN %(clock_skew)s ELSE 0 END AS bits
    FROM reached
), standing AS MATERIALIZED (
    SELECT kit_id, bit_or(r.bit) AS bits
    FROM (SELECT kit_id, rule FROM pending_alerts WHERE kit_id > %(after)s AND kit_id <= %(upto)s
          UNION ALL
          SELECT kit_id, rule FROM alerts
          WHERE state = 'active' AND recovering_since IS NULL AND kit_id > %(after)s AND kit_id <= %(upto)s) s
    JOIN unnest(%(rules)s::text[], %(bits)s::integer[]) AS r(rule, bit) USING (rule)
    GROUP BY kit_id
), untold AS MATERIALIZED (
    -- What waited for us does not tell whether it would have come late, or whether a clock is ahead.
    SELECT kit_id, %(no_network)s | %(clock_skew)s AS bits
    FROM kit_latest
    WHERE kit_id = ANY (ARRAY(SELECT kit_id FROM standing WHERE bits & (%(no_network)s | %(clock_skew)s) <> 0))
      AND %(resumed_clock_s)s > 0
      AND heard_clock_s - coalesce(extract(epoch FROM last_heard_at - received_at), 0) - %(resumed_clock_s)s
          <= greatest(0, least(coalesce(extract(epoch FROM received_at - time), 0), %(back_within_s)s))
), deferred AS MATERIALIZED (
    -- Looked at again when their maintenance is over.
    SELECT kit_id, bit_or(r.bit) AS bits
    FROM maintenance_deferred JOIN unnest(%(rules)s::text[], %(bits)s::integer[]) AS r(rule, bit) USING (rule)
    WHERE kit_id > %(after)s AND kit_id <= %(upto)s
    GROUP BY kit_id
)
SELECT kit_id
FROM (SELECT kit_id, bits FROM holding WHERE bits <> 0) h FULL JOIN standing s USING (kit_id)
LEFT JOIN deferred d USING (kit_id)
LEFT JOIN untold u USING (kit_id)
WHERE (coalesce(h.bits, 0) # coalesce(s.bits, 0)) & ~coalesce(d.bits, 0) & ~(coalesce(u.bits, 0) & ~coalesce(h.bits, 0)) <> 0
LIMIT %(limit)s

-- name: meant
-- What the reader sees, and the numbers of what a filter names: known when the list is planned, so that it is planned for
-- these very values. `after_kit`: the id behind the number in a cursor.
SELECT sees_all() AS everything, seen_organisations() AS organisations,
       (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s) AS organisation_id,
       (SELECT organisation_id FROM organisations WHERE slug = %(owner)s) AS owner_id,
       (SELECT location_id FROM locations WHERE slug = %(location)s) AS location_id,
       (SELECT kit FROM kits WHERE kit_id = %(after_id)s) AS after_kit, clock_s, resumed_clock_s, grace_from_clock_s
FROM listening;

-- name: few_kits
-- Where few kits pass the filters all of them are looked at, whatever the order; one row without a kit says that they are
-- more. What is chosen by constants here (`everything`, `down`, the sort) the planner takes out.
WITH candidates AS MATERIALIZED (
    SELECT k.kit_id FROM kits k
    WHERE %(everything)s::boolean
      AND kit_fits(k.kit, k.state, k.kit_type, k.organisation_id, k.owner_id, k.location_id, %(kit)s, %(q)s, %(state)s,
                   %(kit_type)s, %(organisation_id)s, %(owner_id)s, %(location_id)s)
    UNION ALL
    SELECT k.kit_id FROM kits k
    WHERE NOT %(everything)s::boolean AND k.organisation_id = ANY (%(organisations)s::integer[])
      AND kit_fits(k.kit, k.state, k.kit_type, k.organisation_id, k.owner_id, k.location_id, %(kit)s, %(q)s, %(state)s,
                   %(kit_type)s, %(organisation_id)s, %(owner_id)s, %(location_id)s)
    UNION ALL
    SELECT k.kit_id FROM kits k
    WHERE NOT %(everything)s::boolean AND k.owner_id = ANY (%(organisations)s::integer[])
      AND NOT coalesce(k.organisation_id = ANY (%(organisations)s::integer[]), false)
      AND kit_fits(k.kit, k.state, k.kit_type, k.organisation_id, k.owner_id, k.location_id, %(kit)s, %(q)s, %(state)s,
                   %(kit_type)s, %(organisation_id)s, %(owner_id)s, %(location_id)s)
    LIMIT %(few)s::integer + 1
), counted AS MATERIALIZED (
    SELECT count(*) > %(few)s::integer AS many FROM candidates
)
SELECT NULL::integer AS kit_id, NULL::text AS kit, NULL::timestamptz AS heard_at FROM counted WHERE many
UNION ALL
(SELECT h.kit_id, h.kit, h.heard_at
FROM candidates c
CROSS JOIN LATERAL (
    SELECT s.kit_id, s.kit, CASE WHEN s.resting <> 'unknown' THEN s.last_heard_at END AS heard_at,
           CASE WHEN s.resting <> 'unknown' AND (s.held OR is_silent(
                    s.heard_clock_s, s.watch_from_clock_s, s.watch_allowance_s, s.watch_interval_s,
                    %(clock_s)s::float8, %(resumed_clock_s)s::float8, %(grace_from_clock_s)s::float8))
                THEN 'silent' ELSE s.resting END AS health
    FROM seen_heard s WHERE s.kit_id = c.kit_id OFFSET 0) h
WHERE NOT (SELECT many FROM counted)
  AND (%(health)s::text IS NULL OR h.health = %(health)s)
  AND CASE WHEN %(by_time)s::boolean AND %(down)s::boolean
           THEN (coalesce(h.heard_at, '-infinity'), h.kit) < (%(after_at)s::timestamptz, %(after)s)
           WHEN %(by_time)s THEN (coalesce(h.heard_at, '-infinity'), h.kit) > (%(after_at)s, %(after)s)
           WHEN %(down)s THEN h.kit < %(after)s ELSE h.kit > %(after)s END
ORDER BY CASE WHEN %(by_time)s AND NOT %(down)s THEN coalesce(h.heard_at, '-infinity') END,
         CASE WHEN %(by_time)s AND %(down)s THEN coalesce(h.heard_at, '-infinity') END DESC,
         CASE WHEN NOT %(down)s THEN h.kit END, CASE WHEN %(down)s THEN h.kit END DESC
LIMIT %(limit)s);

-- name: few_marked
-- The same by the marks: where few kits are judged so at rest, or may be seen at all.
WITH candidates AS MATERIALIZED (
    SELECT FROM kit_marks m WHERE %(everything)s::boolean AND (%(mark)s::text IS NULL OR m.health = %(mark)s)
    UNION ALL
    SELECT FROM kit_marks m
    WHERE NOT %(everything)s::boolean AND (%(mark)s::text IS NULL OR m.health = %(mark)s)
      AND m.organisation_id = ANY (%(organisations)s::integer[])
    UNION ALL
    SELECT FROM kit_marks m
    WHERE NOT %(everything)s::boolean AND (%(mark)s::text IS NULL OR m.health = %(mark)s)
      AND m.owner_id = ANY (%(organisations)s::integer[])
      AND NOT coalesce(m.organisation_id = ANY (%(organisations)s::integer[]), false)
    LIMIT %(few)s::integer + 1
), counted AS MATERIALIZED (
    SELECT count(*) > %(few)s::integer AS many FROM candidates
)
SELECT NULL::integer AS kit_id, NULL::text AS kit, NULL::timestamptz AS heard_at FROM counted WHERE many
UNION ALL
(SELECT h.kit_id, h.kit, h.heard_at
FROM (
    SELECT s.kit_id, s.kit, CASE WHEN s.resting <> 'unknown' THEN s.last_heard_at END AS heard_at,
           CASE WHEN s.resting <> 'unknown' AND (s.held OR is_silent(
                    s.heard_clock_s, s.watch_from_clock_s, s.watch_allowance_s, s.watch_interval_s,
                    %(clock_s)s::float8, %(resumed_clock_s)s::float8, %(grace_from_clock_s)s::float8))
                THEN 'silent' ELSE s.resting END AS health
    FROM seen_marks s
    WHERE (%(mark)s::text IS NULL OR s.resting = %(mark)s)
      AND kit_fits(s.kit, s.state, s.kit_type, s.organisation_id, s.owner_id, s.location_id, %(kit)s, %(q)s, %(state)s,
                   %(kit_type)s, %(organisation_id)s, %(owner_id)s, %(location_id)s)
      AND (%(everything)s::boolean OR s.organisation_id = ANY (%(organisations)s::integer[])
           OR s.owner_id = ANY (%(organisations)s::integer[]))) h
WHERE NOT (SELECT many FROM counted)
  AND (%(health)s::text IS NULL OR h.health = %(health)s)
  AND CASE WHEN %(by_time)s::boolean AND %(down)s::boolean
           THEN (coalesce(h.heard_at, '-infinity'), h.kit) < (%(after_at)s::timestamptz, %(after)s)
           WHEN %(by_time)s THEN (coalesce(h.heard_at, '-infinity'), h.kit) > (%(after_at)s, %(after)s)
           WHEN %(down)s THEN h.kit < %(after)s ELSE h.kit > %(after)s END
ORDER BY CASE WHEN %(by_time)s AND NOT %(down)s THEN coalesce(h.heard_at, '-infinity') END,
         CASE WHEN %(by_time)s AND %(down)s THEN coalesce(h.heard_at, '-infinity') END DESC,
         CASE WHEN NOT %(down)s THEN h.kit END, CASE WHEN %(down)s THEN h.kit END DESC
LIMIT %(limit)s);

-- name: walk_kits
-- The next kits by id.
SELECT k.kit_id, k.kit, NULL::timestamptz AS heard_at
FROM kits k
WHERE CASE WHEN %(down)s::boolean THEN k.kit < %(after)s ELSE k.kit > %(after)s END
  AND kit_fits(k.kit, k.state, k.kit_type, k.organisation_id, k.owner_id, k.location_id, %(kit)s, %(q)s, %(state)s,
               %(kit_type)s, %(organisation_id)s, %(owner_id)s, %(location_id)s)
ORDER BY CASE WHEN NOT %(down)s THEN k.kit END, CASE WHEN %(down)s THEN k.kit END DESC
LIMIT %(limit)s;

-- name: walk_kits_within
-- Organisation by organisation, as whose it is and as who owns it, each in its index: the policy alone would look at
-- everybody's. A range instead of an equality, so that the planner does not walk all ids in the hope of meeting one soon.
SELECT f.kit_id, f.kit, NULL::timestamptz AS heard_at
FROM unnest(%(organisations)s::integer[]) AS seen(organisation_id)
CROSS JOIN LATERAL (
    (SELECT k.kit_id, k.kit
    FROM kits k
    WHERE CASE WHEN %(down)s::boolean
               THEN k.organisation_id >= seen.organisation_id AND (k.organisation_id, k.kit) < (seen.organisation_id, %(after)s)
               ELSE k.organisation_id <= seen.organisation_id AND (k.organisation_id, k.kit) > (seen.organisation_id, %(after)s)
          END
      AND kit_fits(k.kit, k.state, k.kit_type, k.organisation_id, k.owner_id, k.location_id, %(kit)s, %(q)s, %(state)s,
                   %(kit_type)s, %(organisation_id)s, %(owner_id)s, %(location_id)s)
    ORDER BY CASE WHEN NOT %(down)s THEN k.organisation_id END, CASE WHEN %(down)s THEN k.organisation_id END DESC,
             CASE WHEN NOT %(down)s THEN k.kit END, CASE WHEN %(down)s THEN k.kit END DESC
    LIMIT %(limit)s)
    UNION ALL
    (SELECT k.kit_id, k.kit
    FROM kits k
    WHERE CASE WHEN %(down)s::boolean
               THEN (k.owner_id, k.kit) < (seen.organisation_id, %(after)s) AND k.owner_id >= seen.organisation_id
               ELSE (k.owner_id, k.kit) > (seen.organisation_id, %(after)s) AND k.owner_id <= seen.organisation_id END
      AND kit_fits(k.kit, k.state, k.kit_type, k.organisation_id, k.owner_id, k.location_id, %(kit)s, %(q)s, %(state)s,
                   %(kit_type)s, %(organisation_id)s, %(owner_id)s, %(location_id)s)
    ORDER BY CASE WHEN NOT %(down)s THEN k.owner_id END, CASE WHEN %(down)s THEN k.owner_id END DESC,
             CASE WHEN NOT %(down)s THEN k.kit END, CASE WHEN %(down)s THEN k.kit END DESC
    LIMIT %(limit)s)) f
GROUP BY f.kit_id, f.kit
ORDER BY CASE WHEN NOT %(down)s THEN f.kit END, CASE WHEN %(down)s THEN f.kit END DESC
LIMIT %(limit)s;

-- name: walk_marked
-- The next kits by id of those that are judged alike at rest; what the marks do not hold is filtered afterwards.
SELECT m.kit_id, m.kit, NULL::timestamptz AS heard_at
FROM kit_marks m
WHERE m.health = %(mark)s::text
  AND kit_fits(m.kit, m.state, NULL, m.organisation_id, m.owner_id, NULL, %(kit)s, %(q)s, %(state)s, NULL,
               %(organisation_id)s, %(owner_id)s, NULL)
  AND CASE WHEN %(down)s::boolean THEN m.kit < %(after)s ELSE m.kit > %(after)s END
ORDER BY CASE WHEN NOT %(down)s THEN m.kit END, CASE WHEN %(down)s THEN m.kit END DESC
LIMIT %(limit)s;

-- name: walk_marked_within
SELECT f.kit_id, f.kit, NULL::timestamptz AS heard_at
FROM unnest(%(organisations)s::integer[]) AS seen(organisation_id)
CROSS JOIN LATERAL (
    (SELECT m.kit_id, m.kit
    FROM kit_marks m
    WHERE m.organisation_id = seen.organisation_id AND m.health = %(mark)s::text
      AND kit_fits(m.kit, m.state, NULL, m.organisation_id, m.owner_id, NULL, %(kit)s, %(q)s, %(state)s, NULL,
                   %(organisation_id)s, %(owner_id)s, NULL)
      AND CASE WHEN %(down)s::boolean THEN m.kit < %(after)s ELSE m.kit > %(after)s END
    ORDER BY CASE WHEN NOT %(down)s THEN m.kit END, CASE WHEN %(down)s THEN m.kit END DESC
    LIMIT %(limit)s)
    UNION ALL
    (SELECT m.kit_id, m.kit
    FROM kit_marks m
    WHERE m.owner_id = seen.organisation_id AND m.health = %(mark)s
      AND kit_fits(m.kit, m.state, NULL, m.organisation_id, m.owner_id, NULL, %(kit)s, %(q)s, %(state)s, NULL,
                   %(organisation_id)s, %(owner_id)s, NULL)
      AND CASE WHEN %(down)s THEN m.kit < %(after)s ELSE m.kit > %(after)s END
    ORDER BY CASE WHEN NOT %(down)s THEN m.kit END, CASE WHEN %(down)s THEN m.kit END DESC
    LIMIT %(limit)s)) f
GROUP BY f.kit_id, f.kit
ORDER BY CASE WHEN NOT %(down)s THEN f.kit END, CASE WHEN %(down)s THEN f.kit END DESC
LIMIT %(limit)s;

-- name: fitting
-- Which of these kits pass all filters, the verdict included.
SELECT c.kit_id
FROM unnest(%(kit_ids)s::integer[]) AS c(kit_id)
CROSS JOIN LATERAL (
    SELECT s.kit, s.state, s.kit_type, s.organisation_id, s.owner_id, s.location_id,
           CASE WHEN s.resting <> 'unknown' AND (s.held OR is_silent(
                    s.heard_clock_s, s.watch_from_clock_s, s.watch_allowance_s, s.watch_interval_s,
                    %(clock_s)s::float8, %(resumed_clock_s)s::float8, %(grace_from_clock_s)s::float8))
                THEN 'silent' ELSE s.resting END AS health
    FROM seen_heard s WHERE s.kit_id = c.kit_id OFFSET 0) h
WHERE (%(health)s::text IS NULL OR h.health = %(health)s)
  AND kit_fits(h.kit, h.state, h.kit_type, h.organisation_id, h.owner_id, h.location_id, %(kit)s, %(q)s, %(state)s,
               %(kit_type)s, %(organisation_id)s, %(owner_id)s, %(location_id)s);

-- name: scan
-- All that were heard, once; who is silent, or is not, is chosen before any kit is looked up.
SELECT h.kit_id, h.kit, NULL::timestamptz AS heard_at
FROM seen_heard h
WHERE h.last_heard_at IS NOT NULL
  AND (is_silent(h.heard_clock_s, h.watch_from_clock_s, h.watch_allowance_s, h.watch_interval_s,
                 %(clock_s)s::float8, %(resumed_clock_s)s::float8, %(grace_from_clock_s)s::float8) OR h.held) = %(silent)s::boolean
  AND (%(silent)s OR h.resting = %(health)s)
  AND kit_fits(h.kit, h.state, h.kit_type, h.organisation_id, h.owner_id, h.location_id, %(kit)s, %(q)s, %(state)s,
               %(kit_type)s, %(organisation_id)s, %(owner_id)s, %(location_id)s)
  AND CASE WHEN %(down)s::boolean THEN h.kit < %(after)s ELSE h.kit > %(after)s END
ORDER BY CASE WHEN NOT %(down)s THEN h.kit END, CASE WHEN %(down)s THEN h.kit END DESC
LIMIT %(limit)s;

-- name: silent_share
-- How many of those that were heard are silent, roughly; 0 when there are too few to tell.
SELECT coalesce(avg(silent::integer), 0)::float8 AS share FROM heard_sample;

-- name: edge
-- The time beyond which some thousands of kits were heard: the end of the next window; null when fewer are left.
SELECT (SELECT s.last_heard_at FROM heard_sample s
        WHERE (%(silent)s::boolean IS NULL OR s.silent = %(silent)s)
          AND CASE WHEN %(down)s::boolean THEN s.last_heard_at < %(after_at)s::timestamptz
                   ELSE s.last_heard_at > %(after_at)s END
        ORDER BY CASE WHEN NOT %(down)s THEN s.last_heard_at END, CASE WHEN %(down)s THEN s.last_heard_at END DESC
        OFFSET %(sampled)s LIMIT 1) AS edge;

-- name: window
-- Kits heard within a window of time. No index on what every message changes: this reads the latest state once, for the
-- times alone, and looks up the kits of the window.
SELECT h.kit_id, h.kit, h.last_heard_at AS heard_at
FROM seen_heard h
WHERE CASE WHEN %(down)s::boolean THEN h.last_heard_at BETWEEN %(edge)s::timestamptz AND %(after_at)s::timestamptz
           ELSE h.last_heard_at BETWEEN %(after_at)s AND %(edge)s END
  AND CASE WHEN %(down)s THEN (h.last_heard_at, h.kit) < (%(after_at)s, %(after)s)
           ELSE (h.last_heard_at, h.kit) > (%(after_at)s, %(after)s) END
  AND h.resting <> 'unknown'
  AND (%(silent)s::boolean IS NULL OR (is_silent(h.heard_clock_s, h.watch_from_clock_s, h.watch_allowance_s, h.watch_interval_s,
                        %(clock_s)s::float8, %(resumed_clock_s)s::float8, %(grace_from_clock_s)s::float8) OR h.held) = %(silent)s)
  AND (%(silent)s IS NULL OR %(silent)s OR h.resting = %(health)s)
  AND kit_fits(h.kit, h.state, h.kit_type, h.organisation_id, h.owner_id, h.location_id, %(kit)s, %(q)s, %(state)s,
               %(kit_type)s, %(organisation_id)s, %(owner_id)s, %(location_id)s)
ORDER BY CASE WHEN NOT %(down)s THEN h.last_heard_at END, CASE WHEN %(down)s THEN h.last_heard_at END DESC,
         CASE WHEN NOT %(down)s THEN h.kit END, CASE WHEN %(down)s THEN h.kit END DESC
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

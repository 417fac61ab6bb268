-- name: groups
SELECT c.cohorts, g.half, g.window_s, count(*) FILTER (WHERE NOT g.coming), count(*) FILTER (WHERE g.coming)
FROM unnest(%(kits)s::integer[], %(halves)s::integer[], %(coming)s::boolean[], %(windows)s::double precision[])
    AS g(kit_id, half, coming, window_s)
JOIN kit_cohorts c USING (kit_id)
GROUP BY c.cohorts, g.half, g.window_s

-- name: sizes
SELECT cohort, CASE WHEN %(everything)s THEN everything ELSE kits END
FROM cohort_sizes
WHERE cohort = ANY (%(cohorts)s::text[]) AND CASE WHEN %(everything)s THEN everything ELSE kits END > 0

-- name: state
-- Before anything was counted the planner's estimate tells whether it is much.
SELECT counted_at, CASE WHEN counted_at IS NULL
    THEN greatest(0, (SELECT reltuples FROM pg_class WHERE oid = 'kit_latest'::regclass))::bigint ELSE kits END
FROM cohort_counts

-- name: ask
UPDATE cohort_counts SET wanted_at = %(now)s WHERE wanted_at IS NULL

-- name: asked
-- A large fleet that was never counted is counted at once, so that its first mass event need not wait for that.
SELECT coalesce(wanted_at, clock_timestamp()) FROM cohort_counts
WHERE wanted_at IS NOT NULL
   OR counted_at IS NULL AND (SELECT reltuples FROM pg_class WHERE oid = 'kit_latest'::regclass) > %(small)s

-- name: plan_counting
SELECT set_config('work_mem', '64MB', true)

-- name: count
WITH counted AS MATERIALIZED (
    SELECT cohort, count(l.watch_allowance_s) AS kits, count(*) AS everything
    FROM kit_latest l JOIN kit_cohorts c USING (kit_id), unnest(c.cohorts) AS cohort
    GROUP BY cohort
    HAVING count(*) > 1
    ORDER BY count(*) DESC, cohort
    LIMIT %(most)s
), gone AS (
    DELETE FROM cohort_sizes s WHERE NOT EXISTS (SELECT FROM counted c WHERE c.cohort = s.cohort)
), kept AS (
    INSERT INTO cohort_sizes AS s (cohort, kits, everything) SELECT cohort, kits, everything FROM counted
    ON CONFLICT (cohort) DO UPDATE SET kits = excluded.kits, everything = excluded.everything
    WHERE (s.kits, s.everything) <> (excluded.kits, excluded.everything)
)
UPDATE cohort_counts
SET counted_at = %(now)s, wanted_at = NULL, kits = coalesce((SELECT kits FROM counted WHERE cohort = 'fleet:'), 0)

-- name: list
SELECT s.stocktake_id, o.slug AS organisation, s.organisation_id, p.slug AS location, s.location_id, s.state, s.note,
       s.opened_at, s.opened_by, s.ended_at, s.ended_by, s.counts, s.revision
FROM stocktakes s
LEFT JOIN organisations o ON o.organisation_id = s.organisation_id
LEFT JOIN locations p ON p.location_id = s.location_id
WHERE s.stocktake_id > %(after)s
  AND (%(id)s::bigint IS NULL OR s.stocktake_id = %(id)s)
  AND (%(state)s::text IS NULL OR s.state = %(state)s)
  AND (%(location)s::text IS NULL OR s.location_id = (SELECT location_id FROM locations WHERE slug = %(location)s))
  AND (%(organisation)s::text IS NULL
       OR s.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
ORDER BY s.stocktake_id
LIMIT %(limit)s;

-- name: share
SELECT stocktake_id, state, location_id, organisation_id FROM stocktakes WHERE stocktake_id = %(id)s FOR SHARE;

-- name: lock
SELECT stocktake_id, state, location_id, organisation_id FROM stocktakes WHERE stocktake_id = %(id)s FOR UPDATE;

-- name: open
INSERT INTO stocktakes (organisation_id, location_id, note, opened_by)
VALUES (%(organisation_id)s, %(location_id)s, %(note)s, %(actor)s)
RETURNING stocktake_id;

-- name: end
UPDATE stocktakes
SET state = %(state)s, ended_at = now(), ended_by = %(actor)s, counts = %(counts)s, revision = revision + 1
WHERE stocktake_id = %(id)s;

-- name: standing
SELECT j.item, j.finding, j.kit_id, CASE WHEN j.kit_id IS NOT NULL THEN j.name END AS kit, j.component_id, j.name,
       j.model_id, m.kind, m.manufacturer, m.name AS model, j.state, j.location, j.in_kit, NULL::text AS resolution,
       NULL::text AS reason
FROM stocktake_standing(%(stocktake_id)s, %(location_id)s, %(organisation_id)s) j
LEFT JOIN models m USING (model_id)
WHERE j.item COLLATE "C" > %(after)s AND (%(finding)s::text IS NULL OR j.finding = %(finding)s)
ORDER BY j.item COLLATE "C"
LIMIT %(limit)s;

-- name: counts
SELECT finding, count(*) AS count
FROM stocktake_standing(%(stocktake_id)s, %(location_id)s, %(organisation_id)s)
GROUP BY finding;

-- name: keep
INSERT INTO stocktake_results (stocktake_id, item, organisation_id, finding, kit_id, component_id, name, model_id, state,
                               location, in_kit, resolution, reason)
SELECT %(stocktake_id)s, r.item, %(organisation_id)s, r.finding, r.kit_id, r.component_id, r.name, r.model_id, r.state,
       r.location, r.in_kit, r.resolution, r.reason
FROM jsonb_to_recordset(%(results)s::jsonb) AS r (
    item text, finding text, kit_id integer, component_id bigint, name text, model_id integer, state text, location text,
    in_kit text, resolution text, reason text);

-- name: results
SELECT r.item, r.finding, r.kit_id, CASE WHEN r.kit_id IS NOT NULL THEN r.name END AS kit, r.component_id, r.name,
       r.model_id, m.kind, m.manufacturer, m.name AS model, r.state, r.location, r.in_kit, r.resolution, r.reason
FROM stocktake_results r
LEFT JOIN models m USING (model_id)
WHERE r.stocktake_id = %(stocktake_id)s AND r.item > %(after)s
  AND (%(finding)s::text IS NULL OR r.finding = %(finding)s)
ORDER BY r.item
LIMIT %(limit)s;

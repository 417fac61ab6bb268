-- name: settle
-- What was found is opened once or refreshed; what stood in the judged part of the list and was not found is cleared.
WITH given AS MATERIALIZED (
    SELECT * FROM unnest(%(kinds)s::text[], %(subjects)s::text[], %(kit_ids)s::integer[], %(component_ids)s::bigint[],
                         %(model_ids)s::integer[], %(location_ids)s::integer[], %(organisation_ids)s::integer[],
                         %(severities)s::text[], %(opens)s::boolean[], %(evidence)s::jsonb[])
        AS g(kind, subject, kit_id, component_id, model_id, location_id, organisation_id, severity, opens, evidence)
), refreshed AS (
    UPDATE findings f
    SET last_seen_at = %(now)s, evidence = g.evidence, severity = g.severity, kit_id = g.kit_id,
        state = CASE WHEN f.state = 'dismissed' AND f.dismissed_until <= %(now)s THEN 'open' ELSE f.state END
    FROM given g
    WHERE f.kind = g.kind AND f.subject = g.subject AND f.state <> 'cleared'
      AND (f.evidence <> g.evidence OR f.severity <> g.severity OR f.kit_id IS DISTINCT FROM g.kit_id
           OR f.last_seen_at < %(now)s::timestamptz - interval '1 hour' OR (f.state = 'dismissed' AND f.dismissed_until <= %(now)s))
), opened AS (
    INSERT INTO findings (kind, subject, kit_id, component_id, model_id, location_id, organisation_id, owner_id, severity,
                          opened_at, last_seen_at, evidence)
    SELECT g.kind, g.subject, g.kit_id, g.component_id, g.model_id, g.location_id,
           CASE WHEN g.kit_id IS NOT NULL THEN k.organisation_id
                WHEN g.component_id IS NOT NULL THEN c.organisation_id ELSE g.organisation_id END,
           CASE WHEN g.kit_id IS NOT NULL THEN k.owner_id ELSE c.owner_id END,
           g.severity, %(now)s, %(now)s, g.evidence
    FROM given g
    LEFT JOIN kits k ON k.kit_id = g.kit_id
    LEFT JOIN components c ON c.component_id = g.component_id
    WHERE g.opens AND NOT EXISTS (
        SELECT FROM findings f WHERE f.kind = g.kind AND f.subject = g.subject AND f.state <> 'cleared')
    ON CONFLICT (kind, subject) WHERE state <> 'cleared' DO NOTHING
    RETURNING finding_id, kind, subject, kit_id, component_id, organisation_id, owner_id, severity, evidence
), cleared AS (
    UPDATE findings f SET state = 'cleared', cleared_at = %(now)s
    WHERE f.state <> 'cleared' AND f.kind = ANY(%(judged)s::text[])
      AND (%(everything)s OR (f.kit_id BETWEEN %(first)s AND %(last)s
           AND (%(judged_kits)s::integer[] IS NULL OR f.kit_id = ANY(%(judged_kits)s))))
      AND NOT EXISTS (SELECT FROM given g WHERE g.kind = f.kind AND g.subject = f.subject)
    RETURNING f.finding_id, f.kind, f.subject, f.kit_id, f.component_id, f.organisation_id, f.owner_id
), told AS (
    INSERT INTO events (at, type, kit, body, organisation_id, owner_id)
    SELECT %(now)s, 'finding.opened', k.kit, jsonb_build_object(
        'id', o.finding_id, 'kind', o.kind, 'severity', o.severity, 'component', o.component_id, 'evidence', o.evidence),
        o.organisation_id, o.owner_id
    FROM opened o LEFT JOIN kits k USING (kit_id)
    UNION ALL
    SELECT %(now)s, 'finding.cleared', k.kit, jsonb_build_object(
        'id', c.finding_id, 'kind', c.kind, 'component', c.component_id), c.organisation_id, c.owner_id
    FROM cleared c LEFT JOIN kits k USING (kit_id)
)
SELECT ARRAY(SELECT kind FROM opened), ARRAY(SELECT kind FROM cleared);

-- name: list
SELECT f.finding_id, f.kind, f.severity, f.state, k.kit, f.component_id, c.serial, m.model_id, l.slug AS location,
       o.slug AS organisation, f.opened_at, f.last_seen_at, f.cleared_at, f.evidence, f.acknowledged_at, f.acknowledged_by,
       f.dismissed_at, f.dismissed_by, f.dismissed_reason, f.dismissed_until
FROM findings f
LEFT JOIN known_kits k ON k.kit_id = f.kit_id
LEFT JOIN known_components c ON c.component_id = f.component_id
LEFT JOIN models m ON m.model_id = f.model_id
LEFT JOIN locations l ON l.location_id = f.location_id
LEFT JOIN organisations o ON o.organisation_id = f.organisation_id
WHERE f.finding_id < %(before)s
  AND (%(id)s::bigint IS NULL OR f.finding_id = %(id)s)
  AND (%(kind)s::text IS NULL OR f.kind = %(kind)s)
  AND (%(state)s::text IS NULL OR f.state = %(state)s)
  AND (%(standing)s::boolean IS NULL OR (f.state <> 'cleared') = %(standing)s)
  AND (%(severity)s::text IS NULL OR f.severity = %(severity)s)
  AND (%(kit)s::text IS NULL OR f.kit_id = (SELECT kit_id FROM known_kits WHERE kit = %(kit)s))
  AND (%(component)s::bigint IS NULL OR f.component_id = %(component)s)
  AND (%(organisation)s::text IS NULL
       OR f.organisation_id = (SELECT organisation_id FROM organisations WHERE slug = %(organisation)s))
ORDER BY f.finding_id DESC
LIMIT %(limit)s;

-- name: lock
SELECT state FROM findings WHERE finding_id = %(id)s FOR UPDATE;

-- name: acknowledge
UPDATE findings SET state = 'acknowledged', acknowledged_at = now(), acknowledged_by = %(actor)s WHERE finding_id = %(id)s;

-- name: dismiss
UPDATE findings
SET state = 'dismissed', dismissed_at = now(), dismissed_by = %(actor)s, dismissed_reason = %(reason)s,
    dismissed_until = %(until)s
WHERE finding_id = %(id)s;

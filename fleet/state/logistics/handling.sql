-- name: things
-- Kits and pieces as whoever handles them asks: what it is, whose, in which state, where. A piece in a kit is where the
-- kit is.
SELECT k.kit, NULL::bigint AS component_id, k.kit AS name, NULL::text AS kind, k.kit_type AS model, k.state,
       k.organisation_id, k.owner_id, o.slug AS organisation, l.slug AS location, l.name AS location_name,
       k.placement_id IS NOT NULL AS at_home, NULL::text AS in_kit
FROM kits k
LEFT JOIN organisations o USING (organisation_id)
LEFT JOIN locations l USING (location_id)
WHERE k.kit = ANY (%(kits)s::text[])
UNION ALL
SELECT NULL, c.component_id, c.serial, m.kind, m.manufacturer || ' ' || m.name, c.state, c.organisation_id, c.owner_id,
       o.slug, l.slug, l.name, coalesce(h.placement_id IS NOT NULL, false), h.kit
FROM components c
JOIN models m USING (model_id)
LEFT JOIN organisations o ON o.organisation_id = c.organisation_id
LEFT JOIN kits h ON h.kit_id = c.kit_id
LEFT JOIN locations l ON l.location_id = coalesce(c.location_id, h.location_id)
WHERE c.component_id = ANY (%(component_ids)s::bigint[]);

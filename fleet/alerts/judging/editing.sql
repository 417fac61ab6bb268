-- name: rules
SELECT r.rule, r.severity, r.line, r.priority, r.for_s, r.keep_firing_for_s, r.enabled, r.parameters, r.version,
       r.flap_openings, r.flap_window_s, r.flap_quiet_s,
       (SELECT count(*) FROM rule_variants v WHERE v.rule = r.rule) AS variants
FROM rules r
WHERE r.rule > %(after)s AND r.rule = ANY(%(known)s) AND (%(rule)s::text IS NULL OR r.rule = %(rule)s)
ORDER BY r.rule LIMIT %(limit)s;

-- name: lock_rule
SELECT rule FROM rules WHERE rule = %(rule)s FOR UPDATE;

-- name: write_rule
UPDATE rules
SET severity = %(severity)s, line = %(line)s, priority = %(priority)s, for_s = %(for_s)s,
    keep_firing_for_s = %(keep_firing_for_s)s, enabled = %(enabled)s, parameters = %(parameters)s,
    flap_openings = %(flap_openings)s, flap_window_s = %(flap_window_s)s, flap_quiet_s = %(flap_quiet_s)s,
    version = %(version)s
WHERE rule = %(rule)s;

-- name: organisation
SELECT organisation_id FROM organisations WHERE slug = %(slug)s;

-- name: variants
SELECT v.variant_id, v.rule, o.slug AS organisation, v.programme, v.kit_type, v.model_id, v.severity, v.line, v.for_s,
       v.keep_firing_for_s, v.enabled, v.parameters, v.note, v.version, v.created_at, v.updated_at
FROM rule_variants v LEFT JOIN organisations o USING (organisation_id)
WHERE v.rule = %(rule)s AND v.variant_id > %(after)s AND (%(id)s::integer IS NULL OR v.variant_id = %(id)s)
ORDER BY v.variant_id LIMIT %(limit)s;

-- name: count_variants
SELECT count(*) FROM rule_variants WHERE rule = %(rule)s;

-- name: lock_variant
SELECT variant_id FROM rule_variants WHERE variant_id = %(id)s FOR UPDATE;

-- name: add_variant
INSERT INTO rule_variants (rule, organisation_id, programme, kit_type, model_id, severity, line, for_s, keep_firing_for_s,
                           enabled, parameters, note)
VALUES (%(rule)s, %(organisation_id)s, %(programme)s, %(kit_type)s, %(model_id)s, %(severity)s, %(line)s, %(for_s)s,
        %(keep_firing_for_s)s, %(enabled)s, %(parameters)s, %(note)s)
RETURNING variant_id;

-- name: set_version
UPDATE rule_variants SET version = %(version)s WHERE variant_id = %(id)s;

-- name: write_variant
UPDATE rule_variants
SET severity = %(severity)s, line = %(line)s, for_s = %(for_s)s, keep_firing_for_s = %(keep_firing_for_s)s,
    enabled = %(enabled)s, parameters = %(parameters)s, note = %(note)s, version = %(version)s, updated_at = now()
WHERE variant_id = %(id)s;

-- name: remove_variant
DELETE FROM rule_variants WHERE variant_id = %(id)s;

-- name: note_version
INSERT INTO rule_versions (rule, variant_id, organisation_id, actor, what, before, after)
VALUES (%(rule)s, %(variant_id)s, %(organisation_id)s, %(actor)s, %(what)s, %(before)s, %(after)s)
RETURNING version_id;

-- name: versions
SELECT v.version_id, v.rule, v.variant_id, o.slug AS organisation, v.at, v.actor, v.what, v.before, v.after
FROM rule_versions v LEFT JOIN organisations o USING (organisation_id)
WHERE v.rule = %(rule)s AND v.version_id < %(before)s
ORDER BY v.version_id DESC LIMIT %(limit)s;

-- name: rules
SELECT rule, severity, line, priority, for_s, keep_firing_for_s, enabled FROM rules

-- name: take_from_queue
-- The kits are handed on to be compared with the books as well.
WITH taken AS (
    DELETE FROM evaluation_queue
    WHERE entry_id IN (SELECT entry_id FROM evaluation_queue ORDER BY entry_id LIMIT %(limit)s)
    RETURNING kit_id
), passed_on AS (
    INSERT INTO finding_queue (kit_id) SELECT DISTINCT kit_id FROM taken
)
SELECT kit_id FROM taken

-- name: drift_kits_due
-- Kits whose pending alert or recovery has come of age, and all that a disabled rule left behind.
(SELECT kit_id FROM pending_alerts
 WHERE rule = %(rule)s AND since <= %(pending_before)s ORDER BY since LIMIT %(limit)s)
UNION ALL
(SELECT kit_id FROM alerts
 WHERE rule = %(rule)s AND state = 'active' AND recovering_since <= %(recovering_before)s
 ORDER BY recovering_since LIMIT %(limit)s)
UNION ALL
(SELECT kit_id FROM alerts WHERE rule = %(rule)s AND state = 'active' AND NOT %(enabled)s LIMIT %(limit)s)

-- name: drift_facts
SELECT k.kit_id, k.state, k.wanted_components AS wanted, s.body AS reported, p.since AS pending_since,
       a.alert_id, a.recovering_since, a.evidence
FROM kits k
LEFT JOIN latest_reports s ON s.kit_id = k.kit_id AND s.kind = 'software'
LEFT JOIN pending_alerts p ON p.kit_id = k.kit_id AND p.rule = %(rule)s
LEFT JOIN alerts a ON a.kit_id = k.kit_id AND a.rule = %(rule)s AND a.state = 'active'
WHERE k.kit_id = ANY(%(kit_ids)s)

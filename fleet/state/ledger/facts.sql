-- name: kit_facts
-- What the guards of a kit's step ask for beside the log: its type, its plan, what its tablet told last.
SELECT (SELECT jsonb_object_agg(c.kind, c.quantity) FROM kit_type_contents c WHERE c.kit_type_id = t.kit_type_id) AS contents,
       coalesce(t.calibration_margin_days, 0) AS calibration_margin_days,
       (SELECT max(p.planned_until) FROM placements p
        WHERE p.kit_id = k.kit_id AND p.state IN ('planned', 'active')) AS planned_until,
       k.wanted_components AS wanted, l.last_heard_at AS live_at, l.clock_offset_s AS offset_s,
       l.time AS heartbeat_time, l.received_at AS heartbeat_received_at,
       s.body AS software, s.time AS software_time, s.received_at AS software_received_at,
       p.body AS peripherals, p.time AS pairing_time, p.received_at AS pairing_received_at
FROM kits k
LEFT JOIN kit_types t USING (kit_type)
LEFT JOIN kit_latest l USING (kit_id)
LEFT JOIN latest_reports s ON s.kit_id = k.kit_id AND s.kind = 'software'
LEFT JOIN latest_reports p ON p.kit_id = k.kit_id AND p.kind = 'pairing'
WHERE k.kit_id = %(kit_id)s;

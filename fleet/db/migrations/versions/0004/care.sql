-- Requests, calls and visits tell what happened: clocks of what was merged, whose a call was, visits that were noted first.

-- A request that was merged has no clock of its own: the one that speaks for it is measured from the opening of the first.
-- What had ended by then keeps its own, and that one is none the older for it.
ALTER TABLE service_requests
    DROP CONSTRAINT service_requests_sla_state_check,
    ADD CONSTRAINT service_requests_sla_state_check
        CHECK (sla_state IN ('none', 'running', 'paused', 'met', 'breached'));
COMMENT ON COLUMN service_requests.sla_state IS 'How it stands against its targets; none where another is measured for it.';

CREATE FUNCTION ended_before_merged(wanted bigint) RETURNS boolean LANGUAGE sql STABLE
RETURN coalesce((SELECT d.body ->> 'from' IN ('resolved', 'closed') FROM request_events d
                 WHERE d.request_id = wanted AND d.what = 'state'
                   AND starts_with(coalesce(d.body ->> 'resolution', ''), 'merged:')
                 ORDER BY d.event_id DESC LIMIT 1), false);
COMMENT ON FUNCTION ended_before_merged IS
    'Whether a request that was merged had ended by then: its clock stands as it ended, and counts for no other.';

UPDATE service_requests SET sla_state = 'none', sla_breaches = '{}', response_due_at = NULL, update_due_at = NULL,
    responded_at = NULL, next_escalation_at = NULL
WHERE merged_into IS NOT NULL AND NOT ended_before_merged(request_id);
UPDATE service_requests r SET next_escalation_at = now()
WHERE r.state IN ('open', 'in_progress', 'waiting')
  AND EXISTS (SELECT FROM service_requests m WHERE m.merged_into = r.number AND NOT ended_before_merged(m.request_id));

CREATE FUNCTION logs_spoken_for(wanted bigint[])
RETURNS TABLE (request_id bigint, event_id bigint, at timestamptz, actor text, what text, body jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH RECURSIVE spoken_for AS (
        SELECT r.request_id AS speaks, m.request_id, m.number
        FROM service_requests r JOIN service_requests m ON m.merged_into = r.number
        WHERE r.request_id = ANY (wanted) AND NOT ended_before_merged(m.request_id)
        UNION
        SELECT s.speaks, m.request_id, m.number
        FROM spoken_for s JOIN service_requests m ON m.merged_into = s.number
        WHERE NOT ended_before_merged(m.request_id)
    )
    SELECT s.speaks, e.event_id, e.at, e.actor, e.what,
           CASE WHEN e.what IN ('call', 'escalated') THEN e.body ELSE '{}' END
    FROM spoken_for s JOIN request_events e USING (request_id)
    WHERE e.what <> 'state' OR NOT starts_with(coalesce(e.body ->> 'resolution', ''), 'merged:')
    ORDER BY s.speaks, e.at, e.event_id
$$;
COMMENT ON FUNCTION logs_spoken_for IS
    'Who did something when about requests that were merged into these before they ended; without what was said, also for those who see only these.';
REVOKE EXECUTE ON FUNCTION logs_spoken_for FROM PUBLIC;
GRANT EXECUTE ON FUNCTION logs_spoken_for TO fleet_api, fleet_worker;

CREATE INDEX service_requests_unexplained ON service_requests (request_id)
    WHERE state IN ('resolved', 'closed') AND (found_cause IS NULL OR remedy IS NULL) AND merged_into IS NULL;

-- A call is charged to whose kit it was when it rang, also where the kit has gone to others before it was entered.
CREATE OR REPLACE FUNCTION stamp_call() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.kit_id IS NOT NULL THEN
        NEW.organisation_id := coalesce(
            (SELECT c.organisation_id FROM custodies c WHERE c.kit_id = NEW.kit_id AND c.during @> NEW.at),
            (SELECT k.organisation_id FROM kits k WHERE k.kit_id = NEW.kit_id));
        NEW.placement_id := (
            SELECT placement_id FROM placements WHERE kit_id = NEW.kit_id AND during @> NEW.at LIMIT 1);
    END IF;
    RETURN NEW;
END
$$;

-- What was done before it was asked for took no time that anybody could keep: statistics leave it out.
DO $$
DECLARE
    found text;
BEGIN
    SELECT conname INTO STRICT found FROM pg_constraint
    WHERE conrelid = 'visits'::regclass AND contype = 'c'
      AND pg_get_constraintdef(oid) LIKE '%done_on IS NULL%took_days IS NULL%';
    EXECUTE format('ALTER TABLE visits DROP CONSTRAINT %I', found);
END
$$;
ALTER TABLE visits ADD CONSTRAINT took_days_of_what_was_asked_first CHECK (took_days IS NULL OR done_on IS NOT NULL);
COMMENT ON COLUMN visits.took_days IS
    'Working days from the order to the day on which it was done; null also where it was done first and entered afterwards.';

CREATE OR REPLACE VIEW grafana_visits AS
SELECT v.number, k.kit, o.slug AS organisation, r.number AS request, v.kind, v.state, v.urgent, v.ordered_at, v.planned_on,
       v.target_days, v.due_on, v.attempts,
       (SELECT a.failure FROM visit_attempts a WHERE a.visit_id = v.visit_id ORDER BY a.attempt_id DESC LIMIT 1) AS failure,
       v.started_at, v.arrived_at, v.ended_at, v.done_on, v.took_days,
       CASE WHEN v.took_days IS NOT NULL THEN v.done_on <= v.due_on END AS within_target,
       v.state IN ('planned', 'under_way', 'failed') AND v.due_on < (now() AT TIME ZONE 'Europe/Copenhagen')::date AS overdue,
       v.instruction_given, v.receipt, v.old_equipment_taken
FROM visits v
LEFT JOIN kits k ON k.kit_id = v.kit_id
LEFT JOIN organisations o ON o.organisation_id = v.organisation_id
LEFT JOIN service_requests r ON r.request_id = v.request_id
WHERE (SELECT sees_all()) OR v.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[]);
COMMENT ON COLUMN grafana_visits.took_days IS 'Working days from the order to that day; null where it was entered afterwards.';
COMMENT ON COLUMN grafana_visits.within_target IS 'Once done: whether in time; null where it was entered afterwards.';

-- Keeping quiet rightly: maintenance windows, shelved rules of a kit, flapping, and who takes care of an alert.

ALTER TABLE alerts
    ADD COLUMN flapping boolean NOT NULL DEFAULT false,
    ADD COLUMN heard_at timestamptz,
    ADD COLUMN acknowledged_at timestamptz,
    ADD COLUMN acknowledged_by text,
    ADD COLUMN acknowledgement text;
COMMENT ON COLUMN alerts.suppressed_by IS
    'What speaks in its place, or keeps it quiet: incident:7, maintenance:12, shelved:<until>.';
COMMENT ON COLUMN alerts.flapping IS 'Opened too often lately: it stays active until it was quiet for rules.flap_quiet_s.';
COMMENT ON COLUMN alerts.heard_at IS 'When what had kept it quiet ended while it held.';
COMMENT ON COLUMN alerts.acknowledgement IS 'What whoever takes care of it said.';
-- The audit tells who took care, and not in which words: those go with the alert.
DROP TRIGGER audit_insert ON alerts;
DROP TRIGGER audit_update ON alerts;
DROP TRIGGER audit_delete ON alerts;
CALL audited_for_people('alerts', 'evidence', 'recovering_since', 'acknowledgement', 'heard_at');
CREATE INDEX alerts_heard ON alerts (heard_at) WHERE heard_at IS NOT NULL;
CREATE INDEX suppressed_alerts ON alerts (alert_id) WHERE state = 'active' AND suppressed_by IS NOT NULL;

ALTER TABLE rules
    ADD COLUMN flap_openings integer NOT NULL DEFAULT 4 CHECK (flap_openings BETWEEN 2 AND 1000),
    ADD COLUMN flap_window_s double precision NOT NULL DEFAULT 86400 CHECK (flap_window_s BETWEEN 60 AND 2678400),
    ADD COLUMN flap_quiet_s double precision NOT NULL DEFAULT 21600 CHECK (flap_quiet_s BETWEEN 0 AND 2678400);
COMMENT ON COLUMN rules.flap_openings IS 'With so many openings within flap_window_s an alert is flapping.';
COMMENT ON COLUMN rules.flap_quiet_s IS 'A flapping alert clears once its condition was gone for so long.';

CREATE TABLE maintenance_windows (
    window_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    organisation_id integer REFERENCES organisations,
    title text NOT NULL CHECK (title <> ''),
    kit_type text COLLATE "C" REFERENCES kit_types (kit_type),
    model_id integer REFERENCES models,
    programme text,
    names_kits boolean NOT NULL DEFAULT false,
    rules text[],
    collect boolean NOT NULL DEFAULT true,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    recurrence text,
    current_from timestamptz,
    current_to timestamptz,
    resumes_at timestamptz,
    ended_at timestamptz,
    created_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    revision integer NOT NULL DEFAULT 1,
    CHECK (ends_at > starts_at),
    CHECK (current_to > current_from),
    CHECK ((current_from IS NULL) = (current_to IS NULL)),
    CHECK ((current_from IS NULL) = (ended_at IS NOT NULL))
);
COMMENT ON TABLE maintenance_windows IS
    'For which kits, when and for which rules nothing is told. All that narrows it holds together: organisation with what is below it (null is the whole installation), kit type, model of a piece, programme, kits by name.';
COMMENT ON COLUMN maintenance_windows.rules IS 'Only these; null is all.';
COMMENT ON COLUMN maintenance_windows.collect IS 'Whether rules are evaluated meanwhile, with what opens suppressed; otherwise nothing opens, and silence does not count.';
COMMENT ON COLUMN maintenance_windows.starts_at IS 'The first time, to ends_at.';
COMMENT ON COLUMN maintenance_windows.recurrence IS 'RFC 5545 RRULE, by the clock of Europe/Copenhagen.';
COMMENT ON COLUMN maintenance_windows.current_from IS 'The time that is on or comes next, to current_to; null when all are over.';
COMMENT ON COLUMN maintenance_windows.resumes_at IS 'No time that began before counts: one was ended early.';
CREATE INDEX maintenance_windows_by_time ON maintenance_windows (current_from) WHERE current_from IS NOT NULL;
CREATE INDEX maintenance_windows_by_organisation ON maintenance_windows (organisation_id, window_id);
CALL guard_by_organisation('maintenance_windows');
CALL audited('maintenance_windows', 'current_from', 'current_to');
REVOKE DELETE ON maintenance_windows FROM fleet_api;

CREATE TABLE maintenance_window_kits (
    window_id bigint NOT NULL REFERENCES maintenance_windows ON DELETE CASCADE,
    kit_id integer NOT NULL REFERENCES kits,
    PRIMARY KEY (window_id, kit_id)
);
CREATE INDEX maintenance_windows_by_kit ON maintenance_window_kits (kit_id);
CALL admit_processes('maintenance_window_kits');
CREATE POLICY scope ON maintenance_window_kits TO fleet_api USING (
    (SELECT sees_all())
    OR EXISTS (SELECT FROM maintenance_windows w WHERE w.window_id = maintenance_window_kits.window_id)
    AND EXISTS (SELECT FROM kits k WHERE k.kit_id = maintenance_window_kits.kit_id));
CALL audited('maintenance_window_kits');

-- Each time a window was on, as the worker saw it begin and end, also by the listening clock.
CREATE TABLE maintenance_occurrences (
    occurrence_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    window_id bigint NOT NULL REFERENCES maintenance_windows ON DELETE CASCADE,
    organisation_id integer REFERENCES organisations,
    rules text[],
    collect boolean NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz,
    began_clock_s double precision NOT NULL,
    ended_clock_s double precision,
    CHECK ((ended_at IS NULL) = (ended_clock_s IS NULL)),
    CHECK (ended_clock_s >= began_clock_s)
);
COMMENT ON TABLE maintenance_occurrences IS 'What silence does not count: the listening time between the two values of the clock.';
CREATE UNIQUE INDEX one_occurrence_at_a_time ON maintenance_occurrences (window_id) WHERE ended_at IS NULL;
CREATE INDEX maintenance_occurrences_by_window ON maintenance_occurrences (window_id, occurrence_id);
CREATE INDEX maintenance_occurrences_by_end ON maintenance_occurrences (ended_at);
CALL guard_by_organisation('maintenance_occurrences');
REVOKE INSERT, UPDATE, DELETE ON maintenance_occurrences FROM fleet_api;

-- Kits about which something would have been said while they were not evaluated for it, and the window that was on: they are
-- looked at again afterwards.
CREATE TABLE maintenance_deferred (
    kit_id integer NOT NULL REFERENCES kits,
    rule text COLLATE "C" NOT NULL REFERENCES rules,
    window_id bigint NOT NULL,
    PRIMARY KEY (kit_id, rule)
);
CALL guard_by_kit('maintenance_deferred');
REVOKE ALL ON maintenance_deferred FROM fleet_api, fleet_ingest;

CREATE TABLE shelves (
    kit_id integer NOT NULL REFERENCES kits,
    rule text COLLATE "C" NOT NULL REFERENCES rules,
    until timestamptz NOT NULL,
    severity text NOT NULL CHECK (severity IN ('critical', 'major', 'minor', 'warning')),
    reason text NOT NULL CHECK (reason <> ''),
    shelved_by text NOT NULL,
    shelved_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kit_id, rule),
    CHECK (until > shelved_at)
);
COMMENT ON TABLE shelves IS 'Rules that somebody does not want to hear of for a kit until then, unless it gets worse than it was.';
CALL guard_by_kit('shelves');
CALL audited_for_people('shelves');

-- Which of the kits which of the windows are for, by the books as they are now.
CREATE FUNCTION kits_of_windows(windows bigint[], among integer[]) RETURNS TABLE (kit_id integer, window_id bigint)
LANGUAGE sql STABLE AS $$
    SELECT k.kit_id, w.window_id
    FROM (SELECT m.*, subtree_of(ARRAY[m.organisation_id]) AS below
          FROM maintenance_windows m WHERE m.window_id = ANY (windows)) w
    JOIN kits k ON k.kit_id = ANY (among)
    WHERE (w.organisation_id IS NULL OR k.organisation_id = ANY (w.below))
      AND (w.kit_type IS NULL OR k.kit_type = w.kit_type)
      AND (w.programme IS NULL OR w.programme = coalesce(
          (SELECT p.programme FROM placements p WHERE p.placement_id = k.placement_id),
          (SELECT t.programme FROM kit_types t WHERE t.kit_type = k.kit_type)))
      AND (w.model_id IS NULL
           OR EXISTS (SELECT FROM components c WHERE c.kit_id = k.kit_id AND c.model_id = w.model_id))
      AND (NOT w.names_kits
           OR EXISTS (SELECT FROM maintenance_window_kits n WHERE n.window_id = w.window_id AND n.kit_id = k.kit_id))
$$;

-- The kits in maintenance now, and for one more interval afterwards in which they can show that they work, a quarter of an
-- hour at most. Asks nothing more while no window is on.
CREATE FUNCTION kits_in_maintenance(among integer[], at timestamptz)
RETURNS TABLE (kit_id integer, window_id bigint, collect boolean, rules text[]) LANGUAGE plpgsql STABLE AS $$
DECLARE
    standing bigint[] := ARRAY(
        SELECT w.window_id FROM maintenance_windows w WHERE w.current_from <= at AND at < w.current_to
        UNION
        SELECT o.window_id FROM maintenance_occurrences o
        WHERE o.ended_at <= at AND o.ended_at > at - interval '15 minutes');
BEGIN
    IF cardinality(standing) > 0 THEN
        RETURN QUERY
        SELECT c.kit_id, c.window_id, s.collect, s.rules
        FROM kits_of_windows(standing, among) c JOIN kits k ON k.kit_id = c.kit_id, LATERAL (
            SELECT w.collect, w.rules FROM maintenance_windows w
            WHERE w.window_id = c.window_id AND w.current_from <= at AND at < w.current_to
            UNION ALL
            SELECT o.collect, o.rules FROM maintenance_occurrences o
            WHERE o.window_id = c.window_id AND o.ended_at <= at
              AND o.ended_at > at - make_interval(secs => least(k.expected_interval_s, 900))) s;
    END IF;
END
$$;
COMMENT ON FUNCTION kits_in_maintenance IS
    'Which of these kits are in which maintenance at that time: for which rules (null is all), and whether they are evaluated.';

-- Silent kits of which that is not said, since a window without collection took of their time: while it is on; until they
-- have been silent for as long without it; and for one more interval, as after an outage of ours.
CREATE FUNCTION kits_excused_from_silence(among integer[], clock_s double precision, at timestamptz)
RETURNS SETOF integer LANGUAGE plpgsql STABLE AS $$
DECLARE
    windows bigint[] := ARRAY(
        SELECT DISTINCT o.window_id FROM maintenance_occurrences o
        WHERE NOT o.collect AND (o.rules IS NULL OR 'silent' = ANY (o.rules))
          AND (o.ended_at IS NULL OR o.ended_at > at - interval '90 days'));
BEGIN
    IF cardinality(windows) > 0 THEN
        RETURN QUERY
        WITH pauses AS (
            SELECT c.kit_id, o.began_clock_s AS began, least(o.ended_clock_s, clock_s) AS ended,
                   o.ended_clock_s IS NULL AS going_on
            FROM kits_of_windows(windows, among) c JOIN maintenance_occurrences o ON o.window_id = c.window_id
            WHERE NOT o.collect AND (o.rules IS NULL OR 'silent' = ANY (o.rules))
        ), counted AS (
            SELECT l.kit_id, greatest(l.heard_clock_s, l.watch_from_clock_s) AS since_clock_s, l.watch_allowance_s,
                   least(l.watch_interval_s, 900) AS grace_s,
                   bool_or(p.going_on) AS going_on, max(p.ended) AS last_clock_s,
                   range_agg(numrange(greatest(p.began, l.heard_clock_s, l.watch_from_clock_s)::numeric, p.ended::numeric))
                       AS paused
            FROM pauses p JOIN kit_latest l ON l.kit_id = p.kit_id
            WHERE p.going_on OR p.ended > greatest(l.heard_clock_s, l.watch_from_clock_s)
            GROUP BY l.kit_id
        )
        SELECT c.kit_id FROM counted c
        WHERE c.going_on OR clock_s <= c.last_clock_s + c.grace_s
           OR clock_s <= c.since_clock_s + c.watch_allowance_s
                + (SELECT coalesce(sum(upper(r) - lower(r)), 0) FROM unnest(c.paused) AS r)::double precision;
    END IF;
END
$$;
COMMENT ON FUNCTION kits_excused_from_silence IS 'Among these silent kits: those whom maintenance without collection excuses.';

-- What a kit's page shows of the windows that are on for it, whoever made them; no more than that.
CREATE FUNCTION maintenance_of_kit(of_kit integer)
RETURNS TABLE (window_id bigint, until timestamptz, collect boolean, rules text[])
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT w.window_id, w.current_to, w.collect, w.rules
    FROM maintenance_windows w
    WHERE w.current_from <= now() AND now() < w.current_to
      AND EXISTS (SELECT FROM kits_of_windows(ARRAY[w.window_id], ARRAY[of_kit]))
    ORDER BY w.current_to, w.window_id
$$;
REVOKE EXECUTE ON FUNCTION maintenance_of_kit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION maintenance_of_kit TO fleet_api, fleet_worker;

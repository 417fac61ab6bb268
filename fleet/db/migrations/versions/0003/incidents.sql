-- Mass events of every rule, each with the cohort that explains it.

-- Cohorts are written `kind:value`. An organisation is in its own and in the region of everything above it, itself
-- included where something is below.
CREATE VIEW organisation_cohorts AS
WITH RECURSIVE above AS (
    SELECT o.organisation_id, o.parent_id,
           CASE WHEN EXISTS (SELECT FROM organisations b WHERE b.parent_id = o.organisation_id)
                THEN ARRAY['organisation:' || o.slug, 'region:' || o.slug] ELSE ARRAY['organisation:' || o.slug] END AS cohorts
    FROM organisations o
    UNION ALL
    SELECT a.organisation_id, o.parent_id, a.cohorts || ('region:' || o.slug)
    FROM above a JOIN organisations o ON o.organisation_id = a.parent_id
)
SELECT organisation_id, cohorts FROM above WHERE parent_id IS NULL;

CREATE VIEW kit_cohorts AS
SELECT k.kit_id, array_remove(ARRAY[
           'fleet:',
           'operator:' || left(nullif(l.operator, ''), 100),
           'app:' || left(nullif(s.body ->> 'app', ''), 100),
           'os:' || left(nullif(s.body ->> 'os', ''), 100),
           'mdm:' || left(nullif(s.body ->> 'mdm', ''), 100),
           'campaign:' || left(nullif(u.body ->> 'campaign', ''), 100),
           'model:' || (SELECT m.manufacturer || ' ' || m.name FROM components c JOIN models m USING (model_id)
                        WHERE c.kit_id = k.kit_id AND m.kind = 'tablet' ORDER BY c.component_id LIMIT 1)], NULL)
           || coalesce(o.cohorts, '{}') AS cohorts
FROM kits k
JOIN kit_latest l USING (kit_id)
LEFT JOIN latest_reports s ON s.kit_id = k.kit_id AND s.kind = 'software'
LEFT JOIN latest_reports u ON u.kit_id = k.kit_id AND u.kind = 'update'
LEFT JOIN organisation_cohorts o ON o.organisation_id = k.organisation_id;
COMMENT ON VIEW kit_cohorts IS 'What each kit has in common with others: for the worker, which looks for why many fail together.';
GRANT SELECT ON organisation_cohorts, kit_cohorts TO fleet_worker;

-- How many watched kits each cohort has: counted when that could matter, and kept for a while.
CREATE TABLE cohort_sizes (
    cohort text COLLATE "C" PRIMARY KEY,
    kits integer NOT NULL
);
CREATE TABLE cohort_counts (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    counted_at timestamptz,
    kits integer NOT NULL DEFAULT 0,
    wanted_at timestamptz
);
INSERT INTO cohort_counts DEFAULT VALUES;
COMMENT ON TABLE cohort_counts IS 'When cohort_sizes was counted, over how many kits, and whether the worker asks for it anew.';
CALL guard_installation('cohort_sizes');
CALL guard_installation('cohort_counts');
REVOKE ALL ON cohort_sizes, cohort_counts FROM fleet_api;

-- When many are a mass event.
CREATE TABLE incident_settings (
    rule text COLLATE "C" PRIMARY KEY REFERENCES rules,
    enabled boolean NOT NULL DEFAULT true,
    least integer NOT NULL DEFAULT 20 CHECK (least BETWEEN 2 AND 100000),
    share double precision NOT NULL DEFAULT 0.05 CHECK (share BETWEEN 0.001 AND 1),
    window_s double precision NOT NULL DEFAULT 300 CHECK (window_s BETWEEN 60 AND 3600),
    revision integer NOT NULL DEFAULT 1
);
COMMENT ON TABLE incident_settings IS
    'More than `least` kits and more than `share` of a cohort within `window_s` are one incident and not as many cases.';
INSERT INTO incident_settings (rule) SELECT rule FROM rules;
CALL share('incident_settings');
CALL audited('incident_settings', 'revision');
REVOKE INSERT, DELETE ON incident_settings FROM fleet_api;

ALTER TABLE incidents
    ADD COLUMN cohort_kind text NOT NULL DEFAULT 'fleet' CHECK (cohort_kind IN (
        'fleet', 'campaign', 'app', 'os', 'mdm', 'model', 'operator', 'organisation', 'region')),
    ADD COLUMN cohort_value text COLLATE "C" NOT NULL DEFAULT '',
    ADD COLUMN from_clock_s double precision NOT NULL DEFAULT '-Infinity',
    ADD COLUMN left_at_clear integer,
    ADD CHECK ((cohort_kind = 'fleet') = (cohort_value = ''));
UPDATE incidents SET from_clock_s = opened_clock_s - 300;
UPDATE incidents i SET left_at_clear = (
    SELECT count(*) FROM incident_members m WHERE m.incident_id = i.incident_id AND m.left_at IS NULL)
WHERE state = 'cleared';
COMMENT ON COLUMN incidents.cohort_kind IS 'What its kits have in common; the whole fleet only where nothing narrower explains it.';
COMMENT ON COLUMN incidents.cohort_value IS 'Version, name or short name of an organisation; empty for the fleet.';
COMMENT ON COLUMN incidents.installed_kits IS 'Watched kits of its cohort when it opened, of which the threshold is a part.';
COMMENT ON COLUMN incidents.from_clock_s IS
    'Who of the cohort fell out at this time or later belongs to it; listening clock for silence, else seconds since 1970.';
COMMENT ON COLUMN incidents.left_at_clear IS 'Members still out when it cleared; they are released over about an hour.';
DROP INDEX one_open_incident_per_rule;
CREATE UNIQUE INDEX one_open_incident_per_cohort ON incidents (rule, cohort_kind, cohort_value) WHERE state = 'open';
CREATE INDEX incidents_by_clearing ON incidents (cleared_at) WHERE state = 'cleared';

ALTER TABLE incident_members
    ADD COLUMN rule text COLLATE "C" NOT NULL DEFAULT 'silent',
    ALTER COLUMN heard_clock_s DROP NOT NULL,
    ALTER COLUMN watch_allowance_s DROP NOT NULL;
UPDATE incident_members m SET rule = i.rule FROM incidents i WHERE i.incident_id = m.incident_id AND i.rule <> 'silent';
COMMENT ON COLUMN incident_members.rule IS 'Its incident''s.';
DROP INDEX one_membership_at_a_time;
CREATE UNIQUE INDEX one_membership_per_rule ON incident_members (kit_id, rule) INCLUDE (incident_id) WHERE left_at IS NULL;
CREATE INDEX present_members ON incident_members (incident_id, kit_id) WHERE left_at IS NULL;
CREATE INDEX alerts_by_opening ON alerts (rule, opened_at);

CREATE OR REPLACE VIEW grafana_incidents AS
SELECT i.incident_id AS id, i.rule, i.state, i.opened_at, i.cleared_at, i.installed_kits,
       count(m.kit_id) AS members, count(m.kit_id) FILTER (WHERE m.left_at IS NULL) AS still_silent,
       i.cohort_kind, i.cohort_value
FROM incidents i
LEFT JOIN seen_members m USING (incident_id)
GROUP BY i.incident_id
HAVING count(m.kit_id) > 0 OR (SELECT sees_all());
COMMENT ON VIEW grafana_incidents IS 'Mass events: many kits of a cohort fell out together.';
COMMENT ON COLUMN grafana_incidents.installed_kits IS 'Watched kits of its cohort when it opened.';
COMMENT ON COLUMN grafana_incidents.still_silent IS 'Kits that have not left it: silent, or broken as its rule says.';
COMMENT ON COLUMN grafana_incidents.cohort_kind IS
    'What its kits have in common: fleet, campaign, app, os, mdm, model, operator, organisation, region.';
COMMENT ON COLUMN grafana_incidents.cohort_value IS 'Which; empty for the fleet.';

-- What rules see, and what is tried of them: when we did not listen, maintenance as it was, and the variants of a kit.

-- Kept where the clock itself is written, by its own evidence: it stops, or says that it resumed after a gap.
CREATE TABLE listening_outages (
    outage_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    began_at timestamptz NOT NULL,
    ended_at timestamptz CHECK (ended_at >= began_at)
);
COMMENT ON TABLE listening_outages IS
    'Times in which we did not listen, kept for 400 days. The first row, of no length, tells since when this is written down.';
COMMENT ON COLUMN listening_outages.ended_at IS 'When the listening clock ran again; null while it stands.';
CREATE UNIQUE INDEX one_outage_at_a_time ON listening_outages ((true)) WHERE ended_at IS NULL;
CREATE INDEX listening_outages_by_end ON listening_outages (ended_at);
INSERT INTO listening_outages (began_at, ended_at) VALUES (now(), now());
CALL share('listening_outages');
REVOKE INSERT, UPDATE, DELETE ON listening_outages FROM fleet_api, fleet_worker;

-- Gaps of a few seconds are none (MAX_GAP_S in fleet/ingest/listening.py): the clock bridges them.
CREATE FUNCTION note_outage() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF NEW.state <> 'listening' THEN
        INSERT INTO listening_outages (began_at) VALUES (OLD.updated_at) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END IF;
    UPDATE listening_outages SET ended_at = greatest(began_at, NEW.updated_at) WHERE ended_at IS NULL;
    IF NOT FOUND THEN
        INSERT INTO listening_outages (began_at, ended_at)
        VALUES (least(OLD.updated_at, NEW.updated_at), NEW.updated_at);
    END IF;
    DELETE FROM listening_outages
    WHERE ended_at < NEW.updated_at - interval '400 days'
       OR ended_at > began_at AND ended_at < began_at + interval '10 seconds';
    RETURN NULL;
END
$$;
CREATE TRIGGER note_outage AFTER UPDATE ON listening FOR EACH ROW
    WHEN (OLD.state = 'listening' AND NEW.state <> 'listening' OR OLD.state <> 'listening' AND NEW.state = 'listening'
          OR OLD.resumed_clock_s <> NEW.resumed_clock_s)
    EXECUTE FUNCTION note_outage();

-- The maintenance that kits were in since then, whoever planned it; for which kits a window is, by the books as they are now.
CREATE FUNCTION maintenance_spells(among integer[], since timestamptz)
RETURNS TABLE (kit_id integer, window_id bigint, rules text[], collect boolean, began_at timestamptz, ended_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH times AS MATERIALIZED (
        SELECT o.window_id, o.rules, o.collect, o.began_at, o.ended_at
        FROM maintenance_occurrences o WHERE o.ended_at IS NULL OR o.ended_at > since
        ORDER BY o.began_at DESC LIMIT 10000
    )
    SELECT c.kit_id, t.window_id, t.rules, t.collect, t.began_at, t.ended_at
    FROM kits_of_windows(ARRAY(SELECT DISTINCT t.window_id FROM times t), among) c JOIN times t ON t.window_id = c.window_id
$$;
REVOKE EXECUTE ON FUNCTION maintenance_spells FROM PUBLIC;
GRANT EXECUTE ON FUNCTION maintenance_spells TO fleet_api, fleet_worker;

-- Two tablets under one kit's number: found in the history of the kits whose newest heartbeat is of another run than their
-- newest software report, and of those that told several identities.
ALTER TABLE findings DROP CONSTRAINT findings_kind_check, ADD CONSTRAINT findings_kind_check CHECK (kind IN (
    'reports_while_stored', 'reports_while_scrapped', 'reports_while_lost', 'never_heard', 'other_tablet', 'other_sim',
    'two_tablets', 'peripheral_in_two_kits', 'peripheral_not_in_books', 'peripheral_missing', 'model_differs',
    'firmware_differs', 'below_minimum', 'calibration_overdue', 'lease_ending', 'warranty_ending'));
UPDATE rules SET title_en = 'Credentials are misused', title_da = 'Adgangsoplysninger misbruges'
WHERE rule = 'credentials_misused' AND title_en = 'Ended credentials are used' AND title_da = 'Spærrede adgangsoplysninger bruges';
CREATE INDEX changes_of_identity ON changes (kit_id, change_id) WHERE what = 'identity';

-- What the books say against reality is of kits in store as well.
ALTER TABLE cohort_sizes ADD COLUMN everything integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN cohort_sizes.kits IS 'Those that are watched, of which the threshold of most rules is a part.';
COMMENT ON COLUMN cohort_sizes.everything IS 'Those in any state, for rules that findings feed; 0 before they were counted.';

-- Who answers may be another for some kits; an alert says who does where its rule does not.
ALTER TABLE rule_variants ADD COLUMN line text CHECK (line IN ('support', 'service', 'logistics', 'supplier'));
ALTER TABLE alerts ADD COLUMN line text CHECK (line IN ('support', 'service', 'logistics', 'supplier'));
COMMENT ON COLUMN alerts.line IS 'Who answers by the variant it was opened by; null is as the rule says.';

-- The variants of a rule that apply to kits, whoever made them.
CREATE FUNCTION variants_applying(of_rule text, among integer[])
RETURNS TABLE (kit_id integer, variant_id integer, version integer, depth integer, programme text, kit_type text,
               model_id integer, severity text, line text, for_s double precision, keep_firing_for_s double precision,
               enabled boolean, parameters jsonb)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH RECURSIVE depths AS (
        SELECT o.organisation_id, 1 AS depth FROM organisations o WHERE o.parent_id IS NULL
        UNION ALL
        SELECT o.organisation_id, d.depth + 1 FROM organisations o JOIN depths d ON o.parent_id = d.organisation_id
    )
    SELECT k.kit_id, v.variant_id, v.version, coalesce(d.depth, 0), v.programme, v.kit_type, v.model_id, v.severity,
           v.line, v.for_s, v.keep_firing_for_s, v.enabled, v.parameters
    FROM variants_of_kits(among) k JOIN rule_variants v ON v.variant_id = ANY (k.variants)
    LEFT JOIN depths d USING (organisation_id)
    WHERE v.rule = of_rule
$$;
REVOKE EXECUTE ON FUNCTION variants_applying FROM PUBLIC;
GRANT EXECUTE ON FUNCTION variants_applying TO fleet_api, fleet_worker;

-- What makes finding and listing fast for a reader who sees a part only. Under row-level security only operators that
-- are leak-proof reach an index: equality, and ranges under COLLATE "C"; LIKE and trigrams are none.

-- One form for what people type and what is stored, whatever the database's collation: small letters, Danish ones
-- written out, so that Åbenrå and Aabenraa are found by each other.
CREATE FUNCTION search_key(given text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN replace(replace(replace(replace(
    translate(lower(given COLLATE "C"), 'ÆØÅÄÖÜÉÈáàâãäöüéèêëíìóòôõúùñç', 'æøåæøyeeaaaaæøyeeeeiioooouunc'),
    'æ', 'ae'), 'ø', 'oe'), 'å', 'aa'), 'ß', 'ss');
COMMENT ON FUNCTION search_key IS 'A text in the form in which words are compared.';

CREATE FUNCTION search_words(given text) RETURNS text[] LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN ARRAY(SELECT DISTINCT left(word, 32)
             FROM regexp_split_to_table(search_key(given), '[\u0001-/:-@\[-`{-\u007f]+') AS word
             WHERE word <> '' LIMIT 8);
COMMENT ON FUNCTION search_words IS 'The words of a text, eight at most, each in one form.';

-- The words of the labels of kits, each with whom it may be shown to.
CREATE TABLE kit_words (
    kit_id integer NOT NULL REFERENCES kits,
    word text COLLATE "C" NOT NULL,
    organisation_id integer,
    owner_id integer,
    PRIMARY KEY (kit_id, word)
);
COMMENT ON TABLE kit_words IS 'Words of labels, for search; kept by a trigger of kits.';
CREATE INDEX kit_words_by_word ON kit_words (word, kit_id);
CREATE INDEX kit_words_by_organisation ON kit_words (organisation_id, word, kit_id);
CREATE INDEX kit_words_by_owner ON kit_words (owner_id, word, kit_id) WHERE owner_id <> organisation_id;

-- With its owner's rights: a kit that goes to somebody else takes its words along.
CREATE FUNCTION keep_kit_words() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM kit_words WHERE kit_id = NEW.kit_id;
    END IF;
    INSERT INTO kit_words (kit_id, word, organisation_id, owner_id)
    SELECT NEW.kit_id, word, NEW.organisation_id, NEW.owner_id FROM unnest(search_words(NEW.label)) AS word;
    RETURN NULL;
END
$$;
CREATE TRIGGER kit_words_made AFTER INSERT ON kits FOR EACH ROW WHEN (NEW.label <> '') EXECUTE FUNCTION keep_kit_words();
CREATE TRIGGER kit_words_kept AFTER UPDATE OF label, organisation_id, owner_id ON kits FOR EACH ROW
    WHEN (NEW.label IS DISTINCT FROM OLD.label OR NEW.organisation_id IS DISTINCT FROM OLD.organisation_id
          OR NEW.owner_id IS DISTINCT FROM OLD.owner_id)
    EXECUTE FUNCTION keep_kit_words();
INSERT INTO kit_words (kit_id, word, organisation_id, owner_id)
SELECT kit_id, word, organisation_id, owner_id FROM kits, unnest(search_words(label)) AS word;

CALL guard_by_organisation('kit_words');
REVOKE INSERT, UPDATE, DELETE ON kit_words FROM fleet_api, fleet_worker;

-- Found by what is printed on a piece.
CREATE INDEX kits_by_tail ON kits (serial_tail, kit_id);
CREATE INDEX components_by_tail ON components (serial_tail, component_id);
CREATE INDEX components_by_serial ON components (serial, component_id);
CREATE INDEX components_by_bluetooth ON components (bluetooth_address) WHERE bluetooth_address IS NOT NULL;
CREATE INDEX components_by_system_id ON components (system_id) WHERE system_id IS NOT NULL;

-- Lists with a filter, in the order of the list: for the whole installation, and within one organisation.
CREATE INDEX kits_by_type ON kits (kit_type, kit) WHERE kit_type IS NOT NULL;
CREATE INDEX kits_by_organisation_and_state ON kits (organisation_id, state, kit);
CREATE INDEX kits_by_organisation_and_type ON kits (organisation_id, kit_type, kit) WHERE kit_type IS NOT NULL;
CREATE INDEX components_by_model ON components (model_id, component_id);
CREATE INDEX components_by_model_and_state ON components (model_id, state, component_id);
CREATE INDEX components_by_state ON components (state, component_id);
CREATE INDEX components_by_organisation_and_state ON components (organisation_id, state, component_id);
CREATE INDEX components_by_organisation_and_model ON components (organisation_id, model_id, component_id);
CREATE INDEX components_by_calibration ON components (calibration_due) WHERE calibration_due IS NOT NULL;
CREATE INDEX components_by_warranty ON components (warranty_until) WHERE warranty_until IS NOT NULL;
CREATE INDEX components_by_lease ON components (lease_until) WHERE lease_until IS NOT NULL;

-- An operator's page is put together from a page of each of its organisations: what is filtered by stands in the index,
-- so that the rows themselves are read for the page alone.
DROP INDEX kits_by_organisation, kits_by_owner, components_by_organisation, components_by_owner;
CREATE INDEX kits_by_organisation ON kits (organisation_id, kit) INCLUDE (kit_id, owner_id, state, kit_type);
CREATE INDEX kits_by_owner ON kits (owner_id, kit) INCLUDE (kit_id, organisation_id, state, kit_type);
CREATE INDEX components_by_organisation ON components (organisation_id, component_id) INCLUDE (owner_id, state, model_id);
CREATE INDEX components_by_owner ON components (owner_id, component_id) INCLUDE (organisation_id, state, model_id);

-- What tells whether a kit is heard, beside what lists are filtered by; with its owner's rights, as the other views: the
-- policy of kit_latest would ask for each kit by itself.
CREATE VIEW seen_watch AS
SELECT k.kit_id, k.kit, k.state, k.kit_type, k.organisation_id, k.owner_id, k.location_id, l.last_heard_at, l.heard_clock_s,
       l.watch_from_clock_s, l.watch_allowance_s, l.watch_interval_s
FROM kits k JOIN kit_latest l USING (kit_id)
WHERE (SELECT sees_all()) OR k.organisation_id = ANY ((SELECT seen_organisations())::integer[])
   OR k.owner_id = ANY ((SELECT seen_organisations())::integer[]);
GRANT SELECT ON seen_watch TO fleet_api, fleet_worker;

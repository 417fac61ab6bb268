-- How long each kind of data stays, and the ways in which what is append-only may still lose something.

-- The audit: an owner sees all of its kits. Nobody writes but note_audit() and the triggers of audited().
CALL guard_by_organisation('audit');
REVOKE INSERT ON audit FROM fleet_api, fleet_worker;
CALL append_only('audit', 'before', 'after', 'reason', 'salt', 'redacted_at');

-- The log of the books: its texts can be redacted, nothing else of it.
CALL append_only('book_events', 'before', 'after', 'reason');
CALL audited('book_events');

-- What people decide about rules, alerts and requests; what the rules do is in the event stream and the rows themselves.
CALL audited_for_people('rules');
CALL audited_for_people('alerts', 'evidence', 'recovering_since');
CALL audited_for_people('service_requests');

ALTER TABLE quarantine ADD COLUMN redacted_at timestamptz;
COMMENT ON COLUMN quarantine.redacted_at IS 'When the payload was removed, by a person or past its time.';
CREATE INDEX quarantine_unredacted ON quarantine (received_at) WHERE redacted_at IS NULL;

CREATE TABLE retention_policies (
    kind text COLLATE "C" PRIMARY KEY,
    keep_days integer NOT NULL,
    default_days integer NOT NULL,
    min_days integer NOT NULL CHECK (min_days > 0),
    max_days integer NOT NULL,
    revision integer NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT retention_within_bounds CHECK (keep_days BETWEEN min_days AND max_days),
    CHECK (default_days BETWEEN min_days AND max_days)
);
COMMENT ON TABLE retention_policies IS 'How many days each kind of data stays, and between what this may be set.';

CREATE TABLE retention_runs (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text COLLATE "C" NOT NULL REFERENCES retention_policies,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    cutoff timestamptz NOT NULL,
    removed bigint NOT NULL CHECK (removed >= 0),
    complete boolean NOT NULL
);
COMMENT ON TABLE retention_runs IS 'What was removed when, of what was older than the cut-off; not complete when more was left for later.';
CREATE INDEX retention_runs_by_kind ON retention_runs (kind, at);

-- The policies are the same for all and are seen by all; only who is bound to no organisation changes them.
CALL admit_processes('retention_policies');
CREATE POLICY readable ON retention_policies FOR SELECT TO fleet_api USING (true);
CREATE POLICY installation ON retention_policies FOR UPDATE TO fleet_api USING ((SELECT sees_all())) WITH CHECK ((SELECT sees_all()));
REVOKE ALL ON retention_policies FROM fleet_api, fleet_worker, fleet_ingest;
GRANT SELECT, UPDATE (keep_days, revision, updated_at) ON retention_policies TO fleet_api;
GRANT SELECT ON retention_policies TO fleet_worker;
CALL audited('retention_policies');
CALL guard_installation('retention_runs');
REVOKE INSERT, UPDATE, DELETE ON retention_runs FROM fleet_api;
REVOKE UPDATE ON retention_runs FROM fleet_worker;

-- Kinds that need an index by age.
CREATE INDEX alerts_by_end ON alerts (cleared_at) WHERE state = 'cleared';
CREATE INDEX service_requests_by_end ON service_requests (resolved_at) WHERE resolved_at IS NOT NULL;
CREATE INDEX findings_by_end ON findings (cleared_at) WHERE state = 'cleared';
GRANT DELETE ON findings TO fleet_worker;

-- The oldest lines of the audit, as far as they were chained, all of them older than the cut-off. An anchor takes their
-- place, and a line tells of it. No caller gets below the least that the policy allows, nor at the last link.
CREATE FUNCTION trim_audit(cutoff timestamptz, most integer) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET fleet.lifted = 'retention' AS $$
DECLARE
    latest timestamptz := now() - make_interval(days => (SELECT min_days FROM retention_policies WHERE kind = 'audit'));
    anchor audit_anchors;
    removed bigint;
BEGIN
    IF cutoff > latest THEN
        RAISE EXCEPTION 'the audit is kept at least until %', latest USING ERRCODE = 'invalid_parameter_value';
    END IF;
    -- As many links as there are before the first that is young enough to stay.
    WITH oldest AS (SELECT position, audit_id, hash FROM audit_chain ORDER BY position LIMIT most),
    aged AS (SELECT o.position, o.hash, bool_and(coalesce(a.at < cutoff, false)) OVER (ORDER BY o.position) AS old
             FROM oldest o LEFT JOIN audit a USING (audit_id))
    INSERT INTO audit_anchors (position, hash)
    SELECT position, hash FROM aged WHERE old AND position < (SELECT max(position) FROM audit_chain)
    ORDER BY position DESC LIMIT 1
    RETURNING * INTO anchor;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    DELETE FROM audit_anchors WHERE position < anchor.position;
    WITH links AS (DELETE FROM audit_chain WHERE position <= anchor.position RETURNING audit_id)
    DELETE FROM audit WHERE audit_id IN (SELECT audit_id FROM links);
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM note_audit('audit.trimmed', 'audit', NULL, NULL, NULL, jsonb_build_object(
        'position', anchor.position, 'hash', encode(anchor.hash, 'hex'), 'removed', removed, 'cutoff', cutoff));
    RETURN removed;
END
$$;
REVOKE EXECUTE ON FUNCTION trim_audit FROM PUBLIC;
GRANT EXECUTE ON FUNCTION trim_audit TO fleet_worker;

-- Redaction: texts go, everything else stays, and a line tells who did it and why. The functions change what nobody
-- else may; they do not ask who sees the row, their callers do. What is redacted already stays as it is, untold.
CREATE FUNCTION redacted(value jsonb, keys text[]) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN CASE jsonb_typeof(value)
        WHEN 'object' THEN (
            SELECT coalesce(jsonb_object_agg(e.key, CASE
                       WHEN e.key = ANY (keys) AND jsonb_typeof(e.value) <> 'null' THEN '"[redacted]"'
                       ELSE redacted(e.value, keys) END), '{}')
            FROM jsonb_each(value) e)
        WHEN 'array' THEN (
            SELECT coalesce(jsonb_agg(redacted(e.value, keys) ORDER BY e.n), '[]')
            FROM jsonb_array_elements(value) WITH ORDINALITY AS e (value, n))
        ELSE value END;
END
$$;
CREATE FUNCTION redacted(reason text, keys text[]) RETURNS text LANGUAGE sql IMMUTABLE
RETURN CASE WHEN 'reason' = ANY (keys) AND reason IS NOT NULL THEN '[redacted]' ELSE reason END;

-- The chain keeps the digest of what stood there; its salt goes, so that nobody can try what it was. Earlier lines about
-- redactions of this one repeat what was left then, and lose the same.
CREATE FUNCTION redact_audit(wanted bigint, keys text[], why text) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET fleet.lifted = 'redaction' AS $$
DECLARE
    rest audit;
    note bigint;
BEGIN
    UPDATE audit a SET before = redacted(a.before, keys), after = redacted(a.after, keys),
        reason = redacted(a.reason, keys), salt = NULL, redacted_at = coalesce(a.redacted_at, clock_timestamp())
    WHERE a.audit_id = wanted AND (a.before, a.after, a.reason)
        IS DISTINCT FROM (redacted(a.before, keys), redacted(a.after, keys), redacted(a.reason, keys))
    RETURNING * INTO rest;
    IF NOT FOUND THEN
        RETURN EXISTS (SELECT FROM audit a WHERE a.audit_id = wanted);
    END IF;
    FOR note IN SELECT a.audit_id FROM audit a
                WHERE a.subject_kind = 'audit' AND a.subject = wanted::text AND a.action = 'audit.redacted' LOOP
        PERFORM redact_audit(note, keys, why);
    END LOOP;
    PERFORM note_audit('audit.redacted', 'audit', wanted::text, rest.organisation_id, NULL,
        jsonb_build_object('before', rest.before, 'after', rest.after, 'reason', rest.reason), why, rest.kit_id);
    RETURN true;
END
$$;

CREATE FUNCTION redact_book_event(wanted bigint, keys text[], why text) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET fleet.lifted = 'redaction' AS $$
DECLARE
    rest book_events;
    line bigint;
BEGIN
    UPDATE book_events e SET before = redacted(e.before, keys), after = redacted(e.after, keys),
        reason = redacted(e.reason, keys)
    WHERE e.event_id = wanted AND (e.before, e.after, e.reason)
        IS DISTINCT FROM (redacted(e.before, keys), redacted(e.after, keys), redacted(e.reason, keys))
    RETURNING * INTO rest;
    IF FOUND THEN
        PERFORM note_audit('book_events.redacted', 'book_events', wanted::text, rest.organisation_id, NULL,
            jsonb_build_object('columns', to_jsonb(keys)), why, rest.kit_id);
    ELSIF NOT EXISTS (SELECT FROM book_events e WHERE e.event_id = wanted) THEN
        RETURN false;
    END IF;
    -- The lines that tell of the event: its own, or the one of many in which it was entered, which has the reason only.
    FOR line IN
        SELECT a.audit_id FROM audit a
        WHERE a.subject_kind = 'book_events' AND a.subject = wanted::text AND a.action = 'book_events.created'
        UNION ALL
        SELECT a.audit_id FROM audit a
        WHERE a.subject_kind = 'book_events' AND a.subject IS NULL AND 'reason' = ANY (keys)
          AND a.action = 'book_events.created' AND a.reason <> '[redacted]'
          AND wanted BETWEEN (a.after ->> 'first')::bigint AND (a.after ->> 'last')::bigint
    LOOP
        PERFORM redact_audit(line, keys, why);
    END LOOP;
    RETURN true;
END
$$;

-- What our checks say of a payload quotes it, and a wrong topic may be anything.
CREATE FUNCTION redact_quarantine(wanted bigint, why text) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    UPDATE quarantine q SET payload = '', redacted_at = now(), topic = redacted_topic(q.topic, q.reason),
        detail = redacted_detail(q.detail)
    WHERE q.quarantine_id = wanted AND q.redacted_at IS NULL;
    IF NOT FOUND THEN
        RETURN EXISTS (SELECT FROM quarantine q WHERE q.quarantine_id = wanted);
    END IF;
    PERFORM note_audit('quarantine.redacted', 'quarantine', wanted::text, NULL, NULL, NULL, why);
    RETURN true;
END
$$;
CREATE FUNCTION redacted_topic(topic text, reason text) RETURNS text LANGUAGE sql IMMUTABLE
RETURN CASE WHEN reason = 'bad_topic' THEN '[redacted]'
    ELSE regexp_replace(topic, '\d{6}[-_]?\d{4}', '[redacted]', 'g') END;
CREATE FUNCTION redacted_detail(detail text) RETURNS text LANGUAGE sql IMMUTABLE
RETURN regexp_replace(regexp_replace(detail, '''.*''', '''[redacted]'''), '".*"', '"[redacted]"');

-- What rules write as a resolution are words of ours.
CREATE FUNCTION is_free_text(resolution text) RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN resolution !~ ('^(proof|wanted_changed|expectation_changed|not_watched|rule_disabled|merged(:\d+)?|\[redacted\])$');

CREATE FUNCTION redact_request(wanted bigint, why text) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET fleet.lifted = 'redaction' AS $$
DECLARE
    line bigint;
BEGIN
    PERFORM set_config('fleet.reason', coalesce(why, ''), true);
    UPDATE service_requests r SET resolution = '[redacted]' WHERE r.request_id = wanted AND is_free_text(r.resolution);
    IF NOT FOUND AND NOT EXISTS (SELECT FROM service_requests r WHERE r.request_id = wanted) THEN
        RETURN false;
    END IF;
    FOR line IN SELECT a.audit_id FROM audit a
                WHERE a.subject_kind = 'service_requests' AND a.subject = wanted::text
                  AND (is_free_text(a.before ->> 'resolution') OR is_free_text(a.after ->> 'resolution')) LOOP
        PERFORM redact_audit(line, ARRAY['resolution'], why);
    END LOOP;
    RETURN true;
END
$$;

-- With a reference goes what people wrote about the end of its placements.
CREATE FUNCTION forget_placement_texts(given bigint[], why text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT SET fleet.lifted = 'redaction' AS $$
DECLARE
    line bigint;
BEGIN
    UPDATE placements p SET ended_reason = '[redacted]'
    WHERE p.reference_id = ANY (given) AND p.ended_reason NOT IN ('[redacted]', 'reference erased');
    FOR line IN SELECT a.audit_id FROM placements p
                JOIN audit a ON a.subject_kind = 'placements' AND a.subject = p.placement_id::text
                WHERE p.reference_id = ANY (given) AND (a.before ? 'ended_reason' OR a.after ? 'ended_reason') LOOP
        PERFORM redact_audit(line, ARRAY['ended_reason'], why);
    END LOOP;
END
$$;

REVOKE EXECUTE ON FUNCTION redact_audit, redact_book_event, redact_quarantine, redact_request, forget_placement_texts FROM PUBLIC;
GRANT EXECUTE ON FUNCTION redact_audit, redact_book_event, redact_quarantine, redact_request, forget_placement_texts TO fleet_api;

-- What is past its time and the worker may not touch itself, a bounded number of rows at a time; how many are answered.
CREATE INDEX book_events_with_reason ON book_events (recorded_at) WHERE reason IS NOT NULL AND reason <> '[redacted]';
CREATE FUNCTION redact_old_books(cutoff timestamptz, most integer) RETURNS bigint LANGUAGE sql VOLATILE
SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT count(redact_book_event(event_id, ARRAY['reason'], 'retention'))
    FROM (SELECT event_id FROM book_events
          WHERE recorded_at < cutoff AND reason IS NOT NULL AND reason <> '[redacted]'
          ORDER BY recorded_at LIMIT most) old
$$;

CREATE FUNCTION redact_old_requests(cutoff timestamptz, most integer) RETURNS bigint LANGUAGE sql VOLATILE
SECURITY DEFINER SET search_path FROM CURRENT AS $$
    SELECT count(redact_request(request_id, 'retention'))
    FROM (SELECT request_id FROM service_requests
          WHERE resolved_at < cutoff AND is_free_text(resolution) ORDER BY resolved_at LIMIT most) old
$$;

-- References whose last placement ended, or was called off, before the cut-off. Locked first and looked at again then,
-- because somebody may be planning a placement for one.
CREATE FUNCTION erase_old_references(cutoff timestamptz, most integer) RETURNS bigint LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    locked bigint[];
    gone bigint[];
BEGIN
    locked := ARRAY(
        SELECT r.reference_id FROM placement_references r
        WHERE r.erased_at IS NULL AND reference_needed_until(r) < cutoff LIMIT most FOR UPDATE OF r SKIP LOCKED);
    WITH erased AS (
        UPDATE placement_references r SET reference = NULL, erased_at = now()
        WHERE r.reference_id = ANY (locked) AND r.erased_at IS NULL AND reference_needed_until(r) < cutoff
        RETURNING r.reference_id, r.organisation_id),
    told AS MATERIALIZED (
        SELECT reference_id, note_audit('placement.erased', 'placement_reference', reference_id::text, organisation_id,
                                        NULL, NULL, 'retention') AS line
        FROM erased)
    SELECT coalesce(array_agg(reference_id), '{}') INTO gone FROM told WHERE line IS NOT NULL;
    PERFORM forget_placement_texts(gone, 'retention');
    RETURN cardinality(gone);
END
$$;
CREATE FUNCTION reference_needed_until(r placement_references) RETURNS timestamptz LANGUAGE sql STABLE
RETURN coalesce((
    SELECT max(CASE p.state WHEN 'ended' THEN upper(p.during) WHEN 'cancelled' THEN p.updated_at ELSE 'infinity' END)
    FROM placements p WHERE p.reference_id = r.reference_id), r.created_at);

CREATE FUNCTION trim_sessions(cutoff timestamptz, most integer) RETURNS bigint LANGUAGE sql VOLATILE
SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH gone AS (
        DELETE FROM sessions WHERE session_id IN (
            SELECT session_id FROM sessions WHERE expires_at < cutoff ORDER BY expires_at LIMIT most)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;

CREATE FUNCTION trim_login_attempts(cutoff timestamptz, most integer) RETURNS bigint LANGUAGE sql VOLATILE
SECURITY DEFINER SET search_path FROM CURRENT AS $$
    WITH gone AS (
        DELETE FROM login_attempts WHERE key IN (
            SELECT key FROM login_attempts WHERE last_at < cutoff ORDER BY last_at LIMIT most)
        RETURNING 1)
    SELECT count(*) FROM gone
$$;

REVOKE EXECUTE ON FUNCTION redact_old_books, redact_old_requests, erase_old_references, trim_sessions, trim_login_attempts FROM PUBLIC;
GRANT EXECUTE ON FUNCTION redact_old_books, redact_old_requests, erase_old_references, trim_sessions, trim_login_attempts TO fleet_worker;

INSERT INTO retention_policies (kind, keep_days, default_days, min_days, max_days)
SELECT kind, days, days, least_days, most_days FROM (VALUES
    ('history', 400, 31, 3653),
    ('changes', 1096, 90, 3653),
    ('quarantine_payloads', 30, 1, 90),
    ('quarantine', 90, 7, 400),
    ('events', 7, 1, 90),
    ('idempotency_keys', 1, 1, 7),
    ('placement_references', 365, 30, 3653),
    ('request_texts', 365, 30, 3653),
    ('book_texts', 1827, 365, 3653),
    ('service_requests', 1827, 365, 3653),
    ('alerts', 1096, 90, 3653),
    ('incidents', 1096, 90, 3653),
    ('findings', 1096, 90, 3653),
    ('commands', 90, 7, 400),
    ('audit', 1827, 365, 3653),
    ('sessions', 7, 1, 90),
    ('login_attempts', 2, 1, 2),
    ('retention_runs', 1827, 365, 3653)
) AS defaults (kind, days, least_days, most_days);

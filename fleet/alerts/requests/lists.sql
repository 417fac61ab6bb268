-- name: add_cause
INSERT INTO request_causes (cause, title_en, title_da, opens, explains, line, severity, proof, active)
VALUES (%(cause)s, %(title_en)s, %(title_da)s, %(opens)s, %(explains)s, %(line)s, %(severity)s, %(proof)s, %(active)s)
ON CONFLICT DO NOTHING RETURNING cause;

-- name: lock_cause
SELECT revision FROM request_causes WHERE cause = %(cause)s FOR UPDATE;

-- name: set_cause
UPDATE request_causes SET
    title_en = %(title_en)s, title_da = %(title_da)s, opens = %(opens)s, explains = %(explains)s, line = %(line)s,
    severity = %(severity)s, proof = %(proof)s, active = %(active)s, revision = revision + 1
WHERE cause = %(cause)s;

-- name: add_remedy
INSERT INTO request_remedies (remedy, title_en, title_da, active)
VALUES (%(remedy)s, %(title_en)s, %(title_da)s, %(active)s)
ON CONFLICT DO NOTHING RETURNING remedy;

-- name: lock_remedy
SELECT revision FROM request_remedies WHERE remedy = %(remedy)s FOR UPDATE;

-- name: set_remedy
UPDATE request_remedies SET title_en = %(title_en)s, title_da = %(title_da)s, active = %(active)s, revision = revision + 1
WHERE remedy = %(remedy)s;

-- name: lock_settings
SELECT revision FROM request_settings FOR UPDATE;

-- name: set_settings
UPDATE request_settings SET
    reopen_within_s = %(reopen_within_s)s, proof_for_s = %(proof_for_s)s, proof_within_s = %(proof_within_s)s,
    important_programmes = %(important_programmes)s, revision = revision + 1;

-- name: sees_all
SELECT sees_all();

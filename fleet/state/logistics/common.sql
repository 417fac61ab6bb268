-- name: now
SELECT clock_timestamp();

-- name: party
SELECT organisation_id, kind FROM organisations WHERE slug = %(slug)s;

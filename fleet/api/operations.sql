-- name: listening
SELECT state, greatest(extract(epoch FROM clock_timestamp() - updated_at), 0)::double precision AS age_s
FROM listening;

-- name: list
SELECT c.calendar_id, c.slug, o.slug AS organisation, c.name, c.time_zone, c.always, c.hours, c.holidays, c.optional_days,
       c.days, c.revision, c.created_at,
       (SELECT coalesce(sum(requests_to_measure(k.contract_id)), 0)::bigint FROM contracts k
        WHERE k.calendar_id = c.calendar_id) AS to_measure
FROM calendars c LEFT JOIN organisations o USING (organisation_id)
WHERE c.slug > %(after)s
  AND (%(organisation)s::text IS NULL OR o.slug = %(organisation)s)
ORDER BY c.slug
LIMIT %(limit)s;

-- name: find
SELECT c.calendar_id, c.slug, o.slug AS organisation, c.name, c.time_zone, c.always, c.hours, c.holidays, c.optional_days,
       c.days, c.revision, c.created_at,
       (SELECT coalesce(sum(requests_to_measure(k.contract_id)), 0)::bigint FROM contracts k
        WHERE k.calendar_id = c.calendar_id) AS to_measure
FROM calendars c LEFT JOIN organisations o USING (organisation_id)
WHERE c.slug = %(slug)s;

-- name: lock
SELECT c.calendar_id, c.slug, o.slug AS organisation, c.name, c.time_zone, c.always, c.hours, c.holidays, c.optional_days,
       c.days, c.revision, c.created_at,
       (SELECT coalesce(sum(requests_to_measure(k.contract_id)), 0)::bigint FROM contracts k
        WHERE k.calendar_id = c.calendar_id) AS to_measure
FROM calendars c LEFT JOIN organisations o USING (organisation_id)
WHERE c.slug = %(slug)s FOR UPDATE OF c;

-- name: add
-- Without a conflict target: a slug that the caller cannot see is taken as well.
INSERT INTO calendars (slug, organisation_id, name, time_zone, always, hours, holidays, optional_days, days)
VALUES (%(slug)s, %(organisation_id)s, %(name)s, %(time_zone)s, %(always)s, %(hours)s, %(holidays)s, %(optional_days)s,
        %(days)s)
ON CONFLICT DO NOTHING
RETURNING calendar_id;

-- name: edit
-- Contracts that go by it belong to its organisation or below, so whoever may edit it sees them.
WITH edited AS (
    UPDATE calendars
    SET name = %(name)s, time_zone = %(time_zone)s, always = %(always)s, hours = %(hours)s, holidays = %(holidays)s,
        optional_days = %(optional_days)s, days = %(days)s, revision = revision + 1, updated_at = now()
    WHERE calendar_id = %(calendar_id)s
    RETURNING calendar_id
)
UPDATE contracts c SET remeasure_from = 0 FROM edited e WHERE c.calendar_id = e.calendar_id;

-- name: delete
DELETE FROM calendars WHERE slug = %(slug)s;

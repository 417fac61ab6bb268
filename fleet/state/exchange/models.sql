-- name: make_stage
CREATE TEMP TABLE model_stage (
    line integer NOT NULL,
    manufacturer text NOT NULL,
    name text NOT NULL,
    kind text COLLATE "C" NOT NULL,
    calibration_interval_days integer,
    firmware_source text,
    expected_firmware text,
    price numeric(12, 2),
    currency text,
    photo_url text,
    active boolean
) ON COMMIT DROP;

-- name: copy_stage
COPY model_stage (line, manufacturer, name, kind, calibration_interval_days, firmware_source, expected_firmware, price,
                  currency, photo_url, active) FROM STDIN;

-- name: analyze_stage
ANALYZE model_stage;

-- name: staged
SELECT count(*) FROM model_stage;

-- name: lock
LOCK TABLE models IN SHARE ROW EXCLUSIVE MODE;

-- name: complaints
WITH told AS (
    SELECT s.*, concat_ws(' ', s.manufacturer, s.name) AS key, m.model_id, m.kind AS known_kind,
           first_value(line) OVER (PARTITION BY lower(s.manufacturer), lower(s.name) ORDER BY line) AS first
    FROM model_stage s
    LEFT JOIN models m ON lower(m.manufacturer) = lower(s.manufacturer) AND lower(m.name) = lower(s.name)
)
SELECT line, key, reason
FROM told, LATERAL (SELECT CASE
    WHEN first <> line THEN format('name: stands in line %%s already', first)
    WHEN model_id IS NOT NULL AND NOT %(update)s THEN 'name: exists already'
    WHEN model_id IS NOT NULL AND NOT (SELECT sees_all())
        THEN 'name: is shared by all organisations, only who is bound to none of them changes it'
    WHEN kind <> known_kind THEN format('kind: is %%s in the books and stays so', known_kind)
    END AS reason) why
WHERE reason IS NOT NULL
ORDER BY line;

-- name: drop_bad
DELETE FROM model_stage WHERE line = ANY (%(lines)s::integer[]);

-- name: update
UPDATE models m
SET calibration_interval_days = coalesce(s.calibration_interval_days, m.calibration_interval_days),
    firmware_source = coalesce(s.firmware_source, m.firmware_source),
    expected_firmware = coalesce(s.expected_firmware, m.expected_firmware), price = coalesce(s.price, m.price),
    currency = coalesce(s.currency, m.currency), photo_url = coalesce(s.photo_url, m.photo_url),
    active = coalesce(s.active, m.active), revision = m.revision + 1, updated_at = now()
FROM model_stage s
WHERE lower(m.manufacturer) = lower(s.manufacturer) AND lower(m.name) = lower(s.name)
  AND (m.calibration_interval_days, m.firmware_source, m.expected_firmware, m.price, m.currency, m.photo_url, m.active)
      IS DISTINCT FROM
      (coalesce(s.calibration_interval_days, m.calibration_interval_days), coalesce(s.firmware_source, m.firmware_source),
       coalesce(s.expected_firmware, m.expected_firmware), coalesce(s.price, m.price), coalesce(s.currency, m.currency),
       coalesce(s.photo_url, m.photo_url), coalesce(s.active, m.active));

-- name: insert
INSERT INTO models (manufacturer, name, kind, calibration_interval_days, firmware_source, expected_firmware, price, currency,
                    photo_url, active)
SELECT manufacturer, name, kind, calibration_interval_days, firmware_source, expected_firmware, price,
       coalesce(currency, 'DKK'), photo_url, coalesce(active, true)
FROM model_stage
ORDER BY line
ON CONFLICT DO NOTHING;

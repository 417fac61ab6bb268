-- name: list
SELECT model_id, kind, manufacturer, name, calibration_interval_days, firmware_source, expected_firmware, price, currency,
       photo_url, active, revision, created_at
FROM models
WHERE model_id > %(after)s
  AND (%(kind)s::text IS NULL OR kind = %(kind)s)
  AND (%(manufacturer)s::text IS NULL OR lower(manufacturer) = lower(%(manufacturer)s))
  AND (%(name)s::text IS NULL OR lower(name) = lower(%(name)s))
  AND (%(active)s::boolean IS NULL OR active = %(active)s)
ORDER BY model_id
LIMIT %(limit)s;

-- name: find
SELECT model_id, kind, manufacturer, name, calibration_interval_days, firmware_source, expected_firmware, price, currency,
       photo_url, active, revision, created_at
FROM models WHERE model_id = %(id)s;

-- name: lock
SELECT model_id, kind, manufacturer, name, calibration_interval_days, firmware_source, expected_firmware, price, currency,
       photo_url, active, revision, created_at
FROM models WHERE model_id = %(id)s FOR UPDATE;

-- name: named
SELECT model_id, kind, manufacturer, name, calibration_interval_days, firmware_source, expected_firmware, price, currency,
       photo_url, active, revision, created_at
FROM models WHERE lower(manufacturer) = lower(%(manufacturer)s) AND lower(name) = lower(%(name)s);

-- name: add
INSERT INTO models (kind, manufacturer, name, calibration_interval_days, firmware_source, expected_firmware, price, currency,
                    photo_url)
VALUES (%(kind)s, %(manufacturer)s, %(name)s, %(calibration_interval_days)s, %(firmware_source)s, %(expected_firmware)s,
        %(price)s, %(currency)s, %(photo_url)s)
ON CONFLICT DO NOTHING
RETURNING model_id;

-- name: edit
UPDATE models
SET manufacturer = %(manufacturer)s, name = %(name)s, calibration_interval_days = %(calibration_interval_days)s,
    firmware_source = %(firmware_source)s, expected_firmware = %(expected_firmware)s, price = %(price)s,
    currency = %(currency)s, photo_url = %(photo_url)s, active = %(active)s, revision = revision + 1, updated_at = now()
WHERE model_id = %(id)s;

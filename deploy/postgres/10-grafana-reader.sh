#!/bin/sh
# Run once, when the database is made: the login with which Grafana reads. `fleet migrate` grants the
# grafana_* views to fleet_grafana and lets logins that are members of it by then see the whole installation; for less,
# `fleet reader grant grafana_reader --organisation SLUG`.
set -eu
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --set password="${GRAFANA_READER_PASSWORD:?is not set}" \
  --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
SELECT 'CREATE ROLE fleet_grafana NOLOGIN'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'fleet_grafana') \gexec
CREATE ROLE grafana_reader LOGIN PASSWORD :'password' CONNECTION LIMIT 20;
ALTER ROLE grafana_reader SET statement_timeout = '30s';
ALTER ROLE grafana_reader SET default_transaction_read_only = on;
GRANT fleet_grafana TO grafana_reader;
SQL

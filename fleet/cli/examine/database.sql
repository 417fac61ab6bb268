-- What `fleet doctor` asks a database.

-- name: server
SELECT current_setting('server_version') AS version,
       current_setting('server_version_num')::int / 10000 AS major,
       clock_timestamp() AS now,
       current_setting('fsync') AS fsync,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('max_connections')::int AS max_connections,
       pg_is_in_recovery() AS in_recovery,
       getdatabaseencoding()::text AS encoding,
       EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb') AS timescale_installed,
       current_setting('shared_preload_libraries') LIKE '%%timescaledb%%' AS timescale_loaded,
       EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb') AS timescale_used,
       has_schema_privilege(current_schema(), 'CREATE') AS may_create;

-- name: closed_tables
SELECT c.relname::text AS name
FROM pg_class c
WHERE c.relnamespace = current_schema()::regnamespace
  AND c.relkind IN ('r', 'p')
  AND NOT c.relispartition
  AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')
           AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE'))
ORDER BY c.relname
LIMIT 5;

-- name: listening
SELECT state::text AS state FROM listening;

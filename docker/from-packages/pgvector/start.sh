#!/usr/bin/env bash
# Starts PostgreSQL on PGDATA; the first start creates the database and the extension.
#
#   PGDATA       folder of the data
#   PGPROGRAMS   folder of initdb and postgres
#   PGLISTEN     address to listen on (default: all)
#   PGPORT       port (default 5432)
set -euo pipefail

if [[ ! -f "$PGDATA/PG_VERSION" ]]; then
  "$PGPROGRAMS/initdb" -D "$PGDATA" -U postgres --auth=trust --encoding=utf8 --locale=C.UTF-8 --no-sync
  echo "host all all all trust" >>"$PGDATA/pg_hba.conf"
  echo "CREATE EXTENSION vector" | "$PGPROGRAMS/postgres" --single -D "$PGDATA" postgres
fi
exec "$PGPROGRAMS/postgres" -D "$PGDATA" -c "listen_addresses=${PGLISTEN:-*}" \
  -c "port=${PGPORT:-5432}" -c unix_socket_directories= -c fsync=off -c max_connections=100

#!/bin/sh
# Plain HTTP on all interfaces, as the server has it; users and passwords as the compose file's secrets say.
cd /app || exit
exec python3 -m tests.contracts.clickhouse_front --dir /var/lib/clickhouse --host 0.0.0.0 --port 8123 \
  --user=c360 --password="$(cat /run/secrets/clickhouse_password)" \
  --owner="c360_setup:$(cat /run/secrets/clickhouse_setup_password)"

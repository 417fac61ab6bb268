#!/bin/sh
# Write what comes from the environment, then become the broker.
set -eu
umask 077

# Once: the plugin's file with the account that administers it. From then on the plugin itself keeps it.
accounts=/mosquitto/data/dynamic-security.json
if [ ! -s "$accounts" ]; then
  mosquitto_ctrl dynsec init "$accounts" admin "${MQTT_ADMIN_PASSWORD:?is not set}" > /dev/null
fi

: > /run/mosquitto/passwords
mosquitto_passwd -b /run/mosquitto/passwords fleet "${MQTT_PASSWORD:?is not set}"
# Whoever knows this one enters as any kit, a scrapped one too: for simulated tablets only.
if [ -n "${MQTT_TABLET_PASSWORD:-}" ]; then
  mosquitto_passwd -b /run/mosquitto/passwords tablet "$MQTT_TABLET_PASSWORD"
fi
cat /mosquitto/config/acl > /run/mosquitto/acl

mkdir -p /run/mosquitto/listeners
if [ -s /mosquitto/config/tls/server.crt ]; then
  cat /mosquitto/config/tls/listener > /run/mosquitto/listeners/tls.conf
else
  echo 'start.sh: no /mosquitto/config/tls/server.crt, so tablets have no TLS listener' >&2
fi
exec mosquitto -c /mosquitto/config/mosquitto.conf

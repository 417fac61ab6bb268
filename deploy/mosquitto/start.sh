#!/bin/sh
# Write the passwords from the environment and a private copy of the access list, then become the broker.
set -eu
umask 077
: > /run/mosquitto/passwords
mosquitto_passwd -b /run/mosquitto/passwords fleet "${MQTT_PASSWORD:?is not set}"
mosquitto_passwd -b /run/mosquitto/passwords tablet "${MQTT_TABLET_PASSWORD:?is not set}"
cat /mosquitto/config/acl > /run/mosquitto/acl
exec mosquitto -c /mosquitto/config/mosquitto.conf

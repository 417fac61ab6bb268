"""Virtual tablets on real MQTT connections, and the ledger that holds the server to its promise."""

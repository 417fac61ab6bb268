"""Problem trees: guided questions of the first line, skipped where telemetry knows, to advice or a request."""

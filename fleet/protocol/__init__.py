"""Topics, messages and framing of the device protocol: pure, and shared with the simulator."""

"""Measurements, side by side in one run on one machine, of what the README claims."""

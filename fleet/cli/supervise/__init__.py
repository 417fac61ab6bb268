"""Runs every role of one machine as a process of its own and keeps them running."""

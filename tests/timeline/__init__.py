"""Timelines: scenarios in a language of their own, played on the real ingest and worker with a virtual clock."""

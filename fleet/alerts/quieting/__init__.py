"""Keeping quiet rightly: maintenance windows, shelves and flapping. What they do only ever narrows what is told."""

"""Service requests: a fault that somebody owns until proof shows that it is gone."""

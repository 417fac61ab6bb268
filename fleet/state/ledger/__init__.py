"""The log of the books and what is read off it: where each kit and piece is, in what condition, whose, since when.

`events` says what an event means and `replay` what a history of them leads to; both are pure. `store` keeps log and
projections in the database; `opening`, `steps`, `swaps`, `assigning`, `corrections` and `bulk` are the use cases, and
`check` compares the projections with the log.
"""

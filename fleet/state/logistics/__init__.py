"""Orders and what came of them, stock and what it should be, stock-takes, reservations, repairs.

What becomes of a piece goes through the ledger; here stands why, and what is still to come.
"""

"""Calls: every contact at the first line, what it was about, how it ended; and what staffing follows from them."""

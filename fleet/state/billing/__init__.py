"""What partners are charged for: derived from the log, recorded once, countered when the log is corrected."""

"""Nobody sees what is not theirs: every table and every route, tried with what belongs to somebody else."""

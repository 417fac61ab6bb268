"""Reference pages generated from the code: `python -m fleet.docs` writes them, `--check` compares."""

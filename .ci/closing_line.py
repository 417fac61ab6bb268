"""Add up pytest's closing lines of several logs and print one: `N passed, N failed`.

python3 .ci/closing_line.py FAILED_LEGS LOG…

An error counts as failed. When legs failed without a failed test (a limit, a linter, a missing server),
each of them is counted, so that the line never reads better than the exit code.
"""

import re
import sys
from collections import Counter
from pathlib import Path

CLOSING = re.compile(r"^(?:=+ )?((?:\d+ [a-z]+(?:, )?)+) in [\d.]+s(?: \([\d:]+\))?(?: =+)?$")
ESCAPES = re.compile(r"\x1b\[[0-9;]*m")


def outcomes(log: str) -> Counter[str]:
    """What the last closing line of a log counts, by outcome."""
    for line in reversed(ESCAPES.sub("", log).splitlines()):
        match = CLOSING.match(line.strip())
        if match:
            parts = (part.split(" ", 1) for part in match[1].split(", "))
            return Counter({name.rstrip("s") if name.startswith("error") else name: int(n) for n, name in parts})
    return Counter()


def main() -> int:
    """Print the line."""
    failed_legs = int(sys.argv[1])
    total: Counter[str] = Counter()
    for path in sys.argv[2:]:
        total += outcomes(Path(path).read_text(encoding="utf-8", errors="replace"))
    failed = max(total["failed"] + total["error"], failed_legs)
    skipped = f", {total['skipped']} skipped" if total["skipped"] else ""
    print(f"{total['passed']} passed, {failed} failed{skipped}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

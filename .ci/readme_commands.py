"""Print the README's command that begins with `make NAME`, exactly as it stands in a code block there.

python3 .ci/readme_commands.py README.md NAME
"""

import re
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def commands(readme: str) -> list[str]:
    """The lines of every shell block, without comments."""
    lines = [line for block in BLOCK.findall(readme) for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines]


def main() -> int:
    """Print the command; 1 when the README does not have it exactly once."""
    path, name = sys.argv[1:]
    found = [c for c in commands(Path(path).read_text(encoding="utf-8")) if re.match(rf"make {name}\b", c)]
    if len(found) != 1:
        print(f"{path}: `make {name}` stands there {len(found)} times, not once", file=sys.stderr)
        return 1
    print(found[0])
    return 0


if __name__ == "__main__":
    sys.exit(main())

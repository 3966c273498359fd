"""No source file may be longer than 600 lines: `python scripts/check_sizes.py [ROOT]`."""

import sys
from pathlib import Path

LIMIT_LINES = 600
FOLDERS = ("src", "tests", "scripts")


def too_long(root: Path) -> list[tuple[Path, int]]:
    """The files over the limit, longest first."""
    files = (file for folder in FOLDERS for file in (root / folder).rglob("*.py"))
    counted = ((file.relative_to(root), len(file.read_bytes().splitlines())) for file in files)
    return sorted(((file, lines) for file, lines in counted if lines > LIMIT_LINES), key=lambda found: -found[1])


def main(arguments: list[str]) -> int:
    found = too_long(Path(arguments[0]) if arguments else Path(__file__).parent.parent)
    for file, lines in found:
        print(f"{file}: {lines} lines, the limit is {LIMIT_LINES}: split it by noun", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

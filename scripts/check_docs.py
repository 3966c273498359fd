"""What the documentation says must be true: `python scripts/check_docs.py [--write] [--root DIR]`.

The pages under docs/reference are as the code declares them (`--write` makes them so); configurations and command lines
shown in any page are accepted by the loader and the parser; links within the repository lead somewhere.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import blocks
import reference

_LINK = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?[^)]*\)|<(?:img|a)\s[^>]*?(?:src|href)=\"([^\"]+)\"")
_CODE = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1 *$|`[^`\n]+`", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} +(.*?) *#*$", re.MULTILINE)


def pages(root: Path) -> list[Path]:
    return sorted([*root.glob("*.md"), *(root / "docs").rglob("*.md")])


def reference_problems(root: Path, write: bool) -> Iterator[str]:
    folder = root / "docs" / "reference"
    wanted = reference.pages()
    for name, content in wanted.items():
        file = folder / name
        if file.exists() and file.read_text(encoding="utf-8") == content:
            continue
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        else:
            yield f"docs/reference/{name}: is not what the code declares; run `make format`"


def block_problems(page: Path, root: Path) -> Iterator[str]:
    for block in blocks.blocks(page.read_text(encoding="utf-8")):
        for line, problem in blocks.problems(block):
            yield f"{page.relative_to(root)}:{line}: {problem}"


def link_problems(page: Path, root: Path) -> Iterator[str]:
    text = page.read_text(encoding="utf-8")
    # Blanked out, not cut out, so that lines keep their numbers.
    prose = _CODE.sub(lambda code: re.sub(r"[^\n]", " ", code[0]), text)
    for link in _LINK.finditer(prose):
        target = link[1] or link[2]
        if re.match(r"[a-z][a-z0-9+.-]*:", target, re.IGNORECASE):
            continue
        place, _, anchor = unquote(target).partition("#")
        file = (root / place.lstrip("/") if place.startswith("/") else page.parent / place) if place else page
        where = f"{page.relative_to(root)}:{prose.count(chr(10), 0, link.start()) + 1}"
        if not file.exists():
            yield f"{where}: the link {target} leads nowhere"
        elif anchor and file.suffix == ".md" and anchor not in _anchors(file.read_text(encoding="utf-8")):
            yield f"{where}: the link {target} leads to no heading of {file.name}"


def _anchors(text: str) -> set[str]:
    """The headings of a page, as code hosts turn them into link targets."""
    prose = re.sub(r"^ *(`{3,}|~{3,}).*?^ *\1 *$", "", text, flags=re.MULTILINE | re.DOTALL)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in _HEADING.findall(prose)}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--write", action="store_true", help="write docs/reference")
    parser.add_argument("--root", type=Path, default=Path(__file__).parent.parent)
    options = parser.parse_args(arguments)
    root: Path = options.root.resolve()
    found = list(reference_problems(root, options.write))
    for page in pages(root):
        found += [*block_problems(page, root), *link_problems(page, root)]
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

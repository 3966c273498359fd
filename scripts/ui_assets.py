"""Fetch the two API pages' programs from npm: `python scripts/ui_assets.py`, with npm on the PATH.

They are kept in the package, compressed, since the pages must work without a network; docs/decisions/0012-api-pages.md
says why these versions. ASSETS.json beside them names each file's origin and digest; a test holds the files against it.
"""

import gzip
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent.parent / "src" / "moorage" / "gateway" / "openapi" / "ui"
TABLE = FOLDER / "ASSETS.json"

PACKAGES: dict[str, dict[str, str]] = {
    "swagger-ui-dist@5.35.0": {
        "package/swagger-ui-bundle.js": "swagger-ui-bundle.js.gz",
        "package/swagger-ui.css": "swagger-ui.css.gz",
        "package/oauth2-redirect.js": "oauth2-redirect.js.gz",
        "package/favicon-32x32.png": "favicon.png",
        "package/LICENSE": "swagger-ui.LICENSE",
        "package/NOTICE": "swagger-ui.NOTICE",
        "package/swagger-ui-bundle.js.LICENSE.txt": "swagger-ui-bundle.LICENSE",
    },
    "redoc@2.5.4": {
        "package/bundles/redoc.standalone.js": "redoc.standalone.js.gz",
        "package/LICENSE": "redoc.LICENSE",
        "package/bundles/redoc.standalone.js.LICENSE.txt": "redoc.standalone.LICENSE",
    },
}
"""Package → its file → ours. Names that end in .gz are compressed here."""

EDITS = (
    # A picture of Redoc's makers, from a server of theirs; where it is missing the page leaves it out.
    (rb"https://cdn\.redoc\.ly/redoc/logo-mini\.svg", b"data:,"),
    # Maps that are not shipped.
    (rb"//# sourceMappingURL=[\w.-]+\.map|/\*# sourceMappingURL=[\w.-]+\.map\*/", b""),
)
"""What is changed in a program, so that no page asks for what is elsewhere."""


def fetch(package: str, files: dict[str, str], folder: Path) -> dict[str, Any]:
    """Write a package's files; their rows of the table."""
    argv = ["npm", "pack", package, "--json", "--silent", "--pack-destination", str(folder)]
    packed = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)[0]
    rows: dict[str, Any] = {}
    with tarfile.open(folder / packed["filename"]) as archive:
        for name, ours in files.items():
            member = archive.extractfile(name)
            assert member is not None, f"{package} has no {name}"
            rows[ours] = written(FOLDER / ours, member.read()) | {"package": package, "file": name}
    return rows


def written(path: Path, origin: bytes) -> dict[str, Any]:
    content = origin
    if path.suffix == ".gz":
        for pattern, replacement in EDITS:
            content = re.sub(pattern, replacement, content)
    kept = gzip.compress(content, 9, mtime=0) if path.suffix == ".gz" else content
    path.write_bytes(kept)
    row = {"sha256": sha256(content), "bytes": len(content)}
    return row if content == origin else row | {"origin_sha256": sha256(origin)}


def sha256(content: bytes) -> str:
    """Of a file before it is compressed: compressors differ."""
    return hashlib.sha256(content).hexdigest()


def main() -> int:
    rows: dict[str, Any] = {}
    for package, files in PACKAGES.items():
        with tempfile.TemporaryDirectory() as folder:
            rows |= fetch(package, files, Path(folder))
    TABLE.write_text(json.dumps(rows, indent=1, sort_keys=True) + "\n")
    print(f"{len(rows)} files, {sum((FOLDER / name).stat().st_size for name in rows):,} bytes in {FOLDER}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

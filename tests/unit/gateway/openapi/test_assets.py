"""What the pages are made of is what was fetched, and all of it is there."""

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from moorage.gateway.openapi import pages

TABLE: dict[str, Any] = json.loads((pages.FOLDER / "ASSETS.json").read_bytes())
OURS = {"docs.html", "docs.js", "redoc.html", "redoc.js", "page.css", "oauth2-redirect.html", "oauth2.js"}


def read(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


@pytest.mark.parametrize("name", list(TABLE))
def test_a_file_is_the_one_in_the_table(name: str) -> None:
    content = read(pages.FOLDER / name)
    assert len(content) == TABLE[name]["bytes"]
    assert hashlib.sha256(content).hexdigest() == TABLE[name]["sha256"]


def test_no_file_is_without_origin() -> None:
    assert {file.name for file in pages.FOLDER.iterdir()} == set(TABLE) | OURS | {"ASSETS.json"}


def test_every_program_comes_with_its_licence() -> None:
    for package in {row["package"] for row in TABLE.values()}:
        files = {row["file"] for row in TABLE.values() if row["package"] == package}
        assert "package/LICENSE" in files


def test_everything_served_is_there() -> None:
    for name in pages.ASSETS:
        assert pages.content(name).body


def test_programs_ask_for_no_maps_and_no_picture_of_their_makers() -> None:
    for name in TABLE:
        content = read(pages.FOLDER / name)
        assert b"cdn.redoc" not in content
        assert not any(line.endswith(b".map") for line in content[-500:].splitlines())


def test_our_own_pages_name_no_address_and_hold_no_script() -> None:
    for name in OURS:
        text = (pages.FOLDER / name).read_text()
        assert "http:" not in text
        assert "https:" not in text
        assert "<script>" not in text
        assert " style=" not in text

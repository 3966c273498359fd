"""A configuration file as a document, read as what its name says it is."""

from pathlib import Path

from moorage.config.document import Document, parse, read_text
from moorage.config.json_document import parse_json
from moorage.config.toml_document import parse_toml

_READERS = {".json": parse_json, ".toml": parse_toml}


def read_document(path: Path) -> Document:
    """JSON and TOML by the ending of the name, everything else is YAML. Raises ConfigError."""
    return _READERS.get(path.suffix.lower(), parse)(read_text(path), str(path))

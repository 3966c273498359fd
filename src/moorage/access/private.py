"""Files that only this user may read: tokens, keys, what engines are told."""

import os
from pathlib import Path


def write_private(path: Path, content: bytes) -> None:
    """Replace a file, whole or not at all, mode 0600. Raises OSError, and then leaves nothing of its own behind."""
    scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise

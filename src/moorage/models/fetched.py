"""What a fetch brought: checked, still under a name of its own, to be given its place in the store."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from moorage.models import manifest
from moorage.models.disk import place
from moorage.models.download import discard, state_path
from moorage.models.manifest import Manifest, StoredFile, checksum


@dataclass(frozen=True, kw_only=True)
class Fetched:
    part: Path
    """The file or folder, beside where it will stand."""
    name: str
    """What it will be called."""
    files: Mapping[str, str]
    """The sha256 of each file by its path in the folder; of a single file by the empty path."""
    opens: str = ""
    revision: str = ""
    why: str = ""

    @property
    def sha256(self) -> str:
        return checksum(self.files, self.opens)

    def drop(self) -> None:
        """Remove it."""
        remove(self.part)

    def settle(self, folder: Path, source: str) -> Manifest:
        """Give it its place in `folder` and a manifest; neither stays without the other. Raises OSError."""
        final = folder / self.name
        try:
            if final.is_dir():
                shutil.rmtree(final)  # nothing can be put over a folder
            place(self.part, final)
            known = self._describe(final, source)
            manifest.write(folder, known)
        except OSError:
            remove(final)
            raise
        finally:
            self.drop()
        return known

    def _describe(self, final: Path, source: str) -> Manifest:
        found = [(path, sha256, (final / path).stat()) for path, sha256 in sorted(self.files.items())]
        files = tuple(
            StoredFile(path=path, sha256=sha256, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)
            for path, sha256, stat in found
        )
        single = files[0].path == ""
        return Manifest(
            source=source,
            file=final.name,
            sha256=self.sha256,
            size_bytes=sum(file.size_bytes for file in files),
            mtime_ns=files[0].mtime_ns if single else 0,
            fetched=datetime.now(UTC).isoformat(timespec="seconds"),
            files=() if single else files,
            opens=self.opens,
            revision=self.revision,
            why=self.why,
        )


def remove(part: Path) -> None:
    """Remove a file or a folder, with its state of a download."""
    if part.is_dir():
        shutil.rmtree(part)
        state_path(part).unlink(missing_ok=True)
    else:
        discard(part)

"""Opening the files of a model: never waiting, never more than asked for, every failure a ModelError with the path."""

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from moorage.errors import ModelError

LFS_POINTER = b"version https://git-lfs"


@contextmanager
def opened(path: Path) -> Generator[tuple[IO[bytes], int]]:
    """A regular file for reading, unbuffered, and its size. Raises ModelError, for failed reads in the block too."""
    try:
        # A pipe would wait for its writer; so opened it does not, and is then seen for what it is.
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ModelError(f"{str(path)!r} is not a regular file")
            yield file, status.st_size
    except FileNotFoundError as error:
        raise ModelError(_absence(path)) from error
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError | ValueError) -> ModelError:
    """What the system said about a path, and what mends it where that is known."""
    if not isinstance(error, OSError):  # a path with a NUL in it
        return ModelError(f"cannot read {str(path)!r}: {error}")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ModelError(f"cannot read {str(path)!r}: this user may not; give read permission to uid {os.geteuid()}")
    if error.errno == errno.EISDIR:
        return ModelError(f"{str(path)!r} is a folder, not a file")
    if error.errno in (errno.ENXIO, errno.EOPNOTSUPP):
        return ModelError(f"{str(path)!r} is not a regular file")
    return ModelError(f"cannot read {str(path)!r}: {error.strerror or error}")


def exactly(file: IO[bytes], length: int) -> bytes:
    """The next `length` bytes of a file known to have them; a loop, since one read may give fewer."""
    blocks: list[bytes] = []
    while length:
        block = file.read(length)
        if not block:
            raise OSError(errno.EIO, "it became shorter while it was read; get the file again")
        blocks.append(block)
        length -= len(block)
    return b"".join(blocks)


def whole(path: Path, most_bytes: int) -> bytes:
    """All of a small file. Raises ModelError where it is larger than `most_bytes`, or a git-lfs pointer."""
    with opened(path) as (file, size_bytes):
        if size_bytes > most_bytes:
            raise ModelError(f"{str(path)!r} is not what its name says: it has {size_bytes} bytes")
        content = exactly(file, size_bytes)
    check_no_pointer(path, content)
    return content


def listing(folder: Path) -> tuple[str, ...]:
    """The names in a folder, sorted. Raises ModelError."""
    try:
        return tuple(sorted(os.listdir(folder)))
    except FileNotFoundError as error:
        raise ModelError(f"there is no folder {str(folder)!r}; fetch the whole model") from error
    except (OSError, ValueError) as error:
        raise unreadable(folder, error) from error


def check_no_pointer(path: Path, beginning: bytes) -> None:
    """Raises ModelError where a file is the note that git-lfs leaves in the place of a large one."""
    if beginning.startswith(LFS_POINTER):
        raise ModelError(f"{str(path)!r} is a git-lfs pointer; run git lfs pull to get the file it stands for")


def _absence(path: Path) -> str:
    if path.is_symlink():
        return f"{str(path)!r} is a link to {str(path.readlink())!r}, which is not there; fetch the model again"
    return f"there is no file {str(path)!r}"

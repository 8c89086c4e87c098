"""Files that are either complete or absent, whenever the process dies.

1. write to a hidden temporary file beside the target (same file system, same ending);
2. force it to disk;
3. rename it over the target, which is atomic, and force the rename to disk.

A killed process can leave a hidden temporary file behind, never a half-written target.
"""

from __future__ import annotations

import errno
import os
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from napari_lesion_points.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_REMEDIES = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "Choose a folder that you may write to."),
    **dict.fromkeys((errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)), "Free some space, or choose another disk."),
    **dict.fromkeys((errno.EISDIR, errno.ENOTDIR, errno.EEXIST), "A folder is where a file should be, or the reverse."),
}


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to, and move it onto `path` once the block ends without an error.

    Missing parent folders are made. The block must close what it opens, and do no other input or output: any OSError
    in it is taken as a failure to write.

    Raises
    ------
    OutputError
        If the file cannot be written (read-only place, full disk, a folder of that name). What was at `path` stays.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex[:8]}-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield temporary
        with temporary.open("r+b") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise _output_error(path, "written", error) from error
    finally:
        with suppress(OSError):  # after the rename there is nothing left; in a read-only place there never was
            temporary.unlink()


def atomic_write(path: Path, data: bytes | str) -> None:
    """Write bytes, or text as UTF-8 (line ends as they are), like `atomic_path` and with its errors."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def remove(path: Path) -> None:
    """Take a file away, if it is there; OutputError if that fails."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise _output_error(path, "removed", error) from error


def _output_error(path: Path, done: str, error: OSError) -> OutputError:
    remedy = _REMEDIES.get(error.errno or 0, "Choose another place to write to.")
    return OutputError(f"{path}: cannot be {done} ({error.strerror or error}). {remedy}")


def _sync_folder(folder: Path) -> None:
    """Force a rename to disk. Only POSIX systems can (and need to) open a folder for this."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

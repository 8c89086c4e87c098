"""A display to draw on where there is none: Linux servers and continuous integration."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCREEN = "1920x1200x24"


def has_display() -> bool:
    """Whether a window can be opened: always on Windows and macOS, with X11 or Wayland on Linux."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def virtual_display() -> Iterator[bool]:
    """Provide a display for as long as the context lasts, and yield whether there is one.

    An existing display is used. Otherwise Xvfb is started, if it is installed, and named in this process's environment.
    """
    if has_display():
        yield True
        return
    server = shutil.which("Xvfb")
    if server is None:
        yield False
        return
    reading, writing = os.pipe()
    child = subprocess.Popen(
        [server, "-displayfd", str(writing), "-screen", "0", _SCREEN, "-nolisten", "tcp"],
        pass_fds=[writing],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as answer:
            number = answer.readline().strip()  # empty when the server ended instead
        if number:
            os.environ["DISPLAY"] = f":{number}"
        yield bool(number)
    finally:
        os.environ.pop("DISPLAY", None)
        child.terminate()
        child.wait()

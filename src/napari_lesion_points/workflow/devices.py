"""Which devices there are, asked of a child process so that torch does not load here."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass

from napari_lesion_points.errors import DeviceError

_QUESTION = (
    "import json; from napari_lesion_points.learn.devices import available_devices; "
    "print(json.dumps([[d.name, d.label] for d in available_devices()]))"
)

_HIDDEN = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # no console window on Windows


@dataclass(frozen=True)
class DeviceChoice:
    """A device's name for a spec, and what to call it before a user."""

    name: str
    label: str


def list_devices() -> tuple[DeviceChoice, ...]:
    """Return the devices of this machine, best first. Takes about two seconds: call it in a worker.

    Raises
    ------
    DeviceError
        If torch cannot be loaded.
    """
    command = [sys.executable, "-c", _QUESTION]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, creationflags=_HIDDEN)
    if answer.returncode:
        reason = answer.stderr.strip().splitlines()[-1:] or ["no message"]
        raise DeviceError(f"torch cannot be loaded ({reason[0]}); install it again: pip install torch.")
    return tuple(DeviceChoice(name, label) for name, label in json.loads(answer.stdout.splitlines()[-1]))

"""Garbage is collected in the window's thread, whichever thread leaves it."""

from __future__ import annotations

import gc
import threading
from typing import Any

from qtpy.QtCore import QObject

from napari_lesion_points.ui.garbage import collect_between_events


class Cycle:
    """Something that only a garbage collection frees, and that says in which thread that is."""

    freed: list[threading.Thread]

    def __init__(self, freed: list[threading.Thread]) -> None:
        self.freed, self.itself = freed, self

    def __del__(self) -> None:
        self.freed.append(threading.current_thread())


def test_garbage_of_a_worker_is_collected_in_the_windows_thread(qtbot: Any) -> None:
    freed: list[threading.Thread] = []
    owner = QObject()
    collect_between_events(owner)
    worker = threading.Thread(target=lambda: [Cycle(freed) for _ in range(20_000)])
    worker.start()
    worker.join()
    assert freed == []
    qtbot.waitUntil(lambda: len(freed) == 20_000)
    assert set(freed) == {threading.main_thread()}


def test_with_its_owner_the_rule_ends(qtbot: Any) -> None:
    gc.enable()
    owner = QObject()
    collect_between_events(owner)
    assert not gc.isenabled()
    owner.deleteLater()
    qtbot.waitUntil(gc.isenabled)
    assert gc.get_freeze_count() == 0

"""Opens the window in another language and writes what it shows, for `test_translation`; a process of its own.

usage: pseudo_window.py LOCALES STUDY SETTINGS
"""

from __future__ import annotations

import gettext
import json
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any


def texts_of(root: Any) -> Iterator[tuple[str, str]]:
    """Yield what a widget and all inside it show and say, each with the name of the widget's type."""
    from qtpy import QtWidgets as Q

    for widget in (root, *root.findChildren(Q.QWidget)):
        found = [widget.toolTip()]
        if hasattr(widget, "set_full"):
            found.append(widget._full)  # what is seen of it may be shortened
        elif isinstance(widget, Q.QLabel | Q.QAbstractButton):
            found.append(widget.text())
        elif isinstance(widget, Q.QGroupBox):
            found.append(widget.title())
        elif isinstance(widget, Q.QLineEdit):
            found.append(widget.placeholderText())
        elif isinstance(widget, Q.QTabBar):
            found += [widget.tabText(k) for k in range(widget.count())]
        elif isinstance(widget, Q.QComboBox):
            found += [widget.itemText(k) for k in range(widget.count())]
        elif isinstance(widget, Q.QTableView):
            found += _cells(widget.model())
        if isinstance(widget, Q.QPushButton) and widget.menu() is not None:
            found += [action.text().split("\t")[0] for action in widget.menu().actions()]
        yield from ((type(widget).__name__, text) for text in found if text)


def _cells(model: Any) -> Iterator[str]:
    """Yield the headings of a table with their tips, and all cells."""
    from qtpy.QtCore import Qt

    for column in range(model.columnCount()):
        for role in (Qt.ItemDataRole.DisplayRole, Qt.ItemDataRole.ToolTipRole):
            yield str(model.headerData(column, Qt.Orientation.Horizontal, role) or "")
            for row in range(model.rowCount()):
                yield str(model.data(model.index(row, column), role) or "")


def walk(study: Path) -> Iterator[tuple[str, str]]:
    """Open a study, go through all tabs, and yield what is shown."""
    from napari_lesion_points.ui import staging
    from napari_lesion_points.ui.app import open_window
    from napari_lesion_points.ui.session import TABS
    from napari_lesion_points.ui.simulate_panel import SimulatePanel

    window = open_window(study, reader="maria", case="sub-01")
    dock, controller = window.dock, window.dock.controller
    try:
        staging.show_case(window, "sub-01")
        controller.update(devices=(("cpu", "CPU"),))  # so that no other process looks for them
        dock.views.navigator.set_views("planes")
        for tab in TABS:
            dock.show_tab(tab)
            staging.settle(0.2)
            yield from texts_of(dock)
        staging.review_stage(window, "sub-01")
        controller.update(listing=True)
        yield from texts_of(dock)
        yield from texts_of(dock.candidates)
        dock.desk.accept()
        staging.settle(0.2)
        yield from texts_of(dock)
        controller.undo()
        dock.show_tab("Annotate")
        staging.settle(0.2)
        yield from texts_of(dock)
        yield from texts_of(dock.views.panel)
        yield from (("pane", dock.views.navigator.picture(c, (90, 90)).title) for c in dock.views.navigator.contents)
        dock.key_sheet.toggle()
        yield from texts_of(dock.key_sheet)
        dock.key_sheet.toggle()
        panel = SimulatePanel()
        yield from texts_of(panel.native)
    finally:
        window.close()


def main() -> None:
    """Print a list of [type, text] as JSON."""
    locales, study, settings = sys.argv[1:]
    gettext.translation = partial(_translation_in, locales, gettext.translation)
    from napari import settings as napari_settings

    napari_settings._CFG_PATH = settings
    print(json.dumps(sorted(set(walk(Path(study))))))


def _translation_in(locales: str, find: Any, domain: str, localedir: Any, *args: Any, **more: Any) -> Any:
    """Look for our catalogues in another folder, and for those of others where they are."""
    return find(domain, locales if domain == "napari_lesion_points" else localedir, *args, **more)


if __name__ == "__main__":
    main()

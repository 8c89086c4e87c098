"""The figures of a report: whole drawings that stand alone, at the ends of what there can be."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from xml.etree import ElementTree

import numpy as np
import pytest

from napari_lesion_points.core.counts import LesionCount, lesion_count
from napari_lesion_points.workflow import report_figures as figures


@pytest.mark.parametrize(
    "draw",
    [
        lambda: figures.froc_figure([(0.0, 0.0)], (0.0, 0.0)),
        lambda: figures.froc_figure([(0.0, 0.0), (0.5, 0.4), (12.0, 1.0)], (0.5, 0.4)),
        lambda: figures.reliability_figure(np.array([0.0, 1.0]), np.array([False, True]), None),
        lambda: figures.reliability_figure(np.array([0.4]), np.array([True]), np.array([0.2])),
        lambda: figures.retention_figure([(0.1, 0.0), (1.0, 0.2)]),
        lambda: figures.size_figure(["small", "large"], [(0, 0), (3, 5)]),
        lambda: figures.count_figure([0], [LesionCount(0.0, 0, 0)]),
        lambda: figures.count_figure([2, 2, 7], [lesion_count([0.9] * n) for n in (2, 1, 5)]),
    ],
)
def test_each_is_a_drawing_that_loads_nothing(draw: Callable[[], str]) -> None:
    kind, _, data = draw().partition(",")
    assert kind == "data:image/svg+xml;base64"
    drawing = base64.b64decode(data, validate=True)
    root = ElementTree.fromstring(drawing)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    links = {value for e in root.iter() for name, value in e.attrib.items() if name.endswith("href")}
    assert all(link.startswith("#") for link in links)
    assert not re.search(rb"\bnan\b", drawing)

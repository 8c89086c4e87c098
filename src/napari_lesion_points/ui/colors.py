"""Colours of the dock, on napari's dark and light themes: text at a contrast of at least 4.5 to 1 on both.

What is drawn *over images* does not depend on the theme: `layers` and `picture` have those colours, made for black.
A widget is `tinted` with a style sheet whose `{names}` are colours of a `Tint`; `retint` follows a change of theme.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QWidget

_PROPERTY = "lesion_points_tint"


@dataclass(frozen=True)
class Tint:
    """Colours on one background.

    `info`, `warning`, `error` are levels of messages; `done` that of finished cases; `muted` of small print, `key` of
    keys' names; `accepted`, `rejected`, `moved` of verdicts; `loss`, `figure`, `gap` of curves; `frame` of borders,
    which are no text; `sheet` is the background of what floats over the window.
    """

    info: str
    warning: str
    error: str
    done: str
    muted: str
    key: str
    accepted: str
    rejected: str
    moved: str
    loss: str
    figure: str
    gap: str
    frame: str
    sheet: str


#: No colour stands alone: words, symbols or line styles beside it say the same.
DARK = Tint(
    info="#6cb4ff", warning="#ffb300", error="#ff7b72", done="#66bb6a", muted="#b8bcc6", key="#ffd54f",
    accepted="#4caf50", rejected="#ff7b72", moved="#ffb300", loss="#6cb4ff", figure="#ffb300", gap="#ef7fb6",
    frame="#6a6f7a", sheet="#262930",
)  # fmt: skip
LIGHT = Tint(
    info="#0b57a4", warning="#7d4e00", error="#b3141f", done="#1e6b26", muted="#50535b", key="#6b4a00",
    accepted="#1e6b26", rejected="#b3141f", moved="#7d4e00", loss="#0b57a4", figure="#7d4e00", gap="#98246a",
    frame="#8a8d94", sheet="#f4f1f0",
)  # fmt: skip


def tint_of(widget: QWidget) -> Tint:
    """Return the colours that suit a widget's theme, as the lightness of its text tells."""
    return DARK if widget.palette().color(QPalette.ColorRole.WindowText).lightness() > 127 else LIGHT


def tinted(widget: QWidget, rules: str) -> None:
    """Give a widget a style sheet with `{names}` of colours, now and after each `retint`; braces of CSS are doubled."""
    widget.setProperty(_PROPERTY, rules)
    _apply(widget, tint_of(widget))


def retint(root: QWidget) -> None:
    """Draw a widget and all inside it in the colours of the theme that it has now."""
    tint = tint_of(root)
    for widget in (root, *root.findChildren(QWidget)):
        if widget.property(_PROPERTY):
            _apply(widget, tint)


def contrast(one: str, other: str) -> float:
    """Return the contrast of two colours by WCAG 2.1: 1 for equal ones, 21 for black on white.

    Examples
    --------
    >>> contrast("#000000", "#ffffff"), contrast("#777777", "#777777")
    (21.0, 1.0)
    """
    dim, bright = sorted((_luminance(one), _luminance(other)))
    return round((bright + 0.05) / (dim + 0.05), 6)


def _luminance(color: str) -> float:
    """Relative luminance of sRGB."""
    exact = QColor(color)
    red, green, blue = (_linear(c) for c in (exact.redF(), exact.greenF(), exact.blueF()))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else float(((channel + 0.055) / 1.055) ** 2.4)


def _apply(widget: QWidget, tint: Tint) -> None:
    sheet = str(widget.property(_PROPERTY)).format(**asdict(tint))
    if widget.styleSheet() != sheet:
        widget.setStyleSheet(sheet)

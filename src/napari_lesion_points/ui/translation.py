"""Texts in the reader's language: gettext of the standard library, and English where there is no catalogue.

English is written in the code and is the key of each translation. The language is fixed when this is imported. In the
other modules of the window, `_` is this function and nothing else: a test sees to it.
"""

from __future__ import annotations

import gettext
import locale
import os
from pathlib import Path

DOMAIN = "napari_lesion_points"

#: Has `xx/LC_MESSAGES/napari_lesion_points.mo` for each language xx, and the template that they are translated from.
LOCALES = Path(__file__).parents[1] / "locale"

#: Where gettext looks for the languages that are wanted.
_ENVIRONMENT = ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")


def wanted_languages() -> list[str] | None:
    """Return the languages to look for, the best first; None leaves that to gettext, which asks the environment.

    Without a word there, as when napari is started from a menu of macOS or Windows, the system says.
    """
    if any(os.environ.get(name) for name in _ENVIRONMENT):
        return None
    try:
        name = locale.getlocale()[0]
    except ValueError:  # a locale that Python does not know
        name = None
    # Windows calls it German_Germany, and the first word has a code that is known: de_DE.
    return [name, locale.normalize(name.split("_")[0])] if name else []


_CATALOGUE = gettext.translation(DOMAIN, LOCALES, wanted_languages(), fallback=True)

#: Text in English to text in the reader's language. Never of "", for which gettext has the head of its file.
_ = _CATALOGUE.gettext

#: The same of a singular, a plural and a number.
ngettext = _CATALOGUE.ngettext

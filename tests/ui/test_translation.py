"""Texts in other languages: the template has all of them, and the window shows none that cannot be translated."""

from __future__ import annotations

import ast
import json
import locale
import os
import re
import string
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_file
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from napari_lesion_points.core.records import CaseState, Change, LesionPoint, Verdict
from napari_lesion_points.store.study import Study
from napari_lesion_points.ui import translation, vocabulary
from napari_lesion_points.ui.session import TABS
from napari_lesion_points.ui.translation import DOMAIN, LOCALES, _, ngettext
from napari_lesion_points.ui.windowing import OWN, PRESETS
from napari_lesion_points.workflow.consensus import Keep

from .conftest import candidate, world

TEMPLATE = LOCALES / f"{DOMAIN}.pot"
MODULES = sorted(Path(translation.__file__).parent.glob("*.py"))

#: What the window shows in every language: names of cases, sequences, readings, study and device; figures and units;
#: keys; and what magicgui writes on its button.
SAME_EVERYWHERE = {
    *("sub-01", "sub-02", "sub-03", "FLAIR", "T1w", "study", "shared", "maria", "CPU"),
    *("F1", "κ", "mm", "ml"),
    *("PageDown", "PageUp", "Escape", "Delete"),
    *("Choose", "directory"),
}


def messages() -> list[str | tuple[str, str]]:
    """Return the texts of the template; those with a number as singular and plural."""
    with TEMPLATE.open("rb") as file:
        return [message.id for message in read_po(file) if message.id]


def test_the_template_has_all_texts_of_the_window() -> None:
    found = {texts for module in MODULES for _line, texts, *_more in extract_from_file("python", module)}
    assert found == set(messages()), "run: make texts"


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.name)
def test_extraction_sees_all_that_is_translated(module: Path) -> None:
    """Only constants are found, and only where nothing else is called _."""
    tree = ast.parse(module.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("_", "ngettext"):
            texts = node.args[:1] if node.func.id == "_" else node.args[:2]
            assert all(isinstance(text, ast.Constant) and text.value for text in texts), ast.unparse(node)
    names = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    names += [node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)]
    assert names.count("_") == (module.name == "translation.py")


def test_placeholders_have_names_and_plurals_the_same_ones() -> None:
    for message in messages():
        forms = (message,) if isinstance(message, str) else message
        names = [{name for _text, name, *_more in string.Formatter().parse(form) if name is not None} for form in forms]
        assert all(found == names[0] for found in names), message
        assert all(name.isidentifier() for name in names[0]), message
        for form in forms:
            form.format(**dict.fromkeys(names[0], 1))


def test_without_a_catalogue_texts_are_as_they_are_written() -> None:
    assert _("No such text ⟦⟧") == "No such text ⟦⟧"
    assert [ngettext("{count} case", "{count} cases", n) for n in (0, 1, 2)] == [
        "{count} cases", "{count} case", "{count} cases",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "wanted"),
    [(None, []), ("de_DE", ["de_DE", "de_DE.ISO8859-1"]), ("German_Germany", ["German_Germany", "de_DE.ISO8859-1"])],
)
def test_the_system_says_the_language_where_the_environment_does_not(
    name: str | None, wanted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locale, "getlocale", lambda: (name, "UTF-8"))
    assert translation.wanted_languages() is None  # the tests' own environment names one
    for variable in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    assert translation.wanted_languages() == wanted


def test_the_vocabulary_has_all_words_of_the_layers_below() -> None:
    assert tuple(vocabulary.TAB_WORDS) == TABS
    assert set(vocabulary.STATE_WORDS) == set(CaseState)
    assert set(vocabulary.VERDICT_WORDS) == set(Verdict) - {Verdict.NONE}
    assert tuple(vocabulary.WINDOW_WORDS) == (*PRESETS, OWN)
    edits = {str(word) for word in (*vocabulary.VERDICT_WORDS, *Keep)} | {f"mark as {state}" for state in CaseState}
    assert edits <= set(vocabulary.EDIT_WORDS)
    assert vocabulary.edit_words("delete 12 points") == "delete 12 points"
    assert vocabulary.edit_words("something else") == "something else"


@pytest.fixture
def pseudo_language(tmp_path: Path) -> Path:
    """A folder of catalogues with one language, xx: English in brackets."""
    catalogue = Catalog(locale="en")
    for message in messages():
        forms = (message,) if isinstance(message, str) else message
        wrapped = tuple(f"⟦{form}⟧" for form in forms)
        catalogue.add(message, wrapped[0] if isinstance(message, str) else wrapped)
    path = tmp_path / "locales" / "xx" / "LC_MESSAGES" / f"{DOMAIN}.mo"
    path.parent.mkdir(parents=True)
    with path.open("wb") as file:
        write_mo(file, catalogue)
    return tmp_path / "locales"


@pytest.fixture
def read_study(dataset: Path) -> Path:
    """A study with a point, candidates, and a finished case without lesions."""
    with Study.open(dataset, reader="maria") as study:
        study.add_candidates(
            "sub-01", [candidate("sub-01", f"c{k}", (9 + 9 * k, 20, 7), 0.4) for k in (1, 2)], "m", 2.0
        )
        study.apply(Change.adding(LesionPoint("sub-01", world((20, 30, 7)), reader="maria")))
        study.set_state("sub-02", CaseState.DONE)
    return dataset


def test_the_window_shows_nothing_that_cannot_be_translated(
    pseudo_language: Path, read_study: Path, tmp_path: Path
) -> None:
    script = Path(__file__).parent / "pseudo_window.py"
    command = [sys.executable, str(script), str(pseudo_language), str(read_study), str(tmp_path / "settings.yaml")]
    done = subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", timeout=240, check=False,
        env=os.environ | {"LANGUAGE": "xx", "PYTHONUTF8": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shown = [(kind, text) for kind, text in json.loads(done.stdout.splitlines()[-1])]
    assert sum("⟦" in text for _kind, text in shown) > 200, "the catalogue was not found"
    paths = str(tmp_path)
    left = [(kind, text) for kind, text in shown if not text.startswith(paths) and [*untranslated_words(text)]]
    assert left == []


def untranslated_words(text: str) -> Iterator[str]:
    """Yield the words of a text that are outside of all brackets and not the same in every language."""
    depth, outside = 0, ""
    for letter in text:
        depth += (letter == "⟦") - (letter == "⟧")
        outside += letter if depth == 0 and letter != "⟧" else " "
    for word in re.split(r"[\s,·:()/–+]+", outside):
        key_or_side = (len(word) == 1 and word.isascii()) or word in ("Ctrl", "Shift")
        if any(letter.isalpha() for letter in word) and not key_or_side and word not in SAME_EVERYWHERE:
            yield word

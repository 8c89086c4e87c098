"""The package as it is installed: light to import, one version everywhere, a manifest that napari accepts."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import napari_lesion_points

ROOT = Path(__file__).parents[1]
PACKAGE = Path(napari_lesion_points.__file__).parent
DOCUMENTS = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
HEAVY = (
    "torch",
    "napari",
    "qtpy",
    "PySide6",
    "vispy",
    "magicgui",
    "nilearn",
    "pandas",
    "matplotlib",
    "sklearn",
    "jinja2",
)

#: What runs in a job's own process may load torch when imported; the contracts keep ui and cli away from it.
OF_THE_CHILD_PROCESS = {"napari_lesion_points.workflow.prediction", "napari_lesion_points.workflow.training"}


def loaded_by(statement: str) -> set[str]:
    """Return the names of all modules that a fresh Python holds after `statement`."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return set(done.stdout.split())


def modules_below(*parts: str) -> list[str]:
    """Return the dotted names of all modules in a folder of the package."""
    files = sorted(PACKAGE.joinpath(*parts).rglob("*.py"))
    names = [".".join(("napari_lesion_points", *f.relative_to(PACKAGE).with_suffix("").parts)) for f in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def tracked_files() -> list[Path]:
    """Return the files under version control, or skip where the tests run outside a checkout."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("needs a git checkout")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_by("import napari_lesion_points").isdisjoint(HEAVY)


def test_fit_gaussians_is_public_and_needs_neither_torch_nor_qt() -> None:
    assert loaded_by("from napari_lesion_points import fit_gaussians").isdisjoint(HEAVY)


@pytest.mark.parametrize("layer", ["core", "store", "workflow"])
def test_importing_a_whole_layer_loads_neither_torch_nor_a_window(layer: str) -> None:
    names = [name for name in modules_below(layer) if name not in OF_THE_CHILD_PROCESS]
    assert loaded_by("\n".join(f"import {name}" for name in names)).isdisjoint(HEAVY)


def test_importing_the_whole_ui_does_not_load_torch() -> None:
    # What the window imports is what its process holds: torch and the network belong to the job's own process.
    loaded = loaded_by("\n".join(f"import {name}" for name in modules_below("ui")))
    assert "torch" not in loaded
    assert not {name for name in loaded if name.startswith("napari_lesion_points.learn.")}


def test_command_line_starts_without_torch_and_without_a_window() -> None:
    assert loaded_by("import napari_lesion_points.cli").isdisjoint(HEAVY)


def test_only_learn_imports_torch_at_the_top_of_a_module() -> None:
    heavy_at_top = []
    for file in PACKAGE.rglob("*.py"):
        if file.relative_to(PACKAGE).parts[0] == "learn":
            continue
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            heavy_at_top += [f"{file.name}: {name}" for name in names if name.split(".")[0] == "torch"]
    assert heavy_at_top == []


def test_what_is_imported_is_what_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    optional = project["optional-dependencies"]["report"]  # imported where it is installed
    declared = {canonical_name(requirement) for requirement in (*project["dependencies"], *optional)}
    distributions = importlib.metadata.packages_distributions()
    imported = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            imported |= {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) - {PACKAGE.name}

    owners = {name: {canonical_name(owner) for owner in distributions[name]} for name in imported}

    assert {name for name, found in owners.items() if not found & declared} == set(), "imported, not declared"
    assert declared - set.union(*owners.values()) == {"npe2"}, "declared, never imported (npe2 reads the manifest)"


def test_one_version_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    citation = re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert citation is not None
    assert {
        napari_lesion_points.__version__,
        importlib.metadata.version("napari-lesion-points"),
        project["version"],
        citation.group(1),
    } == {napari_lesion_points.__version__}


def test_manifest_is_one_that_napari_accepts() -> None:
    from npe2 import PluginManifest

    manifest = PluginManifest.from_file(PACKAGE / "napari.yaml")
    manifest.validate_imports()  # what `npe2 validate` does: every command's function can be imported

    assert manifest.name == "napari-lesion-points"
    commands = {command.id for command in manifest.contributions.commands or []}
    widgets = manifest.contributions.widgets or []
    assert widgets
    assert {widget.command for widget in widgets} <= commands


def test_napari_finds_the_manifest_through_the_entry_point() -> None:
    from npe2 import PluginManifest

    assert PluginManifest.from_distribution("napari-lesion-points").name == "napari-lesion-points"


def test_the_qt_binding_does_not_lose_references_to_none() -> None:
    # PySide6 6.12.0 on Python 3.11 did, in each call that returns nothing; some viewers later Python aborted.
    from qtpy.QtCore import QObject

    thing = QObject()
    before = sys.getrefcount(None)
    for _ in range(1000):
        thing.setObjectName("name")
    assert sys.getrefcount(None) > before - 500


def test_readme_names_commands_that_exist() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))

    named = set(re.findall(r"\bmake ([a-z]+)\b", "\n".join(code_of(readme))))

    assert {"demo", "test"} <= named <= targets


@pytest.mark.parametrize("document", ["README.md", "docs/user-guide.md"])
def test_documents_name_subcommands_and_options_that_exist(document: str) -> None:
    from typer.main import get_command

    from napari_lesion_points.cli import app

    commands = get_command(app).commands  # type: ignore[attr-defined]
    used = [
        (words[1], [w.split("=")[0] for w in words[2:] if w.startswith("--")])
        for line in code_of((ROOT / document).read_text(encoding="utf-8"))
        if (words := line.split())[:1] == ["lesion-points"] and words[1:2] not in ([], ["--help"], ["COMMAND"])
    ]
    assert used
    for name, options in used:
        assert name in commands, f"{document} tells of lesion-points {name}"
        known = {option for parameter in commands[name].params for option in parameter.opts} | {"--help"}
        assert set(options) <= known, f"{document}: lesion-points {name}"


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_between_documents_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    targets = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [link for link in targets if link and not (ROOT / document).parent.joinpath(link).exists()]
    assert missing == []


def test_no_path_of_a_build_machine_in_tracked_files() -> None:
    # The needles are put together here, so that this file does not hold them itself.
    folders = ("home", "root", "work", "Users", "tmp")
    needle = re.compile(rb"(?<![\w.~$})-])/(?:" + "|".join(folders).encode() + rb")/[\w.]")
    found = [
        f"{file.relative_to(ROOT)}:{number}"
        for file in tracked_files()
        for number, line in enumerate(file.read_bytes().splitlines(), start=1)
        if file.suffix not in {".png", ".gz"} and needle.search(line)
    ]
    assert found == []


def test_shell_scripts_are_executable_and_start_with_their_interpreter() -> None:
    scripts = [file for file in tracked_files() if file.suffix == ".sh" or file.parts[-2:] == (".ci", "run")]
    assert scripts
    for script in scripts:
        assert script.read_text(encoding="utf-8").startswith("#!/usr/bin/env bash\n")
        assert os.name == "nt" or os.access(script, os.X_OK), script


def canonical_name(requirement: str) -> str:
    """Return the normalised distribution name at the start of a requirement."""
    name = re.match(r"[\w.-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name.group()).lower()


def code_of(markdown: str) -> list[str]:
    """Return the lines of all fenced blocks, with continued lines joined, and all inline code."""
    blocks = re.findall(r"^```[a-z]*\n(.*?)^```", markdown, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return lines + re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", markdown, flags=re.MULTILINE | re.DOTALL))

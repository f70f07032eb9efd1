"""The documentation keeps up with the code: generated pages, links, commands."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from docs.generate import FOLDER, PAGES

ROOT = Path(__file__).parents[2]
BY_HAND = {
    "benchmarks.md",
    "element-expressions.md",
    "query-language.md",
}  # the pages of the reference that no code can tell
WRITTEN = sorted(
    p
    for p in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if p.parent != FOLDER or p.name in {*PAGES, *BY_HAND}
)
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize("name", PAGES)
def test_a_generated_page_is_what_the_code_says(name: str) -> None:
    assert (FOLDER / name).read_text(encoding="utf-8") == PAGES[name](), f"{name} is out of date: run 'make docs'"


def test_nothing_else_is_in_the_reference() -> None:
    assert {p.name for p in FOLDER.iterdir()} == {*PAGES, *BY_HAND}


def _anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", _prose(text), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


def _prose(text: str) -> str:
    """The page without its code blocks: what stands in them is no link and no heading."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^()\s]+)\)", _prose(page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / unquote(path)) if path else page
        anchored = anchor and target.suffix == ".md" and target.exists()
        if not target.exists() or (anchored and anchor not in _anchors(target.read_text(encoding="utf-8"))):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))
def test_make_commands_are_targets(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^|`)make ([a-z][a-z-]*)(?= |`|$)", text, re.M))
    assert named <= TARGETS


def test_the_two_commands_of_the_readme_are_real_and_ci_runs_the_second() -> None:
    block = re.search(r"^## Two commands\n+```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.M | re.S)
    assert block is not None
    commands = re.findall(r"^make ([a-z-]+)", block[1], re.M)
    assert commands == ["demo", "test"]
    assert set(commands) <= TARGETS
    assert "exec make test" in (ROOT / ".ci/run").read_text()


NAMED = re.compile(
    r"`((?:catalog|doors|lading|migrations|storage_plugins|transfer)/[\w/.]+\.(?:py|sql))(?:::([\w.]+))?`"
)


@pytest.mark.parametrize("page", WRITTEN, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_that_are_named_exist(page: Path) -> None:
    named = NAMED.findall(page.read_text(encoding="utf-8"))
    assert not [f"{file}::{name}" for file, name in named if not _is_there(ROOT / file, name)]


def _is_there(file: Path, name: str) -> bool:
    """True when the file is there, and defines every part of a dotted name."""
    if not file.exists():
        return False
    source = file.read_text(encoding="utf-8")
    definition = r"^\s*(?:(?:async )?def|class) {0}\b|^\s*{0}\b\s*[:=]"
    return all(re.search(definition.format(part), source, re.M) for part in filter(None, name.split(".")))

"""What the pages of docs/ and the README show is what llamac says.

Fences are held to it: `llamac [NAME] [more]` is a file that `llamac check` must accept (`more`: it
goes on); `python NAME` is a file; `console` is commands and all that they print, in a folder with
those files, examples/ and nothing else. `make docs` writes outputs and printed pages again.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts import error_reference, schema_reference
from tests import warm

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
LINK = re.compile(r"\]\((?!https?:)(?P<path>[^)#\s]*)(?:#(?P<anchor>[^)\s]*))?\)")


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


def folder_with_llamac(folder: Path) -> Path:
    """examples/, a `llamac` of this tree and its Python, as the pages' commands find them."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    python = warm.python()
    tool = folder / ".bin" / "llamac"
    tool.parent.mkdir()
    tool.with_name("python").write_text(f'#!/bin/sh\nexec "{python}" "$@"\n')
    tool.with_name("python").chmod(0o755)
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.executable = {python!r}; "
        "from llamac.cli import main; main()"
    )
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{code}" "$@"\n', encoding="utf-8")
    tool.chmod(0o755)
    return folder


def shell(command: str, folder: Path) -> str:
    """Both outputs of the command; no colour, no language of the machine."""
    path = f"{folder / '.bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={"PATH": path, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "LC_ALL": "C.UTF-8"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return "".join(f"{line.rstrip()}\n" for line in done.stdout.splitlines())


def checked(info: list[str], body: str, folder: Path) -> None:
    """Write the file, and refuse one with an error."""
    more = info[-1:] == ["more"]
    names = info[1:-1] if more else info[1:]
    file = folder / (names[0] if names else "page.llama")
    text = (file.read_text(encoding="utf-8") if more else "") + body
    file.write_text(text, encoding="utf-8")
    said = shell(f"llamac check {file.name}", folder)
    assert said == "1 file: no errors\n", f"{text}\n{said}"


def said_again(page: Path, folder: Path) -> str:
    """The page with every output as it is now."""

    def fence(match: re.Match[str]) -> str:
        info, body = match["info"].split(), match["body"]
        if info[:1] == ["llamac"]:
            checked(info, body, folder)
        if len(info) == 2 and info[0] == "python":
            (folder / info[1]).write_text(body, encoding="utf-8")
        if info != ["console"]:
            return match[0]
        made = "".join(f"$ {c[1]}\n{shell(c[1], folder)}" for c in COMMAND.finditer(body))
        return f"```console\n{made}```"

    return FENCE.sub(fence, page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_snippets_are_right_and_outputs_real(
    page: Path, tmp_path: Path, update_golden: bool
) -> None:
    made = said_again(page, folder_with_llamac(tmp_path))
    if update_golden:
        page.write_text(made, encoding="utf-8")
    assert page.read_text(encoding="utf-8") == made


@pytest.mark.parametrize(
    ("page", "printed"),
    [("schema", schema_reference.page), ("errors", error_reference.page)],
    ids=["schema", "errors"],
)
def test_printed_pages_are_fresh(
    page: str, printed: Callable[[], str], update_golden: bool
) -> None:
    file = ROOT / "docs" / f"{page}.md"
    if update_golden:
        file.write_text(printed(), encoding="utf-8")
    assert file.read_text(encoding="utf-8") == printed()


def anchors(page: Path) -> set[str]:
    """As GitHub makes them of headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.finditer(text):
        target = page.parent / link["path"] if link["path"] else page
        assert target.exists(), link[0]
        if link["anchor"]:
            assert link["anchor"] in anchors(target), link[0]

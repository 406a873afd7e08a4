"""The text for the quickstart: real, plain, the same every time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "gather_text.py"


def gather(folder: Path) -> dict[str, bytes]:
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, capture_output=True)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.py")}


def test_documents_are_plain_text_and_split_without_overlap(tmp_path: Path) -> None:
    texts = gather(tmp_path / "python")
    train = {name.split("/")[1] for name in texts if name.startswith("train/")}
    validation = {name.split("/")[1] for name in texts if name.startswith("validation/")}
    assert not train & validation
    assert len(train) > 10 * len(validation) > 50
    assert all(b"\0" not in text and text.decode() for text in texts.values())
    assert 1_000_000 < sum(map(len, texts.values())) <= 8_000_000
    # A module that every Python has, whole.
    import json.decoder

    assert texts["train/json.decoder.py"] == Path(json.decoder.__file__).read_bytes()


def test_gathering_again_changes_nothing_and_removes_strangers(tmp_path: Path) -> None:
    folder = tmp_path / "python"
    first = gather(folder)
    stamp = {path: path.stat().st_mtime_ns for path in folder.rglob("*.py")}
    (folder / "train" / "stranger.py").write_text("left by an earlier Python")
    assert gather(folder) == first
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.py")} == stamp

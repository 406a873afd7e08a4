"""Trees of files as the tests of the output writer put them."""

from __future__ import annotations

from pathlib import Path

from llamac.output import Edited, Refused, Written, write

SPEC = "0" * 64
FIRST = {
    "train.py": "one\n",
    "model.py": "same\n",
    "launch/local.sh": "echo 1\n",
    "gone/x.py": "x\n",
}
SECOND = {"train.py": "two\n", "model.py": "same\n", "launch/local.sh": "echo 2\n", "new.py": "n\n"}
FOREIGN = {"runs/laptop/metrics.jsonl": "{}\n", "notes.txt": "mine\n", "launch/my.sh": "mine\n"}
EXECUTABLE = ("launch/local.sh",)


def put(target: Path, files: dict[str, str], **options: bool) -> Written | Edited | Refused:
    executable = [name for name in EXECUTABLE if name in files]
    return write(target, files, spec=SPEC, executable=executable, **options)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "MANIFEST.json"
    }


def add_foreign(target: Path) -> None:
    for name, text in FOREIGN.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text)

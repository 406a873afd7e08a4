"""Gathers real text without a download: the sources of Python's own standard library.

Writes `data/python/train/` and `data/python/validation/`, one file per document, from the Python
that runs this script. The choice depends on names and contents only, so the same Python gathers the
same text everywhere; running it again changes nothing.

    python scripts/gather_text.py [FOLDER]
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

LARGEST_TOTAL = 8_000_000  # bytes of text in all
LARGEST_DOCUMENT = 200_000  # bytes; what is larger is mostly tables
SMALLEST_DOCUMENT = 500  # bytes
VALIDATION_EVERY = 20  # about one document in 20 is held back

# Not library text: what pip installed, test suites (large literals), generated tables, data.
LEFT_OUT = frozenset(
    {
        "__pycache__",
        "site-packages",
        "dist-packages",
        "test",
        "tests",
        "idle_test",
        "idlelib",
        "lib2to3",
        "turtledemo",
        "ensurepip",
        "encodings",
        "pydoc_data",
    }
)


def library_files(library: Path) -> Iterator[Path]:
    """The standard library's `.py` files, relative to `library`, in an order of names alone."""
    for path in sorted(library.rglob("*.py"), key=lambda p: p.relative_to(library).as_posix()):
        relative = path.relative_to(library)
        if not LEFT_OUT.intersection(relative.parts[:-1]) and path.is_file():
            yield relative


def document_text(content: bytes) -> bytes | None:
    """The document, or None where the file is not plain UTF-8 text of a useful size.

    Byte 0 separates documents in a compiled program's data, so no document may hold one.
    """
    if not SMALLEST_DOCUMENT <= len(content) <= LARGEST_DOCUMENT or b"\0" in content:
        return None
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return None
    return content


def is_validation(name: str) -> bool:
    """A property of the name, so that adding a document moves no other."""
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8], "big") % VALIDATION_EVERY == 0


def choose(library: Path) -> dict[str, bytes]:
    """Documents by `split/name`, at most LARGEST_TOTAL bytes.

    Where the library holds more, documents come in the order of their names' hashes, so that the
    cut falls evenly over all of it.
    """
    texts: dict[str, bytes] = {}
    total = 0
    names = [path.as_posix() for path in library_files(library)]
    for name in sorted(names, key=lambda n: hashlib.sha256(n.encode()).digest()[8:]):
        text = document_text((library / name).read_bytes())
        if text is None or total + len(text) > LARGEST_TOTAL:
            continue
        total += len(text)
        split = "validation" if is_validation(name) else "train"
        texts[f"{split}/{name.replace('/', '.')}"] = text
    return texts


def write(folder: Path, texts: dict[str, bytes]) -> None:
    """Make `folder` hold these documents and no others of an earlier gathering."""
    for split in ("train", "validation"):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for old in (folder / split).glob("*.py"):
            if f"{split}/{old.name}" not in texts:
                old.unlink()
    for name, text in texts.items():
        target = folder / name
        if not target.is_file() or target.read_bytes() != text:
            target.write_bytes(text)


def unigram_entropy(text: bytes) -> float:
    """Nats a byte when each is guessed by its frequency alone: what a model must beat."""
    counts = Counter(text).values()
    return -sum(n / len(text) * math.log(n / len(text)) for n in counts)


def main() -> int:
    parser = argparse.ArgumentParser(description="gather the standard library's sources as text")
    parser.add_argument("folder", nargs="?", type=Path, default=Path("data/python"))
    folder: Path = parser.parse_args().folder
    texts = choose(Path(sysconfig.get_paths()["stdlib"]))
    write(folder, texts)
    for split in ("train", "validation"):
        chosen = [text for name, text in texts.items() if name.startswith(f"{split}/")]
        if not chosen:
            print(f"{folder}: this Python ships too little source text", file=sys.stderr)
            return 1
        entropy = unigram_entropy(b"\0".join(chosen))
        print(
            f"{folder / split}: {len(chosen)} documents, {sum(map(len, chosen)):,} bytes, "
            f"unigram entropy {entropy:.3f} nats"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())

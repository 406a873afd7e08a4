"""What the tests of data that cannot be used share: specs, and what is said of them."""

from __future__ import annotations

from pathlib import Path

from tests.prepare.calling import Prepare
from tests.prepare.corpora import END

TRAIN = Path("prepared/main/train")
JSONL = 'jsonl { train = "web.jsonl" }'
TOKENIZED = f'jsonl {{ train = "web.jsonl", tokenizer = "tokenizer.json", separator = "{END}" }}'
GOOD = b'{"text": "good"}\n'


def said(prepare: Prepare, data: str, *arguments: str, vocab: int = 512) -> str:
    """What is said of data that cannot be used."""
    result = prepare(data, *arguments, vocab=vocab)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert not (TRAIN / "index.json").exists()
    return result.stderr


def place(data: str, row: str = "train") -> str:
    """Where the value of `row` stands in the spec, whose line 13 has the data."""
    column = len("  data = ") + data.index(f"{row} = ") + len(f"{row} = ") + 1
    return f"--> run.llama:13:{column}\n"


def cut_off(path: Path, end: int) -> None:
    path.write_bytes(path.read_bytes()[:end])

"""index.json of a folder of shards: all that a program needs to know of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from compiler.data import SHARDS_FORMAT, sources_of
from compiler.schema.train import Data
from dsl.canonical import to_json
from llamac.prepare.shard import Record, Task, record_path, replacing
from llamac.prepare.sources import INDEX, Source, read_index
from llamac.prepare.unit import WrongData

KEYS = ("file", "dtype", "tokens", "documents", "largest", "sha256")
"""Of a shard."""


def data_hash(data: Data) -> str:
    """Of what a spec says of its data, as far as it decides about the shards."""
    corpora = {name: to_json(corpus) for name, corpus in sources_of(data).items()}
    return hashlib.sha256(json.dumps(corpora).encode()).hexdigest()


def is_of(folder: Path, data: Data) -> bool:
    """Whether the folder was prepared for this data, by what its index says."""
    try:
        return read_index(folder).get("data") == data_hash(data)
    except (OSError, WrongData):
        return False


def write_index(
    folder: Path,
    data: Data,
    sources: Sequence[Source],
    records: Mapping[str, Sequence[Record]],
) -> None:
    """One line a shard; `sources` has the first token and the number of tokens of each."""
    every = [record for source in sources for record in records[source.name]]
    ranges: dict[str, tuple[int, int]] = {}
    for source in sources:
        first = sum(count for _, count in ranges.values())
        ranges[source.name] = first, sum(record.tokens for record in records[source.name])
    made_with = {source.tokenizer for source in sources if source.tokenizer is not None}
    head: dict[str, object] = {
        "format": SHARDS_FORMAT,
        "data": data_hash(data),
        "tokenizer": min(made_with, default=None),
        "separator": sources[0].separator,
        "largest": max((record.largest for record in every), default=0),
        "tokens": sum(record.tokens for record in every),
        "documents": sum(record.documents for record in every),
        "sources": ranges,
    }
    shards = [json.dumps({key: getattr(record, key) for key in KEYS}) for record in every]
    lines = [
        "{",
        *(f'  "{key}": {json.dumps(value)},' for key, value in head.items()),
        '  "shards": [',
        ",\n".join(f"    {shard}" for shard in shards),
        "  ]",
        "}",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / INDEX) as file:
        file.write("\n".join([*lines, ""]).encode())


def remove_others(folder: Path, tasks: Sequence[Task]) -> None:
    """What earlier preparations left: shards with a record that are no longer asked for, and
    what was being written when a process was killed."""
    asked = {record_path(task) for task in tasks}
    for record in folder.glob("*-[0-9][0-9][0-9][0-9][0-9].json"):
        if record not in asked:
            record.with_suffix(".bin").unlink(missing_ok=True)
            record.unlink()
    for left in folder.glob("*.partial"):
        left.unlink()

"""What the tests of `llamac prepare` share: specs, corpora of every format, and shards read back.

Files are written by the standard library, numpy, pyarrow and tokenizers, and shards are read by
numpy: nothing here is of the code under test.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import lzma
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy
import pyarrow as pa
import pyarrow.parquet
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

END = "<|end|>"
"""Ends a document of the small tokenizer."""

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": gzip.compress,
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": lambda raw: pa.Codec("zstd").compress(raw, asbytes=True),
    "lz4": lambda raw: pa.Codec("lz4").compress(raw, asbytes=True),
}
"""End of a name -> what compresses a file so."""


def spec(data: str, vocab: int = 256, seq_len: int = 1) -> str:
    """A spec whose only plan, `main`, reads `data`."""
    return f"""
model small {{
  vocab = {vocab}, d_model = 16, layers = 1
  layer {{
    attention = gqa {{ heads = 4, kv_heads = 2, rope = rope {{ theta = 10_000 }} }}
    ffn       = swiglu(24)
  }}
}}
cluster here {{ node = cpu {{ devices = 1 }} }}
train short {{
  steps = 1, seq_len = {seq_len}, global_batch = 1 sequences
  optimizer = adamw {{ lr = 1e-2 }}
  data = {data}
}}
plan main {{ model = small, cluster = here, train = short }}
"""


@dataclass(frozen=True)
class Prepared:
    """A folder of shards: the tokens of each and their dtypes, what index.json says, and where in
    it the tokens of each source begin and how many there are."""

    index: dict[str, object]
    shards: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    sources: dict[str, list[int]]

    @property
    def tokens(self) -> list[int]:
        return [token for shard in self.shards for token in shard]


def read(folder: Path) -> Prepared:
    """Its shards, after what the index says of each was compared with its bytes."""
    index = json.loads((folder / "index.json").read_bytes())
    shards: list[tuple[int, ...]] = []
    for entry in index["shards"]:
        raw = (folder / entry["file"]).read_bytes()
        tokens = numpy.frombuffer(raw, numpy.dtype(entry["dtype"]).newbyteorder("<")).tolist()
        assert entry["tokens"] == len(tokens)
        assert entry["largest"] == max(tokens, default=0)
        assert entry["sha256"] == hashlib.sha256(raw).hexdigest()
        shards.append(tuple(tokens))
    every = [token for shard in shards for token in shard]
    assert (index["tokens"], index["largest"]) == (len(every), max(every, default=0))
    assert index["documents"] == sum(entry["documents"] for entry in index["shards"])
    assert sum(count for _, count in index["sources"].values()) == len(every)
    dtypes = tuple(entry["dtype"] for entry in index["shards"])
    return Prepared(index, tuple(shards), dtypes, index["sources"])


def contents(folder: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


def as_bytes(documents: Iterable[str]) -> list[int]:
    """The documents as bytes, byte 0 after each."""
    return [byte for document in documents for byte in (*document.encode(), 0)]


def as_tokens(tokenizer: Tokenizer, documents: Iterable[str], separator: str = END) -> list[int]:
    """What the library makes of the documents, one by one, its token for `separator` after each."""
    end = tokenizer.token_to_id(separator)
    encoded = (tokenizer.encode(document, add_special_tokens=False) for document in documents)
    return [token for document in encoded for token in (*document.ids, end)]


def small_tokenizer(path: Path, seed: str = "", size: int = 300) -> Tokenizer:
    """A BPE of all bytes, some pairs and END, in `path`; another `seed` makes another."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=[END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([f"the cat and the hat {seed} in the rain again"] * 9, trainer)
    tokenizer.save(str(path))
    tokenizer.encode_special_tokens = True  # END within a text is text
    return tokenizer


def write_lines(path: Path, records: Iterable[object]) -> None:
    """JSON lines, packed where the name says so."""
    text = "".join(f"{json.dumps(record)}\n" for record in records).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def texts(documents: Iterable[str]) -> list[dict[str, str]]:
    return [{"text": document} for document in documents]


def write_parquet(path: Path, documents: Sequence[str], rows_of_group: int = 1000) -> None:
    columns = {"number": [*range(len(documents))], "text": pa.array(documents, pa.string())}
    pyarrow.parquet.write_table(pa.table(columns), path, row_group_size=rows_of_group)


def write_dataset(folder: Path, files: Sequence[Sequence[str]], rows_of_batch: int = 3) -> None:
    """As `Dataset.save_to_disk` leaves it: Arrow streams, listed by state.json."""
    folder.mkdir(parents=True)
    names = [f"data-{number:05}-of-{len(files):05}.arrow" for number in range(len(files))]
    for name, documents in zip(names, files, strict=True):
        table = pa.table({"text": pa.array(documents, pa.string())})
        with pa.OSFile(str(folder / name), "wb") as sink:
            writer = pa.ipc.new_stream(sink, table.schema)
            writer.write_table(table, max_chunksize=rows_of_batch)
            writer.close()
    state = {
        "_data_files": [{"filename": name} for name in names],
        "_fingerprint": "0123456789abcdef",
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": "train",
    }
    (folder / "state.json").write_text(json.dumps(state, indent=2))
    (folder / "dataset_info.json").write_text("{}")


def write_pair(name: Path, documents: Sequence[Sequence[int]], code: int) -> None:
    """NAME.bin and NAME.idx as Megatron-LM's indexed_dataset.py lays them out."""
    dtype = numpy.dtype({4: "<i4", 8: "<u2"}[code])
    arrays = [numpy.array(document, dtype) for document in documents]
    Path(f"{name}.bin").write_bytes(b"".join(array.tobytes() for array in arrays))
    lengths = numpy.array([len(array) for array in arrays], "<i4")
    addresses = numpy.cumsum([0, *(array.nbytes for array in arrays)])[:-1].astype("<i8")
    borders = numpy.arange(len(arrays) + 1, dtype="<i8")
    head = struct.pack("<9sQBQQ", b"MMIDIDX\0\0", 1, code, len(arrays), len(borders))
    Path(f"{name}.idx").write_bytes(
        head + lengths.tobytes() + addresses.tobytes() + borders.tobytes()
    )

"""The tokenizer of an export: files that `AutoTokenizer` takes as they are, and the numbers of the
tokens that begin, end and pad a text. Imports no torch.

A `tokenizer.json` alone does not say which of its tokens ends a text, so `generate` would run past
the end. `tokenizer_config.json` says it, and names the class that reads the file as it is: the
class that a `model_type` implies may rebuild parts of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from compiler.data import BYTE_SEPARATOR, places_of, separator_of, sources_of
from compiler.schema import PlanSpec
from compiler.schema.train import Documents, TextData
from llamac.prepare.sources import read_index
from llamac.prepare.unit import WrongData

TOKENIZER, CONFIG, MAP = "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"
OTHERS = (
    *("tokenizer.model", "vocab.json", "merges.txt", "added_tokens.json", "chat_template.jinja"),
)
"""What else a tokenizer's folder may hold; copied as it is."""
CLASS = "PreTrainedTokenizerFast"
"""Reads a tokenizer.json as it is, in transformers 4 and 5."""
BYTE_END = "<|end|>"
"""How the tokenizer of bytes spells byte 0, which ends a document and is in no text."""


class NoTokenizer(Exception):
    """The tokenizer cannot be exported; the message says why."""


@dataclass(frozen=True)
class Ends:
    """Numbers of the tokens that begin, end and pad a text; None where nothing says."""

    bos: int | None = None
    eos: int | None = None
    pad: int | None = None

    def as_json(self) -> dict[str, int | None]:
        return {"bos_token_id": self.bos, "eos_token_id": self.eos, "pad_token_id": self.pad}


@dataclass(frozen=True)
class ExportedTokenizer:
    """Name of a file -> its content; and what goes into config.json."""

    files: Mapping[str, bytes]
    ends: Ends


def export_tokenizer(
    name: str, plan: PlanSpec, longest: int, given: Path | None = None
) -> ExportedTokenizer:
    """The tokenizer of the plan called `name`: that at `given`, a file or a folder; or that of its
    data; or the one of bytes. Where the data are tokens already, there is none, and only their end
    is known. Raises NoTokenizer, OSError."""
    source = next(iter(sources_of(plan.train.data).values()))
    path, spelled = given, None
    if isinstance(source, Documents) and source.tokenizer is not None:
        path, spelled = given or Path(source.tokenizer), source.separator
    number = separator_of(source) if spelled is None else None
    if number is None and spelled is None:
        number = _read_prepared_separator(name, plan)
    if path is None:
        made = isinstance(source, TextData) and plan.model.vocab > max(_byte_vocab().values())
        return _of_bytes(longest) if made else ExportedTokenizer({}, Ends(eos=number))
    return _read(path, spelled, number, longest)


def _read_prepared_separator(name: str, plan: PlanSpec) -> int | None:
    """The one that the index of prepared shards has, if they are here."""
    try:
        found = read_index(Path(places_of(name, plan).train)).get("separator")
    except (OSError, WrongData):
        return None
    return found if isinstance(found, int) else None


def _read(path: Path, spelled: str | None, number: int | None, longest: int) -> ExportedTokenizer:
    """`spelled` is how the data call the end of a document, `number` its number: one is known."""
    folder = path if path.is_dir() else path.parent
    file = path / TOKENIZER if path.is_dir() else path
    whole = file.name == TOKENIZER  # what lies beside it belongs to it
    files = {one: (folder / one).read_bytes() for one in OTHERS if whole and _has(folder, one)}
    config = _object(folder / CONFIG) if whole and _has(folder, CONFIG) else {}
    if not file.is_file():  # of another kind: its own files say how it spells the end
        if _has(folder, CONFIG):
            files[CONFIG] = (folder / CONFIG).read_bytes()
        return ExportedTokenizer(files, Ends(eos=number))
    tokenizer = _object(file)
    vocabulary = dict(_tokens(tokenizer, file))
    if spelled is not None and spelled not in vocabulary:
        raise NoTokenizer(f"{file}: no token `{spelled}`, which ends a document of the data")
    eos = number if spelled is None else vocabulary[spelled]
    end = spelled or next((text for text, one in vocabulary.items() if one == eos), None)
    ends = Ends(
        bos=vocabulary.get(_content(config.get("bos_token"))),
        eos=eos,
        pad=vocabulary.get(_content(config.get("pad_token"))),
    )
    decoder = _decoder(tokenizer)
    files[TOKENIZER] = _json({**tokenizer, "decoder": decoder}) if decoder else file.read_bytes()
    files[CONFIG] = _json({**_config(longest, end), **config, **_ending(end)})
    if whole and _has(folder, MAP):
        files[MAP] = _json({**_object(folder / MAP), **_ending(end)})
    return ExportedTokenizer(files, ends)


def _decoder(tokenizer: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What undoes the pre-tokenizer, where the file says nothing: encoding needs no decoder, so
    tokenizers are trained without one, and then print their spaces as `Ġ` or `▁`."""
    if tokenizer.get("decoder") is not None:
        return None
    if tokenizer["model"].get("type") == "WordPiece":
        prefix = tokenizer["model"].get("continuing_subword_prefix", "##")
        return {"type": "WordPiece", "prefix": prefix, "cleanup": False}
    first = cast(dict[str, Any], tokenizer.get("pre_tokenizer") or {})
    steps = cast(list[dict[str, Any]], first.get("pretokenizers") or [first])
    return next((step for step in steps if step.get("type") in ("ByteLevel", "Metaspace")), None)


def _config(longest: int, end: str | None) -> dict[str, object]:
    """tokenizer_config.json, where the tokenizer has none."""
    return {
        "tokenizer_class": CLASS,
        "model_max_length": longest,
        "clean_up_tokenization_spaces": False,
        **_ending(end),
    }


def _ending(end: str | None) -> dict[str, object]:
    return {} if end is None else {"eos_token": end}


def _has(folder: Path, name: str) -> bool:
    return (folder / name).is_file()


def _content(token: object) -> str:
    """The text of a token, which is written alone or with its flags."""
    if isinstance(token, dict):
        return str(cast(dict[str, object], token).get("content", ""))
    return token if isinstance(token, str) else ""


def _tokens(tokenizer: Mapping[str, Any], file: Path) -> Iterator[tuple[str, int]]:
    """Every token and its number, those that were added last: they win."""
    try:
        vocab = tokenizer["model"]["vocab"]
        if isinstance(vocab, dict):
            yield from cast(dict[str, int], vocab).items()
        else:  # Unigram: pairs of a piece and its score
            yield from ((piece, number) for number, (piece, _) in enumerate(vocab))
        for token in tokenizer.get("added_tokens") or ():
            yield token["content"], token["id"]
    except (KeyError, TypeError, ValueError) as error:
        raise NoTokenizer(f"{file}: not a tokenizer.json") from error


def _object(file: Path) -> dict[str, Any]:
    try:
        found: object = json.loads(file.read_bytes())
    except ValueError as error:
        raise NoTokenizer(f"{file}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise NoTokenizer(f"{file}: an object is needed")
    return cast(dict[str, Any], found)


def _json(content: Mapping[str, object]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _byte_vocab() -> dict[str, int]:
    """Token -> byte. The pre-tokenizer ByteLevel spells a byte as one character: printable ones of
    Latin-1 as they are, the others as characters from U+0100 on, in order (GPT-2's table)."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = [byte for byte in range(256) if byte not in printable]
    spelled = {chr(byte): byte for byte in printable}
    spelled |= {chr(256 + place): byte for place, byte in enumerate(others)}
    vocab = {text: byte for text, byte in spelled.items() if byte != BYTE_SEPARATOR}
    return {BYTE_END: BYTE_SEPARATOR, **dict(sorted(vocab.items(), key=lambda pair: pair[1]))}


def _of_bytes(longest: int) -> ExportedTokenizer:
    """Text without a tokenizer is read as bytes; a BPE of single bytes that merges none does it."""
    plain = {"add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    end = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    tokenizer: dict[str, object] = {
        "version": "1.0",
        "added_tokens": [{"id": BYTE_SEPARATOR, "content": BYTE_END, **end, "special": True}],
        "pre_tokenizer": {"type": "ByteLevel", **plain},
        "decoder": {"type": "ByteLevel", **plain},
        "model": {"type": "BPE", "vocab": _byte_vocab(), "merges": []},
    }
    files = {TOKENIZER: _json(tokenizer), CONFIG: _json(_config(longest, BYTE_END))}
    return ExportedTokenizer(files, Ends(eos=BYTE_SEPARATOR))

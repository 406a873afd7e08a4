"""A document as tokens: its bytes, or what a tokenizer makes of it."""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, assert_never, cast

from compiler.data import BYTE_SEPARATOR
from llamac.prepare.unit import MissingLibrary, WrongData, listed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Dtype = Literal["uint8", "uint16", "uint32"]
WIDTHS: dict[Dtype, int] = {"uint8": 1, "uint16": 2, "uint32": 4}


def numbers(dtype: Dtype) -> array[int]:
    """An empty array of them."""
    match dtype:
        case "uint8":
            return array("B")
        case "uint16":
            return array("H")
        case "uint32":
            return array("I")
        case _:
            assert_never(dtype)


@dataclass(frozen=True)
class Encoding:
    """How documents become tokens; names everything that decides about them.

    tokenizer   the file; None: one token per byte
    sha256      of the file; "bytes" without one
    size        tokens that may occur are below it
    separator   the token that ends a document
    end         how the tokenizer spells it
    """

    tokenizer: Path | None
    sha256: str
    size: int
    separator: int
    end: str = ""

    @property
    def dtype(self) -> Dtype:
        """The narrowest."""
        return "uint8" if self.size <= 2**8 else "uint16" if self.size <= 2**16 else "uint32"

    def encode(self, document: bytes) -> array[int]:
        """Its tokens and the separator, which occurs nowhere before.

        Raises UnicodeDecodeError where a tokenizer meets bytes that are not UTF-8, Unencodable
        where the tokenizer has no token for a text, or only the separator.
        """
        tokens = numbers(self.dtype)
        if self.tokenizer is None:
            tokens.frombytes(document)
        else:
            tokens.extend(_ids(_load(self.tokenizer, self.sha256, self.end), document.decode()))
        if self.separator in tokens:
            raise Unencodable(self._ends_early(document))
        tokens.append(self.separator)
        return tokens

    def _ends_early(self, document: bytes) -> str:
        ends = f"token {self.separator:,}, which ends a document"
        if self.tokenizer is None:
            return f"the text holds byte {self.separator} at offset {document.index(0):,}: {ends}"
        return f"the tokenizer makes {ends}, of a part of the text"


class Unencodable(Exception):
    """No tokens represent a text; `args` say why."""


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    try:
        # "Fast" leaves out offsets, which nobody reads here and which a long text has many of.
        return tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
    except Exception as error:
        if type(error) is not Exception:  # the library has no type of its own
            raise
        raise Unencodable(f"the tokenizer does not cover it: {error}") from error


BYTES = Encoding(None, "bytes", 256, BYTE_SEPARATOR)


def encoding(tokenizer: Path, separator: str) -> Encoding:
    """That of a `tokenizer.json`, of which `separator` is a token."""
    digest = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    loaded = _load(tokenizer, digest, None)
    token = loaded.token_to_id(separator)
    if token is None:
        special = sorted({str(t.content) for t in loaded.get_added_tokens_decoder().values()})
        help = f"its special tokens are {listed(special)}"
        raise WrongData(tokenizer, "", f"no token `{separator}`", help if special else "")
    ids = loaded.get_vocab(with_added_tokens=True).values()
    return Encoding(tokenizer, digest, max(ids) + 1, token, separator)


@cache
def _load(path: Path, _sha256: str, separator: str | None) -> Tokenizer:
    """Once for each content. With a separator, no text becomes it or a special token."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # every process has its own documents
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise MissingLibrary("tokenizers", "tokenizers of any model") from None
    text = path.read_bytes()
    try:
        loaded = Tokenizer.from_buffer(text if separator is None else _hide(text, separator))
    except ValueError as error:  # a plain Exception up to tokenizers 0.20
        raise WrongData(path, "", f"not a tokenizer.json: {error}") from None
    loaded.encode_special_tokens = True
    loaded.no_truncation()
    loaded.no_padding()
    return loaded


HIDDEN = "\U0010fffe"
"""Put before a token to hide it. Text does not hold this code point: it is a noncharacter."""


def _hide(text: bytes, separator: str) -> bytes:
    """A tokenizer.json in which no text spells the separator or a special token, and every token
    keeps its number.

    `encode_special_tokens` alone is not enough. It does nothing for an added token without the
    flag `special`, nor for a token that is in the model's own vocabulary as well: models converted
    from SentencePiece have `</s>` there.
    """
    tokenizer: dict[str, Any] = json.loads(text)
    model: dict[str, Any] = tokenizer["model"]
    added: list[dict[str, Any]] = tokenizer.get("added_tokens") or []
    names: set[str] = {separator, *(token["content"] for token in added if token["special"])}
    names -= {model.get("unk_token")}  # which the model looks up by its name

    def renamed(token: str) -> str:
        return HIDDEN + token if token in names else token

    vocab = model["vocab"]
    if isinstance(vocab, dict):
        entries = cast(dict[str, int], vocab).items()
        model["vocab"] = {renamed(token): number for token, number in entries}
    else:  # Unigram: pairs of a piece and its score
        model["vocab"] = [[renamed(piece), score] for piece, score in vocab]
    if "merges" in model:
        prefix = model.get("continuing_subword_prefix") or ""
        model["merges"] = [m for m in model["merges"] if names.isdisjoint(_spelled(m, prefix))]
    tokenizer["added_tokens"] = [
        {**token, "content": renamed(token["content"]), "special": True}
        if token["content"] in names
        else token
        for token in added
    ]
    return json.dumps(tokenizer).encode()


def _spelled(merge: str | list[str], prefix: str) -> tuple[str, str, str]:
    """Both parts of a merge of BPE, and what it makes of them."""
    left, right = merge.split(" ", 1) if isinstance(merge, str) else merge
    return left, right, left + right.removeprefix(prefix)

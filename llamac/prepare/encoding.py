"""A document as tokens: its bytes, or what a tokenizer makes of it."""

from __future__ import annotations

import hashlib
import os
from array import array
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, assert_never

from compiler.data import BYTE_SEPARATOR
from llamac.prepare.unit import MissingLibrary, WrongData, listed

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Dtype = Literal["uint8", "uint16", "uint32"]
WIDTHS: dict[Dtype, int] = {"uint8": 1, "uint16": 2, "uint32": 4}


def numbers(dtype: Dtype) -> array[int]:
    """An empty row of them."""
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

    tokenizer   the file; None: one token a byte
    sha256      of the file; "bytes" without one
    size        tokens that may occur are below it
    separator   the token that ends a document
    """

    tokenizer: Path | None
    sha256: str
    size: int
    separator: int

    @property
    def dtype(self) -> Dtype:
        """The narrowest."""
        return "uint8" if self.size <= 2**8 else "uint16" if self.size <= 2**16 else "uint32"

    def encode(self, document: bytes) -> array[int]:
        """Its tokens and the separator. UnicodeDecodeError where a tokenizer meets no UTF-8,
        NoTokens where it has no token for a text."""
        tokens = numbers(self.dtype)
        if self.tokenizer is None:
            tokens.frombytes(document)
        else:
            tokens.extend(_ids(_load(self.tokenizer, self.sha256), document.decode()))
        tokens.append(self.separator)
        return tokens


class NoTokens(Exception):
    """The tokenizer's vocabulary does not cover a text; `args` are what it says."""


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    try:
        return tokenizer.encode(text, add_special_tokens=False).ids
    except Exception as error:
        if type(error) is not Exception:  # the library has no type of its own
            raise
        raise NoTokens(f"{error}") from error


BYTES = Encoding(None, "bytes", 256, BYTE_SEPARATOR)


def encoding(tokenizer: Path, separator: str) -> Encoding:
    """That of a `tokenizer.json`, of which `separator` is a token."""
    digest = hashlib.sha256(tokenizer.read_bytes()).hexdigest()
    loaded = _load(tokenizer, digest)
    token = loaded.token_to_id(separator)
    if token is None:
        special = sorted({str(t.content) for t in loaded.get_added_tokens_decoder().values()})
        help = f"its special tokens are {listed(special)}"
        raise WrongData(tokenizer, "", f"no token `{separator}`", help if special else "")
    ids = loaded.get_vocab(with_added_tokens=True).values()
    return Encoding(tokenizer, digest, max(ids) + 1, token)


@cache
def _load(path: Path, _sha256: str) -> Tokenizer:
    """Once for each content. Special tokens that stand in a text are taken for text: a document
    cannot end itself."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"  # every process has its own documents
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise MissingLibrary("tokenizers", "tokenizers of any model") from None
    text = path.read_bytes()
    try:
        loaded = Tokenizer.from_buffer(text)
    except ValueError as error:  # a plain Exception up to tokenizers 0.20
        raise WrongData(path, "", f"not a tokenizer.json: {error}") from None
    loaded.encode_special_tokens = True
    loaded.no_truncation()
    loaded.no_padding()
    return loaded

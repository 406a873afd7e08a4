"""Data that cannot be used, or that is probably not what its fields say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dsl.diagnostics import Label, Problem, Severity
from dsl.source import Span


@dataclass(frozen=True, kw_only=True)
class UnusableData(Problem):
    """A file that the spec names is missing, damaged, or not in the format that the spec says.
    Nothing is skipped silently, because nobody would notice later that data was not trained on.
    Shards that `llamac prepare` has finished are kept.
    """

    slug = "unusable-data"
    title: ClassVar[str] = "`{place}` cannot be used"
    label: ClassVar[str] = "{why}"

    place: str
    why: str
    help: str = ""

    def helps(self) -> tuple[str, ...]:
        return (self.help,) if self.help else ()


@dataclass(frozen=True, kw_only=True)
class DoubtfulSeparator(Problem):
    """A file of tokens does not look as if `separator` ended its documents. With
    `packing = documents`, attention and targets would be cut at every one of these tokens, or, if
    there is none, never be cut at all.

    Write the token that ends a document. If the one in force is right, write it out: that silences
    the warning, unless the files do not hold it at all.
    """

    slug = "doubtful-separator"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "`{file}` does not end with its separator, token {separator:,}"
    label: ClassVar[str] = "it is {count:,} of the first {sampled:,} tokens"

    file: str
    separator: int
    count: int
    sampled: int
    last: int
    last_count: int
    narrower: bool

    def notes(self) -> tuple[str, ...]:
        return (
            f"the file ends with token {self.last:,}, which is {self.last_count:,} of these tokens",
        )

    def helps(self) -> tuple[str, ...]:
        return (
            *(("if a token takes 2 bytes, write `dtype = uint16`",) if self.narrower else ()),
            *((f"write `separator = {self.last}`",) if self.last_count > 1 else ()),
            f"if it is right, write `separator = {self.separator}`"
            if self.count
            else "if nothing separates documents, write `packing = concatenate`",
        )


@dataclass(frozen=True, kw_only=True)
class DoubtfulWidth(Problem):
    """Every second token of a file is 0. Numbers that are read at half their width look like this,
    such as uint32 read as uint16, or int64 read as uint32.
    """

    slug = "doubtful-width"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "every second token of `{file}` is 0"
    label: ClassVar[str] = "numbers of twice the width of {dtype} look like this"

    file: str
    dtype: str
    help: str

    def helps(self) -> tuple[str, ...]:
        return (self.help,)


@dataclass(frozen=True, kw_only=True)
class DoubtfulText(Problem):
    """Text without a tokenizer is read byte by byte, and byte 0 ends a document. UTF-8 text does
    not contain it; UTF-16 text has it at every second place, and other files have it anywhere.
    """

    slug = "doubtful-text"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "`{file}` contains byte 0, which ends a document"
    label: ClassVar[str] = "{count:,} of its first {sampled:,} bytes"

    file: str
    count: int
    sampled: int

    def helps(self) -> tuple[str, ...]:
        return ("leave out files that are not text; `iconv -t UTF-8` converts other encodings",)


@dataclass(frozen=True, kw_only=True)
class UnreadFiles(Problem):
    """A folder contains files whose name endings the format does not read. They are not trained on.
    Hidden files, checksums and documentation are not counted.
    """

    slug = "unread-files"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "{count:,} files in `{folder}` are not read"
    label: ClassVar[str] = "`{form}` does not read {names}"

    folder: str
    form: str
    count: int
    names: str


@dataclass(frozen=True, kw_only=True)
class TrainedOnValidation(Problem):
    """Files that measure a model must not train it: the validation loss would be too low. A file
    counts once however it is reached: by its folder, by a symbolic link or by a hard link.
    """

    slug = "trained-on-validation"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "{count:,} of {total:,} validation files are trained on too"
    label: ClassVar[str] = "`{file}` is one of them"

    count: int
    total: int
    file: str
    train: str
    train_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        return () if self.train_span is None else (Label(self.train_span, "read here too"),)

    def helps(self) -> tuple[str, ...]:
        return (f"move the validation files out of `{self.train}`",)


@dataclass(frozen=True, kw_only=True)
class ReadTwice(Problem):
    """Two sources of a mixture read the same files, so these are trained on more often than the
    weights say.
    """

    slug = "read-twice"
    severity: ClassVar[Severity] = Severity.WARNING
    title: ClassVar[str] = "{count:,} files of source `{source}` are read by source `{other}` too"
    label: ClassVar[str] = "`{file}` is one of them"

    source: str
    other: str
    count: int
    file: str
    other_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        return () if self.other_span is None else (Label(self.other_span, "and read here"),)


@dataclass(frozen=True, kw_only=True)
class TokenizerTooLarge(Problem):
    """The tokenizer produces tokens for which the model's embedding has no row. `vocab` must be at
    least that of the tokenizer; more rows, to reach a multiple of 128 for example, do no harm.
    """

    slug = "tokenizer-too-large"
    title: ClassVar[str] = "the data has tokens that the model does not have"
    label: ClassVar[str] = "tokens up to {largest:,}, and the vocabulary has {vocab:,}"

    largest: int
    vocab: int
    vocab_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        return (
            () if self.vocab_span is None else (Label(self.vocab_span, f"{self.vocab:,} tokens"),)
        )

    def helps(self) -> tuple[str, ...]:
        return (f"write `vocab = {self.largest + 1}`",)


@dataclass(frozen=True, kw_only=True)
class MixedTokenizers(Problem):
    """A token must mean the same in all sources of a mixture: they must use the same tokenizer, and
    end documents with the same token.
    """

    slug = "mixed-tokenizers"
    title: ClassVar[str] = "the sources of the mixture have different tokens"
    label: ClassVar[str] = "{found}"

    found: str
    expected: str
    other_span: Span | None

    def secondary(self) -> tuple[Label, ...]:
        return () if self.other_span is None else (Label(self.other_span, self.expected),)


@dataclass(frozen=True, kw_only=True)
class TooLittleData(Problem):
    """A sequence is `seq_len` tokens and the token after them. A corpus, and each source of a
    mixture, must contain at least one.
    """

    slug = "too-little-data"
    title: ClassVar[str] = "there is not enough data for one sequence"
    label: ClassVar[str] = "{tokens:,} tokens, but one sequence needs {needed:,}"

    tokens: int
    needed: int


@dataclass(frozen=True, kw_only=True)
class MissingLibrary(Problem):
    """Some formats need packages that llamac does not need otherwise. `llamac[data]` installs all
    of them.
    """

    slug = "missing-library"
    title: ClassVar[str] = "the package `{package}` is not installed"
    label: ClassVar[str] = "it reads {what}"

    what: str
    package: str

    def helps(self) -> tuple[str, ...]:
        return ("install `llamac[data]`",)

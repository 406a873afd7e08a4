"""What names, sizes and first bytes tell of a plan's data, before any of it is read in full.

An error for a file that cannot be what the spec says, a warning for one that probably is not. Data
that is not on this machine is not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from compiler.data import sources_of
from compiler.schema import PlanSpec
from compiler.schema.train import (
    Corpus,
    HfData,
    JsonlData,
    MegatronData,
    ParquetData,
    ShardData,
    TextData,
    TokenData,
)
from dsl.diagnostics import Diagnostic, Problem
from dsl.source import Span
from dsl.spec import OriginKind, Origins
from llamac.prepare.arrow import arrow_files
from llamac.prepare.documents import (
    ENDINGS,
    OTHER_DATA,
    Format,
    format_of,
    some_files,
    unread_files,
)
from llamac.prepare.encoding import Dtype
from llamac.prepare.signatures import kind_of_file
from llamac.prepare.sources import bin_beside, files_of_index, pairs
from llamac.prepare.tokens import look_at_tokens
from llamac.prepare.unit import WrongData, listed
from llamac.problems import data as problems

MOST_FILES = 10_000
"""Files of a folder that are compared with those of another."""

OPENED_FILES = 100
"""Files of a corpus whose first bytes are read."""

SAMPLE_BYTES = 2**16

BESIDES = (".md", ".md5", ".sha1", ".sha256", ".crc", "readme", "license", "notice")
"""Ends of names, in lower case, of files that nobody takes for data."""


@dataclass(frozen=True)
class _Split:
    """A path of the spec: the name of its source, what reads it, and its row."""

    source: str
    corpus: Corpus
    split: str
    path: Path
    row: str
    span: Span | None

    def files(self) -> list[Path]:
        """Those that are read; none where they cannot be listed, which reading them reports."""
        try:
            return _files(self.corpus, self.path)
        except (WrongData, OSError):
            return []


def look(plan: str, spec: PlanSpec, origins: Origins) -> tuple[Diagnostic, ...]:
    """What to say of the data of a plan that is here."""
    splits = [*_splits(plan, spec, origins)]
    found: list[Problem] = []
    for split in splits:
        try:
            found += _look_at(split, plan, spec, origins)
        except WrongData as wrong:
            found.append(_unusable(split, wrong))
        except OSError:
            pass  # reported where it is read
    found += _shared_files(splits)
    return tuple(problem.diagnostic() for problem in found)


def _splits(plan: str, spec: PlanSpec, origins: Origins) -> Iterator[_Split]:
    for name, corpus in sources_of(spec.train.data).items():
        origin = f"train.data.source.{name}.data" if name else "train.data"
        for split, path in (("train", corpus.train), ("validation", corpus.validation)):
            if path:
                row = f"{origin}.{split}"
                yield _Split(name, corpus, split, Path(path), origin, origins.span(plan, row))


def _files(corpus: Corpus, path: Path) -> list[Path]:
    match corpus:
        case JsonlData() | ParquetData():
            return some_files(path, MOST_FILES, *ENDINGS[format_of(corpus)])
        case TextData() | TokenData():
            return some_files(path, MOST_FILES)
        case MegatronData():
            alone = [Path(f"{path}.idx")]
            indexes = some_files(path, MOST_FILES, ".idx") if path.is_dir() else alone
            return [bin_beside(index) for index in indexes]
        case HfData():
            return arrow_files(path)
        case ShardData():
            return files_of_index(path)


def _unusable(split: _Split, wrong: WrongData) -> Problem:
    return problems.UnusableData(
        span=split.span, place=wrong.located, why=wrong.why, help=wrong.help
    )


def _look_at(split: _Split, plan: str, spec: PlanSpec, origins: Origins) -> Iterator[Problem]:
    match split.corpus:
        case TextData(tokenizer=None):
            yield from _look_at_text(split)
        case JsonlData() | ParquetData():
            yield from _look_for_unread(split, format_of(split.corpus))
        case TokenData(dtype=dtype):
            files: list[tuple[Path, Dtype]] = [(file, dtype) for file in split.files()]
            yield from _look_at_tokens(split, split.corpus, files, plan, spec, origins)
        case MegatronData():
            yield from _look_at_tokens(split, split.corpus, pairs(split.path), plan, spec, origins)
        case TextData() | HfData() | ShardData():
            pass


def _look_at_tokens(
    split: _Split,
    corpus: TokenData | MegatronData,
    files: Iterable[tuple[Path, Dtype]],
    plan: str,
    spec: PlanSpec,
    origins: Origins,
) -> Iterator[Problem]:
    """Of the first file that there is something to say of: the others are alike."""
    origin = origins.get(plan, f"{split.row}.separator")
    written = origin is not None and origin.kind is not OriginKind.DEFAULT
    vocab_span = origins.span(plan, "model.vocab")
    for file, dtype in islice(files, OPENED_FILES):
        found = [*look_at_tokens(file, dtype, corpus, spec, split.span, written, vocab_span)]
        yield from found
        if found:
            return


def _look_at_text(split: _Split) -> Iterator[Problem]:
    for file in split.files()[:OPENED_FILES]:
        kind = kind_of_file(file)
        if kind is not None:
            help = "decompress or convert it first"
            raise WrongData(file, "", f"{kind}, not text", help)
        with file.open("rb") as opened:
            sample = opened.read(SAMPLE_BYTES)
        if 0 in sample:
            yield problems.DoubtfulText(
                span=split.span, file=f"{file}", count=sample.count(0), sampled=len(sample)
            )
            return


def _look_for_unread(split: _Split, form: Format) -> Iterator[Problem]:
    unread = [f for f in unread_files(form, split.path, MOST_FILES) if not _is_beside(f)]
    if unread:
        yield problems.UnreadFiles(
            span=split.span,
            folder=f"{split.path}",
            form=form,
            count=len(unread),
            names=listed([f"`{file.relative_to(split.path)}`" for file in unread]),
        )


def _is_beside(file: Path) -> bool:
    """Whether nobody takes it for data; data beyond doubt is refused when it is prepared."""
    name = file.name.lower()
    return name.endswith(BESIDES) or OTHER_DATA.search(name) is not None


def _shared_files(splits: list[_Split]) -> Iterator[Problem]:
    """Validation files that are trained on, and files of two sources of a mixture."""
    training = [split for split in splits if split.split == "train"]
    for split in splits:
        files = split.files()
        others = training if split.split == "validation" else training[: training.index(split)]
        for other in others if files else ():
            shared = _shared(files, split, other)
            if not shared:
                continue
            if split.split == "validation":
                yield problems.TrainedOnValidation(
                    span=split.span,
                    count=len(shared),
                    total=len(files),
                    file=f"{shared[0]}",
                    train=f"{other.path}",
                    train_span=other.span,
                )
            else:
                yield problems.ReadTwice(
                    span=split.span,
                    source=split.source,
                    other=other.source,
                    count=len(shared),
                    file=f"{shared[0]}",
                    other_span=other.span,
                )


def _shared(files: list[Path], split: _Split, other: _Split) -> list[Path]:
    """The files that `other` reads too, under whatever name."""
    same = {_identity(file) for file in other.files()}
    return sorted(file for file in files if _identity(file) in same)


def _identity(file: Path) -> tuple[int, int] | Path:
    """The same for all names and links of a file."""
    try:
        state = file.stat()
    except OSError:
        return file
    return state.st_dev, state.st_ino

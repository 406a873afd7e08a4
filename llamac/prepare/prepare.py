"""All that a plan reads, made into shards: what is to be done, what is done already, the index."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from compiler.data import paths_of, places_of, sources_of
from compiler.schema import PlanSpec
from compiler.schema.train import Corpus, Documents
from dsl.diagnostics import Diagnostic, Problem
from dsl.source import Span
from dsl.spec import Origins
from llamac.prepare.index import is_of, remove_others, write_index
from llamac.prepare.shard import Record, Task, fresh, record_path, size_of
from llamac.prepare.sources import INDEX, Source, read_source
from llamac.prepare.unit import MissingLibrary, WrongData
from llamac.prepare.workers import FailedTask, run
from llamac.problems import data as problems

Tick = Callable[[int], None]
Progress = Callable[[str, int], AbstractContextManager[Tick]]
"""(split, bytes of input) -> a context whose value is called with the bytes read since its last
call."""


@dataclass(frozen=True)
class Split:
    """One folder of shards; `made` of them were not there before."""

    folder: Path
    tokens: int
    documents: int
    shards: int
    made: int


class _Failed(Exception):
    """`args` are the problem."""


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0))


def quiet(_split: str, _size: int) -> AbstractContextManager[Tick]:
    return nullcontext(lambda read: None)


def prepare(
    plan: str,
    spec: PlanSpec,
    origins: Origins,
    folder: Path | None = None,
    *,
    processes: int | None = None,
    thorough: bool = True,
    progress: Progress = quiet,
) -> tuple[Split, ...] | Diagnostic:
    """Shards of everything that the plan reads, in `folder` or where its program looks for them;
    nothing for data that the program reads as it is, if they are there.

    What is there and was made of the same is kept; with `thorough`, once its checksum was compared.
    The bytes of shards and index do not depend on `processes`.
    """
    prepared = places_of(plan, spec).prepared
    job = _Job(plan, spec, origins, processes or cores(), thorough, progress)
    try:
        if prepared is None:
            job.look()
            return ()
        return tuple(job.splits(folder or Path(prepared)))
    except _Failed as failed:
        (problem,) = failed.args
        return problem.diagnostic()


def is_ready(plan: str, spec: PlanSpec) -> bool:
    """Whether nothing can be done: the program reads its data as it is, or it was prepared from
    sources that are not here, such as on another machine."""
    prepared = places_of(plan, spec).prepared
    if prepared is None:
        return True
    if any(os.path.lexists(path) for path in paths_of(spec.train.data)):
        return False
    return is_of(Path(prepared, "train"), spec.train.data)


@dataclass(frozen=True)
class _Job:
    plan: str
    spec: PlanSpec
    origins: Origins
    processes: int
    thorough: bool
    progress: Progress

    def splits(self, folder: Path) -> Iterator[Split]:
        """Training, and validation where any source has some."""
        yield self.split("train", folder / "train")
        if any(c.validation is not None for c in sources_of(self.spec.train.data).values()):
            yield self.split("validation", folder / "validation")

    def split(self, split: str, folder: Path) -> Split:
        sources = [*self.sources(split, folder)]
        self.check(sources)
        with only_one(folder):
            return self.make(split, folder, sources)

    def make(self, split: str, folder: Path, sources: Sequence[Source]) -> Split:
        """What is missing in the folder, and its index."""
        tasks = [task for source in sources for task in source.tasks]
        missing = [task for task in tasks if fresh(task, self.thorough) is None]
        if missing and (folder / INDEX).is_file():
            (folder / INDEX).unlink()  # it would list missing shards
        self.carry_out(split, missing)
        records = {source.name: self.records(source) for source in sources}
        for source in sources:
            self.check_records(source, records[source.name], split)
        write_index(folder, self.spec.train.data, sources, records)
        remove_others(folder, tasks)
        every = [record for found in records.values() for record in found]
        return Split(
            folder,
            sum(record.tokens for record in every),
            sum(record.documents for record in every),
            len(every),
            len(missing),
        )

    def look(self) -> None:
        """Whether what is read as it is can be."""
        for split in ("train", "validation"):
            tuple(self.sources(split, Path()))

    def sources(self, split: str, folder: Path) -> Iterator[Source]:
        for name, corpus in sources_of(self.spec.train.data).items():
            path = corpus.train if split == "train" else corpus.validation
            if not path:  # `--data` names it, when the program is started
                continue
            origin = f"train.data.source.{name}.data" if name else "train.data"
            try:
                yield read_source(name, corpus, Path(path), origin, folder)
            except (WrongData, MissingLibrary, OSError) as problem:
                row = "tokenizer" if _is_of_tokenizer(problem, corpus) else split
                raise self.failed(origin, row, problem) from problem

    def carry_out(self, split: str, tasks: Sequence[Task]) -> None:
        if not tasks:
            return
        try:
            with self.progress(split, sum(size_of(task) for task in tasks)) as tick:
                run(tasks, self.processes, tick)
        except FailedTask as failed:
            if isinstance(failed.problem, OSError):  # in writing: no fault of the data
                raise failed.problem from None
            raise self.failed(failed.task.origin, split, failed.problem) from failed

    def records(self, source: Source) -> tuple[Record, ...]:
        made = [self.record(task) for task in source.tasks]
        return (*made, *source.listed)

    def record(self, task: Task) -> Record:
        record = fresh(task, thorough=False)
        if record is None:
            why = "another process changed it meanwhile; start again"
            raise OSError(errno.EBUSY, why, os.fspath(record_path(task)))
        return record

    def failed(self, origin: str, row: str, problem: Exception) -> _Failed:
        """What to say, at the row that names the file."""
        span = self.origins.span(self.plan, f"{origin}.{row}")
        match problem:
            case WrongData():
                wrong = problems.UnusableData(
                    span=span, place=problem.located, why=problem.why, help=problem.help
                )
                return _Failed(wrong)
            case MissingLibrary(args=(package, what)):
                span = self.origins.span(self.plan, origin)
                return _Failed(problems.MissingLibrary(span=span, what=what, package=package))
            case OSError():
                place, why = f"{problem.filename or row}", problem.strerror or f"{problem}"
                return _Failed(problems.UnusableData(span=span, place=place, why=why))
            case _:
                raise problem

    def check(self, sources: Sequence[Source]) -> None:
        """Tokens that the model has, and that mean the same in every source."""
        vocab = self.spec.model.vocab
        for source in sources:
            span = self.origins.span(self.plan, f"{source.origin}.tokenizer")
            if source.size is not None and source.size > vocab:
                raise _Failed(self.too_large(span, source.size - 1))
        for source in sources[1:]:
            for other in sources[: sources.index(source)]:
                self.check_pair(other, source)

    def too_large(self, span: Span | None, largest: int) -> Problem:
        vocab_span = self.origins.span(self.plan, "model.vocab")
        return problems.TokenizerTooLarge(
            span=span, largest=largest, vocab=self.spec.model.vocab, vocab_span=vocab_span
        )

    def check_pair(self, first: Source, second: Source) -> None:
        known = {first.tokenizer, second.tokenizer} - {None}
        if len(known) < 2 and first.separator == second.separator:
            return
        raise _Failed(
            problems.MixedTokenizers(
                span=self.origins.span(self.plan, second.origin),
                found=_tokens_of(second),
                expected=_tokens_of(first),
                other_span=self.origins.span(self.plan, first.origin),
            )
        )

    def check_records(self, source: Source, records: Sequence[Record], split: str) -> None:
        """What only the tokens themselves tell: whether the model has them, and how many."""
        span = self.origins.span(self.plan, f"{source.origin}.{split}")
        largest = max((record.largest for record in records), default=0)
        if largest >= self.spec.model.vocab:
            raise _Failed(self.too_large(span, largest))
        tokens = sum(record.tokens for record in records)
        needed = 1 + max(phase_lengths(self.spec), default=0)
        if tokens < needed:
            raise _Failed(problems.TooLittleData(span=span, tokens=tokens, needed=needed))


@contextmanager
def only_one(folder: Path) -> Generator[None]:
    """Keeps a second process from preparing the same folder; the system releases the lock of one
    that is killed.

    A file system without locks for folders, such as some of NFS, lets both work: then each shard
    is still whole, and `record` notices one that changed meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            why = "another llamac prepares this folder; wait for it, or choose another with -o"
            raise OSError(errno.EBUSY, why, os.fspath(folder)) from None
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.EBADF, errno.EINVAL):
                raise
        yield
    finally:
        os.close(descriptor)


def _is_of_tokenizer(problem: WrongData | MissingLibrary | OSError, corpus: Corpus) -> bool:
    if not isinstance(corpus, Documents) or corpus.tokenizer is None:
        return False
    match problem:
        case WrongData(file=file) | OSError(filename=str() | Path() as file):
            return Path(file) == Path(corpus.tokenizer)
        case _:
            return False


def phase_lengths(spec: PlanSpec) -> list[int]:
    """Every sequence length of the run."""
    lengths = [spec.train.seq_len, *(phase.seq_len for _, phase in spec.train.phase.items)]
    return [length for length in lengths if length is not None]


def _tokens_of(source: Source) -> str:
    match source.tokenizer:
        case None:
            made = ""
        case "bytes":
            made = "of bytes, "
        case checksum:
            made = f"of tokenizer {checksum[:12]}, "
    return f"tokens {made}and token {source.separator:,} ends a document"

"""Write a program into a directory: wholly or not at all, and never over an edit.

The new tree is built and flushed in a hidden folder beside the target, and changes places with it
in one step; what is not ours is in both trees by then. Interrupted anywhere, the target is wholly
old or wholly new, and the next call removes the hidden folder.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from llamac.output import exchange, manifest, tree
from llamac.output.manifest import EditedFile, Manifest
from llamac.output.scratch import clear_leftovers, scratch_beside

_NO_RENAME = frozenset({errno.EXDEV, errno.EBUSY})


@dataclass(frozen=True)
class Written:
    """`target` holds the program. `changed` is False where it held exactly that before; `backups`
    are the names under which edited files were kept."""

    target: Path
    changed: bool
    backups: tuple[str, ...] = ()


@dataclass(frozen=True)
class Edited:
    """Nothing was written, since these files would have lost what they hold."""

    target: Path
    files: tuple[EditedFile, ...]


@dataclass(frozen=True)
class Refused:
    """Nothing was written: `target` is nothing to write into."""

    target: Path
    reason: str


def write(
    target: Path,
    files: Mapping[str, str],
    *,
    spec: str,
    executable: Collection[str] = (),
    force: bool = False,
) -> Written | Edited | Refused:
    """Make `target` hold exactly `files` and a manifest, beside whatever is not ours.

    files       text by path below `target`
    spec        digest of the canonical spec, for the manifest
    executable  the files that get mode 755 instead of 644
    force       keep an edited file as `NAME.orig` and write all the same
    Raises OSError where the system refuses; the target is then wholly old or wholly new.
    """
    manifest.check_names(files)
    # Links above the target are the user's own way of naming it; the target itself may be none.
    target = Path(os.path.realpath(target.absolute().parent), target.absolute().name)
    reason = _why_not(target, files)
    if reason is not None:
        return Refused(target, reason)
    clear_leftovers(target)
    old = manifest.read(target)
    new = manifest.make(files, spec)
    every = {**files, manifest.NAME: new.text()}
    # A manifest that we can read is ours to replace; anything else of that name is a user's file.
    edits = tuple(manifest.edited(target, old, every if old is None else files))
    if edits and not force:
        return Edited(target, edits)
    if old == new and not edits and _stands(target, files, executable):
        return Written(target, changed=False)
    backups = _backup_names(target, [file.name for file in edits], every)
    try:
        _replace(target, every, executable, old, backups)
    except OSError as error:
        if error.errno not in _NO_RENAME:
            raise
        return Refused(target, _mounted(target, error))
    return Written(target, changed=True, backups=tuple(backups.values()))


def _mounted(target: Path, error: OSError) -> str:
    """What to do where a path cannot be renamed or linked: it is a mount point, lies below one, or
    is a folder of a container's image."""
    path = Path(os.fsdecode(error.filename or target))
    if target in path.parents:
        what = f"`{path.relative_to(target)}` in it lies on another file system"
    else:
        what = "it is a mount point"
    return (
        f"{what}, and a program is put in place by one rename, which cannot cross file systems; "
        f"write to a new folder, such as `{target / 'program'}`"
    )


def _why_not(target: Path, files: Mapping[str, str]) -> str | None:
    """Why `target` is nothing to write into, or None."""
    if target.name in ("", ".."):
        return "it has no name of its own"
    for above in target.parents:
        if above.exists():
            if not above.is_dir():
                return f"{above} is not a directory"
            break
    if target.is_symlink():
        return "it is a symbolic link; name the directory itself"
    if target.exists() and not target.is_dir():
        return "it is not a directory"
    if target in (Path.cwd(), *Path.cwd().parents):
        return "the current directory lies in it, and it is replaced as a whole; go outside first"
    for name in [*files, manifest.NAME]:
        for above in reversed(Path(name).parents[:-1]):
            if os.path.lexists(target / above) and not _is_kind(target / above, stat.S_ISDIR):
                return f"it holds `{above}`, which is not a plain folder"
        if os.path.lexists(target / name) and not _is_kind(target / name, stat.S_ISREG):
            return f"it holds `{name}`, which is not a plain file"
    return None


def _is_kind(path: Path, kind: Callable[[int], bool]) -> bool:
    return kind(os.lstat(path).st_mode)


def _stands(target: Path, files: Mapping[str, str], executable: Collection[str]) -> bool:
    """Whether `target` holds exactly this already."""
    for name, text in files.items():
        if manifest.read_file(target / name) != text.encode():
            return False
        if bool(os.lstat(target / name).st_mode & stat.S_IXUSR) != (name in executable):
            return False
    return True


def _backup_names(target: Path, edited: list[str], taken: Mapping[str, str]) -> dict[str, str]:
    """For every edited file a name that nothing has: `NAME.orig`, `NAME.orig.1`, ..."""
    return {name: _free_name(target, f"{name}.orig", taken) for name in edited}


def _free_name(folder: Path, wanted: str, taken: Collection[str]) -> str:
    name, number = wanted, 0
    while name in taken or os.path.lexists(folder / name):
        number += 1
        name = f"{wanted}.{number}"
    return name


def _replace(
    target: Path,
    files: Mapping[str, str],
    executable: Collection[str],
    old: Manifest | None,
    backups: Mapping[str, str],
) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with scratch_beside(target) as scratch:
        staged, aside = scratch / "new", scratch / "old"
        os.mkdir(staged)
        os.chmod(staged, stat.S_IMODE(os.lstat(target).st_mode) if target.exists() else 0o755)
        tree.write_files(staged, files, executable)
        if not target.exists():
            tree.flush_folders(staged)
            exchange.place(staged, target)
            tree.flush(target.parent)
            return
        ours = _digests(target, old)

        def rename(name: str) -> str | None:
            return backups.get(name) or (None if name in ours or name in files else name)

        carried = tree.carry_over(target, staged, rename)
        tree.flush_folders(staged)
        previous = exchange.swap(staged, target, aside)
        tree.flush(target.parent)

        def spare(name: str) -> str:
            return _free_name(target, f"{name}.orig", ()) if name in files else name

        # The new tree stands. What can't be tidied up now, the next call removes.
        with contextlib.suppress(OSError):
            tree.retire(previous, target, ours, carried, spare)


def _digests(target: Path, old: Manifest | None) -> dict[str, str]:
    """Digests of the files that the manifest in `target` calls ours, itself included."""
    if old is None:
        return {}
    content = manifest.read_file(target / manifest.NAME)
    return {**old.files, manifest.NAME: manifest.digest(content or b"")}

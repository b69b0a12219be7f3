"""Files and folders that are written whole or not at all.

What is written first lies in a scratch folder beside its target, ``.writing-XXXXXXXX``, and is moved to its place in one step. The
writer holds a lock in that folder while it lives. The operating system frees the lock of a writer that was killed, so the next
writer in the same place can tell what is left over, and removes it.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from arlattice.errors import InputError

__all__ = ["LOCK", "folder_lock", "new_folder", "replacing", "replacing_pair", "scratch_folder", "turn", "write_text", "writing"]

_PREFIX = ".writing-"
LOCK = ".lock"
"""Name of the file that the owner of a folder holds locked; it stays, unlocked, when the owner is gone."""


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """A full disk, or a folder that may not be written, becomes an `OSError` that names ``path``."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        number = getattr(error, "errno", None) or errno.EIO
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise OSError(number, f"{reason}; not written, what was there before is unchanged", str(path)) from error


@contextmanager
def folder_lock(folder: Path) -> Iterator[bool]:
    """Whether this process alone has ``folder`` for the length of the block. A killed owner leaves no lock behind."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except (Timeout, FileNotFoundError):  # somebody has it, or somebody removed the folder just now
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


@contextmanager
def turn(folder: Path, *, shared: bool = False) -> Iterator[None]:
    """Wait for a folder and have it for a moment: alone, or with others that only read. Without such locks on a system: no waiting."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # a network drive without locks
            fcntl.flock(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


@contextmanager
def scratch_folder(parent: Path) -> Iterator[Path]:
    """A temporary folder in ``parent`` that goes when the block ends. What killed writers left in ``parent`` goes first."""
    _clear(parent)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        try:
            with folder_lock(folder) as ours:
                if ours and folder.is_dir():  # a neighbour may have taken the new folder for a left-over before it was locked
                    yield folder
                    return
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _clear(parent: Path) -> None:
    """Remove the scratch folders whose writers are gone."""
    for left in parent.glob(f"{_PREFIX}*"):
        if left.is_dir() and not left.is_symlink():
            with folder_lock(left) as dead:
                if dead:
                    gone = left.with_name(f"{left.name}.gone")  # out of the way first: its maker may only now come to lock it
                    with suppress(OSError):
                        os.rename(left, gone)
                    shutil.rmtree(gone, ignore_errors=True)


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary name; on success move it to ``path`` in one step, on failure leave what was there.

    Raises:
        InputError: no such folder, or a folder of that name.
        OSError: the disk is full or may not be written; names ``path``.
    """
    target = Path(path)
    _check_parent(target)
    if target.is_dir():
        raise InputError("path", str(target), "is a folder; give a file name")
    with writing(target), scratch_folder(target.parent) as folder:
        temporary = folder / target.name
        yield temporary
        temporary.chmod(0o666 & ~_umask())
        os.replace(temporary, target)


@contextmanager
def new_folder(path: str | Path) -> Iterator[Path]:
    """Give a temporary folder; on success it becomes ``path`` in one step, on failure it goes.

    Raises:
        InputError: ``path`` is there already, or no such parent folder.
        OSError: the disk is full or may not be written; names ``path``.
    """
    target = Path(path)
    if target.exists():
        raise InputError("path", str(target), "is there already; name a new folder")
    _check_parent(target)
    with writing(target), scratch_folder(target.parent) as folder:
        temporary = folder / target.name
        temporary.mkdir()
        yield temporary
        temporary.rename(target)


@contextmanager
def replacing_pair(folder: Path, main: str, beside: str) -> Iterator[Path]:
    """Give a temporary folder for two files, of which ``beside`` describes ``main``; on success move both to ``folder``.

    At no moment does ``folder`` hold one file of each save: ``beside`` goes first and comes back last. After a failure both are as before.

    Raises:
        OSError: the disk is full or may not be written; names ``folder``.
    """
    with writing(folder), scratch_folder(folder) as temporary:
        yield temporary
        with turn(folder):
            _move_pair(temporary, folder, main, beside)


def _move_pair(temporary: Path, folder: Path, main: str, beside: str) -> None:
    before = temporary / f"{beside} before"
    with suppress(FileNotFoundError):
        os.rename(folder / beside, before)
    try:
        os.replace(temporary / main, folder / main)
    except BaseException:
        with suppress(FileNotFoundError):
            os.rename(before, folder / beside)
        raise
    os.replace(temporary / beside, folder / beside)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _check_parent(target: Path) -> None:
    if not target.parent.is_dir():
        raise InputError("path", str(target), f"the folder {target.parent} does not exist; make it first")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""Files made to run code, to fill the memory or never to end, and a runner that gives each to a reader in a process of its own.

The runner is a program: ``python hostile_files.py`` reads commands from standard input as JSON and prints what became of each. Every
command runs in a fork with 2 GB of memory and 20 seconds.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import struct
import sys
import tarfile
import time
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any

MEMORY = 2 * 2**30
SECONDS = 20
CANARY = "it-ran"


class RunsCode:
    """Unpickling this makes a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (CANARY,)


@cache
def generic() -> dict[str, bytes | Callable[[Path], None]]:
    """Hostile contents for any reader: bytes, or a function that makes the file."""
    return {
        "empty": b"",
        "zeros": bytes(10**6),
        "noise": bytes((i * 2654435761 >> 7) & 255 for i in range(10**4)),
        **{f"pickle {protocol}": pickle.dumps(RunsCode(), protocol) for protocol in (0, 1, 2, 4, 5)},
        "torch": _torch(),
        "npy of objects": _numpy(),
        "tar of pickles": tar({"items": pickle.dumps(RunsCode()), "cluster_space": pickle.dumps(RunsCode())}),
        "gzip of a gigabyte": _gzip(),
        "lists 1e5 deep": b"[" * 10**5 + b"]" * 10**5,
        "tables 1e5 deep": b'{"a":' * 10**5 + b"1" + b"}" * 10**5,
        "python": f"import os\nos.mkdir({CANARY!r})\n".encode(),
        "yaml": f"!!python/object/apply:os.mkdir ['{CANARY}']\n".encode(),
        "xml laughs": _laughs(),
        "a line of 100 MB": _long_line,
        "nan": b"NaN",
        "number of 1e5 digits": b"9" * 10**5,
        "not UTF-8": b"\xff\xfe" * 1000,
        "hdf5 loop": _hdf5_loop,
        "hdf5 of 8 TB": _hdf5_lazy,
        "hdf5 external": _hdf5_external,
        "sqlite that never ends": _sqlite,
        "safetensors header of 2^60": struct.pack("<Q", 2**60) + b"{}",
        "safetensors deep header": _safetensors("[" * 10**5),
        "safetensors of 8 TB": _safetensors('{"a":{"dtype":"F64","shape":[1000000000000],"data_offsets":[0,8000000000000]}}'),
        "safetensors overflow": _safetensors('{"a":{"dtype":"F64","shape":[4294967296,4294967296,2],"data_offsets":[0,8]}}') + bytes(8),
        "sparse file of 1 TB": _sparse,
        "link to itself": lambda path: path.symlink_to(path),
        "endless device": lambda path: path.symlink_to("/dev/zero"),
        "pipe without a writer": lambda path: os.mkfifo(path),
        "folder": lambda path: path.mkdir(),
    }


def place(content: bytes | Callable[[Path], None], path: Path) -> None:
    """Make one hostile file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content) if isinstance(content, bytes) else content(path)


def tar(members: dict[str, bytes]) -> bytes:
    """An archive as icet writes them."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def _torch() -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save({"weights": torch.zeros(2), "trap": RunsCode()}, buffer)
    return buffer.getvalue()


def _numpy() -> bytes:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.array([RunsCode()], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def _gzip() -> bytes:
    import zlib

    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(2**24)) for _ in range(64)) + packer.flush()


def _laughs() -> bytes:
    lines = ['<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a0 "ha">']
    lines += [f'<!ENTITY a{k} "{f"&a{k - 1};" * 10}">' for k in range(1, 12)]
    return "\n".join([*lines, "]><x>&a11;</x>"]).encode()


def _long_line(path: Path) -> None:
    with path.open("w") as file:
        file.write("2\n")
        for _ in range(100):
            file.write("a" * 10**6)
        file.write("\nCu 0 0 0\nCu 1 1 1\n")


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def _hdf5_loop(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        group = file.create_group("a")
        group["again"], group["up"], file["a/soft"] = group, file["/"], h5py.SoftLink("/a/soft")


def _hdf5_lazy(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name in ("occupations", "energy", "log_f", "log_weight", "log_z"):
            file.create_dataset(name, (10**6, 10**6), dtype="f8", chunks=(1000, 1000), compression="gzip")


def _hdf5_external(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        file["link"] = h5py.ExternalLink("/etc/passwd", "/")
        file.create_dataset("energy", (100,), dtype="u1", external=[("/dev/zero", 0, 100)])


def _sqlite(path: Path) -> None:
    import sqlite3

    with sqlite3.connect(path) as database:
        database.execute("create table information (name text, value text)")
        database.execute("insert into information values ('version', '9')")
        endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select i as id from n"
        database.execute(f"create view systems as {endless}")
    database.close()


def _safetensors(header: str) -> bytes:
    return struct.pack("<Q", len(header)) + header.encode()


# -- the runner ------------------------------------------------------------------------------------


def _in_a_fork(arguments: list[str]) -> dict[str, Any]:
    """The exit code, what was told, the seconds and the peak memory in MB of one command."""
    read, write = os.pipe()
    started, child = time.monotonic(), os.fork()
    if child == 0:
        os.close(read)
        _run_limited(arguments, write)
    os.close(write)
    told = b""
    while chunk := os.read(read, 2**16):
        told += chunk
    os.close(read)
    _, status, used = os.wait4(child, 0)
    code = os.waitstatus_to_exitcode(status)
    return {"code": code, "told": told.decode(), "seconds": time.monotonic() - started, "megabytes": used.ru_maxrss / 1024}


def _run_limited(arguments: list[str], write: int) -> None:
    import signal

    from arlattice.cli.main import run

    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)  # the default action ends the process: code -14
    told = io.StringIO()
    with redirect_stderr(told), redirect_stdout(io.StringIO()):
        code = run(arguments)
    os.write(write, told.getvalue()[:1000].encode())
    os._exit(code)


def main() -> None:
    """Run commands, a JSON list of lists of arguments on standard input; print a JSON list of what became of them."""
    import ase.io
    import h5netcdf
    import icet
    import safetensors.torch
    import torch
    import xarray

    import arlattice.cli.main
    import arlattice.models.checkpoint
    import arlattice.thermo.sweep
    import arlattice.training.trainer

    loaded = (ase.io, h5netcdf, icet, safetensors.torch, xarray, arlattice.models.checkpoint, arlattice.training.trainer)
    torch.set_num_threads(1)
    with redirect_stdout(io.StringIO()):
        loaded[-2].load("ising-10x10")  # so that a fork costs its own command only
        arlattice.cli.main.run(["plugins"])
    json.dump([_in_a_fork(arguments) for arguments in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()

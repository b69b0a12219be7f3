"""``arlattice``: the group of commands, its plugins, and how errors are told."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import click

from arlattice.cli.command import answer, check_given, note, only_answers
from arlattice.cli.flags import naming_flags, refused_by_click
from arlattice.errors import InputError, MissingExtraError, shown
from arlattice.hooks.containment import told
from arlattice.hooks.manager import Manager, using
from arlattice.hooks.options import suggestion
from arlattice.old_names import OldNameWarning
from arlattice.version import __version__

__all__ = ["cli", "main", "run"]

DEBUG_VARIABLE = "ARLATTICE_DEBUG"
USER_ERROR, INTERNAL_ERROR, INTERRUPTED = 2, 1, 130


class PluginGroup(click.Group):
    """A group whose commands are what the loaded plugins register."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with check_given(self, ctx, args):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command. What a plugin raises meanwhile, in its own command or deep inside one of ours, is one line that names it."""
        manager = _manager(ctx)
        with manager.naming_plugins():
            try:
                return super().invoke(ctx)
            except SystemExit as done:
                if done.code or _provider(manager, ctx) == "builtin":
                    raise
                return 0

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [entry.name for entry in _manager(ctx).commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        commands = _manager(ctx).commands
        return cast(click.Command, commands[cmd_name].factory) if cmd_name in commands else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            raise InputError("command", args[0], f"not a command{suggestion(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)


def _manager(ctx: click.Context) -> Manager:
    """The manager that ``-p`` and ``--plugins-dir`` ask for, in use until the command ends."""
    if ctx.obj is None:
        with only_answers(), naming_flags(ctx):
            manager = Manager(ctx.params.get("plugin") or (), ctx.params.get("plugins_dir") or ())
        ctx.obj = ctx.with_resource(using(manager))
    found: Manager = ctx.obj
    return found


def _provider(manager: Manager, ctx: click.Context) -> str | None:
    """The plugin of the command that runs."""
    name = ctx.invoked_subcommand
    return manager.commands[name].plugin if name and name in manager.commands else None


@click.group(
    cls=PluginGroup, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option(
    "-p",
    "--plugin",
    multiple=True,
    is_eager=True,
    metavar="FILE|MODULE|no:NAME",
    help="Load a plugin from a Python file or module; no:NAME blocks one. May be repeated.",
)
@click.option("--plugins-dir", multiple=True, is_eager=True, metavar="DIR", help="Load every *.py file of a folder as a plugin.")
@click.version_option(__version__, prog_name="arlattice")
@click.pass_context
def cli(ctx: click.Context, plugin: tuple[str, ...], plugins_dir: tuple[str, ...]) -> None:
    """Generate equilibrium configurations of a lattice, each with its exact log-probability.

    From an alloy cluster expansion (or the Ising model, or a Hamiltonian of your own) to supercells at a
    chosen temperature and chemical potential, as ASE or pymatgen structures with energies and weights.

    \b
    Examples:
      arlattice models                                   # what is trained and ready
      arlattice sample cuau-4x4x4 -n 1000 --temperature 680 --mu Au=-0.0053 -o out.extxyz
      arlattice -p my_plugin.py hamiltonians             # a plugin of your own
      arlattice train config.toml -o run
    """
    _manager(ctx)
    if ctx.invoked_subcommand is None:
        answer(ctx.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0; 2 for a user's mistake, told in one line on standard error; 1 for a mistake of ours;
        130 when interrupted. With the environment variable ARLATTICE_DEBUG set, errors are raised instead.
    """
    if sys.stderr is None:  # closed by the caller: there is nobody to tell
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    with _one_line_warnings():
        if os.environ.get(DEBUG_VARIABLE):
            return _run(arguments)
        try:
            return _run(arguments)
        except click.BadParameter as error:
            return _tell(refused_by_click(error), USER_ERROR, _see_help(error.ctx))
        except click.UsageError as error:
            return _tell(f"{_one_line(error.format_message()).rstrip('.')}", USER_ERROR, _see_help(error.ctx))
        except (InputError, MissingExtraError, Warning) as error:  # a warning where Python's filters make errors of them
            return _tell(str(error), USER_ERROR)
        except click.ClickException as error:
            return _tell(error.format_message(), USER_ERROR)
        except (click.Abort, KeyboardInterrupt):
            return _tell("interrupted", INTERRUPTED)
        except (BrokenPipeError, SystemExit):  # click makes the second of the first; what plugins exit with is told by `invoke`
            sys.stdout = None  # the reader is gone; nothing to flush
            return 0
        except OSError as error:
            if error.filename is None:  # files are named by `arlattice.io.files.writing`
                sys.stdout = None  # nothing to flush
                return _tell(f"standard output = {error.strerror or error}: what is printed cannot be written", USER_ERROR)
            return _tell(f"path = {shown(error.filename)}: {error.strerror or error}", USER_ERROR)
        except BaseException as error:
            if _is_out_of_memory(error):
                return _tell(f"memory = {shown(str(error))}: not enough for what was asked; ask for less at once", USER_ERROR)
            return _tell(f"internal: {told(error)} (set {DEBUG_VARIABLE}=1 for the traceback)", INTERNAL_ERROR)


def _run(arguments: Sequence[str] | None) -> int:
    code = cli.main(args=None if arguments is None else list(arguments), prog_name="arlattice", standalone_mode=False)
    return code if isinstance(code, int) else 0


def _tell(message: str, code: int, advice: str = "") -> int:
    note(f"arlattice: error: {_short(message)}{advice}")
    return code


def _short(message: str, limit: int = 400) -> str:
    text = _one_line(message)
    return text if len(text) <= limit else f"{text[: limit - 120]}...{text[-117:]}"


def _is_out_of_memory(error: BaseException) -> bool:
    """Torch has no class of its own for it on the CPU."""
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error) and "alloc" in str(error))


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _see_help(ctx: click.Context | None) -> str:
    return f"; see: {ctx.command_path} --help" if ctx else ""


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Show warnings as one line each, without the place in our code."""

    def show(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: Any = None, line: str | None = None
    ) -> None:
        note(f"arlattice: warning: {_one_line(str(message))}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        if not sys.warnoptions:  # the person at the keyboard is the one to tell; Python would tell programmers only
            warnings.filterwarnings("default", category=OldNameWarning)
        yield

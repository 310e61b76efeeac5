"""The command line: one module per command, each a thin typed function over the library.

Exit status: 0 all done; 1 some or all inputs failed, or an error; 2 wrong usage; 129 hung up,
130 interrupted, 143 terminated; 141 the reader of our output went away.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TextIO

from tintype.cli.console import escaped
from tintype.cli.termination import Terminated, terminations_raised
from tintype.errors import TintypeError, interruption_behind


class UsageError(TintypeError):
    """The options or arguments of a command are wrong; exit status 2."""


_own_process = False  # set by `run`


@contextlib.contextmanager
def collecting_no_garbage() -> Iterator[None]:
    """Switch garbage collection off while this block imports modules, which saves 15 ms."""
    gc.disable()
    try:
        yield
    finally:
        if _own_process:  # the collector never looks at the modules again: 15 ms more
            gc.freeze()
        gc.enable()


def run() -> None:
    """Run the command and end the process with its exit status."""
    global _own_process
    _own_process = True
    status = main()
    if "multiprocessing" not in sys.modules:  # which may still have to end processes
        os._exit(status)  # saves the 15 ms in which Python takes its modules apart
    sys.exit(status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; errors become one line on standard error.

    Args:
        arguments: the words after ``tintype``; None takes them from ``sys.argv``.
    """
    _fill_closed_streams()
    with terminations_raised():
        try:
            return _status(sys.argv[1:] if arguments is None else arguments)
        finally:
            # Python flushes both once more as it exits, and must not fail again then.
            for stream in (sys.stdout, sys.stderr):
                _silence(stream)


def _status(arguments: Sequence[str]) -> int:
    try:
        status = _run(arguments)
        if sys.stdout is not None:
            sys.stdout.flush()
        return status
    except UsageError as error:
        return _say(error, status=2)
    except TintypeError as error:
        return _say(error, status=1)
    except KeyboardInterrupt as error:
        return _interrupted(error)
    except BrokenPipeError:
        return 141
    except SystemExit as error:
        # The library that prints the help exits by itself when its output is no longer read.
        if isinstance(error.__context__, BrokenPipeError):
            return 141
        raise
    except Exception as error:
        if interruption := interruption_behind(error):
            return _interrupted(interruption)
        if os.environ.get("TINTYPE_DEBUG"):
            raise
        if isinstance(error, OSError):  # a fault of the disk, folder or terminal, not a bug
            return _say(_os_message(error), status=1)
        return _say(f"{_fault(error)}; rerun with TINTYPE_DEBUG=1 for the traceback", status=1)


def _run(arguments: Sequence[str]) -> int:
    # Imported here, so that an interrupt while the modules load ends like any other.
    with collecting_no_garbage():
        from cyclopts import CycloptsError

        from tintype.cli.app import app

    try:
        status = app(
            _without_options_after_dashes(_as_commands(arguments)),
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except CycloptsError as error:
        chain = "".join(f" {word}" for word in error.command_chain or ())
        raise UsageError(f"{' '.join(str(error).split())} See: tintype{chain} --help") from None
    return status or 0


def _as_commands(arguments: Sequence[str]) -> Sequence[str]:
    """Return the command meant by ``help``, ``help COMMAND``, or photographs without a command."""
    from tintype.cli.app import app, load_all

    first = arguments[0] if arguments else "--help"
    if first.startswith("-"):
        load_all()
    if not arguments or first in app:
        return arguments
    if first == "help":
        load_all()
        return [*arguments[1:], "--help"]
    if first == "-" or (not first.startswith("-") and os.path.exists(first)):
        return ["colorize", *arguments]
    return arguments


def _without_options_after_dashes(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with each -NAME after ``--`` as ./-NAME, so that it is no option."""
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    names = [
        f".{os.sep}{word}" if word.startswith("-") and word != "-" else word
        for word in arguments[end:][1:]
    ]
    return [*arguments[:end], *arguments[end:][:1], *names]


def _fault(error: BaseException) -> str:
    """Return what an unexpected error is: one of a model's file, which is named, or a bug."""
    from traceback import walk_tb

    from tintype.models import MODELS

    modules = {module for module, _ in MODELS.values()}
    said = f"this is a bug in tintype ({type(error).__name__}: {error})"
    cause: BaseException | None = error
    while cause is not None:  # torch wraps the errors of a model that it exports
        places = [
            f"{frame.f_code.co_filename}, line {line}"
            for frame, line in walk_tb(cause.__traceback__)
            if frame.f_globals.get("__name__") in modules
        ]
        if isinstance(cause, SyntaxError):
            places.append(f"{cause.filename}, line {cause.lineno}")
        if places:
            said = f"{places[-1]}: {type(cause).__name__}: {cause}"
        cause = cause.__cause__
    return said


def _interrupted(error: KeyboardInterrupt) -> int:
    if isinstance(error, Terminated):
        return _say(error, status=128 + error.number)
    return _say("interrupted", status=130)


def _os_message(error: OSError) -> str:
    """Return the file and the reason of an error of the operating system."""
    try:
        os.getcwd()
    except OSError:
        return "the current folder no longer exists: change to another"
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def _say(message: object, status: int) -> int:
    with contextlib.suppress(OSError):  # standard error may be closed
        print(f"tintype: {escaped(str(message))}", file=sys.stderr)
    return status


def _fill_closed_streams() -> None:
    """Open closed standard streams on the null device, so that no photograph gets their numbers."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")


def _silence(stream: TextIO | None) -> None:
    """Discard what cannot be written to a stream."""
    if stream is None:
        return
    try:
        stream.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

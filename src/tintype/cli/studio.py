"""``tintype studio``: colour photographs in the browser, and by HTTP; needs the ``web`` extra."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from cyclopts.validators import Number

from tintype.cli.console import Progress, needs_extra, print_line
from tintype.cli.inputs import find_files
from tintype.cli.options import Count, Flag, whole

_MOST = 100  # photographs that the studio lets wait at once
_PACKAGES = ("fastapi", "jinja2", "pydantic", "python_multipart", "starlette", "uvicorn")


def studio(
    photos: Annotated[list[str] | None, Parameter(negative="", show_default=False)] = None,
    /,
    *,
    port: Annotated[
        int | None,
        Parameter(
            converter=whole, validator=Number(gte=0, lte=65535), show_default=lambda _: "8017"
        ),
    ] = None,
    host: str = "127.0.0.1",
    no_browser: Flag = False,
    token: str | None = None,
    keep: Path | None = None,
    workers: Annotated[Count | None, Parameter(show_default=lambda _: "one per core")] = None,
    results: Annotated[Path | None, Parameter(show_default=lambda _: "none")] = None,
) -> int:
    """Colour photographs in the browser, and correct colours by clicking them, until Ctrl-C.

    It is an HTTP API too, described at /api/v1/openapi.json.

    Args:
        photos: photographs to begin with: files, folders, patterns like "*.jpg".
        port: the port to listen on; 0 for any free one.
        host: the address to listen on; 0.0.0.0 for all networks of this machine.
        no_browser: do not open a browser; the address is printed anyway.
        token: a secret that opens the studio; if not given, one is made where --host lets other
            machines in.
        keep: a folder to keep the session in; if not given, it is deleted at the end.
        workers: number of photographs to work on at once.
        results: a file that tintype colorize --results wrote: begin with its photographs too, those
            of which the model was least sure first.
    """
    progress = Progress()
    doubtful = _doubtful(results, progress) if results else []
    words = [*doubtful, *(photos or ())]
    inputs = find_files(words, recursive=False, command="studio") if words else None
    progress.note(inputs.remarks if inputs else ())
    with needs_extra("web", "the studio", _PACKAGES):
        from tintype.studio.serve import serve_studio

        def ready(address: str, said: str | None) -> None:
            for line in (said or "").splitlines():
                progress.say(f"tintype: {line}")
            print_line(f"{address} is the studio; Ctrl-C ends it")
            if not no_browser:
                webbrowser.open(address)

        def end() -> None:
            kept = f"are kept in {keep}" if keep else "are deleted"
            progress.say(f"tintype: the studio ends; its photographs {kept}")

        serve_studio(
            inputs.paths if inputs else (),
            host=host,
            port=port,
            token=token,
            keep=keep,
            workers=workers,
            on_ready=ready,
            on_end=end,
        )
    return 0


def _doubtful(results: Path, progress: Progress) -> list[str]:
    """The most doubtful photographs of a results file, as many as the studio takes at once."""
    from tintype.batch.places import is_url
    from tintype.batch.results import doubtful_first

    everything = doubtful_first(results)
    here = [source for source in everything if not is_url(source) and source != "-"]
    if len(here) < len(everything):
        count = len(everything) - len(here)
        progress.say(
            f"tintype: left out, since they are not files on this computer: {count} of {results}"
        )
    if len(here) > _MOST:
        progress.say(f"tintype: the {_MOST} most doubtful of {len(here)} photographs are shown")
    return here[:_MOST]

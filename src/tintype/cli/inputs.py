"""Find the photographs that the arguments of a command stand for."""

from __future__ import annotations

import glob
import os
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from pathlib import Path
from typing import Any

from tintype.batch.places import is_url, name_of, place, shown, url_of
from tintype.batch.task import Failure
from tintype.cli import UsageError
from tintype.cli.names import SETTINGS, own_result, sources_of_result
from tintype.errors import PhotoError, TintypeError

MANIFESTS = (".csv", ".parquet")


# Pictures that people expect to be coloured, in formats that are not read.
_UNREAD = (
    *(".psd", ".xcf", ".jxl", ".ppm", ".pgm", ".tga"),
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf"),
    *(".raf", ".rw2", ".pef", ".srw", ".x3f", ".3fr", ".iiq"),
    *(".raw", ".rwl", ".mrw", ".erf", ".kdc", ".dcr", ".dcs", ".mef", ".mos", ".fff", ".gpr"),
    *(".pdf", ".djvu", ".pcx", ".pbm", ".pnm", ".heics", ".exr", ".hdr", ".jls", ".jxr"),
    *(".dib", ".ico", ".svg", ".eps", ".ai", ".indd", ".dcx", ".sgi", ".pict"),
)
_NO_EXTENSION = "without extension"
# First bytes of photographs, to recognise those without an extension.
_BEGINNINGS = (b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"RIFF", b"BM", b"GIF8")


@dataclass(frozen=True)
class Input:
    """A photograph (None for standard input), and its path below the folder it was found in.

    Attributes:
        asked: options of its own.
        placed: whether a manifest says where its result goes, below the output folder.
    """

    path: Path | None
    below: Path
    asked: tuple[tuple[str, Any], ...] = ()
    placed: bool = False


@dataclass(frozen=True)
class Skipped:
    """An input that was left alone on purpose."""

    input: str
    reason: str


@dataclass
class Inputs:
    """The photographs that arguments stand for.

    Attributes:
        photos: the photographs, in the order of the arguments and by name within each.
        failed: arguments that stand for no photograph, and folders that cannot be read.
        skipped: files and folders that were left out on purpose, with the reason.
        left_out: extension -> number of pictures found in folders whose format is not read.
        notes: sentences to print about all this.
    """

    photos: list[Input] = field(default_factory=list)
    failed: list[Failure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)

    @property
    def paths(self) -> list[Path]:
        """The files among the photographs."""
        return [photo.path for photo in self.photos if photo.path]

    @property
    def remarks(self) -> list[str]:
        """Lines to print before the work: the notes and the failures."""
        return [*self.notes, *(failure.error for failure in self.failed)]


def find_photos(
    arguments: Sequence[str],
    recursive: bool = False,
    output: str | None = None,
    elsewhere: bool = False,
) -> Inputs:
    """Find the photographs that files, folders, glob patterns and ``-`` stand for, each once.

    A folder stands for the photographs directly in it, or with `recursive` at any depth. Hidden
    files are left out, and so are tintype's own results: NAME.colorized.EXT, NAME.compare.EXT,
    NAME.sample-1.EXT and NAME.samples.EXT in folders and patterns, or where NAME.EXT is given too,
    and everything in the output folder. Patterns are for shells that do not expand them.

    Args:
        arguments: files, folders, patterns or ``-``.
        recursive: whether folders stand for their subfolders too.
        output: file or folder that the results go to.
        elsewhere: whether URLs and manifests are taken.

    Raises:
        MissingExtraError: URLs are taken and what reads them is not installed.
    """
    search = _Search(recursive, output, len(arguments) > 1, elsewhere)
    inputs = search.inputs
    found: dict[str | None, Input] = {}
    for argument in arguments:
        failures, empty = len(inputs.failed), True
        for match in search.matches(argument):
            empty = False
            first = found.setdefault(match.path and key(match.path), match)
            if first is not match:
                reason = f"the same file as {shown(first.path) if first.path else 'standard input'}"
                inputs.skipped.append(Skipped(shown(match.path) if match.path else "-", reason))
        if empty and len(inputs.failed) == failures and not search.left(argument):
            reason = f"{argument}: {_nothing(argument, recursive)}"
            inputs.failed.append(Failure(argument, reason))
    for match in found.values():
        sources = sources_of_result(match.path) if match.path else []
        original = next((source for source in sources if key(source) in found), None)
        if match.path and original:
            reason = f"tintype's own result for {original}"
            inputs.skipped.append(Skipped(shown(match.path), reason))
        elif match.path and match.path.name.endswith(SETTINGS) and len(found) > 1:
            inputs.skipped.append(Skipped(shown(match.path), "tintype's own, of how it was made"))
        else:
            inputs.photos.append(match)
    if inputs.left_out:
        inputs.notes.append(_left_out(inputs.left_out))
    return inputs


def find_files(arguments: Sequence[str], recursive: bool, command: str) -> Inputs:
    """Find photographs as `find_photos` does, for a command that does not read standard input.

    Raises:
        UsageError: ``-`` is among the arguments.
    """
    if "-" in arguments:
        raise UsageError(f"{command} reads files and folders, not standard input")
    return find_photos(arguments, recursive)


class _Search:
    """The state of one search, beside the photographs.

    Args:
        recursive: whether folders stand for their subfolders too.
        output: file or folder that the results go to.
        several: whether there are several arguments: a shell's pattern may then have matched the
            output folder.
        elsewhere: whether URLs and manifests are taken.
    """

    def __init__(self, recursive: bool, output: str | None, several: bool, elsewhere: bool) -> None:
        self.inputs = Inputs()
        self._recursive = recursive
        self._several = several
        self._elsewhere = elsewhere
        self._output = None if output in (None, "-") else output
        self._results = None if self._output is None else Path(os.path.realpath(self._output))

    def matches(self, argument: str) -> Iterator[Input]:
        """Yield the photographs that one argument stands for."""
        path = Path(argument)
        if argument == "-":
            yield Input(None, path)
        elif is_address(argument) and self._elsewhere:
            yield from self._at_address(argument)
        elif is_address(argument):
            reason = f"{argument} is an address: save the photograph here, and name its file"
            self.inputs.failed.append(Failure(argument, reason))
        elif os.path.isdir(path):
            if not self.left(argument):
                yield from self._in_folder(path)
        elif self._elsewhere and path.suffix.lower() in MANIFESTS:
            yield from self._of_manifest(path)
        elif is_pattern(argument):
            yield from self._of_pattern(argument)
        else:
            yield Input(path, Path(path.name))

    def _at_address(self, argument: str) -> Iterator[Input]:
        """What a URL stands for: a file here, an object, or those in a folder of a store."""
        from tintype.batch.remote import photographs_in

        try:
            at = place(argument)
            if url_of(at) is None:
                yield from self.matches(str(at))
                return
            found = photographs_in(at, self._recursive)
        except PhotoError as error:
            self._fail(argument, error)
            return
        if found == [at]:
            yield Input(at, Path(name_of(at)))
            return
        output = self._output and is_address(self._output) and place(self._output)
        for path in found:
            if output and output != at and path.is_relative_to(output):
                continue
            if path.suffix.lower() in _UNREAD:
                self.inputs.left_out[path.suffix.lower()] += 1
            elif _named_like_one(path) and not path.name.startswith("."):
                yield Input(path, path.relative_to(at))

    def _of_manifest(self, manifest: Path) -> Iterator[Input]:
        from tintype.batch.manifest import read_manifest

        try:
            for line in read_manifest(manifest):
                if isinstance(line, TintypeError):
                    self._fail(str(manifest), line)
                    continue
                below = line.destination or Path(name_of(line.source))
                yield Input(line.source, below, line.options, line.destination is not None)
        except PhotoError as error:
            self._fail(str(manifest), error)

    def _fail(self, argument: str, error: TintypeError) -> None:
        self.inputs.failed.append(Failure(argument, str(error), type(error).__name__))

    def left(self, argument: str) -> bool:
        """Return whether an argument is the output folder, given among others."""
        return self._several and os.path.isdir(argument) and self._is_output(argument)

    def _in_folder(self, folder: Path) -> Iterator[Input]:
        files: list[Path] = []
        seen = {os.path.realpath(folder)}
        for where, folders, names in os.walk(folder, onerror=self._unreadable, followlinks=True):
            folders[:] = [
                name
                for name in sorted(folders)
                if self._recursive
                and not name.startswith(".")
                and not self._is_output(os.path.join(where, name))
                and self._is_new(os.path.join(where, name), seen)
            ]
            files += [Path(where, name) for name in names if not name.startswith(".")]
        for file in sorted(files):
            if file.suffix.lower() in _UNREAD or _lacks_extra(file):
                self.inputs.left_out[file.suffix.lower()] += 1
            elif not file.suffix and _begins_like_one(file):
                self.inputs.left_out[_NO_EXTENSION] += 1
            elif original := own_result(file):
                reason = f"by its name tintype's own result for {original.name}"
                self.inputs.skipped.append(Skipped(str(file), reason))
            elif _is_photograph(file):
                yield Input(file, file.relative_to(folder))

    def _is_new(self, folder: str, seen: set[str]) -> bool:
        """Return whether a folder is new: links may lead to one twice, or in a circle."""
        real = os.path.realpath(folder)
        if real in seen:
            self.inputs.skipped.append(Skipped(folder, f"the same folder as {real}"))
            return False
        seen.add(real)
        return True

    def _of_pattern(self, pattern: str) -> Iterator[Input]:
        root = Path(*takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts))
        for match in map(Path, sorted(glob.glob(pattern, recursive=True))):
            below = [
                parent for parent in match.parents if parent != root and parent.is_relative_to(root)
            ]
            if (
                os.path.isfile(match)
                and not own_result(match)
                and not match.name.endswith(SETTINGS)
                and not any(map(self._is_output, below))
            ):
                yield Input(match, Path(match.name))

    def _is_output(self, folder: str | Path) -> bool:
        if self._results is None or Path(os.path.realpath(folder)) != self._results:
            return False
        skipped = Skipped(str(self._output), "the results go there")
        if skipped not in self.inputs.skipped:
            self.inputs.skipped.append(skipped)
        return True

    def _unreadable(self, error: OSError) -> None:
        failure = Failure(
            str(error.filename), f"{error.filename}: {error.strerror}", type(error).__name__
        )
        self.inputs.failed.append(failure)


def is_pattern(argument: str) -> bool:
    """Return whether an argument is a pattern, and not a file whose name looks like one."""
    return glob.has_magic(argument) and not is_address(argument) and not os.path.lexists(argument)


def is_address(argument: str) -> bool:
    """Tell whether an argument is the address of something on the network."""
    return is_url(argument) and not os.path.lexists(argument)


def key(path: Path) -> str:
    """Return a key that is equal for all paths of one file."""
    return os.path.normcase(os.path.realpath(path))


def _lacks_extra(file: Path) -> bool:
    if file.suffix.lower() not in (".heic", ".heif", ".hif"):
        return False
    from tintype.photo.decode_foreign import reads_heic

    return not reads_heic()


def _begins_like_one(file: Path) -> bool:
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            return False
        with open(file, "rb") as content:
            beginning = content.read(12)
    except OSError:
        return False
    return beginning.startswith(_BEGINNINGS) or beginning[4:8] == b"ftyp"


def _named_like_one(file: Path) -> bool:
    from tintype.photo.encoding import READ_ONLY, format_of

    return format_of(file.name) is not None or file.suffix.lower() in READ_ONLY


def _is_photograph(file: Path) -> bool:
    if not _named_like_one(file):
        return False
    try:
        return stat.S_ISREG(file.stat().st_mode)
    except OSError:
        return True  # opening it will tell what is wrong with it


def _nothing(argument: str, recursive: bool) -> str:
    if is_pattern(argument):
        return "no file matches this pattern"
    advice = "" if recursive else "; --recursive looks into its subfolders too"
    return f"no photographs in this folder{advice}"


def _left_out(extensions: Counter[str]) -> str:
    count = sum(extensions.values())
    what = (
        "1 file left out: not a photograph"
        if count == 1
        else (f"{count} files left out: not photographs")
    )
    return f"{what} tintype reads ({', '.join(extensions)})"

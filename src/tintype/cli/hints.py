"""The options of ``tintype colorize`` for hints, and for settings that are saved and used again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from tintype.batch.task import Task
from tintype.cli import UsageError
from tintype.cli.inputs import Input, Skipped
from tintype.cli.options import Flag
from tintype.errors import SettingError

if TYPE_CHECKING:
    from tintype.cli.saved import Album
    from tintype.runtime.hints import Hint
    from tintype.runtime.settings import Settings


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class HintOptions:
    """Colours that are known, and settings that are saved and used again.

    Args:
        hint: X,Y,COLOR or X,Y,COLOR,RADIUS, e.g. 120,80,#8a3324: a colour that is known at a pixel
            of the upright photograph, counted from 0 at the top left; may be repeated, for one
            photograph. Of the models that come with tintype, tint takes hints.
        hints: a JSON file of hints for several photographs,
            {"name.jpg": [{"x": 120, "y": 80, "color": "#8a3324", "radius": 5}]}.
        save_settings: write NAME.tintype.json beside each result, which says what made it.
        settings: a file that --save-settings wrote: use its model, options and hints, except those
            given here. Of a folder, each photograph NAME takes NAME.tintype.json, or its only
            NAME.sample-K.tintype.json; one without settings is skipped.
    """

    hint: Annotated[tuple[str, ...], Parameter(negative="", show_default=False)] = ()
    hints: Path | None = None
    save_settings: Flag = False
    settings: Path | None = None

    def saved(self) -> Settings | None:
        """Return the settings in the file of --settings; None without one, or for a folder.

        Raises:
            SettingError: the file cannot be read, or holds no settings.
        """
        if self.settings is None or self.settings.is_dir():
            return None
        from tintype.runtime.settings import read_settings

        return read_settings(self.settings)

    def give(
        self, tasks: Sequence[Task], photos: Sequence[Input], saved: Settings | None
    ) -> tuple[list[Task], list[Skipped]]:
        """Return the tasks with their hints, and the names in the file that match no photograph.

        Args:
            tasks, photos: one of each for every photograph, in the same order.
            saved: settings, whose hints are used if no others are given.

        Raises:
            UsageError: a hint cannot be parsed, or hints of one photograph are given for several.
            SettingError: the file of hints cannot be read, or a name in it is ambiguous.
        """
        if self.hint and self.hints is not None:
            raise UsageError("give either --hint or --hints, not both")
        if self.hints is not None:
            return self._by_name(tasks, photos, self.hints)
        hints = tuple(map(_parse_hint, self.hint)) or (saved.hints if saved else ())
        if hints and len(tasks) > 1:
            given = "--hint" if self.hint else f"the hints in {self.settings}"
            advice = "give those of several in a file, with --hints"
            raise UsageError(f"{given} are pixels of one photograph; {advice}")
        return [replace(task, hints=hints) for task in tasks], []

    def album(self, tasks: Sequence[Task], photos: Sequence[Input]) -> Album | None:
        """Return what the folder of --settings holds; None if that is a file, or not given.

        Args:
            tasks, photos: one of each for every photograph, in the same order.

        Raises:
            SettingError: it holds settings of no photograph.
        """
        if self.settings is None or not self.settings.is_dir():
            return None
        from tintype.cli.saved import find_settings

        return find_settings(self.settings, tasks, photos)

    def _by_name(
        self, tasks: Sequence[Task], photos: Sequence[Input], path: Path
    ) -> tuple[list[Task], list[Skipped]]:
        from tintype.runtime.settings import printable, read_hints

        found: dict[int, tuple[Hint, ...]] = {}
        unmatched = []
        for name, hints in read_hints(path).items():
            exact = [k for k, item in enumerate(photos) if _posix(item.path) == name]
            below = [k for k, item in enumerate(photos) if _posix(item.below) == name]
            places = exact or below
            if len(places) > 1:
                which = " and ".join(tasks[k].name for k in places[:2])
                raise SettingError(f"{path}: {printable(name)} may be {which}: give its whole path")
            if not places:
                reason = f"no photograph of that name: its hints in {path} are not used"
                unmatched.append(Skipped(printable(name), reason))
            for k in places:
                found[k] = (*found.get(k, ()), *hints)
        return [replace(task, hints=found.get(k, ())) for k, task in enumerate(tasks)], unmatched


def asked(options: dict[str, Any], saved: Settings | None) -> dict[str, Any]:
    """Return the options of the command line, and of earlier settings where none are given."""
    given = {name: value for name, value in options.items() if value is not None}
    return {**(saved.options if saved else {}), **given}


def _posix(path: Path | None) -> str:
    return "-" if path is None else path.as_posix()


def _parse_hint(words: str) -> Hint:
    from tintype.runtime.hints import Hint

    parts = words.split(",")
    try:
        if len(parts) not in (3, 4):
            raise ValueError(words)
        x, y, *radius = (float(part) for part in (*parts[:2], *parts[3:]))
        return Hint(x, y, parts[2].strip(), *radius)
    except SettingError as error:
        raise UsageError(f"--hint {words}: {error}") from None
    except ValueError:
        raise UsageError(
            f"--hint {words} is not X,Y,COLOR or X,Y,COLOR,RADIUS, e.g. 120,80,#8a3324"
        ) from None

"""Every error tintype raises on purpose.

    TintypeError
    ├── PhotoError              a photograph cannot be read, used or written
    │   ├── UnreadablePhotoError    empty, truncated, not an image, zero-size, animated
    │   ├── GrayPhotoError          gray where colours are needed
    │   ├── PhotoTooLargeError      more pixels than the limit allows
    │   ├── UnwritablePhotoError    the output cannot be written, or would replace an input
    │   └── HintError               a hint lies outside the photograph
    ├── ModelError              a model cannot be found or trusted
    │   ├── UnknownModelError       no card of that name
    │   ├── CorruptModelError       a card or weights file is damaged
    │   └── UnimportableError       a file of others' weights cannot be imported
    ├── DataError               training or evaluation data cannot be used
    ├── SettingError            a configuration or model has no such option, or not that value
    ├── CheckpointError         a training run cannot be resumed or exported
    └── MissingExtraError       an optional dependency is not installed

Every message says what is wrong and what to do about it: the command line prints it as it is.
"""


class TintypeError(Exception):
    """The root of all errors that tintype raises on purpose."""


class PhotoError(TintypeError):
    """A photograph cannot be read, used or written."""


class UnreadablePhotoError(PhotoError):
    """The file is empty, truncated, not an image, of zero size or animated."""


class GrayPhotoError(PhotoError):
    """The file is gray, and colours are needed."""


class PhotoTooLargeError(PhotoError):
    """The photograph has more pixels than the limit allows."""


class UnwritablePhotoError(PhotoError):
    """The output cannot be written, or writing it would replace an input."""


class HintError(PhotoError):
    """A hint, or a place that colors are asked for, lies outside the photograph."""


class ModelError(TintypeError):
    """A model cannot be found or trusted."""


class UnknownModelError(ModelError):
    """No model card has that name."""


class CorruptModelError(ModelError):
    """A model card or a weights file is damaged."""


class UnimportableError(ModelError):
    """A file of others' weights is none, is damaged, or is of a network that is not known."""


class DataError(TintypeError):
    """Training or evaluation data cannot be used."""


class SettingError(TintypeError, ValueError):
    """A configuration or a model has no option of that name, or does not take that value."""


class CheckpointError(TintypeError):
    """A training run cannot be resumed or exported."""


class MissingExtraError(TintypeError):
    """An optional dependency is not installed.

    Args:
        extra: the extra of the package that brings it, e.g. ``"train"``.
        purpose: what needs it, as the subject of the sentence, e.g. ``"training"``.
    """

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs packages that are not installed: run  pip install '.[{extra}]'  in "
            "the folder that tintype was installed from"
        )
        self.extra = extra


def interruption_behind(error: BaseException | None) -> KeyboardInterrupt | None:
    """Return the interruption that an error is, or that it was made of; None if there is none.

    A compiled module that is interrupted while it loads fails with an ImportError.
    """
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error

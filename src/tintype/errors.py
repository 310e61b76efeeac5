"""Errors that tintype raises on purpose.

    TintypeError
    ├── PhotoError              a photograph cannot be read, used or written
    │   ├── UnreadablePhotoError    empty, truncated, not an image, zero-size, animated
    │   ├── GrayPhotoError          gray where colors are needed
    │   ├── PhotoTooLargeError      more pixels than the limit allows
    │   ├── UnwritablePhotoError    the output cannot be written, or would replace an input
    │   └── HintError               a hint or a queried pixel lies outside the photograph
    ├── ModelError              a model cannot be found or trusted
    │   ├── UnknownModelError       no card of that name
    │   ├── CorruptModelError       a card or weights file is damaged
    │   └── UnimportableError       a published weights file cannot be imported
    ├── DataError               training or evaluation data cannot be used
    ├── SettingError            a configuration or model has no such option, or its value is invalid
    ├── CheckpointError         a training run cannot be resumed or exported
    └── MissingExtraError       an optional dependency is not installed

Every message says what is wrong and what to do about it. The command line prints it unchanged.
"""


class TintypeError(Exception):
    """The root of all errors that tintype raises on purpose."""


class PhotoError(TintypeError):
    """A photograph cannot be read, used or written."""


class UnreadablePhotoError(PhotoError):
    """The file is empty, truncated, not an image, of zero size or animated."""


class GrayPhotoError(PhotoError):
    """The file is gray, and colors are needed."""


class PhotoTooLargeError(PhotoError):
    """The photograph has more pixels than the limit allows."""


class UnwritablePhotoError(PhotoError):
    """The output cannot be written, or writing it would replace an input."""


class HintError(PhotoError):
    """A hint, or a pixel for which colors are requested, lies outside the photograph."""


class ModelError(TintypeError):
    """A model cannot be found or trusted."""


class UnknownModelError(ModelError):
    """No model card has that name."""


class CorruptModelError(ModelError):
    """A model card or a weights file is damaged."""


class UnimportableError(ModelError):
    """A published weights file is damaged, or belongs to a network that is not supported."""


class DataError(TintypeError):
    """Training or evaluation data cannot be used."""


class SettingError(TintypeError, ValueError):
    """A configuration or a model has no such option, or the value is not allowed."""


class CheckpointError(TintypeError):
    """A training run cannot be resumed or exported."""


class MissingExtraError(TintypeError):
    """An optional dependency is not installed.

    Args:
        extra: the extra of the tintype package that installs it, e.g. ``"train"``.
        purpose: what needs it; the subject of the message, e.g. ``"Exporting a model"``.
    """

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs packages that are not installed: run  pip install '.[{extra}]'  in "
            "the folder that tintype was installed from"
        )
        self.extra = extra

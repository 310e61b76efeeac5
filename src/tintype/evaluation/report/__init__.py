"""The benchmark's report: one self-contained HTML file."""

from tintype.evaluation.report.page import write_report
from tintype.evaluation.report.thumbnails import ThumbnailStore

__all__ = ["ThumbnailStore", "write_report"]

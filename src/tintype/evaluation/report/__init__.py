"""The benchmark's report: one HTML file that needs nothing else."""

from tintype.evaluation.report.gallery import Gallery
from tintype.evaluation.report.page import check_writable, write_report

__all__ = ["Gallery", "check_writable", "write_report"]

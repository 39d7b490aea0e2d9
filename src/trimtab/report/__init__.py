"""Finished runs as something to read: tables, figures, and a page with curves and samples."""

from trimtab.report.write import write

__all__ = ["write"]

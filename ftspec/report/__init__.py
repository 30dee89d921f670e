"""What people read: report.html for people, report.md for a pull request, report.json and junit.xml for CI.

ReportData ── page ──► report.html      (charts and curves are drawn by drawings)
           ├─ summary ► report.md
           ├─ junit ──► junit.xml
           └──────────► report.json
"""

from __future__ import annotations

from ftspec.report.data import SCHEMA, Case, Cases, ReportData, Said, cases
from ftspec.report.files import clean, read, schema, write

__all__ = ["SCHEMA", "Case", "Cases", "ReportData", "Said", "cases", "clean", "read", "schema", "write"]

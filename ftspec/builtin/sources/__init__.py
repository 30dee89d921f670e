"""Sources: where rows come from. What is not a row is a Finding at its line; what stands around it is kept."""

from __future__ import annotations

from ftspec import api
from ftspec.builtin.sources.arrays import json
from ftspec.builtin.sources.databases import sql
from ftspec.builtin.sources.hub import huggingface
from ftspec.builtin.sources.lines import jsonl
from ftspec.builtin.sources.parquets import parquet
from ftspec.builtin.sources.tables import csv
from ftspec.builtin.sources.texts import text
from ftspec.builtin.sources.workbooks import excel
from ftspec.builtin.sources.written import examples

COMPONENTS: dict[str, api.Component] = {
    each.name: each for each in (jsonl, json, csv, parquet, excel, text, huggingface, sql, examples)
}

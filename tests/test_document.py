"""YAML to data with places: the 1.2 core schema, what is refused, where each value is, and the views of problems."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ftspec import problems
from ftspec.common import references
from ftspec.common.errors import Problem, SpecError
from ftspec.common.references import mask
from ftspec.document import document, scalars
from ftspec.document.document import Document
from ftspec.validation import overrides

FILE = Path("spec.yaml")


def place(read: Document, *path: str | int, on: Any = "value") -> tuple[int, int, int]:
    found = read.locate(Problem(message="x", path=path, on=on))
    return found.line, found.column, found.length


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4),
        ("2.0e-3", 2e-3),
        (".5", 0.5),
        ("1.", 1.0),
        ("-7", -7),
        ("+7", 7),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("true", True),
        ("FALSE", False),
        ("~", None),
        ("", None),
        ("no", "no"),
        ("on", "on"),
        ("2024-01-31", "2024-01-31"),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("1e", "1e"),
        ("é", "é"),
    ],
)
def test_scalars_are_yaml_1_2(text: str, value: Any) -> None:
    read = scalars.read(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("text", [".nan", "-.inf", "1e999", "9" * 19 + "9", "9" * 5000, "0x" + "f" * 100])
def test_numbers_that_are_refused(text: str) -> None:
    with pytest.raises(scalars.ScalarFault):
        scalars.read(text)


def test_quoted_scalars_are_text() -> None:
    assert document.parse("a: '1'\nb: \"true\"\nc: |\n  3\nd: >-\n  4\n", FILE).data == {
        "a": "1",
        "b": "true",
        "c": "3\n",
        "d": "4",
    }


def test_places_of_keys_and_values() -> None:
    read = document.parse("a: 1\nb:\n  - x: [1, two]\n  - y\nc: {d: long text}\n", FILE)
    assert place(read, "a") == (1, 4, 1)
    assert place(read, "a", on="key") == (1, 1, 1)
    assert place(read, "b", 0, "x", 1) == (3, 12, 3)
    assert place(read, "b", 1) == (4, 5, 1)
    assert place(read, "c", "d") == (5, 8, 9)
    assert place(read, "b") == (2, 1, 1), "the value of a block is named by its key"
    assert place(read, "c", "missing", "deep") == (5, 1, 1), "what is missing is named by its parent's key"


def test_places_count_characters_not_bytes() -> None:
    assert place(document.parse("a: [日本, 'é', x]\n", FILE), "a", 2) == (1, 14, 1)


def test_line_breaks_of_every_kind_count_the_same_in_frames() -> None:
    read = document.parse("a: 1\r\nb: 2\rc: 3\u2028d: 4\x85e: 5\n", FILE)
    assert [place(read, key)[0] for key in "abcde"] == [1, 2, 3, 4, 5]
    assert [line[:1] for line in read.lines[:5]] == list("abcde")


def test_a_byte_order_mark_is_ignored(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert document.load(file).data == {"a": 1}


def test_an_alias_repeats_a_value_at_its_own_place() -> None:
    read = document.parse("a: &x {k: 1}\nb: *x\n", FILE)
    assert read.data == {"a": {"k": 1}, "b": {"k": 1}}
    assert place(read, "b") == (2, 4, 2)
    assert place(read, "b", "k") == (1, 11, 1)


def test_reading_goes_on_after_each_fault() -> None:
    read = document.read_text("a: 1\na: 2\nb: !!str x\nc: .nan\n1: y\n<<: {}\nd: *no\ne: 5\n", FILE)
    assert [problem.line for problem in read.problems] == [2, 3, 4, 5, 6, 7]
    assert read.data["a"] == 1
    assert read.data["e"] == 5


def test_duplicate_names_both_places() -> None:
    with pytest.raises(SpecError) as raised:
        document.parse("x:\n  a: 1\n  b: 2\n  a: 3\n", FILE)
    (problem,) = raised.value.problems
    assert (problem.line, problem.column) == (4, 3)
    assert "line 2, column 3" in problem.hint


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: {c: *a}}", "&a [x, *a]"])
def test_alias_cycles_are_refused(text: str) -> None:
    assert "inside its own anchor" in document.read_text(text, FILE).problems[0].message


def test_alias_bombs_cost_nothing() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 40)]
    read = document.read_text("\n".join(lines), FILE)
    assert not read.usable
    assert [problem.message for problem in read.problems] == ["more than 100000 values, aliases expanded"]


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "])
def test_deep_nesting_is_refused(opening: str) -> None:
    closing = {"[": "]", "{a: ": "}", "- ": ""}[opening]
    assert not document.read_text(opening * 60 + "1" + closing * 60, FILE).problems
    assert "deeper than 64" in document.read_text(opening * 70 + "1" + closing * 70, FILE).problems[0].message


def test_no_file_keeps_the_reader_busy() -> None:
    """Neither depth nor width: what is refused anyway is not read to its end."""
    size = document.MAX_BYTES
    before = time.process_time()
    for text in (
        "[" * size,
        "{a: " * (size // 4),
        "- " * (size // 2),
        "[" + "a," * (size // 2),
        "a: b\n" * (size // 5),
    ):
        assert document.read_text(text, FILE).problems
    assert time.process_time() - before < 10


def test_aliases_do_not_nest_deeper_either() -> None:
    text = "a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40
    assert "deeper than 64" in document.read_text(text, FILE).problems[0].message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: \xff\n", "not valid UTF-8"),
        (b"a: b\0c\n", "U+0000"),
        (b'a: "\\0"\n', "NUL"),
        ("a: 1\n".encode("utf-16"), "UTF-16"),
        ("a: 1\n".encode("utf-32"), "UTF-32"),
        (b"#" * (document.MAX_BYTES + 1), "larger than 4 MiB"),
        (b"", "empty"),
    ],
)
def test_content_that_is_no_text(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "spec.yaml"
    file.write_bytes(content)
    with pytest.raises(SpecError) as raised:
        document.load(file)
    assert message in raised.value.problems[0].message


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for file, message in ((tmp_path / "nowhere.yaml", "no such file"), (tmp_path, "this is a folder")):
        with pytest.raises(SpecError) as raised:
            document.load(file)
        assert message in raised.value.problems[0].message


@given(st.text())
def test_no_text_breaks_reading(text: str) -> None:
    read = document.read_text(text, FILE)
    assert read.usable or read.problems
    problems.render(read.problems, read)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,? \n\t~<0.e", max_size=60))
def test_no_yaml_breaks_reading(text: str) -> None:
    read = document.read_text(text, FILE)
    for problem in read.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert problem.hint
    problems.render(read.problems, read)


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", max_codepoint=0xFFFF, exclude_characters="\0")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(JSON_LIKE)
def test_json_is_read_as_json(value: Any) -> None:
    """JSON is a subset of YAML 1.2, escapes and all."""
    read = document.read_text(json.dumps(value), FILE)
    assert not read.problems
    assert read.data == value


# Overrides.


def override(text: str, *settings: str) -> Document:
    return overrides.apply(document.parse(text, FILE), settings)


@pytest.mark.parametrize(
    ("setting", "data"),
    [
        ("a=2", {"a": 2, "b": [{"c": 1}, "length"]}),
        ("a=[1, {x: 3e-4}]", {"a": [1, {"x": 3e-4}], "b": [{"c": 1}, "length"]}),
        ("a=", {"a": None, "b": [{"c": 1}, "length"]}),
        ("a='2'", {"a": "2", "b": [{"c": 1}, "length"]}),
        ("b[0].c=no", {"a": 1, "b": [{"c": "no"}, "length"]}),
        ("b.0.c=5", {"a": 1, "b": [{"c": 5}, "length"]}),
        ("b[1].length.max=10", {"a": 1, "b": [{"c": 1}, {"length": {"max": 10}}]}),
        ("new.deep.key=x=y", {"a": 1, "b": [{"c": 1}, "length"], "new": {"deep": {"key": "x=y"}}}),
    ],
)
def test_overrides(setting: str, data: Any) -> None:
    changed = override("a: 1\nb:\n  - c: 1\n  - length\n", setting)
    assert changed.data == data
    assert not changed.problems


def test_overrides_leave_the_original_alone() -> None:
    read = document.parse("a: {b: [1]}\n", FILE)
    overrides.apply(read, ["a.b[0]=2"])
    assert read.data == {"a": {"b": [1]}}


@pytest.mark.parametrize(
    "setting", ["a", "=1", "a..b=1", "b[x]=1", "b[7]=1", "b.x=1", "a.x=1", "a=[1", "a=.nan", "a[0]=1"]
)
def test_overrides_that_cannot_be(setting: str) -> None:
    (problem,) = override("a: 1\nb: [1]\n", setting).problems
    assert problem.file == f"--set {setting}"
    assert problem.hint


def test_what_an_override_made_is_named_by_it() -> None:
    changed = override("a: {b: 1}\n", "a.b=[{c: 2}]")
    found = changed.locate(Problem(message="wrong", path=("a", "b", 0, "c")))
    assert problems.render([found], changed) == "--set a.b=[{c: 2}]: wrong"
    assert changed.locate(Problem(message="x", path=("a",))).line == 1


# References.


def test_environment_references_are_filled_in_values_only() -> None:
    filled = references.fill_environment(
        {"${env:A}": ["x${env:A}${env:B}", "${secret:A}", 1, "${env:C}"]}, {"A": "1", "B": "${env:A}"}
    )
    assert filled.value == {"${env:A}": ["x1${env:A}", "${secret:A}", 1, "${env:C}"]}
    assert filled.missing == [(("${env:A}", 3), "C")]
    assert filled.written == {("${env:A}", 0): "x${env:A}${env:B}", ("${env:A}", 3): "${env:C}"}


# Rendering.


def test_text_has_the_line_and_carets() -> None:
    read = document.parse("a:\n  epoch: 2\n", FILE)
    problem = Problem(message="unknown option 'epoch'", hint="did you mean 'epochs'?", path=("a", "epoch"), on="key")
    assert problems.render([problem], read) == (
        "spec.yaml:2:3: unknown option 'epoch'; did you mean 'epochs'?\n"
        "     2 |   epoch: 2\n"
        "       |   ^^^^^"
    )  # fmt: skip


def test_file_order_and_each_problem_once() -> None:
    read = document.parse("a: 1\nb: 2\n", FILE)
    twice = [Problem(message="2", path=("b",)), Problem(message="1", path=("a",)), Problem(message="2", path=("b",))]
    said = problems.render(twice, read).splitlines()
    assert [line for line in said if line.startswith("spec")] == ["spec.yaml:1:4: 1", "spec.yaml:2:4: 2"]


def test_carets_stand_under_wide_characters() -> None:
    read = document.parse("{日本: x, é: y}\n", FILE)
    code, caret = problems.render([Problem(message="m", path=("é",), on="key")], read).splitlines()[1:]
    assert caret.index("^") == code.index("é") + 2, "two wide characters come before it"


def test_control_characters_cannot_reach_a_terminal() -> None:
    read = document.parse('"\\x1b[31m\\u202e\\r": 1\n', FILE)
    said = problems.render([Problem(message="bad \x1b[2J\u202e\n", path=("\x1b[31m\u202e\r",), on="key")], read)
    assert not set(said) & {"\x1b", "\u202e", "\r"}


def test_json_is_a_list_of_problems() -> None:
    read = document.parse("a: 1\n", FILE)
    (problem,) = json.loads(problems.render([Problem(message="m", hint="h", path=("a",))], read, "json"))
    assert problem | {"path": ["a"], "line": 1, "column": 4, "message": "m", "hint": "h"} == problem


def test_github_annotations_are_escaped() -> None:
    read = document.parse("a: 1\n", Path("dir,1/a:b.yaml"))
    said = problems.render([Problem(message="100%\nsure", hint="a::b", path=("a",))], read, "github")
    assert said == "::error file=dir%2C1/a%3Ab.yaml,line=1,col=4,endColumn=5::100%25␊sure; a::b"


def test_github_names_the_file_for_an_override() -> None:
    said = problems.render([Problem(message="m", severity="warning", path=("a",))], override("a: 1\n", "a=2"), "github")
    assert said == "::warning file=spec.yaml::--set a=2: m"


def test_colour_only_adds_escapes() -> None:
    read = document.parse("a: 1\n", FILE)
    problem = Problem(message="m", path=("a",))
    coloured = problems.render([problem], read, color=True)
    for code in (problems.BOLD, problems.RED, problems.RESET):
        assert code in coloured
        coloured = coloured.replace(code, "")
    assert coloured == problems.render([problem], read)


def test_many_problems_are_cut_short() -> None:
    said = problems.render([Problem(message=str(i), file="x", line=i, column=1) for i in range(1, 300)])
    assert said.splitlines()[-1] == "and 199 more"


@pytest.mark.parametrize("format", ["text", "json", "github"])
def test_secrets_are_masked_in_every_form(format: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOC_SECRET", "hunter2")
    monkeypatch.setattr(mask, "names", {"DOC_SECRET"})
    read = document.parse("a: hunter2\n", FILE)
    said = problems.render([Problem(message="hunter2 is wrong", hint="not hunter2", path=("a",))], read, format)
    assert "hunter2" not in said
    assert "***" in said


def test_unprintable_is_what_yaml_does_not_take() -> None:
    """And the byte order mark. The ranges are those of YAML 1.2.2, section 5.1."""
    ranges = ((0x20, 0x7F), (0xA0, 0xD800), (0xE000, 0xFFFE), (0x10000, 0x110000))
    taken = {0x09, 0x0A, 0x0D, 0x85, *(code for start, end in ranges for code in range(start, end))} - {0xFEFF}
    assert [code for code in range(0x110000) if document.UNPRINTABLE.match(chr(code))] == sorted(
        {*range(0x110000)} - taken
    )

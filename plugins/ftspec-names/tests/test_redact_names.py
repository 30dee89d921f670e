"""`redact_names` by a pipeline that was trained a moment ago, on names and sentences that it has never seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import spacy
from ftspec_names.finding import PIECE, Finder, Span, load, pieces, trim
from ftspec_names.replacing import Replacer
from ftspec_names.step import redact_names
from test_every_step import made
from trained import NEW, Marked, Sentences
from written import contents

from ftspec import installed
from ftspec.cli import guard
from ftspec.common.errors import FtspecError
from ftspec.plans import stepkeys

Ftspec = Callable[..., tuple[int, str]]
"""A command, in the folder of the test: exit code, and all that it said."""

SPEC = """\
version: 1
name: names
sources: [{{jsonl: {{path: rows.jsonl}}}}]
cleaning:
  - drop_empty: {{columns: [note]}}
  - dedupe
  - redact_names: {{path: people{options}}}
  - select: {{columns: [messages]}}
split: {{test: 0.2, seed: 3}}
provider: {{simulated: {{}}}}
model: simulated-base
eval:
  prompts: [{{split: test}}]
  graders: [exact]
gates: [{{accuracy: {{min: 0}}}}]
"""


@pytest.fixture(scope="module")
def finder(pipeline: Path) -> Finder:
    return Finder(None, str(pipeline), [], 2)


def found(finder: Finder, marked: Marked) -> bool:
    spans = finder(marked.text)
    people = [(start, end) for start, end, label in marked.entities if label == "PERSON"]
    return all(any(span.start <= start and end <= span.end for span in spans) for start, end in people)


def test_it_finds_new_names_in_new_sentences_and_takes_little_else_for_names(finder: Finder) -> None:
    sentences = Sentences(NEW, 1)
    marked = [sentences.one() for _ in range(400)]
    people = [(each, start, end) for each in marked for start, end, label in each.entities if label == "PERSON"]
    hits = [any(s.start <= start and end <= s.end for s in finder(each.text)) for each, start, end in people]
    made = [(each, span) for each in marked for span in finder(each.text)]
    right = [any(s < span.end and span.start < e for s, e, what in m.entities if what == "PERSON") for m, span in made]
    assert len(people) > 200
    assert sum(hits) / len(hits) >= 0.9
    assert sum(right) / len(right) >= 0.85


def test_other_labels_have_their_own_placeholders(ruled: Path) -> None:
    row = {"text": "Anna Schmidt of Springfield", "more": "Springfield"}
    step = redact_names.build({"path": str(ruled), "labels": ["GPE"]})
    assert step(row) == {"text": "Anna Schmidt of [PLACE]", "more": "[PLACE]"}
    step = redact_names.build({"path": str(ruled), "labels": ["GPE", "PERSON"], "placeholders": "row"})
    assert step(row) == {"text": "[NAME_1] of [PLACE_1]", "more": "[PLACE_1]"}


@pytest.mark.parametrize("label", ["GPE, CUSTOMER", "CUSTOMER"])
def test_a_label_that_the_pipeline_does_not_know_is_refused(pipeline: Path, label: str) -> None:
    with pytest.raises(FtspecError, match="knows no label CUSTOMER") as caught:
        redact_names.build({"path": str(pipeline), "labels": label.split(", ")})
    assert caught.value.hint == "it knows GPE, ORG, PERSON"


ROW = {
    "messages": [
        {"role": "user", "content": "My name is Anna Schmidt and I need help.", "name": "Anna Schmidt"},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "Schmidt",
                    "type": "function",
                    "function": {"name": "Schmidt", "arguments": {"last": "Schmidt", "ANNA SCHMIDT": 7}},
                },
                {
                    "id": "b",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"who": "Anna  Schmidt, Bonn"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "Schmidts, schmidt and Schmidt"}]},
        {"role": "assistant", "content": "Please call Robert Miller tomorrow."},
    ],
    "chosen": [{"role": "assistant", "content": "Anna, done"}],
    "note": "for Schmidt",
    "meta": {"by": ["Anna Schmidt", 3, None, True]},
    "amount": 12.5,
}
CLEAN = {
    "messages": [
        {"role": "user", "content": "My name is [NAME_1] and I need help.", "name": "[NAME_1]"},
        {
            "role": "assistant",
            "tool_calls": [
                {
                    "id": "Schmidt",
                    "type": "function",
                    "function": {"name": "Schmidt", "arguments": {"last": "[NAME_1]", "[NAME_1]": 7}},
                },
                {
                    "id": "b",
                    "type": "function",
                    "function": {"name": "look", "arguments": '{"who":"[NAME_1], Bonn"}'},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "Schmidts, schmidt and [NAME_1]"}]},
        {"role": "assistant", "content": "Please call [NAME_2] tomorrow."},
    ],
    "chosen": [{"role": "assistant", "content": "[NAME_1], done"}],
    "note": "for [NAME_1]",
    "meta": {"by": ["[NAME_1]", 3, None, True]},
    "amount": 12.5,
}


def test_a_name_found_once_goes_from_all_of_the_row(ruled: Path) -> None:
    step = redact_names.build({"path": str(ruled), "placeholders": "row"})
    assert step(ROW) == CLEAN
    plain = json.loads(json.dumps(CLEAN).replace("[NAME_1]", "[NAME]").replace("[NAME_2]", "[NAME]"))
    assert redact_names.build({"path": str(ruled)})(ROW) == plain


def test_words_of_a_name_stay_where_that_is_said_and_so_do_other_columns(ruled: Path) -> None:
    step = redact_names.build({"path": str(ruled), "parts": False, "columns": ["messages"]})
    after = step(ROW)
    assert after["messages"][0]["content"] == "My name is [NAME] and I need help."
    assert after["messages"][2] == ROW["messages"][2]
    assert {name: after[name] for name in ROW if name != "messages"} == {
        name: ROW[name] for name in ROW if name != "messages"
    }


def test_rows_without_names_are_the_same(ruled: Path) -> None:
    row = {
        "messages": [{"role": "user", "content": "done"}],
        "n": 4,
        "flag": False,
        "note": "It works now.",
        "e": [],
        "deep": {"a": [1, None]},
    }
    assert redact_names.build({"path": str(ruled)})(row) == row


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (" Anna,", "Anna"),
        ("Anna's", "Anna"),
        ("Anna’s ", "Anna"),
        ("(Anna)", "Anna"),
        ("J.R. Ames", "J.R. Ames"),
        ("…", ""),
    ],
)
def test_a_name_ends_where_its_letters_end(text: str, name: str) -> None:
    span = trim(10, text, "NAME")
    assert text[span.start - 10 : span.end - 10] == name


def test_what_surrounds_a_long_text_is_looked_at_in_pieces(finder: Finder) -> None:
    text = "It works now. " * (PIECE // 7) + "\nPlease call Anna Schmidt tomorrow."
    parts = list(pieces(text))
    assert len(parts) > 1 and "".join(part for _, part in parts) == text
    assert all(text[start:].startswith(part) for start, part in parts)
    assert all(not part or part[0].isspace() for _, part in parts[1:])
    assert "Anna Schmidt" in [text[span.start : span.end] for span in finder(text)]
    assert [len(part) for _, part in pieces("x" * (2 * PIECE + 5))] == [PIECE, PIECE, 5]


def test_placeholders_are_no_names(finder: Finder) -> None:
    text = "My name is [NAME_1] and I need help. Please call [EMAIL] tomorrow."
    assert finder(text) == ()


def test_replacing_takes_whole_words_and_scripts_without_spaces_anywhere() -> None:
    def after(text: str, *names: str, kind: str = "NAME") -> str:
        told = {name: [Span(0, len(name), kind)] for name in names}
        return Replacer(True, True)({**told, text: []}).get(text, text)

    assert after("Will you ask Will? will", "Will") == "[NAME_1] you ask [NAME_1]? will"
    assert after("Annabel, Anna-Lena, ANNA LEE", "Anna Lee") == "Annabel, [NAME_1]-Lena, [NAME_1]"
    assert after("田中さんと鈴木さん", "田中", "鈴木") == "[NAME_1]さんと[NAME_2]さん"
    assert after("Ames & Li of Li, van Dyk", "Jo Ames", "Li Wei") == "[NAME_1] & Li of Li, van Dyk"
    assert after("Frau Holle, Frau Klum", "Frau Klum") == "Frau Holle, [NAME_1]"
    assert after("Acme Inc and Acme", "Acme Inc", kind="ORG") == "[ORG_1] and Acme"
    assert after("İlk ilk i", "I k") == "İlk ilk i"


def write(folder: Path, pipeline: Path, finder: Finder, count: int = 40) -> list[str]:
    """Rows with names that the pipeline finds, some dropped before the step; returns the names."""
    sentences = Sentences(NEW, 1)
    names: list[str] = []

    def said() -> str:
        marked = sentences.one()
        while not marked.names or not found(finder, marked):
            marked = sentences.one()
        names.extend(marked.names)
        return marked.text

    lines = []
    for number in range(count):
        call = {"name": "note", "arguments": json.dumps({"text": said()})}
        messages = [
            {"role": "user", "content": [{"type": "text", "text": said()}] if number % 5 == 0 else said()},
            {"role": "assistant", "tool_calls": [{"id": "c", "type": "function", "function": call}]},
            {"role": "tool", "tool_call_id": "c", "content": said()},
            {"role": "assistant", "content": f"done {number}"},
        ]
        lines.append(json.dumps({"messages": messages, "note": "" if number % 9 == 0 else said()}))
    (folder / "rows.jsonl").write_text("\n".join([*lines, *lines[:4], ""]))
    shutil.copytree(pipeline, folder / "people")
    return names


@pytest.fixture
def ftspec(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Ftspec:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: (guard.run(arguments), "".join(capfd.readouterr()))


def test_no_name_that_was_found_is_in_any_file_of_a_run(
    tmp_path: Path, pipeline: Path, finder: Finder, ftspec: Ftspec
) -> None:
    names = write(tmp_path, pipeline, finder)
    (tmp_path / "spec.yaml").write_text(SPEC.format(options=", placeholders: row"))
    code, done = ftspec("run", "spec.yaml")
    assert code == 0, done
    code, shown = ftspec("data", "show", "spec.yaml", "--samples")
    assert code == 0, shown
    (tmp_path / "rows.jsonl").unlink()
    files = {**contents(tmp_path, "people"), "output": done + shown}
    assert any(text.startswith("ARROW1") for text in files.values())
    assert any("[NAME_2]" in text for text in files.values())
    leaks = {(name, value) for value in set(names) for name, text in files.items() if value in text}
    assert leaks == set()


def test_rows_do_not_depend_on_how_they_are_cut_nor_on_threads(tmp_path: Path, pipeline: Path, finder: Finder) -> None:
    write(tmp_path, pipeline, finder, 24)
    given = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    options = {"path": str(pipeline), "placeholders": "row"}
    one, cut = made(given, [{"redact_names": options}], False, [(1 << 20, 1), (700, 1)])
    assert one == cut
    assert "[NAME_1]" in str(one)
    step = redact_names.build(options)
    alone = [step(row) for row in given]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(redact_names.build(options), reversed(given))) == alone[::-1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("{}", "say which pipeline finds the names"),
        ("{model: en_core_web_sm, path: people}", "say which pipeline finds the names"),
        ("{model: ../people}", "'model' cannot be '../people'"),
        ("{path: nowhere}", "no such file: nowhere"),
        (
            "{path: people}",
            "step 'redact_names': no spaCy pipeline: there is no config.cfg and no meta.json in it",
        ),
        ("{path: rows.jsonl}", "cleaning step 'redact_names': no spaCy pipeline: it is a file"),
    ],
)
def test_validate_says_what_is_wrong_with_the_options(
    tmp_path: Path, ftspec: Ftspec, options: str, message: str
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"note": "x"}\n')
    (tmp_path / "spec.yaml").write_text(SPEC.format(options="").replace("{path: people}", options))
    (tmp_path / "people").mkdir()
    code, said = ftspec("validate", "spec.yaml")
    assert code == 1 and "spec.yaml:7:" in said and message in said


def test_a_folder_is_looked_for_beside_the_spec(
    tmp_path: Path, ruled: Path, ftspec: Ftspec, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"note": "x"}\n')
    (tmp_path / "spec.yaml").write_text(SPEC.format(options=""))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    shutil.copytree(ruled, tmp_path / "people")
    code, said = ftspec("validate", "../spec.yaml")
    assert code == 0, said
    (tmp_path / "people" / "meta.json").unlink()
    code, said = ftspec("validate", "../spec.yaml")
    assert code == 1 and "spec.yaml:7:" in said and "there is no meta.json in it" in said


@pytest.mark.parametrize(("command", "expected"), [("validate", 0), ("plan", 1), ("doctor", 1)])
def test_a_pipeline_that_is_not_installed_is_told_with_the_line_that_installs_it(
    tmp_path: Path, ftspec: Ftspec, command: str, expected: int
) -> None:
    (tmp_path / "rows.jsonl").write_text('{"note": "x", "messages": [{"role": "user", "content": "y"}]}\n')
    (tmp_path / "spec.yaml").write_text(SPEC.format(options="").replace("path: people", "model: xx_nonsuch_sm"))
    code, said = ftspec(command, "spec.yaml")
    assert code == expected, said
    assert "python -m spacy download xx_nonsuch_sm" in said
    assert "spec.yaml:7:" in said or command == "doctor"


def test_a_folder_that_is_no_pipeline_is_told(tmp_path: Path) -> None:
    with pytest.raises(FtspecError, match="no spaCy pipeline can be read from"):
        load(None, str(tmp_path))
    blank: Any = spacy.blank("en")
    blank.add_pipe("sentencizer")
    blank.to_disk(tmp_path / "blank")
    with pytest.raises(FtspecError, match="no component that finds entities; it has sentencizer"):
        load(None, str(tmp_path / "blank"))


def test_rules_count_too_and_other_components_do_not_run(tmp_path: Path, pipeline: Path) -> None:
    nlp: Any = spacy.load(pipeline)
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path / "two")
    assert load(None, str(tmp_path / "two")).pipe_names == ["ner"]
    nlp.add_pipe("entity_ruler", before="ner").add_patterns([{"label": "PER", "pattern": "Müllerin"}])
    nlp.to_disk(tmp_path / "rules")
    assert load(None, str(tmp_path / "rules")).pipe_names == ["entity_ruler", "ner", "sentencizer"]
    step = redact_names.build({"path": str(tmp_path / "rules")})
    assert step({"text": "seen by Müllerin"}) == {"text": "seen by [NAME]"}


def package(site: Path, pipeline: Path, version: str) -> None:
    """The pipeline as an installed package, laid out as `spacy package` does it."""
    data = site / "en_people_tiny" / f"en_people_tiny-{version}"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(pipeline, data)
    meta = json.loads((data / "meta.json").read_text()) | {"lang": "en", "name": "people_tiny", "version": version}
    for file in (data / "meta.json", data.parent / "meta.json"):
        file.write_text(json.dumps(meta))
    (data.parent / "__init__.py").write_text(
        "from spacy.util import load_model_from_init_py\n"
        "def load(**overrides):\n    return load_model_from_init_py(__file__, **overrides)\n"
    )
    (site / f"en_people_tiny-{version}.dist-info").mkdir()
    (site / f"en_people_tiny-{version}.dist-info" / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: en-people-tiny\nVersion: {version}\n"
    )


def test_the_version_of_an_installed_pipeline_counts(
    tmp_path: Path, ruled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    options = {"model": "en_people_tiny"}
    assert installed.lacking(redact_names, options) == {"en_people_tiny": "python -m spacy download en_people_tiny"}
    codes = []
    for version in ("1.0.0", "1.0.1"):
        package(tmp_path / "site", ruled, version)
        codes.append(stepkeys.code_of(redact_names, options))
    assert installed.lacking(redact_names, options) == {}
    assert codes[0] != codes[1] and "en_people_tiny 1.0.1" in codes[1] and "spacy" in codes[1]
    assert redact_names.build(options)({"text": "Please call Robert Miller tomorrow."})["text"].count("[NAME]") == 1


def test_the_content_of_a_folder_counts(tmp_path: Path, ruled: Path, finder: Finder, ftspec: Ftspec) -> None:
    write(tmp_path, ruled, finder)
    (tmp_path / "spec.yaml").write_text(SPEC.format(options=""))
    assert ftspec("run", "spec.yaml")[0] == 0
    assert "nothing had to be done again" in ftspec("run", "spec.yaml")[1]
    meta = tmp_path / "people" / "meta.json"
    meta.write_text(meta.read_text().replace('"version":"', '"version":"1'))
    assert "cleaning[2] content" in ftspec("plan", "spec.yaml")[1]

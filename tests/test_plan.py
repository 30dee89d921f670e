"""Planning is pure: the same inputs give the same digests, and a change is named by its key."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import runs
from plugged import installed

from ftspec import api, registry, rows, suites
from ftspec.common.errors import FtspecError, StoreError
from ftspec.common.progress import Quiet
from ftspec.common.records import Plan, Step
from ftspec.plans import plan as plans
from ftspec.plans import stepkeys
from ftspec.run import planning, runner
from ftspec.run.site import Options, Site, survey
from ftspec.validation import validate

SPEC = """\
version: 1
name: planned
sources:
  - jsonl: {path: rows.jsonl}
cleaning: [strip]
format: {prompt_completion: {}}
split: {validation: 0.2}
provider:
  simulated: {seconds_per_step: 0.0, idle: 5}
model: some-model
hyperparameters: {epochs: 2, learning_rate_multiplier: 1}
"""

EVAL = """\
eval:
  prompts:
    - examples: {rows: [{prompt: "a", completion: "b"}]}
  graders: [exact]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC)
    rows = ({"prompt": f"what is {n}?", "completion": str(n)} for n in range(30))
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def plan(folder: Path, *overrides: str, **options: object) -> Plan:
    return runs.plan(folder / "spec.yaml", *overrides, **options).plan


def run(folder: Path, *overrides: str, **options: object) -> runner.Outcome:
    return runs.run(folder / "spec.yaml", *overrides, **options)


def steps(found: Plan) -> dict[str, Step]:
    return {step.name: step for step in found.steps}


def edit(folder: Path, old: str, new: str) -> None:
    file = folder / "spec.yaml"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def everything(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_planning_changes_nothing(folder: Path) -> None:
    before = everything(folder)
    plan(folder)
    assert everything(folder) == before


def test_planning_twice_gives_the_same_plan(folder: Path) -> None:
    assert plan(folder) == plan(folder)


def test_planning_does_not_depend_on_where_the_spec_lies(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    moved = tmp_path_factory.mktemp("elsewhere") / "moved"
    before = plan(folder)
    folder.rename(moved)
    assert [step.digest for step in plan(moved).steps] == [step.digest for step in before.steps]


def test_the_plan_is_what_the_run_does(folder: Path) -> None:
    planned = plan(folder)
    run(folder)
    after = plan(folder)
    assert after.run == planned.run
    assert [step.digest for step in after.steps] == [step.digest for step in planned.steps]
    assert all(step.cached for step in after.steps)


def test_a_plan_that_is_not_measured_says_that_the_rest_follows(folder: Path) -> None:
    found = steps(plan(folder, measure=False))
    assert found["data"].digest
    assert found["tuning"].digest == ""


@pytest.mark.parametrize(
    ("override", "step", "why"),
    [
        ("hyperparameters.epochs=3", "tuning", "hyperparameters.epochs changed: 2 → 3"),
        ("split.validation=0.5", "data", "split.validation changed: 0.2 → 0.5"),
        ("model=other", "tuning", "model changed: some-model → other"),
        ("hyperparameters.seed=1", "tuning", "hyperparameters.seed added"),
    ],
)
def test_a_change_is_named_by_its_key(folder: Path, override: str, step: str, why: str) -> None:
    run(folder)
    assert why in steps(plan(folder, override))[step].why


def test_a_hyperparameter_does_not_touch_the_data(folder: Path) -> None:
    run(folder)
    assert steps(plan(folder, "hyperparameters.epochs=3"))["data"].cached


def test_code_that_changed_is_named_by_its_component(folder: Path) -> None:
    """A plugin that was upgraded: no user knows which step is cleaning[0], and a hash says nothing."""
    now = plan(folder)

    def why(code: str) -> tuple[str, ...]:
        data = steps(now)["data"]
        older = msgspec.structs.replace(data, keys=data.keys | {"cleaning[0] code": code})
        before = msgspec.structs.replace(now, steps=(older, *now.steps[1:]))
        return steps(plans.explain(now, lambda step: False, before))["data"].why

    assert why(f"revision 1 {'0' * 16}") == ("cleaning[0] (strip) code changed",)
    assert why(f"revision 0 {'0' * 16}") == ("cleaning[0] (strip) code changed: revision 0 → revision 1",)


def test_another_step_without_options_is_another_step(folder: Path) -> None:
    """Both have the code of one module: only their names tell them apart."""

    @api.row_step
    def upper() -> api.RowStep:
        """Write completions in capitals."""
        return lambda row: {**row, "completion": row["completion"].upper()}

    @api.row_step
    def double() -> api.RowStep:
        """Say completions twice."""
        return lambda row: {**row, "completion": row["completion"] * 2}

    def trained(step: str) -> bytes:
        plugged = installed(ftspec_cleaners=lambda: {"upper": upper, "double": double})
        loaded = validate.load_spec(folder / "spec.yaml", plugged, [f"cleaning=[{step}]"])
        runner.run(loaded, plugged, Options(until="data"), Quiet())
        return b"".join(sorted(path.read_bytes() for path in folder.glob(".ftspec/blobs/*")))

    once = trained("upper")
    assert trained("double") != once


def test_an_option_counts_beside_a_key_of_the_same_name(folder: Path) -> None:
    @api.source
    def sheet(*, id: str) -> api.Source:
        """A sheet by its id."""
        given = rows.from_dicts([{"prompt": id, "completion": id}])
        return api.Source(lambda: iter([api.Chunk(given, "sheet", [1])]), lambda: "")

    plugged = installed(ftspec_sources=lambda: {"sheet": sheet})

    def digest(sheet: str, name: str) -> str:
        said = [f"sources=[{{sheet: {{id: {sheet}}}, id: {name}}}]", "split={}"]
        loaded = validate.load_spec(folder / "spec.yaml", plugged, said)
        return steps(planning.plan(loaded, plugged, Options(), Quiet()).plan)["data"].digest

    assert len({digest("a", "x"), digest("b", "x"), digest("a", "y")}) == 3


def test_options_that_are_written_alike_are_told_apart(folder: Path) -> None:
    values = ["1", "'1'", "true", "'true'", "null", "'null'", "[]", "'[]'", "'\"1\"'", "{a: {b: 1}}", "{a.b: 1}", "x"]
    found = [plan(folder, f"cleaning=[{{constant: {{columns: {{n: {value}}}}}}}]") for value in values]
    found.append(plan(folder, "cleaning=[{constant: {columns: {n.a: {b: 1}}}}]"))
    assert len({steps(one)["data"].digest for one in found}) == len(found)
    assert steps(found[-2])["data"].keys["cleaning[0].columns.n"] == "x"


def test_changed_rows_are_named_by_their_source(folder: Path) -> None:
    run(folder)
    with (folder / "rows.jsonl").open("a") as stream:
        stream.write('{"prompt": "more", "completion": "rows"}\n')
    found = steps(plan(folder))
    assert found["data"].why == ("sources[0] content changed",)
    assert "training data changed" in found["tuning"].why or "validation data changed" in found["tuning"].why


def test_rows_below_a_folder_that_is_called_like_a_glob_count(folder: Path) -> None:
    (folder / "a[1]").mkdir()
    (folder / "rows.jsonl").rename(folder / "a[1]" / "rows.jsonl")
    edit(folder, "path: rows.jsonl", "path: 'a[1]/*.jsonl'")
    run(folder)
    with (folder / "a[1]" / "rows.jsonl").open("a") as stream:
        stream.write('{"prompt": "more", "completion": "rows"}\n')
    assert steps(plan(folder))["data"].why == ("sources[0] content changed",)


@pytest.mark.parametrize(("begins", "until"), [(b'{"messages"', "data"), (b'{"id"', "tuning")])
def test_a_file_that_is_damaged_is_neither_trained_on_nor_asked(folder: Path, begins: bytes, until: str) -> None:
    with (folder / "spec.yaml").open("a") as spec:
        spec.write(EVAL.replace('"a"', '"what is 1?"'))
    run(folder, until=until)
    found = [blob for blob in (folder / ".ftspec/blobs").iterdir() if blob.read_bytes().startswith(begins)]
    blob = max(found, key=lambda blob: blob.stat().st_size)
    whole = blob.read_bytes()
    with blob.open("r+b") as stream:
        stream.write(whole.replace(b"what", b"WHAT", 1))
    with pytest.raises(StoreError, match=f"is damaged: .* blobs/{blob.name}") as caught:
        run(folder)
    assert "remove both" in caught.value.hint
    Path(caught.value.message.partition(" is damaged")[0]).unlink()
    blob.unlink()
    run(folder, again=("data",))
    assert blob.read_bytes() == whole
    assert len(jobs(folder)) == 1


def test_other_code_with_the_same_output_tunes_nothing_again(folder: Path) -> None:
    """Early cut-off: a step that changes nothing is added, the data step runs, and the job stays the same."""
    run(folder)
    edit(folder, "cleaning: [strip]", "cleaning: [strip, strip]")
    found = steps(plan(folder))
    assert not found["data"].cached
    assert found["tuning"].cached


def test_equal_numbers_are_one_job(folder: Path) -> None:
    run(folder)
    assert steps(plan(folder, "hyperparameters.learning_rate_multiplier=1.0"))["tuning"].cached


def test_the_key_of_a_job_never_changes_between_versions(folder: Path) -> None:
    """If this fails, an upgrade makes every user pay for every job again."""
    assert steps(plan(folder))["tuning"].digest == "be567832ec103634f46f19cdb4f3f54b3b8c38d2704426c14dd66ecd119af20f"


FULL = """\
version: 1
name: planned
sources:
  - jsonl: {path: rows.jsonl}
    id: ours
    weight: 2
cleaning:
  - replace: {columns: [prompt], find: "1", to: x.y}
  - rename: {columns: {a.b: c}}
    on_error: skip
format: {preference: {}}
mix: {seed: 7}
split: {validation: 0.2, test: 0.2}
method: {dpo: {beta: 0.2}}
provider: {simulated: {}}
model: some-model
hyperparameters: {epochs: 2}
follow: {checkpoint: best}
eval:
  prompts:
    - split: test
    - examples: {rows: [{prompt: a, chosen: b, rejected: c}]}
  generation: {temperature: 0.5, max_tokens: 9}
  repeat: 3
  seed: 5
  tags: [kind]
  weight: heavy
  asserts: checks
  models: [{model: other, id: rival}, {checkpoints: all}]
  graders:
    - contains: {any: [SHORT], all: [LONG]}
      id: has
      weight: 2
      negate: true
gates:
  - forgetting: {max_drop: 0.1}
"""
SHORT, LONG = "x" * 76, "x" * 77
FULL = FULL.replace("SHORT", SHORT).replace("LONG", LONG)
MODEL = {"model": "some-model", "model.revision": "", "model content": ""}
METHOD = {"method": "dpo", "method.beta": "0.2"}
REVISION = "revision 1"


def surveyed(folder: Path, text: str) -> Site:
    (folder / "spec.yaml").write_text(text)
    installed = registry.load()
    return survey(validate.load_spec(folder / "spec.yaml", installed), installed, Options(), Quiet())


def test_what_each_step_covers(folder: Path) -> None:
    """Of versions and code nothing is in a job's key; of where files lie, nothing anywhere."""
    site = surveyed(folder, FULL)

    def keys(**target: Any) -> stepkeys.StepKeys:
        changed = msgspec.structs.replace(site.target, **target)
        return stepkeys.StepKeys(site.spec, site.registry, site.inventory, changed)

    of, made = keys(), stepkeys.Made(training="T", validation="V", prompts="P")
    sources = {"sources[0]": "jsonl", "sources[0] code": REVISION, "sources[0].id": "ours", "sources[0].weight": "2"}
    content = {"sources[0] content": site.inventory.contents["sources[0]"]}
    replace = {"columns": '["prompt"]', "count": "null", "find": '"1"', "regex": "false", "to": "x.y"}
    cleaning = {"cleaning[0]": "replace", "cleaning[0] code": REVISION}
    cleaning |= {f"cleaning[0].{name}": value for name, value in replace.items()}
    cleaning |= {"cleaning[1]": "rename", "cleaning[1] code": REVISION}
    cleaning |= {'cleaning[1].columns."a.b"': "c", "cleaning[1].on_error": "skip"}
    format_ = {"format": "preference", "format code": REVISION, "format.prompt": "", "format.system": ""}
    format_ |= {"format.chosen": "chosen", "format.rejected": "rejected"}
    split = {"split.by": "", "split.seed": "0", "split.test": "0.2", "split.validation": "0.2"}
    asked = {"eval.prompts[0]": "test", "eval.prompts[1]": "examples", "eval.prompts[1] code": REVISION}
    asked |= {"eval.prompts[1].rows": '[{"chosen":"b","prompt":"a","rejected":"c"}]'}
    core = {"pipeline": "1", "provider": "simulated", "provider code": REVISION}
    core |= {"mix.seed": "7", "mix.until": "first_exhausted"}
    data = {name: REVISION if name.endswith(" code") else value for name, value in of.data().items()}
    assert data == core | sources | content | cleaning | format_ | split | asked | METHOD | MODEL
    codes = [value for name, value in of.data().items() if name.endswith(" code")]
    assert all(re.fullmatch(r"revision 1 [0-9a-f]{16}", code) for code in codes)

    job = {"endpoint": "simulated", "attempt": "1", "hyperparameters.epochs": "2"} | METHOD | MODEL
    assert of.tuning(made) == job | {"training data": "T", "validation data": "V"}
    assert of.tuning(None) == job | {"training data": "", "validation data": ""}

    drawn = {"max_tokens": "9", "stop": "[]", "temperature": "0.5", "top_p": "1.0"}
    answers = {"endpoint": "simulated", "tuning": "", "prompts": "P", "repeat": "3", "seed": "5"} | MODEL
    answers |= {f"eval.generation.{name}": value for name, value in drawn.items()}
    tuned = {"tuning": "J", "follow.checkpoint": "best"}
    assert of.answers(made, "") == answers
    assert of.answers(None, "") == answers | {"prompts": ""}
    assert of.answers(made, "J") == answers | tuned
    assert of.further(made, "J", "rival") == answers | {"model": "other"}
    assert of.further(made, "J", "checkpoint") == answers | tuned | {"checkpoints": "all"}
    greedy = {"max_tokens": "32", "stop": "[]", "temperature": "0.0", "top_p": "1.0"}
    suite = {"endpoint": "simulated", "suite": "general", "prompts": suites.load("general").sha256} | MODEL
    suite |= {f"generation.{name}": value for name, value in greedy.items()}
    assert of.suite_answers("") == suite | {"tuning": ""}
    assert of.suite_answers("J") == suite | tuned

    named = {f"eval.models.{label}" for label in ("rival", "checkpoint")}
    assert (set(of.named()), keys(evaluation=True, further={}).named()) == (named, {"evaluation": "only"})
    graders = {"eval.graders[0]": "contains", "eval.graders[0] code": REVISION}
    hashed = hashlib.sha256(f'["{LONG}"]'.encode()).hexdigest()[:32]
    options = {"all": f"sha256:{hashed}", "any": f'["{SHORT}"]', "ignore_case": "false"}
    options |= {"id": "has", "weight": "2", "negate": "true"}
    graders |= {f"eval.graders[0].{name}": value for name, value in options.items()}
    gates = {"gates[0]": "forgetting", "gates[0] code": REVISION}
    gates |= {"gates[0].evidence": "interval", "gates[0].max_drop": "0.1"}
    report = {name: REVISION if name.endswith(" code") else value for name, value in of.report().items()}
    assert report == graders | gates | {"eval.asserts": "checks", "eval.tags": '["kind"]', "eval.weight": "heavy"}


@pytest.mark.parametrize("text", [SPEC, SPEC + EVAL])
def test_what_a_spec_does_not_use_is_in_no_key(text: str, folder: Path) -> None:
    """Were it there, an upgrade that adds an option would do every step again."""
    site, made = surveyed(folder, text), stepkeys.Made(training="T", prompts="P")
    of = stepkeys.StepKeys(site.spec, site.registry, site.inventory, site.target)
    places = {name.partition(" ")[0].partition(".")[0] for name in of.data() if not name.startswith("eval.")}
    assert places == {"pipeline", "method", "sources[0]", "cleaning[0]", "format", "split", "model", "provider"}
    asked, graded = set(of.answers(made, "J")), set(of.report())
    assert not {"follow.checkpoint", "eval.tags", "eval.weight", "eval.asserts"} & (asked | graded | set(of.data()))
    assert (bool(asked), bool(graded), of.named()) == (text != SPEC, text != SPEC, {})


@pytest.mark.parametrize(
    ("id", "content", "name"),
    [("/models/a", "F", "folder"), ("/models/a", "", "/models/a"), ("org/a", "F", "org/a")],
)
def test_a_model_in_a_folder_is_its_content_wherever_it_lies(id: str, content: str, name: str) -> None:
    found = stepkeys.model_keys(api.ModelRef(id=id, revision="r1"), content)
    assert found == {"model": name, "model.revision": "r1", "model content": content}


def test_a_new_hyperparameter_with_a_default_makes_no_new_job(folder: Path) -> None:
    """The key holds what the spec says, and no provider's defaults: the next release may have more of them."""
    keys = steps(plan(folder))["tuning"].keys
    assert {name for name in keys if name.startswith("hyperparameters")} == {
        "hyperparameters.epochs",
        "hyperparameters.learning_rate_multiplier",
    }


def test_gates_and_graders_ask_nobody_again(folder: Path) -> None:
    (folder / "spec.yaml").write_text(SPEC + EVAL)
    run(folder)
    edit(folder, "graders: [exact]", "graders: [contains]")
    found = steps(plan(folder))
    assert [name for name, step in found.items() if not step.cached] == ["report"]


def test_more_repeats_reuse_the_answers_there_are(folder: Path) -> None:
    (folder / "spec.yaml").write_text(SPEC + EVAL + "  generation: {temperature: 0.5}\n  repeat: 2\n")
    run(folder)
    asked = calls(folder)["answer"]
    run(folder, "eval.repeat=3")
    assert calls(folder)["answer"] == asked + 2  # one call per model, for the third repeat
    assert len(answers(folder)) == 2 * 3


def test_again_makes_a_second_job_and_stays_with_it(folder: Path) -> None:
    run(folder)
    first = steps(plan(folder))["tuning"].digest
    run(folder, again=("tuning",))
    assert len(jobs(folder)) == 2
    assert steps(plan(folder))["tuning"].digest != first
    assert run(folder).already_done
    assert len(jobs(folder)) == 2


def test_the_second_job_stays_when_other_prompts_are_asked(folder: Path) -> None:
    (folder / "spec.yaml").write_text(SPEC + EVAL)
    run(folder, again=("tuning",))
    second = steps(plan(folder))["tuning"].digest
    edit(folder, 'prompt: "a"', 'prompt: "c"')
    (folder / "spec.yaml").write_text((folder / "spec.yaml").read_text() + "checks: [leakage]\n")
    assert steps(plan(folder))["tuning"].digest == second


def test_attempts_of_before_are_counted(folder: Path) -> None:
    """When prompts had a part in the name under which they are counted."""
    (folder / "spec.yaml").write_text(SPEC + EVAL)
    first = steps(plan(folder))["tuning"].digest
    installed = registry.load()
    made = survey(validate.load_spec(folder / "spec.yaml", installed), installed, Options(), Quiet())
    _, before = plans.attempts_keys(made.spec, made.registry, made.inventory, made.target)
    made.store.put(f"attempts/{before}/0001", b"")
    assert steps(plan(folder))["tuning"].digest != first


@pytest.mark.parametrize("step", ["data", "answers", "report"])
def test_again_of_other_steps_makes_no_job(folder: Path, step: str) -> None:
    (folder / "spec.yaml").write_text(SPEC + EVAL)
    run(folder)
    asked = calls(folder)["answer"]
    assert not run(folder, again=(step,)).already_done
    assert len(jobs(folder)) == 1
    assert (calls(folder)["answer"] > asked) == (step == "answers")


def test_a_missing_secret_is_an_error_only_when_it_is_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    edit(folder, "path: rows.jsonl", 'path: "${secret:NOWHERE}"')
    with pytest.raises(FtspecError):
        plan(folder)


def test_data_that_were_made_with_a_secret_are_not_kept_silently(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RKEY", "a key of some length")
    edit(folder, "[strip]", '[strip, {redact: {placeholders: dataset, key: "${secret:RKEY}"}}]')
    told: list[str] = []
    monkeypatch.setattr(Quiet, "note", lambda self, message: told.append(message))
    run(folder)
    assert not [note for note in told if "RKEY" in note]
    run(folder)
    assert [note for note in told if "RKEY" in note and "--again data" in note]


def home(folder: Path) -> Path:
    return folder / ".ftspec/machine/providers/simulated"


def jobs(folder: Path) -> list[Path]:
    return list((home(folder) / "jobs").glob("*.json"))


def calls(folder: Path) -> dict[str, int]:
    found: dict[str, int] = json.loads((home(folder) / "calls.json").read_text())
    return found


def answers(folder: Path) -> list[str]:
    segments = filter(Path.is_file, (folder / ".ftspec/segments/answers").rglob("*"))
    return [line for segment in segments for line in segment.read_text().splitlines()]

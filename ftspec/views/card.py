"""The model card: README.md of a tuned model, in the format of the Hugging Face hub (YAML front matter, Markdown)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ftspec.common.evaluation import Score
from ftspec.common.figures import percent
from ftspec.report import ReportData, clean, text, words
from ftspec.report.summary import code, plain

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def write(folder: Path, data: ReportData, *, form: str = "", base_model: str = "") -> Path:
    """Write README.md into the folder of a model; its path. See `render`."""
    path = folder / "README.md"
    path.write_text(render(data, form=form, base_model=base_model), encoding="utf-8")
    return path


def render(data: ReportData, *, form: str = "", base_model: str = "") -> str:
    """The card.

    Args:
        form: "adapter" or "merged", what lies beside the card.
        base_model: the base's hub id where the spec names it by an alias; a folder's path is never shown.

    Values of secrets are masked.
    """
    import yaml

    data = clean(data)
    front = yaml.safe_dump(metadata(data, form, base_model), sort_keys=False, allow_unicode=True)
    sections = (_intro(data), _results(data), _template(data), _training(data), _provenance(data))
    body = "\n".join(line for section in sections for line in section)
    return f"---\n{front}---\n\n{body}\n"


def metadata(data: ReportData, form: str, base_model: str) -> dict[str, Any]:
    """The front matter: keys and values of huggingface.co/docs/hub/model-cards."""
    found: dict[str, Any] = {"library_name": "peft" if form == "adapter" else "transformers"}
    base = base_model or (data.model.id if data.model else "")
    if HUB_ID.fullmatch(base):
        found["base_model"] = base
        relation = {"adapter": "adapter", "merged": "finetune"}.get(form)
        found |= {"base_model_relation": relation} if relation else {}
    found["pipeline_tag"] = "text-generation"
    found["tags"] = ["ftspec", *filter(None, [data.method, data.watermark and "simulated"])]
    if data.evaluation:
        found["model-index"] = [{"name": text.visible(data.name), "results": [_result(data, data.evaluation.tuned)]}]
    return found


def _result(data: ReportData, score: Score) -> dict[str, Any]:
    metrics = [{"type": "accuracy", "value": round(score.accuracy, 4), "name": "accuracy"}]
    if score.consistency is not None:
        metrics.append({"type": "consistency", "value": round(score.consistency, 4), "name": "consistency"})
    dataset = {"name": f"{text.visible(data.name)}, {score.prompts} held-out prompts", "type": "custom"}
    return {"task": {"type": "text-generation"}, "dataset": dataset, "metrics": metrics}


def _intro(data: ReportData) -> Iterable[str]:
    yield from (f"# {plain(data.name)}", "")
    if data.watermark:
        yield from (f"> **{plain(data.watermark)}**", "")
    base = f" from {code(_name(data.model.id))}" if data.model else ""
    yield from (f"Tuned{base} by ftspec {plain(data.ftspec)} from one committed spec.", "")
    judged = data.evaluation or data.verdicts or data.findings
    yield from (f"**{words.verdict(data)}.** {plain(words.sentence(data))}" if judged else "Nothing has judged it.", "")


def _name(model: str) -> str:
    """A model's name without the path of this machine's folder."""
    return Path(model).name if Path(model).is_absolute() else model


def _results(data: ReportData) -> Iterable[str]:
    if data.evaluation is None:
        return
    base, tuned = data.evaluation.base, data.evaluation.tuned
    yield from ("## Evaluation", "", "| | base | tuned |", "|---|---:|---:|")
    yield f"| accuracy | {_share(base)} | {_share(tuned)} |"
    known = [percent(s.consistency) if s.consistency is not None else "not measured" for s in (base, tuned)]
    yield f"| consistency | {' | '.join(known)} |"
    yield from (f"| prompts × repeats | {base.prompts} × {base.repeats} | {tuned.prompts} × {tuned.repeats} |", "")
    for verdict in data.verdicts:
        yield f"- {'passed' if verdict.passed else 'not passed'}: {code(verdict.gate)}, {plain(verdict.message)}"
    yield ""


def _share(score: Score) -> str:
    low, high = percent(score.interval.low), percent(score.interval.high)
    return f"{percent(score.accuracy)} ({low} to {high})"


def _template(data: ReportData) -> Iterable[str]:
    if not data.template:
        return
    yield from ("## Prompt", "", "The model was trained and evaluated with this template; serve it with the same.", "")
    yield from _block(data.template)


def _block(given: Mapping[str, Any]) -> Iterable[str]:
    """YAML in a fence that is longer than any run of backticks in it."""
    import yaml

    shown = text.visible(yaml.safe_dump(dict(given), sort_keys=False, allow_unicode=True))
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", shown)), default=0))
    yield from (f"{fence}yaml", shown.rstrip("\n"), fence, "")


def _training(data: ReportData) -> Iterable[str]:
    yield from ("## Training", "")
    rows = [f"{side} {number:,}" for side, number in data.sides.items()]
    known = {
        "method": data.method,
        "provider": data.provider,
        "rows": ", ".join(rows),
        "data digest": data.data_digest,
        "generation in evaluation": words.facts(data).get("Model", {}).get("answers", ""),
    }
    yield from (f"- {key}: {code(value)}" for key, value in known.items() if value)
    yield ""
    if data.hyperparameters:
        yield from _block({"hyperparameters": data.hyperparameters})


def _provenance(data: ReportData) -> Iterable[str]:
    yield from ("## Provenance", "")
    known = {"run": data.run.id, "spec": data.spec, "spec sha256": data.spec_sha256}
    yield from (f"- {key}: {code(value)}" for key, value in known.items() if value)
    yield from (
        f"- input {code(one.path)}: {'sha256' if one.sha256 else 'version'} {code(one.sha256 or one.mark)}"
        for one in data.inputs
    )
    yield from (f"- {plain(name)} {plain(version)}" for name, version in data.versions.items())

"""The tuned model as a deliverable: shown, chatted with, exported, together with the template it was trained on."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

import ftspec
from ftspec.asking import remote
from ftspec.common.errors import FtspecError
from ftspec.common.jobs import ModelRef, TunedModel
from ftspec.common.messages import Answer, Generation, Message, Prompt, Question
from ftspec.common.progress import Progress, Quiet
from ftspec.common.records import Record
from ftspec.contracts.abilities import SupportsExport
from ftspec.costs.spending import Purse
from ftspec.report import ReportData
from ftspec.run.reopen import Opened
from ftspec.spec import Spec
from ftspec.tuning.deploying import Deployer
from ftspec.views import card

Chat = Callable[[list[Message]], Answer]


class Shown(Record):
    """What `ftspec model show` prints."""

    run: str
    model: TunedModel
    provider: str
    method: str
    hyperparameters: dict[str, Any]
    template: dict[str, Any]
    exports: tuple[str, ...]
    accuracy: float | None
    base_accuracy: float | None
    passed: bool | None


def show(opened: Opened) -> Shown:
    """The run's tuned model, with what the report says of it. Raises FtspecError where there is none (yet)."""
    data = opened.report
    evaluation = data.evaluation if data else None
    return Shown(
        run=opened.run.id,
        model=opened.model(),
        provider=opened.spec.provider.name,
        method=opened.request.method,
        hyperparameters=opened.request.hyperparameters,
        template=opened.spec.template,
        exports=opened.provider.exports if isinstance(opened.provider, SupportsExport) else (),
        accuracy=evaluation.tuned.accuracy if evaluation else None,
        base_accuracy=evaluation.base.accuracy if evaluation else None,
        passed=data.passed if data else None,
    )


def system_prompt(spec: Spec) -> str:
    """The system prompt that the model was trained with, "" where it depends on the row."""
    options = spec.format.options if spec.format else {}
    text = options.get("system", "")
    return text if isinstance(text, str) and "{{" not in text and "{%" not in text else ""


def generation(spec: Spec, *, temperature: float | None = None, max_tokens: int | None = None) -> Generation:
    """How the spec's evaluation samples answers, with what is given here changed."""
    own = spec.eval.generation if spec.eval else Generation()
    changes: dict[str, Any] = {"temperature": temperature, "max_tokens": max_tokens}
    return msgspec.structs.replace(own, **{name: value for name, value in changes.items() if value is not None})


@contextlib.contextmanager
def chat(opened: Opened, how: Generation, *, base: bool = False, progress: Progress | None = None) -> Iterator[Chat]:
    """Put the model up; the yielded function answers a list of messages.

    Args:
        how: how answers are sampled; see `generation`.
        base: talk to the base model instead of the tuned one.
        progress: told while a deployment is put up, which costs money until the context is left.
    """
    model: ModelRef | TunedModel = opened.request.model if base else opened.model()
    purse = Purse(opened.store, f"chat-{opened.run.id}", None, "USD")
    deployer = Deployer(
        opened.provider, opened.workspace, purse.run, purse=purse, hourly=None, progress=progress or Quiet()
    )
    with deployer.up(model) as standing, opened.provider.serve(standing) as up, remote.asking(up) as answers:

        def answer(messages: list[Message]) -> Answer:
            prompt = Prompt(id=secrets.token_hex(8), messages=messages)
            return next(answers([Question(prompt=prompt, seed=secrets.randbits(31))], how))

        yield answer


def export(opened: Opened, form: str, out: Path) -> Path:
    """Write the model and its card into a new folder, which appears when it is complete.

    Raises FtspecError where the provider cannot export it in this form, or `out` exists and is not empty.
    """
    provider = opened.provider
    if not isinstance(provider, SupportsExport) or form not in provider.exports:
        forms = ", ".join(provider.exports) if isinstance(provider, SupportsExport) else "nothing"
        raise FtspecError(f"provider '{opened.spec.provider.name}' cannot export '{form}'", f"it exports: {forms}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FtspecError(f"{out} exists already", "name a new folder with --out")
    staging = out.absolute().with_name(f".{out.name}.{secrets.token_hex(4)}")
    staging.mkdir(parents=True)
    try:
        provider.export(opened.model(), form, staging)
        readme = card.write(staging, opened.report or _unjudged(opened), form=form, base_model=_base(staging))
        for file in staging.rglob("*"):  # safetensors lets nobody but the owner read what it writes
            file.chmod(file.stat().st_mode | readme.stat().st_mode)
        if out.exists():
            out.rmdir()
        staging.replace(out)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise
    return out


def _unjudged(opened: Opened) -> ReportData:
    """What is known of a model before there is a report, as after `--until tuning`."""
    return ReportData(
        name=opened.spec.name,
        run=opened.run,
        ftspec=ftspec.__version__,
        spec=opened.spec.file.name,
        provider=opened.spec.provider.name,
        model=opened.request.model,
        tuned=opened.model(),
        method=opened.request.method,
        method_options=opened.request.method_options,
        hyperparameters=opened.request.hyperparameters,
        template=opened.spec.template,
    )


def _base(folder: Path) -> str:
    """What an adapter is for, as it says itself: the name on the hub, where the spec has an alias."""
    config = folder / "adapter_config.json"
    return str(msgspec.json.decode(config.read_bytes()).get("base_model_name_or_path", "")) if config.exists() else ""

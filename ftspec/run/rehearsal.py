"""Build what judges before anything is paid for, so that a fault in it costs nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from ftspec import items
from ftspec.common.errors import FtspecError, Problem, SpecError, SpecPath
from ftspec.common.messages import Prompt
from ftspec.common.references import hint_for, missing_secrets
from ftspec.contracts.graders import Judge
from ftspec.data import cases
from ftspec.grading import benches
from ftspec.registry import Registry
from ftspec.run.answering import court
from ftspec.run.site import Site
from ftspec.spec import Item


def rehearse(site: Site, *, from_data: bool) -> None:
    """Build what judges, so that a fault in it is found before anything is paid for.

    A run that starts `from_data` will need its provider: a secret that is not set is found before that work too.
    Raises SpecError with those, at their places.
    """
    if missing := list(_missing_secrets(site, from_data)):
        raise SpecError(missing, site.document)
    for _, item in site.spec.items():
        if item.kind in {"grader", "gate"}:
            built = items.build(item, site.registry, site.spec.folder)
            if isinstance(built, Judge):
                benches.bench(built, court(site))


def rehearse_prompts(site: Site, prompts: Sequence[Prompt]) -> None:
    """Build the judges that prompts bring along, for the same reason. Raises FtspecError for secrets not set."""
    column = site.spec.eval.asserts if site.spec.eval else ""
    if column:
        own = cases.graders(prompts, site.spec, site.registry)
        built = {id(grader): grader for pairs in own.values() for _, grader in pairs}
        judges = [judge for judge in built.values() if isinstance(judge, Judge)]
        providers = [items.referred(judge.provider) for judge in judges]
        if missing := sorted({name for one in providers for _, name in _unset(one, site.registry)}):
            asked = f"a judge that prompts bring along in '{column}' needs {', '.join(missing)}"
            raise FtspecError(f"secret not set: {asked}", hint_for(missing))
        for judge in judges:
            benches.bench(judge, court(site))


def _missing_secrets(site: Site, from_data: bool) -> Iterator[Problem]:
    """Secrets that the run is going to need and that are not set; one that an option has by default is told at the
    component's name."""
    for _, item in site.spec.items():
        component = site.registry.get(item.kind, item.name)
        asked = [items.referred(value, path) for path, value in items.references(item, component)]
        looked_at = [item, *asked] if from_data or item.kind in {"grader", "gate"} else []
        for path, name in dict.fromkeys(each for one in looked_at for each in _unset(one, site.registry)):
            yield Problem(message=f"secret not set: {name}", hint=hint_for([name]), path=path)


def _unset(item: Item, registry: Registry) -> Iterator[tuple[SpecPath, str]]:
    """Where the item's options, those too that it has by default, refer to secrets that are not set."""
    options = msgspec.to_builtins(registry.get(item.kind, item.name).convert(item.options))
    return missing_secrets(options, (*item.path, item.name))

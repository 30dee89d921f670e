"""Tell the plugins that watch: trackers, notifiers. One that raises is reported, and the run goes on."""

from __future__ import annotations

from typing import Any

from ftspec.common.progress import Progress
from ftspec.registry import Registry


def notify(registry: Registry, progress: Progress, hook: str, **facts: Any) -> None:
    """Call each plugin's implementation by itself: one that raises would keep pluggy from calling the rest."""
    for implementation in getattr(registry.manager.hook, hook).get_hookimpls():
        arguments = {name: facts[name] for name in implementation.argnames}
        try:
            implementation.function(**arguments)
        except (Exception, SystemExit) as error:  # a watcher must never stop the watched
            progress.note(f"plugin {implementation.plugin_name}: {hook} failed: {type(error).__name__}: {error}")

"""Tell the plugins that watch: trackers, notifiers. One that raises is reported, and the run goes on."""

from __future__ import annotations

from typing import Any

from ftspec.common.progress import Progress
from ftspec.registry import Registry


def notify(registry: Registry, progress: Progress, hook: str, **facts: Any) -> None:
    """Call the hook of each plugin that has it."""
    for plugin, call in registry.callers(hook, **facts):
        try:
            call()
        except (Exception, SystemExit) as error:  # a watcher must never stop the watched
            progress.note(f"plugin {plugin}: {hook} failed: {type(error).__name__}: {error}")

from __future__ import annotations

from ftspec import api

COMPONENTS: dict[str, api.Component] = {}

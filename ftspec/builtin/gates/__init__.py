"""Gates: an Evaluation to a Verdict. A metric that was not measured does not pass, and the message says what to do.

The rule is `api.decide`'s: the whole 95 percent interval decides, and what it cannot decide is INSUFFICIENT_EVIDENCE.
"""

from __future__ import annotations

from ftspec import api
from ftspec.builtin.gates import changes, expenses, levels

COMPONENTS: dict[str, api.Component] = {
    name: component for family in (levels, changes, expenses) for name, component in family.COMPONENTS.items()
}

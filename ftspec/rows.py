"""How rows are laid out in Arrow record batches, and helpers that step authors need too.

Before `format` a row has the source's own columns. After it: `messages` (type MESSAGES), `tools` (JSON text or null).
Hidden columns start with an underscore, travel with the row through every step and never reach a provider's file:

* `_row`   int64, the row's number over all sources in order; the ledger speaks of rows by it
* `_side`  string, "train", "validation", "test" or "prompt": decided from the source row's content, before cleaning
"""

from __future__ import annotations

ROW = "_row"
SIDE = "_side"
HIDDEN = (ROW, SIDE)

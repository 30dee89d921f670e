"""Where a run keeps its state: the only writer, the journal, and what runs there are."""

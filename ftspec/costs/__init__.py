"""What it costs: tables of prices and last days, arithmetic on them, and what a run has spent."""

"""What numbers are worth: intervals, two models on the same prompts, and how a gate decides."""

"""One tuning job, from file to model, submitted once."""

"""What there is, looked at: runs and jobs, models, data; side by side, shown, exported."""

"""An opinion of each answer, scores of each model, and what the gates decide."""

"""What a run would do, before it does it: hashes of all inputs, steps with digests, a forecast of the costs."""

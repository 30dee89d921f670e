"""Specs written for somebody: the first one, and one for another tuner."""

"""Servers that tests start, each a real one on the loopback address: see README.md beside this file."""

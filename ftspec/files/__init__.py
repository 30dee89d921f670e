"""This machine's disk, cache and memory; and files that are brought here from elsewhere."""

"""A spec as YAML: its data, the place of everything in it, and changes that leave the rest as it is."""

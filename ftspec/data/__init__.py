"""The data step: from sources through cleaning, format, split and checks to the provider's files."""

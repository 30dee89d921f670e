"""Kit for plugin authors: conformance suites that a plugin's tests subclass."""

"""Personal data and secrets: the step that replaces them, and the checks that find what is left."""

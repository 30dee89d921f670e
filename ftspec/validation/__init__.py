"""From a spec file to a Spec, or to everything that is wrong with it."""

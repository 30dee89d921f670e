"""Many questions at once to a model: how fast, when again, and every answer safe as soon as it is there."""

"""The steps of one run: data, tuning, evaluation, report; and the walk over them."""

"""What every room needs: the exception tree, records that are passed on, words for people, secrets masked."""

"""How rows lie in Arrow batches, and everything that is brought into that layout. `ftspec.rows` is its front."""

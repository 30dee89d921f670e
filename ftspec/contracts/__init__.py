"""What plugins offer: components, and what each kind of them returns. `ftspec.api` is its front."""

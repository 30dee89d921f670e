"""What lies about and nobody needs, taken away; and whether this machine is ready."""

"""Code that runs only on the local stack."""

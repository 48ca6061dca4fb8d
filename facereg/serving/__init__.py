"""Build, run and check a Triton model repository."""

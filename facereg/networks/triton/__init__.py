"""Networks on a Triton server, from the client's side."""

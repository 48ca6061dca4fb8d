"""Inception-v2 with a 128-d head: the embedder of the paper's section 4.2.2 and table 1."""

"""The embedder eigenfaces, for facereg."""

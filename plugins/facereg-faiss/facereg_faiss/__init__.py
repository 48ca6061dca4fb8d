"""A matcher of faiss's indexes: flat, inverted lists, HNSW, product quantisation."""

"""Galleries in PostgreSQL, searched there by pgvector."""

"""A vault's own backup: one file with its database, its settings and, on request, its keys."""

"""Whole syncs against a plain model of the documented rules: ``python -m tests.model [COUNT] [SEED]``."""

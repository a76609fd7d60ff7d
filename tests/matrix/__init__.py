"""Whole syncs on every store: what works where, and what is said where a store cannot."""

"""Drafts of keepstep.toml: from what other tools were set up with, and from answers."""

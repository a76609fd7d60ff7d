"""FOCUS cost reports of any cloud: where they are, what they say, and what that adds up to."""

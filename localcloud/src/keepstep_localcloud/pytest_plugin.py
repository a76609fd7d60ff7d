"""pytest's fixture ``local_cloud``: one local cloud for the session."""

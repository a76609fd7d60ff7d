"""How common servers take up a new secret, by name: ``recipe = "nginx"``."""

from __future__ import annotations

from typing import NamedTuple


class Recipe(NamedTuple):
    """How a server's container is notified."""

    what: str | None
    """A signal's full name, ``restart``, or None where nothing has to be said."""
    meaning: str


RECIPES = {
    "nginx": Recipe("SIGHUP", "reloads configuration and certificates; old workers finish"),
    "haproxy": Recipe("SIGUSR2", "graceful reload of the master process (haproxy -W, as in the official image)"),
    "traefik": Recipe(None, "watches its files itself"),
    "postfix": Recipe("SIGHUP", "reloads its configuration; SASL passwords also need postmap"),
    "dovecot": Recipe("SIGHUP", "reloads its configuration"),
    "openldap": Recipe(
        "SIGHUP", "slapd ends, after its clients with gentlehup, and the restart policy starts it again"
    ),
    "node": Recipe("SIGHUP", "what the application's own handler does; without one it ends"),
    "go": Recipe("SIGHUP", "what the application's own handler does; without one it ends"),
    "restart": Recipe("restart", "for images that reload nothing"),
    "none": Recipe(None, "taken up at the next planned start"),
}
"""The table of the map's first description, every row of it."""

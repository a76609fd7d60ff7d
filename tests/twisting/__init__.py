"""Stores and networks as people have them: a proxy that changes what a well-behaved server answers.

``with TwistingProxy(moto.url, "folder-order") as proxy:`` and let the client use ``proxy.url``. :data:`MODES` has
every mode by name; each is a small function, and its docstring says which store or network behaves so.
"""

from tests.twisting import listings, oci, reads, statuses, wire, writes
from tests.twisting.exchange import MODES as MODES
from tests.twisting.proxy import TwistingProxy as TwistingProxy

__all__ = ["MODES", "TwistingProxy", "listings", "oci", "reads", "statuses", "wire", "writes"]

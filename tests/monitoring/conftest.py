"""The states of tests/state, for the tests of this folder."""

from tests.state.conftest import _postgres as _postgres
from tests.state.conftest import shared_url as shared_url
from tests.state.conftest import state_url as state_url

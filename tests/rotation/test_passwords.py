"""Fresh passwords: the rules that every engine has in common, and those that a server tells."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepstep.databases.interface import PasswordPolicy
from keepstep.errors import Refused
from keepstep.rotation.passwords import fits, fresh_password

counts = st.integers(0, 6)
policies = st.builds(
    PasswordPolicy,
    shortest=st.integers(0, 40),
    longest=st.one_of(st.none(), st.integers(25, 60)),
    capitals=counts,
    small_letters=counts,
    digits=counts,
    marks=counts,
)


def kinds_of(password: str) -> list[int]:
    kinds = (string.ascii_uppercase, string.ascii_lowercase, string.digits, "_-")
    return [sum(character in kind for character in password) for kind in kinds]


@given(policies, st.sampled_from(["app_a", "A", "keepstep"]))
def test_a_policy_is_met(policy: PasswordPolicy, username: str) -> None:
    """A fresh password has two characters of each kind, and as many and as long as a server demands."""
    if policy.longest is not None and policy.longest < policy.shortest:
        return
    password = fresh_password(username, policy).reveal()
    demanded = (policy.capitals, policy.small_letters, policy.digits, policy.marks)
    assert all(have >= max(2, wanted) for have, wanted in zip(kinds_of(password), demanded, strict=True))
    assert policy.shortest <= len(password) <= (policy.longest or 99)
    assert username.lower() not in password.lower()
    assert fits(password, username, policy)


@pytest.mark.parametrize(
    "policy",
    [PasswordPolicy(shortest=31, longest=30), PasswordPolicy(longest=10, digits=6), PasswordPolicy(longest=8)],
)
def test_a_policy_that_nobody_can_meet(policy: PasswordPolicy) -> None:
    """Demands that contradict each other are refused, not tried forever."""
    with pytest.raises(Refused):
        fresh_password("app", policy)


def test_policies_add_up() -> None:
    """Of several databases the strictest demand of each kind counts."""
    one, other = PasswordPolicy(shortest=12, longest=30, digits=3), PasswordPolicy(longest=64, marks=4, digits=1)
    assert one.with_(other) == PasswordPolicy(shortest=12, longest=30, digits=3, marks=4)

"""Keys and what is kept of their secrets."""

from __future__ import annotations

import bcrypt
import pytest

from mailboat.delivery import pairs


def test_of_a_secret_only_a_hash_is_kept_that_it_matches() -> None:
    key, secret, stored = pairs.new_pair()
    assert secret not in stored
    assert stored.startswith("$2")
    assert (len(key), len(secret)) == (23, 43), "80 and 256 random bits"
    assert pairs.matches(secret, stored)
    assert not pairs.matches(f"{secret}x", stored)


@pytest.mark.parametrize("rounds", [4, 10])
def test_a_hash_of_any_cost_goes_on_working(rounds: int) -> None:
    stored = bcrypt.hashpw(b"an older secret", bcrypt.gensalt(rounds)).decode()
    assert pairs.matches("an older secret", stored)


@pytest.mark.parametrize("secret", ["x\0y", "ü" * 200])
def test_what_can_be_nobodys_secret_is_wrong(secret: str) -> None:
    assert not pairs.matches(secret, pairs.hashed("a secret"))

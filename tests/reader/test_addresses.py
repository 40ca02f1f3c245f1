"""The order in which the addresses of a reader are tried."""

from custom_components.energy_sse.reader.addresses import Addresses


def attempts(addresses: Addresses, count: int) -> list[str]:
    """Return the addresses of a number of attempts that all fail."""
    tried = []
    for _ in range(count):
        tried.append(addresses.next())
        addresses.fail(tried[-1])
    return tried


def test_current_address_is_tried_first_then_the_entered_one() -> None:
    addresses = Addresses("current", "entered")
    addresses.announce(["new", "newer"])
    assert attempts(addresses, 5) == ["current", "entered", "new", "newer", "current"]


def test_address_is_tried_once_in_a_round() -> None:
    addresses = Addresses("same", "same")
    addresses.announce(["same", "other", "other"])
    assert attempts(addresses, 4) == ["same", "other", "same", "other"]


def test_announced_address_is_tried_again_at_once() -> None:
    addresses = Addresses("current")
    addresses.announce(["old", "new"])
    assert attempts(addresses, 3) == ["current", "old", "new"]
    assert not addresses.has_untried
    addresses.announce(["new"])
    assert addresses.has_untried
    assert attempts(addresses, 2) == ["new", "current"]


def test_last_eight_announced_addresses_are_tried() -> None:
    addresses = Addresses("current")
    for number in range(20):
        addresses.announce([str(number)])
    assert attempts(addresses, 10) == ["current", *map(str, range(19, 11, -1)), "current"]


def test_earlier_address_is_tried_after_the_current_one() -> None:
    addresses = Addresses("first")
    addresses.announce(["second"])
    assert not addresses.succeed("first")
    assert addresses.succeed("second")
    assert attempts(addresses, 3) == ["second", "first", "second"]


def test_removed_address_is_not_tried_and_known_ones_stay() -> None:
    addresses = Addresses("current", "entered")
    addresses.announce(["wrong"])
    for each in ("current", "entered", "wrong", "unknown"):
        addresses.remove(each)
    assert attempts(addresses, 3) == ["current", "entered", "current"]


def test_entered_address_is_tried_once_before_the_current_one() -> None:
    addresses = Addresses("current", "entered")
    addresses.prefer_entered()
    assert attempts(addresses, 3) == ["entered", "current", "current"]


def test_password_may_go_unencrypted_to_stored_addresses_only() -> None:
    addresses = Addresses("stored", "entered")
    addresses.announce(["new"])
    addresses.succeed("new")
    assert [addresses.is_trusted(each) for each in ("stored", "entered", "new")] == [True, True, False]

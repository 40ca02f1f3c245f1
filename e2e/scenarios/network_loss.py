"""What happens on the network begins here, and is noticed only after a minute: life goes on meanwhile."""

from e2e.home import Home


async def unplug(home: Home) -> None:
    """One reader moves to another address without a word, and another one is unplugged."""
    await home.garage.unplug()
    await home.attic.unplug()
    home.attic.machine.move_to(home.attic.machine.address + 100)
    await home.attic.plug_in()

"""Begin of the network changes, which take a minute. Other scenarios run meanwhile."""

from e2e.home import Home


async def unplug(home: Home) -> None:
    """One reader gets another address, and another reader is unplugged."""
    await home.garage.unplug()
    await home.attic.unplug()
    home.attic.machine.move_to(home.attic.machine.address + 100)
    await home.attic.plug_in()

"""Readers that get another address, are unplugged, and restart."""

from e2e.home import Home


async def moved(home: Home) -> None:
    """A reader that is announced at a new address is followed without a question."""
    await home.is_streaming(home.attic)
    devices = await home.api.command("config/device_registry/list")
    assert f"http://{home.attic.host}" in [device["configuration_url"] for device in devices]


async def vanished(home: Home) -> None:
    """An unplugged reader is unavailable, and available once it is plugged in."""
    power = await home.entity(home.garage, "_active_power_net")
    await home.has_state(power, "unavailable")
    home.garage.machine.move_to(home.garage.machine.address)
    await home.garage.plug_in()
    await home.has_state(power, r"-?[\d.]+")


async def restarted(home: Home) -> None:
    """A reader that restarts is available again."""
    reader = home.currentlyone
    count = reader.simulator.stream_count
    await reader.simulator.announce_restart("SW")
    await reader.leave()
    await reader.plug_in()
    await home.is_streaming(reader)
    assert reader.simulator.stream_count > count

"""What happens on a network: readers that move, vanish and restart. Nothing of it has to be told anybody."""

from e2e.home import Home


async def moved(home: Home) -> None:
    """The one that is announced at its new address is followed without asking."""
    await home.is_streaming(home.attic)
    devices = await home.api.command("config/device_registry/list")
    assert f"http://{home.attic.host}" in [device["configuration_url"] for device in devices]


async def vanished(home: Home) -> None:
    """The one that was unplugged is unavailable, and back when it is plugged in."""
    power = await home.entity(home.garage, "_active_power_net")
    await home.has_state(power, "unavailable")
    home.garage.machine.move_to(home.garage.machine.address)
    await home.garage.plug_in()
    await home.has_state(power, r"-?[\d.]+")


async def restarted(home: Home) -> None:
    """A reader that restarts is back by itself."""
    reader = home.currentlyone
    count = reader.simulator.stream_count
    await reader.simulator.announce_restart("SW")
    await reader.leave()
    await reader.plug_in()
    await home.is_streaming(reader)
    assert reader.simulator.stream_count > count

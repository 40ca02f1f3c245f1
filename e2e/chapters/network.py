"""What happens on a network: readers that move, vanish and restart. Nothing of it has to be told anybody."""

from e2e.home import Home


async def moved(home: Home) -> None:
    """A reader that is announced at a new address is followed without asking."""
    # Meanwhile another one is unplugged: that both are missed takes the same minute.
    await home.garage.unplug()
    await home.whatwatt.unplug()
    home.whatwatt.house.move_to(home.whatwatt.house.address + 100)
    await home.whatwatt.plug_in()
    await home.is_streaming(home.whatwatt)
    devices = await home.api.command("config/device_registry/list")
    assert f"http://{home.whatwatt.host}" in [device["configuration_url"] for device in devices]


async def vanished(home: Home) -> None:
    """A reader that was unplugged is unavailable, and back when it is plugged in."""
    power = await home.entity(home.garage, "active_power_net")
    await home.has_state(power, "unavailable")
    home.garage.house.move_to(home.garage.house.address)
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

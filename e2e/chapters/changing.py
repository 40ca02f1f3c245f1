"""What changes: an address that nobody announces, a password, a meter that wants a key."""

from e2e.home import ATTIC, GARAGE, INTEGRATION_PAGE, NEW_PASSWORD, Home
from e2e.street import Reader
from tests.readers import WhatwattSimulator


async def reconfigure(home: Home) -> None:
    """A reader that is not announced is followed by hand; a wrong one is refused by its name."""
    person, say = home.person, home.person.say
    await home.attic.unplug()
    home.attic.house.move_to(home.attic.house.address + 100)
    await home.attic.plug_in(is_announced=False)
    await person.open(INTEGRATION_PAGE)
    await person.choose_in_menu(home.entry(ATTIC), say("Reconfigure"))
    await home.add_by_hand(home.garage.host)
    await person.sees(say(person.words.whole("Another reader answers at this address: "), found=GARAGE))
    await home.add_by_hand(home.attic.host)
    await person.sees(say("Reconfiguration was successful"))
    await person.finish("Close")
    await home.is_streaming(home.attic)


async def new_password(home: Home) -> None:
    """A password that was changed on the reader is asked for, and then used."""
    person, say = home.person, home.person.say
    login = home.whatwatt.simulator.login
    assert login is not None
    login.password = NEW_PASSWORD
    home.whatwatt.simulator.end_streams()
    await person.open(INTEGRATION_PAGE)
    await person.sees(say("Needs attention"))
    await person.press(say("Reconfigure"))
    reason = person.words.whole("The reader at {host} refuses the password")
    await person.sees(say(reason, host=home.whatwatt.host))
    await home.enter_password(NEW_PASSWORD)
    await person.sees(say("Re-authentication was successful"))
    await person.finish("Close")
    await home.is_streaming(home.whatwatt)


async def repair(home: Home) -> None:
    """What only the user can set right is a repair, and goes away by itself."""
    person, simulator = home.person, home.attic.simulator
    simulator.meter_status = "KEY REQUIRED"
    simulator.end_streams()
    await person.open("/config/repairs")
    title = person.say("{name} cannot read its meter", name=ATTIC)
    await person.shown(title).click()
    await person.sees(person.say(person.words.whole("The meter encrypts what it sends.")))
    await person.picture("repair")
    simulator.meter_status = "OK"
    simulator.end_streams()
    await person.open("/config/repairs")
    await person.sees_no(title)


async def visitor(home: Home) -> None:
    """A reader that was discovered and says goodbye is offered no longer."""
    simulator = WhatwattSimulator(home.attic.simulator.house, device_id="ECC9FF8A2B30")
    reader = Reader(home.empty_house, simulator)
    await reader.plug_in()
    await home.person.open("/config/integrations/dashboard")
    await home.person.sees("whatwatt Go 8A2B30")
    await reader.leave()
    await home.person.sees_no("whatwatt Go 8A2B30")

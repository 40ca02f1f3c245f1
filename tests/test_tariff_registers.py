"""Power tariff of a meter that sends only the registers of its two tariffs."""

from collections.abc import AsyncGenerator
from typing import Any, override

from freezegun.api import FrozenDateTimeFactory
from homeassistant.core import HomeAssistant, State as HomeAssistantState
import pytest

from custom_components.energy_sse.const import CONF_POWER_TARIFF, PowerTariffKey as K
from custom_components.energy_sse.reader import Measurement as M

from .conftest import Start
from .home_assistant import entity_id
from .simulators import House, WhatwattSimulator
from .simulators.house import Appliance, State
from .simulators.whatwatt import Firmware
from .tariffs import choose_tariff, tariff_state
from .test_update_interval import Home
from .wait import wait_until

RULES = {"interval": "15", "peaks": 1, "one_per_day": False}

# Option of version 2, which is migrated at the setup.
QUARTERS = {"enabled": True, **RULES}

# W of a stove, by its state.
LOADS = {"off": 0, "low": 2000, "high": 6000}

T1, T2 = "E_In_T1", "E_In_T2"


class TariffHome(Home):
    """A home whose meter sends only the registers of its tariffs. The second tariff begins at 22:00."""

    reader: WhatwattSimulator

    async def start(self, **settings: Any) -> None:
        """Set the reader up with a power tariff."""
        await self.set_up(0, **{CONF_POWER_TARIFF: {**QUARTERS, **settings}})

    async def draw(self, load: str, minutes: int) -> float:
        """Draw power for some minutes. Return the energy in kWh."""
        self.reader.house.switch("stove", load)
        before = self.imported
        for _ in range(minutes * 3):
            await self.advance(20)
            await self.send()
        return self.imported - before

    @property
    def imported(self) -> float:
        """Energy that the house has imported, in kWh."""
        return sum(self.reader.house.active_import.values()) / 1000

    @property
    def peak(self) -> float:
        """Peak demand, in kW."""
        return float(self.shown(K.PEAK_DEMAND))

    @property
    def has_own_register(self) -> bool:
        """True if power tariffs use the import register of the meter instead of the sum."""
        histories = self.entry.runtime_data.coordinator.histories
        return histories.for_power_tariffs is histories.by_register[M.ACTIVE_ENERGY_IMPORT]

    async def choose(self) -> str | None:
        """Add the power tariff, or change it. Return the key of the error, if there is one."""
        error = await choose_tariff(self.hass, self.entry, **RULES)
        await self.hass.async_block_till_done()
        await wait_until(lambda: self.reader.streams)
        return error

    @override
    def state(self, key: M | K | None = None) -> HomeAssistantState:
        return tariff_state(self.hass, self.entry, key) if isinstance(key, K) else super().state(key)


@pytest.fixture
async def home(
    hass: HomeAssistant, freezer: FrozenDateTimeFactory, house: House, start: Start
) -> AsyncGenerator[TariffHome]:
    """Return a home two minutes before a quarter-hour."""
    house.clock = house.clock.replace(hour=21, minute=28)
    states = tuple(State(name, watts, is_on=True) for name, watts in LOADS.items())
    house.appliances[:] = [Appliance("stove", "Stove", "stoves", 0, states, (100_000,) * len(states))]
    house.solar_peak = 0.0
    reader = WhatwattSimulator(house)
    reader.missing_keys = {"E_In"}
    await start(reader)
    home = TariffHome(hass, freezer, reader, begin="2026-11-10 21:28:00")
    yield home
    await hass.config_entries.async_unload(home.entry.entry_id)


def fill_with_zeros(reader: WhatwattSimulator) -> None:
    """Let the firmware send zero instead of the register that the meter does not have."""
    reader.firmware = Firmware.FILLING
    reader.missing_keys, reader.overrides = set(), {"E_In": 0}


# ---------------------------------------------------------------------------------- the monthly peak


@pytest.mark.parametrize("is_filled", [False, True])
async def test_peak_is_the_sum_of_both_tariffs(home: TariffHome, *, is_filled: bool) -> None:
    if is_filled:
        fill_with_zeros(home.reader)
    await home.start(enabled=False)
    await home.draw("low", 6)
    assert await home.choose() is None
    await home.draw("low", 10)  # 21:45:00
    first = await home.draw("high", 15)
    assert float(home.shown(K.DEMAND)) == pytest.approx(4 * first, abs=0.15)
    await home.draw("off", 2)
    assert home.peak == pytest.approx(4 * first, abs=0.15)
    await home.draw("low", 8)
    assert float(home.shown(K.DEMAND)) < 2.6
    # No entity shows the sum.
    unique_id = f"{home.reader.device_id}_{M.ACTIVE_ENERGY_IMPORT}"
    assert is_filled or entity_id(home.hass, "sensor", unique_id) is None


async def test_quarter_with_both_tariffs_is_billed(home: TariffHome) -> None:
    home.reader.house.clock = home.reader.house.clock.replace(minute=37)
    await home.start()
    await home.draw("low", 16)
    # At 22:00 by the house's clock, in the middle of a quarter-hour of Home Assistant.
    energy = await home.draw("high", 15)
    await home.draw("off", 2)
    assert home.peak == pytest.approx(4 * energy, abs=0.15)
    assert home.reader.house.tariff == 2


async def test_telegrams_without_a_register_are_left_out(home: TariffHome) -> None:
    await home.start()
    await home.draw("low", 16)
    energy = await home.draw("high", 5)
    for missing in (T1, T2):
        home.reader.missing_keys = {"E_In", missing}
        energy += await home.draw("high", 1)
    home.reader.missing_keys = {"E_In"}
    energy += await home.draw("high", 8)
    await home.draw("off", 2)
    assert home.peak == pytest.approx(4 * energy, abs=0.15)


@pytest.mark.parametrize("register", [0.001, 99_999.0, 0])
async def test_rejected_register_makes_no_peak(home: TariffHome, register: float) -> None:
    await home.start()
    await home.draw("low", 16)
    energy = await home.draw("high", 5)
    home.reader.overrides = {T2: register}
    await home.send()
    energy += await home.draw("high", 1)
    home.reader.overrides = {}
    energy += await home.draw("high", 9)
    await home.draw("off", 2)
    assert home.peak == pytest.approx(4 * energy, abs=0.15)


@pytest.mark.parametrize(
    "registers", [{1: 5_000.0, 2: 1_000.0}, {1: 5_000.0, 2: 11_000_000.0}, {1: 9_000_000.0, 2: 0.0}]
)
async def test_replaced_meter_makes_no_peak(home: TariffHome, registers: dict[int, float]) -> None:
    await home.start()
    await home.draw("low", 16)
    energy = await home.draw("high", 5)
    home.reader.house.active_import = registers
    energy += await home.draw("high", 10)
    await home.draw("low", 15)
    await home.draw("low", 2)
    assert home.peak == pytest.approx(4 * energy, abs=0.4)
    (replacement,) = home.entry.runtime_data.coordinator.histories.for_power_tariffs.replacements
    assert replacement.last - replacement.first == pytest.approx(
        10_526_027 + 1000 * energy / 3 - sum(registers.values()), abs=3000
    )


async def test_peak_is_the_same_after_a_restart(home: TariffHome) -> None:
    await home.start()
    await home.draw("low", 16)
    await home.draw("high", 15)
    await home.draw("off", 2)
    peak = home.peak
    await home.hass.config_entries.async_unload(home.entry.entry_id)
    assert await home.hass.config_entries.async_setup(home.entry.entry_id)
    await wait_until(lambda: home.reader.streams)
    await home.send()
    assert home.peak == peak
    await home.draw("low", 14)
    await home.draw("off", 2)
    assert home.peak == peak


# --------------------------------------------------------------------------------------- the dialog


async def test_tariff_is_accepted_after_the_second_register(home: TariffHome) -> None:
    home.reader.missing_keys = {"E_In", T2}
    home.reader.house.active_import[2] = 0.0
    await home.start(enabled=False)
    await home.draw("low", 2)
    assert await home.choose() == "no_register"
    home.reader.missing_keys, home.reader.house.active_import[2] = {"E_In"}, 1.0
    await home.draw("low", 1)
    assert await home.choose() is None
    await home.draw("low", 13)
    energy = await home.draw("low", 15)
    await home.draw("off", 2)
    assert home.peak == pytest.approx(4 * energy, abs=0.15)


@pytest.mark.parametrize("is_sparse", [True, False])
async def test_tariff_is_rejected_without_a_register(home: TariffHome, *, is_sparse: bool) -> None:
    if is_sparse:
        home.reader.missing_keys = {"E_In", T1, T2}
    else:
        home.reader.missing_keys, home.reader.overrides = set(), {"E_In": 0, T1: 0, T2: 0}
    await home.start(enabled=False)
    await home.draw("low", 8)
    assert await home.choose() == "no_register"
    assert home.has_own_register


async def test_tariff_is_rejected_when_the_meter_has_more(home: TariffHome) -> None:
    await home.start()
    await home.draw("low", 16)
    await home.draw("high", 16)
    assert home.peak > 0
    home.reader.overrides = {"T": 3}
    await home.draw("high", 1)
    home.reader.overrides = {}
    await home.draw("high", 15)
    assert home.shown(K.PEAK_DEMAND) == "unavailable"
    assert await home.choose() == "no_register"

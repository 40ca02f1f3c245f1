"""Meters as they were recorded: what their readers send, and the reader that sends it."""

from collections.abc import Mapping
import json
from typing import Any

from .readers import CurrentlyOneSimulator, House, WhatwattSimulator
from .readers.server import Simulator
from .samples import sample


def live_from_report(name: str) -> bytes:
    """Return a recorded `/report` as the `live` event of the same reading: the same values, flat."""
    report = json.loads(sample(name))["report"]
    power, energy = report["instantaneous_power"], report["energy"]
    payload: dict[str, Any] = {}

    def put(prefix: str, suffix: str, values: Mapping[str, float], parts: Mapping[str, str]) -> None:
        for part, value in values.items():
            payload[prefix + parts[part] + suffix] = value

    phases = {"total": "", "l1": "_P1", "l2": "_P2", "l3": "_P3"}
    tariffs = {"total": "", "t1": "_T1", "t2": "_T2"}
    for direction, word in (("positive", "_In"), ("negative", "_Out")):
        put("P", word, power["active"][direction], phases)
        put("rP", word, power.get("reactive", {}).get(direction, {}), phases)
        put("E" + word, "", energy["active"][direction], tariffs)
        put("rE" + word, "", energy.get("reactive", {}).get(direction, {}), tariffs)
    put("V", "", report["voltage"], phases)
    put("I", "", report["current"], phases)
    if "power_factor" in report:
        payload["PF"] = report["power_factor"]
    payload["T"] = report["tariff"]
    if "volume" in report:
        payload["Vol"] = [{"Bus": each["bus"], "M_ID": each["meter_id"]} for each in report["volume"]]
    date, time = report["date_time_local"][:19].split("T")
    payload |= {"Date": date, "Time": time}
    return f"event: live\ndata: {json.dumps(payload)}\n\n".encode()


RECORDED_WHATWATT = {
    "firmware 1": sample("whatwatt_live_fw1.sse"),
    "firmware 2": sample("whatwatt_live_fw2.sse"),
    "ensor": live_from_report("whatwatt_report_ensor_dsmr.json"),
    "kamstrup": live_from_report("whatwatt_report_kamstrup_kmp.json"),
    "landis+gyr": live_from_report("whatwatt_report_landis_dlms.json"),
}
RECORDED_CURRENTLYONE = {
    # Its readings are five minutes older than its connect and would not be believed: it connects earlier.
    "firmware 2.0.25": (
        "b8b41879cf58",
        sample("currentlyone_stream_2.0.25.sse").replace(b"2023-10-12T19:59:33", b"2023-10-12T19:54:31"),
    ),
    "firmware 2.8.9": ("abcd1879cf58", sample("currentlyone_stream_2.8.9.sse")),
}

METERS = [
    *(f"whatwatt {name}" for name in RECORDED_WHATWATT),
    *(f"currentlyone {name}" for name in RECORDED_CURRENTLYONE),
]


def recorded_reader(meter: str, house: House) -> Simulator:
    """Return a reader that says on connect what was recorded of a meter."""
    kind, _, name = meter.partition(" ")
    if kind == "whatwatt":
        whatwatt = WhatwattSimulator(house)
        whatwatt.recording = RECORDED_WHATWATT[name]
        return whatwatt
    device_id, recording = RECORDED_CURRENTLYONE[name]
    currentlyone = CurrentlyOneSimulator(house, device_id=device_id, has_inventory=False)
    currentlyone.recording = recording
    return currentlyone

"""What the name of a column says: which quantity it holds, in which unit, of which device and ramp."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace

# Names without case, spaces and signs; the earlier one is taken where several stand in one file.
SYNONYMS = {
    "pulse": "pulsenumber pulse pulseno pulsenr pulseindex pulsecount pulseid pulses npulses no nr npulse n number index",
    "polarity": "polarity pulsepolarity pol direction dir sign pulsetype operation op type",
    "pulse_voltage": "pulsevoltage vpulse pulseamplitude writevoltage vwrite programmingvoltage vprog amplitude",
    "read_voltage": "readvoltage vread readoutvoltage",
    "pulse_width": "pulsewidth pulseduration tpulse pw",
    "cycle": "cycle cyclenumber cycleno cycleindex cycleid cyc loop repetition",
    "device": "device deviceid devicename dev dut chip chipid die cell cellid",
    "time": "time t elapsedtime relativetime elapsed",
    "conductance": "conductance g readconductance gread channelconductance cond gd gds",
    "resistance": "resistance r readresistance rread res",
    "current": "current readcurrent iread i id ids draincurrent ig gatecurrent",
    "voltage": "vcap capacitorvoltage storagevoltage vstorage vout voltage v",
    "counts": "adccounts counts adc adccode code lsb weight weights value values w level au",
}
KINDS = {word: kind for kind, words in SYNONYMS.items() for word in words.split()}
RANKS = {word: rank for words in SYNONYMS.values() for rank, word in enumerate(words.split())}
LEVELS = ("conductance", "resistance", "current", "counts", "voltage")  # what is a level, the surest first
DIMENSIONS = {"conductance": "S", "resistance": "Ohm", "current": "A", "voltage": "V", "time": "s", "pulse_width": "s"}
DIMENSIONS |= {"pulse_voltage": "V", "read_voltage": "V", "counts": "a.u."}
_FREE = ("counts", "up", "down", None)  # a value of these may be of any dimension, if its unit says so

_UP, _DOWN = ["up", "set", "ltp", "potentiation", "pot"], ["down", "reset", "ltd", "depression", "dep"]
_RAMP = re.compile(rf"(?:(.+)_)?({'|'.join(_UP + _DOWN)})_?(\d{{0,9}})")
_LEVEL = re.compile(rf"(?:(.+)_)?({'|'.join(w for kind in LEVELS for w in SYNONYMS[kind].split())})_?(\d{{0,9}})")

_PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9, "p": 1e-12, "f": 1e-15, "k": 1e3, "M": 1e6, "G": 1e9}
_BASES = {"S": "S", "A": "A", "V": "V", "Ohm": "Ohm", "ohm": "Ohm", "Ohms": "Ohm", "ohms": "Ohm", "s": "s"}
_UNITS = {p + b: (scale, base) for b, base in _BASES.items() for p, scale in _PREFIXES.items()}
_UNITS |= {"KOhm": (1e3, "Ohm"), "Kohm": (1e3, "Ohm"), "siemens": (1.0, "S"), "Siemens": (1.0, "S")}
_UNITS |= {name: (60.0, "s") for name in ("min", "minute", "minutes")} | {name: (3600.0, "s") for name in ("h", "hr", "hour", "hours")}
_UNITS |= {"sec": (1.0, "s"), "seconds": (1.0, "s"), "d": (86400.0, "s"), "days": (86400.0, "s")}
_UNITS |= dict.fromkeys(
    ("a.u.", "a.u", "au", "arb. units", "arb.", "arb", "norm", "norm.", "-", "1", "counts", "lsb", "LSB"), (1.0, "a.u.")
)
_UNITS |= {"mohm": (1.0, ""), "mohms": (1.0, "")}  # milli or mega: nobody knows


@dataclass(frozen=True)
class Quantity:
    """One column: its kind (a key of SYNONYMS, "up", "down", or None), unit, and what its name adds.

    Args:
        word: the name without unit, case and signs. scale: to SI. dimension: "S", "A", "V", "Ohm", "s", "a.u.", or None when unsaid.
        unit: as written, "" when absent. prefix, number: of `dev1_set_2` or `g_3`.
    """

    kind: str | None
    word: str
    scale: float = 1.0
    dimension: str | None = None
    unit: str = ""
    prefix: str = ""
    number: str = ""


def plain(name: str) -> str:
    """A name with micro, Ohm and minus signs as ASCII, and without what cannot be printed."""
    for sign, letters in (("µ", "u"), ("μ", "u"), ("Ω", "Ohm"), ("\u2126", "Ohm"), ("−", "-"), ("\u00a0", " ")):
        name = name.replace(sign, letters)
    return "".join(c if c.isprintable() else " " for c in name).strip().strip("\"'").strip()


def unit_of(text: str, dimension: str | None = None) -> tuple[float, str] | None:
    """(scale to SI, dimension) of a unit, None when it is no unit; lower-case letters stand for S, A, V where `dimension` asks for them."""
    text = plain(text)
    if dimension in ("S", "A", "V") and text and text[:-1] in _PREFIXES and text[-1].upper() == dimension:
        return _PREFIXES[text[:-1]], dimension
    if dimension == "s" and text == "S":
        return 1.0, "s"
    return _UNITS.get(text)


@functools.lru_cache(4096)
def quantity(name: str) -> Quantity:
    """The quantity that a column of this name holds; `kind` is None when the name says nothing.

    Example:
        >>> column = quantity("dev1_set_2 (uS)")
        >>> column.kind, column.scale, column.dimension, column.prefix, column.number
        ('up', 1e-06, 'S', 'dev1', '2')
    """
    name = plain(name)
    bracket = re.fullmatch(r"(.*?)[\s_]*[(\[]\s*([^()\[\]]*?)\s*[)\]]", name)
    tail = re.fullmatch(r"(.+?)[\s_/,]+([^\s_/,]+)", name)
    options = [bracket.groups()] if bracket else [(name, "")] + ([tail.groups()] if tail else [])
    for read in (_named, _tagged):
        for base, unit in options:
            reading = read(base)
            if reading.kind and (bracket or not unit or unit_of(unit, DIMENSIONS.get(reading.kind))):
                return _in_unit(reading, unit)
    return _in_unit(Quantity(None, _base(options[0][0])), options[0][1])


def _base(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


def _named(name: str) -> Quantity:
    base = _base(name)
    word = base.replace("_", "")
    if word in KINDS:
        return Quantity(KINDS[word], word)
    ramp = _RAMP.fullmatch(base)
    if not ramp:
        return Quantity(None, word)
    prefix, number = ramp[1] or "", ramp[3]
    cycle = re.fullmatch(r"(?:cycle|c)?_?(\d+)", prefix)
    if cycle and not number:
        prefix, number = "", cycle[1]
    kind = KINDS.get(prefix, "")
    dimension = DIMENSIONS.get(kind)
    if dimension and kind not in LEVELS:  # a ramp of times or of voltages applied is no ramp of levels
        return Quantity(None, word)
    return Quantity("up" if ramp[2] in _UP else "down", word, dimension=dimension, prefix="" if dimension else prefix, number=number)


def _tagged(name: str) -> Quantity:
    """A level of one of several devices, such as `g_3` or `dev2_current`, or of a ramp, such as `set_2_g`."""
    match = _LEVEL.fullmatch(_base(name))
    if not match:
        return Quantity(None, _base(name))
    kind, prefix = KINDS[match[2]], match[1] or ""
    ramp = _named(prefix)
    if ramp.kind in ("up", "down"):
        return replace(ramp, dimension=DIMENSIONS[kind])
    return Quantity(kind, match[2], prefix=prefix, number=match[3])


def _in_unit(header: Quantity, unit: str) -> Quantity:
    if not unit:
        return header
    scale, dimension = unit_of(unit, DIMENSIONS.get(header.kind or "")) or (1.0, None)
    return replace(header, unit=unit, scale=scale, dimension=dimension)


def problem(header: Quantity) -> str:
    """Why the unit of a column does not go with its kind, "" when it does."""
    wanted = DIMENSIONS.get(header.kind or "")
    if not header.unit or (wanted is None and header.kind not in _FREE):
        return ""
    if not header.dimension:
        return f"has the unit {header.unit!r}, which is not known; write it as in uS, nA, kOhm, MOhm, V, ms or a.u."
    free = header.kind in _FREE and header.dimension != "s"
    fits = free or header.dimension == wanted or (header.dimension == "a.u." and header.kind in ("conductance", "current", "voltage"))
    return "" if fits else f"is a {header.kind or 'level'} but has the unit {header.unit}; correct one of the two"

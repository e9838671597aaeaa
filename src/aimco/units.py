"""SI units as named numbers: `25 * uS` is 25 microsiemens, and a field knows the symbol of its unit."""

from __future__ import annotations


class Unit(float):
    """A multiple of an SI unit that remembers its symbol.

    Arithmetic gives plain floats: `2 * uS == 2e-06`.

    Example:
        >>> 2 * uS, uS.symbol
        (2e-06, 'uS')
    """

    symbol: str

    def __new__(cls, value: float, symbol: str) -> Unit:
        unit = super().__new__(cls, value)
        unit.symbol = symbol
        return unit


one = Unit(1.0, "")
S, mS, uS, nS, pS = (Unit(v, n) for v, n in ((1.0, "S"), (1e-3, "mS"), (1e-6, "uS"), (1e-9, "nS"), (1e-12, "pS")))
Ohm, kOhm, MOhm = Unit(1.0, "Ohm"), Unit(1e3, "kOhm"), Unit(1e6, "MOhm")
V, mV = Unit(1.0, "V"), Unit(1e-3, "mV")
A, mA, uA, nA, pA = (Unit(v, n) for v, n in ((1.0, "A"), (1e-3, "mA"), (1e-6, "uA"), (1e-9, "nA"), (1e-12, "pA")))
s, ms, us, ns, ps = (Unit(v, n) for v, n in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"), (1e-12, "ps")))
minute, hour = Unit(60.0, "min"), Unit(3600.0, "h")
J, nJ, pJ, fJ = Unit(1.0, "J"), Unit(1e-9, "nJ"), Unit(1e-12, "pJ"), Unit(1e-15, "fJ")
W, mW, uW = Unit(1.0, "W"), Unit(1e-3, "mW"), Unit(1e-6, "uW")
m, um, nm = Unit(1.0, "m"), Unit(1e-6, "um"), Unit(1e-9, "nm")
m2, mm2, um2 = Unit(1.0, "m^2"), Unit(1e-6, "mm^2"), Unit(1e-12, "um^2")
F, fF = Unit(1.0, "F"), Unit(1e-15, "fF")
Hz = Unit(1.0, "Hz")

SIZES = {  # smallest and largest that a field may have, wide of what exists
    "S": (1e-30, 1e6),
    "Ohm": (1e-15, 1e18),
    "V": (1e-15, 1e6),
    "A": (1e-30, 1e6),
    "s": (1e-24, 1e15),
    "J": (1e-30, 1e3),
    "W": (1e-24, 1e9),
    "m": (1e-12, 1e3),
    "m^2": (1e-24, 1e3),
    "F": (1e-24, 1e3),
    "Hz": (1e-15, 1e18),
}
_ANY_SIZE = (1e-100, 1e100)
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"), (1e-6, "u"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"), (1e-18, "a"))


def text(value: float, symbol: str = "", digits: int = 3) -> str:
    """`value` with an SI prefix, for tables and axes: `text(2.5e-05, "S") == "25 uS"`.

    Areas keep their prefix on the length: `text(2.68e-06, "m^2") == "2.68 mm^2"`.
    """
    if value == 0 or value != value or value in (float("inf"), float("-inf")):
        return f"{value:g} {symbol}".rstrip()
    unit = suited(value, symbol)
    return f"{value / unit:.{digits}g} {unit.symbol}".rstrip()


def suited(value: float, symbol: str) -> Unit:
    """The multiple of a unit in which `value` is a handy number: `suited(2.5e-05, "S").symbol == "uS"`."""
    power = 2 if symbol == "m^2" else 1
    prefixes = [(scale**power, name) for scale, name in _PREFIXES if power == 1 or scale <= 1]
    smallest = 0.9995 if power == 1 else 0.9995e-3  # areas from a thousandth on, as their prefixes lie a million apart
    scale, name = next(((sc, n) for sc, n in prefixes if abs(value) >= sc * smallest), prefixes[-1])
    return Unit(scale, f"{name}{symbol}")


def size_fault(number: float, symbol: str = "") -> str | None:
    """What is wrong with the size of a finite number of a unit, with which sums and products would leave the range of floats."""
    low, high = SIZES.get(symbol, _ANY_SIZE)
    if not number or low <= abs(number) <= high:
        return None
    return f"must be 0 or of a size in {low:g}..{high:g} {symbol}".rstrip() + f", got {number:g}"

"""Numbers as words, said in one way by tables, pictures and explorers. Needs nothing but Python."""

from collections.abc import Iterable
from numbers import Integral


def number(value: float) -> str:
    """Whole numbers with thousands commas, others with three digits or all before the point: 6.98155 -> "6.98"."""
    if isinstance(value, Integral):
        return str(value) if isinstance(value, bool) else f"{value:,}"
    return f"{value:.3g}" if abs(float(f"{value:.3g}")) < 1000 else f"{value:,.0f}"


def short(value: float) -> str:
    """Three digits with a thousand (k), million (M), billion (G) or more: 1_500_000 -> "1.5 M", 28 -> "28"."""
    rounded = float(f"{value:.3g}")
    for unit in ("", " k", " M", " G", " T", " P", " E"):
        if abs(rounded) < 1000:
            return f"{rounded:.3g}{unit}"
        rounded /= 1000
    return f"{value:.3g}"


def memory(size: int) -> str:
    """Bytes with three digits, in powers of 1000: 117_600 -> "118 kB"."""
    return plural(size, "byte") if size < 1000 else short(size) + "B"


def percent(share: float, digits: int = 1) -> str:
    """A fraction in per cent: 0.0955 -> "9.6 %", 0.0004 -> "< 0.1 %", 1 -> "100 %", which less than all never is."""
    if share in (0, 1):
        return f"{100 * share:.0f} %"
    text, least = f"{100 * share:.{digits}f}", 10.0**-digits
    if share > 0 and float(text) == 0:
        return f"< {least:g} %"
    if share < 1 and float(text) == 100:
        return f"> {100 - least:.{digits}f} %"
    return f"{text} %"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """A count and its noun: "1 layer", "2 layers"; `nouns` is the plural where it is not `noun` with an s."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def check_whole(least: int = 1, /, **values: object) -> None:
    """Refuse what is not a whole number of at least so much by a ValueError: `check_whole(width=width)`."""
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
            raise ValueError(f"{name} must be a whole number of at least {least}; got {value!r}.")


def described(value: object) -> str:
    """What was given, for a sentence that refuses it: "torch.float32 [4, 4]", or the name of its type."""
    return f"{value.dtype} {list(value.shape)}" if hasattr(value, "dtype") else type(value).__name__


def shape(sizes: Iterable[int]) -> str:
    """Channels, rows and columns as they are said: (16, 5, 5) -> "16 × 5 × 5"."""
    return " × ".join(map(str, sizes))

"""What identifies a piece, checked and put into one form; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from fleet.errors import InvalidError
from fleet.state.texts import CIVIL_NUMBER, bad_text, looks_like_cpr

FIRST_DATE, LAST_DATE = date(1990, 1, 1), date(2199, 12, 31)
MAX_PRICE = Decimal("9999999999.99")
MAX_SERIAL = 100
KIND = re.compile(r"[a-z][a-z0-9_]{0,31}", re.ASCII)
NOT_PERIPHERAL = frozenset({"tablet", "sim"})
"""Kinds that are not reached over Bluetooth."""

_SERIAL = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?", re.ASCII)
_BLUETOOTH = re.compile(r"[0-9A-F]{2}(:[0-9A-F]{2}){5}", re.ASCII)
_HEX16 = re.compile(r"[0-9A-F]{16}", re.ASCII)


def luhn(digits: str) -> bool:
    """Whether the last digit is the Luhn check digit of those before it (ISO/IEC 7812-1, annex B)."""
    doubled = [2 * int(each) for each in digits[-2::-2]]
    return (
        sum(int(each) for each in digits[-1::-2]) + sum(each - 9 if each > 9 else each for each in doubled)
    ) % 10 == 0


def imei(text: str) -> str:
    """An IMEI: fifteen digits with a check digit (3GPP TS 23.003, 6.2.1); spaces and hyphens are left out."""
    plain = re.sub(r"[ -]", "", text)
    if not re.fullmatch(r"[0-9]{15}", plain):
        raise ValueError("must be 15 digits")
    if not luhn(plain):
        raise ValueError("has a wrong check digit: a digit is mistyped")
    return plain


def iccid(text: str) -> str:
    """A SIM's ICCID: 18 to 22 digits beginning with 89, with a check digit from 19 on (ITU-T E.118, 4.1)."""
    plain = re.sub(r"[ -]", "", text)
    if not re.fullmatch(r"89[0-9]{16,20}", plain):
        raise ValueError("must be 18 to 22 digits that begin with 89")
    if len(plain) in (19, 20) and not (luhn(plain) or luhn(plain[:19])):
        raise ValueError("has a wrong check digit: a digit is mistyped")
    return plain


def bluetooth_address(text: str) -> str:
    """A Bluetooth device address as AA:BB:CC:DD:EE:FF."""
    plain = text.strip().upper().replace("-", ":")
    if re.fullmatch(r"[0-9A-F]{12}", plain):
        plain = ":".join(plain[at : at + 2] for at in range(0, 12, 2))
    if not _BLUETOOTH.fullmatch(plain):
        raise ValueError("must be six bytes, for example 00:1A:7D:DA:71:13")
    return plain


def system_id(text: str) -> str:
    """An IEEE 11073-20601 system id: an EUI-64 as sixteen hexadecimal digits."""
    plain = re.sub(r"[ :.-]", "", text).upper()
    if not _HEX16.fullmatch(plain):
        raise ValueError("must be eight bytes, for example 001A7DFFFEDA7113")
    return plain


def serial(text: str) -> str:
    """A serial number or asset tag as printed: visible ASCII, spaces inside only."""
    plain = text.strip()
    if len(plain) > MAX_SERIAL or not _SERIAL.fullmatch(plain):
        raise ValueError(f"must be 1 to {MAX_SERIAL} visible characters")
    return plain


def asset_tag(value: str) -> str:
    """An asset tag, which its organisation chose; a serial number is the maker's, and may be any ten digits."""
    if looks_like_cpr(value):
        raise ValueError(CIVIL_NUMBER)
    return serial(value)


def kind(text: str) -> str:
    """A kind of piece: a word such as `tablet` or `blood_pressure`."""
    if not KIND.fullmatch(text):
        raise ValueError("must be a word of a-z, 0-9 and _, for example oximeter")
    return text


def day(value: date) -> date:
    """A date that can be meant."""
    if not FIRST_DATE <= value <= LAST_DATE:
        raise ValueError(f"must lie between {FIRST_DATE} and {LAST_DATE}")
    return value


def price(value: Decimal) -> Decimal:
    """An amount with two decimals at most, not negative."""
    if not value.is_finite() or not 0 <= value <= MAX_PRICE or value != value.quantize(Decimal("0.01")):
        raise ValueError("must be an amount from 0 with at most two decimals")
    return value.quantize(Decimal("0.01"))


def currency(text: str) -> str:
    """A currency by its three letters (ISO 4217)."""
    if not re.fullmatch(r"[A-Z]{3}", text):
        raise ValueError("must be three capital letters, for example DKK")
    return text


def text(value: str) -> str:
    """A text for people."""
    problem = bad_text(value)
    if problem is not None:
        raise ValueError(problem)
    return value


CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "imei": imei,
    "iccid": iccid,
    "bluetooth_address": bluetooth_address,
    "system_id": system_id,
    "serial": serial,
    "asset_tag": asset_tag,
    "kind": kind,
    "currency": currency,
    "price": price,
    **dict.fromkeys(
        ("purchased_on", "warranty_until", "lease_until", "calibrated_on", "calibration_due"),
        day,
    ),
    **dict.fromkeys(
        (
            "manufacturer",
            "model",
            "name",
            "slug",
            "name_en",
            "name_da",
            "programme",
            "firmware_source",
            "expected_firmware",
            "photo_url",
            "lease_contract",
            "calibrated_by",
            "calibration_certificate",
            "firmware",
            "note",
        ),
        text,
    ),
}
"""Field → what puts a value into its one form or raises ValueError."""


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values in their one form; None stays None. Raises InvalidError naming the first bad field."""
    made = dict(values)
    for name, check in CHECKS.items():
        if made.get(name) is not None:
            try:
                made[name] = check(made[name])
            except ValueError as error:
                raise InvalidError(name, str(error)) from None
    return made


FITTING: Mapping[str, frozenset[str]] = {"imei": frozenset({"tablet"}), "iccid": frozenset({"sim", "tablet"})}
"""Identities that only some kinds have; a tablet may carry an embedded SIM."""


def check_fits(kind_: str, values: Mapping[str, Any]) -> None:
    """Refuse an identity that a piece of this kind does not have; raises InvalidError."""
    for name, kinds in FITTING.items():
        if values.get(name) is not None and kind_ not in kinds:
            raise InvalidError(name, f"a {kind_} has none")
    if kind_ == "sim" and values.get("bluetooth_address") is not None:
        raise InvalidError("bluetooth_address", "a sim has none")

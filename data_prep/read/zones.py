"""Points in time of Arrow's as the clock of their time zone shows them."""

import re
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_prep.read.fields import EXTRA

# Zones as Java and others name them, which Arrow does not know: `Z`, `utc`, `GMT+1`, `+0530`.
_OFFSET = re.compile(r"(?:utc|gmt|z)?(?:([+-]\d{1,2})(?::?(\d{2}))?)?", re.IGNORECASE)


def clock(array: pa.Array, ours: str) -> pa.Array:
    """Points in time as the clock of their zone shows them; where nobody knows the zone, what is no
    date, so that it is counted."""
    zone = array.type.tz
    if not zone:
        return array.cast(pa.string())
    if offset := _OFFSET.fullmatch(zone):
        hours, minutes = offset[1] or "+00", offset[2] or "00"
        zone = f"{hours[0]}{hours[1:]:0>2}:{minutes}"
    try:
        local = pc.local_timestamp(array.cast(pa.timestamp(array.type.unit, zone)))
        return local.cast(pa.string())
    except pa.ArrowInvalid:
        odd: Any = {} if ours.startswith(EXTRA) else f"a time of the unknown zone {array.type.tz!r}"
        return pa.array([None if missing else odd for missing in array.is_null().to_pylist()])

"""How many test documents each country gives."""

from collections import defaultdict
from fractions import Fraction

import numpy as np

from data_prep.config import Splits
from geo_nemo.common.errors import UserError
from geo_nemo.metadata.geography import UNKNOWN, continent_of


def quota_by_fraction(
    splits: Splits, total: int, in_fraction: int, before: int = 0, given: int = 0
) -> int:
    """Test documents of a country with `total`, `in_fraction` of which were drawn for test.

    before, given: documents and test documents of it in other runs, which count for its least.
    Between the country's least and most, and never more than half: the rest is to train on.
    """
    if splits.test == 0:
        return 0
    least = max(min(splits.test_min_per_country, (total + before) // 5) - given, 0)
    return min(max(in_fraction, least), splits.test_max_per_country, total // 2)


def quotas_by_continent(
    splits: Splits,
    totals: dict[str, int],
    available: dict[str, int] | None = None,
    held: dict[str, int] | None = None,
) -> dict[str, int]:
    """Share `test_per_continent` out over each continent's countries as their documents are.

    totals: documents by country. available: those of them that may be test, where not all may;
    then a country may give all of these, and otherwise at most half of its documents.
    held: test documents by country that stay; a country gives them at least.
    Raises UserError where a continent has not twice as many documents, or its countries' least
    and most leave no way to get that number.
    """
    goal = splits.test_per_continent
    members: dict[str, list[str]] = defaultdict(list)
    for country in sorted(totals.keys() - {UNKNOWN}):
        members[continent_of(country)].append(country)
    # Of no continent: all of it is to train on.
    quotas = {UNKNOWN: 0} if UNKNOWN in totals else {}
    for continent, countries in sorted(members.items()):
        total = sum(totals[c] for c in countries)
        if total < 2 * goal:
            raise UserError(
                f"splits.test_per_continent={goal}: {continent} has {total} documents, not twice "
                "as many; lower it, or give more input"
            )
        weights, least, most = {}, {}, {}
        for country in countries:
            own = totals[country]
            usable = own // 2 if available is None else available.get(country, 0)
            weights[country] = own if available is None else usable
            most[country] = min(usable, splits.test_max_per_country)
            least[country] = min(splits.test_min_per_country, own // 5, most[country])
            stays = (held or {}).get(country, 0)
            least[country], most[country] = (
                max(bound, stays) for bound in (least[country], most[country])
            )
        if sum(most.values()) < goal:
            why = "at most half of a country" if available is None else "the test years alone"
            raise UserError(
                f"splits.test_per_continent={goal}: {continent} can give {sum(most.values())} "
                f"({why}, and at most splits.test_max_per_country="
                f"{splits.test_max_per_country} of one); lower it, or give more input"
            )
        if held and sum(least.values()) > goal:
            # What stays goes before the least of countries that are new.
            least = {country: held.get(country, 0) for country in countries}
            if (stay := sum(least.values())) > goal:
                raise UserError(
                    f"splits.test_per_continent={goal}: earlier runs hold out {stay} documents of "
                    f"{continent}, which stay test: raise it, or add splits.stay=false; both draw "
                    "anew"
                )
        if sum(least.values()) > goal:
            raise UserError(
                f"splits.test_per_continent={goal}: splits.test_min_per_country="
                f"{splits.test_min_per_country} alone makes {sum(least.values())} in {continent}; "
                "raise the one or lower the other"
            )
        quotas |= shared_out(goal, weights, least, most)
    return quotas


def shared_out(
    goal: int, weights: dict[str, int], least: dict[str, int], most: dict[str, int]
) -> dict[str, int]:
    """Whole numbers that add up to `goal`, as near to `weights` as `least` and `most` let them.

    The sum of `least` is at most `goal`, and that of `most` at least. By largest remainders, after
    the names that a bound holds have been given theirs.
    """
    fixed: dict[str, int] = {}
    free = sorted(weights)
    while True:
        rest = goal - sum(fixed.values())
        weight = sum(weights[name] for name in free)
        exact = {name: Fraction(rest * weights[name], weight or 1) for name in free}
        below = {name: least[name] for name in free if exact[name] < least[name]}
        above = {name: most[name] for name in free if exact[name] > most[name]}
        if not below and not above:
            break
        # Fix the side that moves the sum more: what it leaves to the others only pushes that way.
        missing = sum(least[name] - exact[name] for name in below)
        spare = sum(exact[name] - most[name] for name in above)
        fixed |= above if spare > missing else below
        free = [name for name in free if name not in fixed]
    quotas = fixed | {name: int(exact[name]) for name in free}
    by_remainder = sorted(free, key=lambda name: (int(exact[name]) - exact[name], name))
    spare_names = [n for n in by_remainder if quotas[n] < most[n]]
    short = goal - sum(quotas.values())
    for name in spare_names[:short]:
        quotas[name] += 1
    return quotas


def first_fit(counts: np.ndarray, quota: int) -> np.ndarray:
    """Indices of `counts`, int [n], in order: each that does not bring the sum above `quota`."""
    taken = []
    for index, count in enumerate(counts.tolist()):
        if count <= quota:
            taken.append(index)
            quota -= count
        if not quota:
            break
    return np.array(taken, np.intp)

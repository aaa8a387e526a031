"""Sweeps: settings with several values become a run for each combination, as Hydra's --multirun."""

import re
from collections.abc import Sequence
from itertools import product

from geo_nemo.common.errors import UserError
from geo_nemo.config.quoting import quote, quoted
from geo_nemo.config.too_deep import deep_setting

OUTPUT = "output_dir"
# A combination is a folder's name.
_LONGEST = 200


def expand(settings: Sequence[str]) -> list[tuple[str, ...]]:
    """The settings of each run, in the order of the values, the last key's first.

    `train.lr=1e-3,3e-3`, `seed=choice(1,2)` and `range(1,4)` are several; `[1,2]` is one. Each run
    has the folder `output_dir/train.lr=0.001,seed=1`, named by what differs. Raises `UserError`
    where nothing has several values, or there is no output_dir.
    """
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    parser = OverridesParser.create()
    choices: list[list[str]] = []
    swept: list[int] = []
    for place, text in enumerate(settings):
        try:
            parsed = parser.parse_override(text)
        except HydraException:
            key, _, value = text.partition("=")
            raise UserError(f"cannot read {text}: {quoted(key, value)}") from None
        except RecursionError:
            raise UserError(deep_setting([text])) from None
        if not parsed.is_sweep_override():
            choices.append([text])
            continue
        swept.append(place)
        key = text.partition("=")[0]
        try:
            choices.append([f"{key}={value}" for value in parsed.sweep_string_iterator()])
        except HydraException:  # glob() and interval() stand for no list
            raise UserError(f"{text} names no values one by one: write {key}=A,B") from None
    outputs = [place for place, text in enumerate(settings) if text.startswith(f"{OUTPUT}=")]
    if not swept:
        raise UserError("--multirun, but no setting has several values: KEY=A,B")
    if len(outputs) != 1 or outputs[0] in swept:
        raise UserError("--multirun needs one output_dir=FOLDER, in which each run has its own")
    folder = parser.parse_override(settings[outputs[0]]).value()
    if not isinstance(folder, str) or not folder.strip():
        raise UserError("--multirun needs output_dir=FOLDER, in which each run has its own")
    runs = []
    for chosen in product(*choices):
        name = ",".join(_as_name(chosen[place]) for place in swept)
        if len(name) > _LONGEST:
            raise UserError(
                f"a run of {len(swept)} settings has too long a name: sweep fewer at once, or use "
                "geo-nemo launch --runs FILE"
            )
        whole = f"{folder.rstrip('/')}/{name}"
        own = f"{OUTPUT}={quote(whole)}"
        runs.append((*chosen[: outputs[0]], own, *chosen[outputs[0] + 1 :]))
    return runs


def _as_name(setting: str) -> str:
    """A setting as a part of a folder's name: without quotation marks and slashes."""
    key, _, value = setting.lstrip("+").partition("=")
    if quoted := re.fullmatch(r"""(['"])(.*)\1""", value, re.DOTALL):
        value = re.sub(r"""\\(['"\\])""", r"\1", quoted[2])
    return f"{key}={value}".replace("/", "-")


def check_apart(where: str, outputs: Sequence[str]) -> None:
    """Raise `UserError` where two runs have one folder. where: what named the runs."""
    first: dict[str, int] = {}
    for number, output in enumerate(outputs):
        if (other := first.setdefault(output, number)) != number:
            raise UserError(f"{where}: runs {other} and {number} both have output_dir={output}")

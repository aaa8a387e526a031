"""Reads the instructions that our Dockerfile uses; any other, and any unknown flag, is an error.

Source: Dockerfile reference, https://docs.docker.com/reference/dockerfile/
"""

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

# Flags that are understood, by instruction. HEALTHCHECK's say when, and no replay waits for them.
FLAGS = {
    "ARG": set(),
    "CMD": set(),
    "COPY": {"from"},
    "ENTRYPOINT": set(),
    "ENV": set(),
    "FROM": set(),
    "HEALTHCHECK": {"interval", "timeout", "start-period", "start-interval", "retries"},
    "LABEL": set(),
    "RUN": set(),
    "SHELL": set(),
    "USER": set(),
    "WORKDIR": set(),
}
VARIABLE = re.compile(r"\\(.)|\$(?:\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*))")


class DockerfileError(ValueError):
    """The Dockerfile has something that a replay does not know, or that is wrong."""


@dataclass(frozen=True)
class Instruction:
    """One instruction: its name in capitals, its flags, the rest as it was written, its line."""

    word: str
    flags: Mapping[str, str]
    rest: str
    line: int


@dataclass(frozen=True)
class Stage:
    """What stands between two FROMs: `base` is expanded; `given` are ARGs from before them."""

    name: str
    base: str
    instructions: tuple[Instruction, ...]
    given: Mapping[str, str]


def expand(text: str, values: Mapping[str, str]) -> str:
    """`text` with $NAME and ${NAME} replaced; an unset one is empty, as in an engine."""

    def value(match: re.Match) -> str:
        escaped, braced, plain = match.groups()
        if escaped is not None:
            return match[0]
        name = braced if braced is not None else plain
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            raise DockerfileError(f"${{{name}}}: only ${{NAME}} is known, without modifiers")
        return values.get(name, "")

    return VARIABLE.sub(value, text)


def pairs(text: str, values: Mapping[str, str]) -> dict[str, str]:
    """The NAME=VALUE pairs of ENV or LABEL, expanded with the values from before them."""
    if "'" in text:
        raise DockerfileError(f"single quotes, which stop expansion, are not known: {text}")
    found = {}
    for word in shlex.split(expand(text, values)):
        name, equals, value = word.partition("=")
        if not equals:
            raise DockerfileError(f"{word}: not NAME=VALUE")
        found[name] = value
    return found


def command(text: str) -> list[str] | str:
    """An exec form as its list of words, a shell form as its text."""
    if not text.startswith("["):
        return text
    words = json.loads(text)
    if not all(isinstance(word, str) for word in words):
        raise DockerfileError(f"{text}: not a list of strings")
    return words


def instructions(text: str) -> list[Instruction]:
    """All instructions of a Dockerfile: continued lines are joined, comments left out.

    Raises:
        DockerfileError: an instruction, flag, escape directive or here-document not known here.
    """
    if re.search(r"(?im)^#\s*escape\s*=", text):
        raise DockerfileError("the escape directive is not known")
    found, open_line, start = [], "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (line.strip() or open_line):
            continue
        start = start if open_line else number
        open_line += line
        if open_line.endswith("\\"):
            open_line = open_line[:-1]
            continue
        found.append(_instruction(open_line.strip(), start))
        open_line = ""
    if open_line:
        raise DockerfileError(f"line {start}: continued, but nothing follows")
    return found


def _instruction(text: str, line: int) -> Instruction:
    word, _, rest = text.partition(" ")
    word, rest, flags = word.upper(), rest.strip(), {}
    if word not in FLAGS:
        raise DockerfileError(f"line {line}: {word} is not known here; known: {', '.join(FLAGS)}")
    while match := re.match(r"--([a-z-]+)(?:=(\S*))?\s+", rest):
        if match[1] not in FLAGS[word]:
            raise DockerfileError(f"line {line}: {word} --{match[1]} is not known here")
        flags[match[1]] = match[2] or ""
        rest = rest[match.end() :]
    if word in ("RUN", "COPY") and re.search(r"<<-?['\"]?[A-Za-z_]", rest):
        raise DockerfileError(f"line {line}: here-documents are not known")
    return Instruction(word, flags, rest, line)


def stages(text: str, arguments: Mapping[str, str] | None = None) -> list[Stage]:
    """The stages of a Dockerfile in order; `arguments` are those of --build-arg."""
    given: dict[str, str] = {}
    found: list[tuple[str, str, list[Instruction]]] = []
    for one in instructions(text):
        if one.word == "FROM":
            match = re.fullmatch(r"(\S+)\s+AS\s+(\S+)", one.rest, re.IGNORECASE)
            if match is None:
                raise DockerfileError(f"line {one.line}: not FROM image AS name")
            found.append((match[2].lower(), expand(match[1], given), []))
        elif found:
            found[-1][2].append(one)
        elif one.word == "ARG":
            given.update(argument(one, given, arguments or {}, {}))
        else:
            raise DockerfileError(f"line {one.line}: {one.word} before the first FROM")
    return [Stage(name, base, tuple(told), dict(given)) for name, base, told in found]


def argument(
    one: Instruction,
    values: Mapping[str, str],
    arguments: Mapping[str, str],
    given: Mapping[str, str],
) -> dict[str, str]:
    """What one ARG sets: --build-arg first, then its own default, then the ARG before FROM."""
    name, equals, _ = one.rest.partition("=")
    if name in arguments:
        return {name: arguments[name]}
    if equals:
        return pairs(one.rest, values)
    return {name: given[name]} if name in given else {}


def needed(all_stages: list[Stage], target: str) -> list[Stage]:
    """The stages that `target` is made of, itself last; the others are not built."""
    by_name = {stage.name: stage for stage in all_stages}
    if target not in by_name:
        raise DockerfileError(f"no stage {target}; there are {', '.join(by_name)}")
    wanted, open_names = set(), [target]
    while open_names:
        stage = by_name[open_names.pop()]
        wanted.add(stage.name)
        sources = [one.flags["from"] for one in stage.instructions if "from" in one.flags]
        for name in (stage.base, *sources):
            if name in by_name and name not in wanted:
                open_names.append(name)
    return [stage for stage in all_stages if stage.name in wanted]

"""Replays the stages of a Dockerfile, each in a root of its own, and starts what they end in."""

import json
import re
import shlex
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.image import layers as layer
from tests.image import root as clean
from tests.image.context import copy
from tests.image.dockerfile import (
    DockerfileError,
    Instruction,
    Stage,
    argument,
    command,
    expand,
    needed,
    pairs,
    stages,
)


@dataclass
class Image:
    """A stage as far as it was replayed: its root and what an engine would keep beside it."""

    root: Path
    env: dict[str, str]
    arguments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    user: str = ""
    shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])
    entrypoint: list[str] | str = field(default_factory=list)
    command: list[str] | str = field(default_factory=lambda: ["python3"])
    healthcheck: list[str] | str = field(default_factory=list)

    def identity(self) -> tuple[int, int, str]:
        """User id, group id and home of USER, by the root's passwd where that knows the user."""
        name = self.user or "0"
        for line in (self.root / "etc" / "passwd").read_text().splitlines():
            parts = line.split(":")
            if name in (parts[0], parts[2]):
                return int(parts[2]), int(parts[3]), parts[5]
        if not name.isdigit():
            raise DockerfileError(f"USER {self.user}: not in the image, or with a group")
        return int(name), 0, "/"

    def words(self, given: list[str] | str) -> list[str]:
        """The process that an exec or shell form starts."""
        return [*self.shell, given] if isinstance(given, str) else list(given)

    def start(self, words: Sequence[str], **options) -> subprocess.CompletedProcess:
        """Runs `words` as `docker run --network none` does after the entry point's own words."""
        user, group, home = self.identity()
        env = {**options.pop("arguments", {}), **self.env}
        return clean.run(
            self.root,
            words,
            {"HOME": home, **env},
            user=(user, group),
            workdir=self.workdir,
            **options,
        )


class Replay:
    """The stages that `target` needs, replayed in order in folders of `work`.

    `arguments` are those of --build-arg; `secrets` are bytes that no layer may hold. `images` has
    the stages by name, `layers` what each COPY, RUN and WORKDIR added. `log` is told of each.
    """

    def __init__(
        self,
        text: str,
        target: str,
        context: Path,
        work: Path,
        arguments: Mapping[str, str],
        secrets: Sequence[bytes] = (),
        log: Callable[[str], None] = print,
    ):
        self.context, self.work, self.log = context, work, log
        self.arguments, self.secrets = dict(arguments), tuple(secrets)
        self.images: dict[str, Image] = {}
        self.layers: list[layer.Layer] = []
        for stage in needed(stages(text, arguments), target):
            self.images[stage.name] = self._stage(stage)
        self.image = self.images[target]

    def _stage(self, stage: Stage) -> Image:
        if stage.base in self.images:
            raise DockerfileError(f"FROM {stage.base}: from an earlier stage, is not known here")
        image = Image(clean.base(release(stage.base), self.work / stage.name), dict(clean.BASE_ENV))
        before = layer.snapshot(image.root)
        for one in stage.instructions:
            start = time.monotonic()
            self._do(image, stage, one)
            if one.word not in ("COPY", "RUN", "WORKDIR"):
                continue
            seconds = time.monotonic() - start
            after = layer.snapshot(image.root)
            added, size = layer.changed(before, after)
            found = layer.findings(image.root, added, self.secrets)
            self.layers.append(
                layer.Layer(
                    stage.name, one.line, one.word, seconds, tuple(added), size, tuple(found)
                )
            )
            self.log(
                f"{stage.name}: line {one.line}, {one.word}: {seconds:.0f} s, "
                f"{len(added)} paths, {size / 1e6:.1f} MB"
            )
            before = after
        return image

    def _do(self, image: Image, stage: Stage, one: Instruction) -> None:
        values = {**image.arguments, **image.env}
        match one.word:
            case "ARG":
                image.arguments.update(argument(one, values, self.arguments, stage.given))
            case "ENV":
                image.env.update(pairs(one.rest, values))
            case "LABEL":
                image.labels.update(pairs(one.rest, values))
            case "USER":
                image.user = expand(one.rest, values)
            case "WORKDIR":
                image.workdir = str(Path(image.workdir) / expand(one.rest, values))
                self._inside(image, image.workdir).mkdir(parents=True, exist_ok=True)
            case "SHELL":
                image.shell = command(one.rest)
            case "ENTRYPOINT":
                # An engine forgets the base's CMD then.
                image.entrypoint, image.command = command(one.rest), []
            case "CMD":
                image.command = command(one.rest)
            case "HEALTHCHECK":
                word, _, rest = one.rest.partition(" ")
                if word != "CMD":
                    raise DockerfileError(f"line {one.line}: not HEALTHCHECK CMD")
                image.healthcheck = command(rest.strip())
            case "COPY":
                origin = self.images[one.flags["from"]].root if one.flags else self.context
                listed = expand(one.rest, values)
                *sources, to = json.loads(listed) if listed[0] == "[" else shlex.split(listed)
                slash = "/" if to.endswith(("/", ".")) else ""
                to = str(Path(image.workdir) / to) + slash
                copy(sources, origin, to, image.root)
            case "RUN":
                image.start(
                    image.words(command(one.rest)), arguments=image.arguments, handed_in=True
                )

    @staticmethod
    def _inside(image: Image, path: str) -> Path:
        full = image.root / path.lstrip("/")
        if not full.resolve().is_relative_to(image.root.resolve()):
            raise DockerfileError(f"{path}: leads out of the root")
        return full


def release(base: str) -> str:
    """Debian's release in the name of a python image, such as python:3.11.13-slim-bookworm."""
    match = re.fullmatch(r"python:3[\d.]*-slim-([a-z]+)", base)
    if match is None:
        raise DockerfileError(f"{base}: only python:VERSION-slim-RELEASE has a stand-in here")
    return match[1]

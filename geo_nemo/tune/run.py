"""A tuning from its settings to a folder: look, tokenise, show, train, write.

Work goes on in `<output>.partial`; stopped, the same command goes on there. The folder gets its
name when it is whole.
"""

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geo_nemo.common.addresses import check_on_disk
from geo_nemo.common.files import (
    make_folder,
    partial_of,
    read_json,
    sync_tree,
    understood,
    write_whole,
)
from geo_nemo.common.folders import name_folder
from geo_nemo.common.progress import Progress, no_progress
from geo_nemo.config import RunError, UserError
from geo_nemo.config.tune import Tune
from geo_nemo.export.adapters import TUNED
from geo_nemo.export.chat import chat_template
from geo_nemo.export.libraries import special_tokens, writing_weights
from geo_nemo.export.loaded import ADAPTER, Folder, load_tokenizer, open_folder, weights_of
from geo_nemo.runtime.launcher import rank, world_size
from geo_nemo.tune.encode import Encoded, encode
from geo_nemo.tune.targets import check_targets
from geo_nemo.tune.telling import Teller, read_told

if TYPE_CHECKING:
    from geo_nemo.tune.train import Stopped

BEGUN, MODEL, CONVERSATIONS = "begun.json", "model", "conversations_hash"
# Settings under which a tuning that was stopped may go on: they decide no weight.
_FREE = ("model", "output", "save_every_steps", "keep_last", "log_every_steps", "device",
         "micro_batch_size")  # fmt: skip


class Tuning:
    """What is to be done, looked at and tokenised; raises `UserError` before anything is written.

    encoded: the conversations. tokenizer: that of transformers.
    """

    def __init__(self, config: Tune, progress: Progress = no_progress):
        self.config = config
        for file in config.data:
            check_on_disk("data", file.path)
        check_on_disk("output", config.output)
        self.output = Path(config.output).resolve()
        self.is_done = (self.output / TUNED).is_file()
        _check_output(self.output)
        self.folder, self.tokenizer = _opened(config)
        if config.method == "lora":
            check_targets(config.lora, self.folder)
            if self.folder.is_adapter and not config.lora.merge:
                raise UserError(
                    f"lora.merge=false: {config.model} is an adapter, and one on top of it would "
                    "have no model that it belongs to: give lora.merge=true, or tune its base"
                )
        self.seq_length = config.seq_length or self.folder.max_length or 1024
        if self.folder.max_length and self.seq_length > self.folder.max_length:
            raise UserError(
                f"seq_length {self.seq_length:,} is above the model's {self.folder.max_length:,}"
            )
        policy, countries = self.folder.policy, self.folder.countries
        if policy.fields and policy.position == "append" and config.told.none < 1:
            raise UserError(
                f"{config.model} was trained with metadata behind its texts, and cannot be told "
                "any in front of a conversation: give told.none=1 told.country=0"
            )
        if config.told.by == "random_country" and not countries:
            raise UserError(
                "told.by=random_country needs to know the countries of the model, and its "
                "training.json tells none"
            )
        teller = Teller(policy, config.told, countries, config.seed)
        found, left_out = read_told(config, teller)
        self.encoded: Encoded = encode(found, self.tokenizer, config, self.seq_length, progress)
        self.encoded.dropped += left_out

    def run(self, progress: Progress = no_progress) -> "dict[str, Any] | Stopped":
        """Train and write; what `tune.json` then says, or where it stopped when it was asked to."""
        from geo_nemo.tune.train import CHECKPOINTS, METRICS, Stopped, train
        from geo_nemo.tune.write import record_of, write_model

        self.check()
        partial = partial_of(self.output)
        identity = self._identity()
        with _locked(partial):
            _check_free(self.output, partial)
            _begin(partial, identity)
            try:
                done = train(
                    self.config, self.folder, self.tokenizer, self.encoded, self.seq_length,
                    partial, progress,
                )  # fmt: skip
            except (UserError, RunError):
                # Settings that do not work: mended, it is another tuning.
                if rank() == 0 and not any((partial / CHECKPOINTS).glob("*")):
                    shutil.rmtree(partial)
                raise
            if isinstance(done, Stopped):
                return done
            model, trained = done
            record = {
                **record_of(self.config, self.folder, self.encoded, trained),
                CONVERSATIONS: _digest(self.encoded),
            }
            if rank() == 0:
                place = partial / MODEL
                shutil.rmtree(place, ignore_errors=True)
                with writing_weights(place):
                    make_folder(place)
                    write_model(place, self.config, self.folder, self.tokenizer, model, record)
                    shutil.copyfile(partial / METRICS, place / METRICS)
                    sync_tree(place)
                    name_folder(place, self.output)
                shutil.rmtree(partial)
        return record

    def check(self) -> None:
        """Raise `UserError` for what `run` in these processes would refuse; writes nothing."""
        from geo_nemo.tune.train import check_processes

        check_batch(self.config, world_size())
        check_processes(self.config)
        self.check_begun()

    def check_begun(self) -> None:
        """Raise `UserError` where another tuning was begun for this output."""
        _check_begun(partial_of(self.output), self._identity())

    def check_done(self) -> None:
        """Raise `UserError` where the output is of other settings, another model or other data."""
        path, again = self.output / TUNED, "give another output"
        before = read_json(path, again)
        with understood(path, again):
            there = {**before["settings"], "model": before["base"]}
            if CONVERSATIONS in before:
                there["data"] = before[CONVERSATIONS]
            else:
                del there["data"]  # as before it was kept
        mine = {
            **self.config.model_dump(mode="json", exclude={*_FREE}),
            "model": weights_of(self.folder),
            "data": _digest(self.encoded),
        }
        if changed := sorted(key for key in mine if key in there and there[key] != mine[key]):
            raise UserError(
                f"{self.output} was tuned with another {', '.join(changed)}: give another output, "
                "or what it was"
            )

    def _identity(self) -> dict[str, Any]:
        """What the weights depend on, by name; sizes and times of files are not of it."""
        settings = {
            key: value
            for key, value in self.config.model_dump(mode="json").items()
            if key not in _FREE
        }
        if not settings["shard"]:
            del settings["shard"]  # as before there was one
        settings["data"] = [file["weight"] for file in settings["data"]]
        return {
            **settings,
            "weights of the model": weights_of(self.folder),
            "conversations": _digest(self.encoded),
        }


def check_batch(config: Tune, processes: int) -> None:
    """Raise `UserError` where the batch does not go into processes and micro-batches."""
    together = config.micro_batch_size * processes
    if config.global_batch_size % together == 0:
        return
    mend = f"global_batch_size={together}"
    each, rest = divmod(config.global_batch_size, processes)
    if not rest:
        mend = f"micro_batch_size={math.gcd(each, config.micro_batch_size)}, or {mend}"
    raise UserError(
        f"global_batch_size {config.global_batch_size} is no multiple of micro_batch_size "
        f"{config.micro_batch_size} times {processes} process(es): give {mend}"
    )


def _opened(config: Tune) -> tuple[Folder, Any]:
    from dataclasses import replace

    folder = open_folder(config.model, mend=f"put the right one's folder into its {ADAPTER}")
    if folder.policy is not None and config.metadata is not None:
        raise UserError(
            f"metadata: {config.model} has a policy of its own, which holds: leave metadata out"
        )
    if folder.policy is None:
        if config.metadata is None:
            raise UserError(
                f"{config.model} was not trained by geo_nemo: say what its turns are told, as "
                "metadata=country"
            )
        folder = replace(folder, policy=config.metadata)
        tokenizer = load_tokenizer(folder)
        tokenizer.chat_template = chat_template(config.metadata, (), special_tokens(tokenizer))
        return folder, tokenizer
    return folder, load_tokenizer(folder)


def _check_output(output: Path) -> None:
    if (output / TUNED).is_file():
        return
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} is there already: remove it, or give another output")
    partial = partial_of(output)
    if partial.exists() and not (partial / BEGUN).is_file() and any(partial.iterdir()):
        raise UserError(f"{partial} is there and is no tuning that was stopped: move it away")


def _check_free(output: Path, partial: Path) -> None:
    """Raise `UserError` where another process has written the output since it was looked at."""
    if rank() == 0 and (output / TUNED).is_file():
        shutil.rmtree(partial)
        raise UserError(
            f"{output} was written by another process meanwhile: the same command says whether it "
            "is this tuning"
        )


def _begin(partial: Path, identity: dict[str, Any]) -> None:
    """Note what is tuned, or compare it with what was begun here."""
    _check_begun(partial, identity)
    path = partial / BEGUN
    if rank() == 0 and not path.is_file():
        write_whole(path, json.dumps(identity).encode())


def _check_begun(partial: Path, identity: dict[str, Any]) -> None:
    path = partial / BEGUN
    if path.is_file():
        before = read_json(path, f"remove {partial}, and begin anew")
        changed = sorted(key for key in before | identity if before.get(key) != identity.get(key))
        if changed:
            raise UserError(
                f"{partial} was begun with another {', '.join(changed)}: give what it was, or "
                "another output"
            )


def _locked(partial: Path) -> Any:
    from contextlib import nullcontext

    from geo_nemo.common.lock import folder_lock

    return folder_lock(partial) if rank() == 0 else nullcontext()


def _digest(encoded: Encoded) -> str:
    import numpy as np
    import xxhash

    digest = xxhash.xxh3_128()
    for ids, labels in zip(encoded.input_ids, encoded.labels, strict=True):
        digest.update(np.array([*ids, *labels, len(ids)], np.int64).tobytes())
    return digest.hexdigest()

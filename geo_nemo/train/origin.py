"""Where a run's first weights come from: found and checked before any process group exists.

A run keeps what it found in its `run.json`, so that it goes on from its own checkpoints when the
source has moved on, or is gone. Needs no torch.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geo_nemo.common.addresses import is_remote
from geo_nemo.common.log import logger
from geo_nemo.common.parse import parse_json
from geo_nemo.config import Model, Run, UserError
from geo_nemo.config.average import Weights
from geo_nemo.config.init import Init
from geo_nemo.config.load import validate
from geo_nemo.metadata.meta_tokens import vocab_size_of
from geo_nemo.model.hugging_face import HuggingFaceModel, is_hugging_face
from geo_nemo.model.shape import padded_vocab_size
from geo_nemo.runtime.launcher import rank
from geo_nemo.tokenizers.base import Tokenizer
from geo_nemo.train.checkpoint.bucket import Bucket
from geo_nemo.train.checkpoint.files import (
    RECORD,
    STEP_NAME,
    Refused,
    checkpoints,
    identity_of,
    parse_record,
    read_record,
    shape_problem,
)

LOG = logger(__name__)

CHECKPOINT, HUGGING_FACE = "checkpoint", "hugging_face"
# The record in a folder of `geo-nemo export`.
EXPORTED = "training.json"
# What a model's weights do not depend on once they are trained.
_NOT_OF_THE_SHAPE = ("init_method_std", "make_vocab_size_divisible_by")


@dataclass(frozen=True, slots=True)
class Origin:
    """The source of a run's first weights.

    given: init.checkpoint as the user wrote it. place: the checkpoint or folder that it led to.
    kind: `checkpoint` of ours or `hugging_face`. identity: sixteen hex digits of its weights.
    run, step: name and step of the run that made a checkpoint of ours.
    optimizer: whether its moments are taken, too.
    """

    given: str
    place: str
    kind: str
    identity: str
    weights: Weights = "trained"
    run: str | None = None
    step: int | None = None
    optimizer: bool = False


def find_origin(run: Run, tokenizer: Tokenizer) -> Origin | None:
    """The source that `run.init` names, or that the run has already begun from; None: its seed.

    Raises `UserError` where there is none, or it is of another shape or tokenizer.
    """
    if run.init is None:
        return None
    return _begun_from(run) or look_up(run, tokenizer)


def init_of(run: Run) -> Init:
    """Where the first weights come from, in a run that does not begin from its seed."""
    assert run.init is not None
    return run.init


def look_up(run: Run, tokenizer: Tokenizer) -> Origin:
    """The source as it is now."""
    given = init_of(run).checkpoint
    if is_remote(given):
        place, record = remote_checkpoint(given, "init.checkpoint=")
        return _ours(run, tokenizer, place, record)
    folder = Path(given)
    if (folder / RECORD).is_file():
        return _ours(run, tokenizer, str(folder.resolve()), _record(folder))
    for parent in (folder / "checkpoints", folder):
        if checkpoints(parent):
            newest = newest_in(parent)
            return _ours(run, tokenizer, str(newest.resolve()), _record(newest))
    if is_hugging_face(folder):
        return _hugging_face(run, tokenizer, folder)
    if (folder / ".metadata").is_file():
        raise UserError(
            f"init.checkpoint={given} is a checkpoint of another trainer (torch.distributed."
            "checkpoint): convert it into a Hugging Face folder by what that trainer brings, and "
            "give that (docs/use.md#what-loads-what)"
        )
    raise UserError(
        f"init.checkpoint={given}: neither a checkpoint of geo_nemo ({RECORD}), nor a run with "
        "checkpoints, nor a Hugging Face folder (config.json and *.safetensors)"
    )


def _begun_from(run: Run) -> Origin | None:
    """What the run's own record tells, where it is of the same settings."""
    path = Path(run.output_dir) / "run.json"
    try:
        origin = Origin(**parse_json(path.read_text())["init"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    init = init_of(run)
    wanted = (init.checkpoint, init.weights, init.optimizer)
    same = (origin.given, origin.weights, origin.optimizer) == wanted
    return origin if same else None


def as_record(origin: Origin | None) -> dict[str, Any] | None:
    """For `run.json`."""
    return None if origin is None else asdict(origin)


def newest_in(parent: Path) -> Path:
    """The newest checkpoint whose files are there and as long as they were; `UserError`: none.

    Those that are passed over are told on the error output, by rank 0.
    """
    refused = Refused(parent, LOG.warning if rank() == 0 else lambda line: None)
    for path in reversed(checkpoints(parent)):
        problem = shape_problem(path)
        if not problem:
            refused.in_favour_of(path)
            return path
        refused.add(path, problem)
    refused.in_favour_of(None)
    raise UserError(f"no checkpoint is in {parent}")


def _record(checkpoint: Path) -> dict[str, Any]:
    try:
        return read_record(checkpoint)
    except ValueError as error:
        raise UserError(f"init.checkpoint={checkpoint} is not whole: {error}") from None


def remote_checkpoint(address: str, setting: str = "") -> tuple[str, dict[str, Any]]:
    """Address and record of the checkpoint at `address`, or of the newest one below it.

    setting: what gave it, for the `UserError` where there is none.
    """
    parent, _, name = address.rpartition("/")
    if STEP_NAME.fullmatch(name):
        bucket, names = Bucket(parent), [name]
    else:
        bucket = Bucket(address)
        names = bucket.whole()
    content = bucket.record(names[-1]) if names else b""
    if not content:
        raise UserError(
            f"{setting}{address}: no whole checkpoint of geo_nemo there"
            + ("; a Hugging Face folder must lie on a disk" if setting else "")
        )
    place = f"{bucket.address}/{names[-1]}"
    try:
        return place, parse_record(content, place)
    except ValueError as error:
        raise UserError(f"{setting}{place} is not whole: {error}") from None


def _ours(run: Run, tokenizer: Tokenizer, place: str, record: dict[str, Any]) -> Origin:
    where = f"init.checkpoint={place}"
    try:
        config, fingerprint = record["config"], record["fingerprint"]
        identity = identity_of(record)
        shape = validate(where, Model, config["model"])
        sha256, is_averaged = fingerprint["tokenizer"], config["average"]["kind"] != "none"
        name, step = str(config["name"]), int(record["step"])
    except (KeyError, TypeError):
        raise UserError(f"{where}: its record does not tell which run made it") from None
    _check_shape(where, run, tokenizer, shape, _meta_tokens(config))
    if sha256 != tokenizer.sha256:
        raise UserError(
            f"{where} was trained with another tokenizer ({sha256[:16]}) than the store's "
            f"({tokenizer.sha256[:16]}): its token ids mean other words"
        )
    init = init_of(run)
    if init.weights == "average" and not is_averaged:
        raise UserError(f"{where} has no average of the weights: leave out init.weights=average")
    distributed = str(run.parallel.distributed_optimizer)
    if init.optimizer and fingerprint.get("parallel.distributed_optimizer") != distributed:
        other = distributed == "False"
        raise UserError(
            f"{where} has its optimizer's state laid out in another way: give "
            f"parallel.distributed_optimizer={str(other).lower()}, or leave out init.optimizer"
        )
    return Origin(
        init.checkpoint, place, CHECKPOINT, identity, init.weights, name, step, init.optimizer
    )


def _meta_tokens(config: Mapping[str, Any]) -> int:
    """Of the run that a checkpoint's record tells of; none where it is of before there were any."""
    stages = config.get("stages") or {}
    return max((stage["metadata"].get("meta_tokens", 0) for stage in stages.values()), default=0)


def _check_shape(where: str, run: Run, tokenizer: Tokenizer, theirs: Model, meta: int) -> None:
    ours, rows = run.model, vocab_size_of(run, tokenizer)
    wrong = [
        f"model.{key}={value}"
        for key, value in theirs.model_dump().items()
        if key not in _NOT_OF_THE_SHAPE
        and value != getattr(ours, key)
        and (key != "group_embedding" or ours.group_embedding)  # else it is left where it is
    ]
    padded = padded_vocab_size(theirs, tokenizer.vocab_size + meta)
    if padded_vocab_size(ours, rows) != padded:
        if meta != run.meta_tokens:
            raise UserError(
                f"{where} has {padded:,} rows in its vocabulary, with {meta} meta-tokens, and this "
                f"run {padded_vocab_size(ours, rows):,}: give a stage metadata.meta_tokens={meta}, "
                f"or model.make_vocab_size_divisible_by={padded}"
            )
        multiple = theirs.make_vocab_size_divisible_by
        wrong.append(f"model.make_vocab_size_divisible_by={multiple}")
    if wrong:
        raise UserError(f"{where} is of another shape than the run: it has {' '.join(wrong)}")


def _hugging_face(run: Run, tokenizer: Tokenizer, folder: Path) -> Origin:
    init = init_of(run)
    if init.weights == "average":
        raise UserError(
            f"init.checkpoint={folder} is a Hugging Face folder, which has one set of weights: "
            "leave out init.weights=average"
        )
    if init.optimizer:
        raise UserError(
            f"init.checkpoint={folder} is a Hugging Face folder, which has no optimizer's state: "
            "leave out init.optimizer, and the moments begin anew"
        )
    if run.model.group_embedding:
        raise UserError(
            f"init.checkpoint={folder} is a Hugging Face folder, which has no embedding of groups: "
            "leave out model.group_embedding"
        )
    source = HuggingFaceModel(
        folder, run.model, vocab_size_of(run, tokenizer), init.new_rows == "mean"
    )
    hashes = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in source.tokenizers
    }
    known = {*hashes.values(), _exported_with(folder)}
    if tokenizer.sha256 not in known and not init.same_tokenizer:
        found = " and ".join(f"{name} {sha[:16]}" for name, sha in hashes.items())
        raise UserError(
            f"init.checkpoint={folder}: {found or 'no file of a tokenizer'}, but the store's "
            f"tokenizer is {tokenizer.sha256[:16]}; where it is the same in another form, give "
            "init.same_tokenizer=true"
        )
    return Origin(init.checkpoint, str(folder.resolve()), HUGGING_FACE, source.identity)


def _exported_with(folder: Path) -> str:
    """Hash of the tokenizer that `geo-nemo export` found; empty for a folder of another's."""
    try:
        return str(parse_json((folder / EXPORTED).read_bytes())["fingerprint"]["tokenizer"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""

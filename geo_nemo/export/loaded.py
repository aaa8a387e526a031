"""A model's folder as transformers loads it, checked first: mistakes are one line, before weights.

Any folder of the format serves, also an adapter of PEFT with its base. Nothing is fetched, and no
code of a folder runs.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geo_nemo.common.files import read_json, understood
from geo_nemo.common.log import logger
from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.config.load import validate
from geo_nemo.export.adapters import ADAPTER_WEIGHTS, TUNED, adapted, check_base
from geo_nemo.export.chat import chat_template, countries_of, policy_of_folder
from geo_nemo.export.libraries import line_of, offline, special_tokens, tokenizer_in
from geo_nemo.model.safetensors import folder_entries, identity
from geo_nemo.train.origin import EXPORTED

LOG = logger(__name__)
_SIZES = ("num_hidden_layers", "hidden_size", "num_attention_heads", "vocab_size")
ADAPTER = "adapter_config.json"


@dataclass(frozen=True)
class Folder:
    """What is known of a model before its weights are read.

    folder: as it was given. base: where the weights are; another folder for an adapter.
    policy: what training told it; None where no run of ours made it. countries: those it was told.
    is_tuned: whether `geo-nemo tune` made it.
    """

    folder: Path
    base: Path
    config: dict[str, Any]
    policy: MetadataPolicy | None
    countries: tuple[str, ...]
    is_tuned: bool

    @property
    def is_adapter(self) -> bool:
        """Whether it is one of PEFT, with its base elsewhere."""
        return self.folder != self.base

    @property
    def max_length(self) -> int | None:
        """Tokens that the model was made for, where its config tells."""
        told = self.config.get("max_position_embeddings")
        return told if told and told > 0 else None

    @property
    def dtype(self) -> str:
        """Of its weights, as `float32`."""
        return str(self.config.get("dtype") or self.config.get("torch_dtype") or "float32")


def open_folder(
    given: str, base: str | None = None, mend: str = "give the right one as --base FOLDER"
) -> Folder:
    """Look at a folder. base: of an adapter, in the place of the folder that it names.

    mend: what a user can do about another base, or none.
    """
    folder = Path(given)
    if not folder.is_dir():
        raise UserError(f"no folder {given}: give one that geo-nemo export or tune wrote")
    is_adapter = (folder / ADAPTER).is_file()
    if base is not None and not is_adapter:
        raise UserError(f"--base {base}: {given} is a whole model, no adapter; leave --base out")
    weights = _base_of(folder, base, mend) if is_adapter else folder
    if not (weights / "config.json").is_file():
        raise UserError(
            f"{weights} has no config.json: give a folder that geo-nemo export or tune wrote"
        )
    config = read_json(weights / "config.json", "give a model in Hugging Face's format")
    _check_architecture(weights, config)
    _check_weights(weights)
    folder_entries(weights)  # damaged ones are named before anything is loaded
    check_base(folder, weights, mend)
    policy, countries = _told(folder, weights)
    return Folder(folder, weights, config, policy, countries, (folder / TUNED).is_file())


def identity_of(folder: Path) -> str:
    """Sixteen hex digits of a folder's weights."""
    return identity(folder_entries(folder))


def weights_of(folder: Folder) -> str:
    """The same of a model, with its adapter if it is one."""
    if not folder.is_adapter:
        return identity_of(folder.base)
    return f"{identity_of(folder.base)}+{identity_of(folder.folder)}"


def load_tokenizer(folder: Folder) -> Any:
    """The tokenizer that transformers finds, with a chat template that takes metadata.

    Raises `UserError` where it has more tokens than the model.
    """
    offline()
    place = tokenizer_place(folder)
    try:
        tokenizer = tokenizer_in(place)
    except Exception as error:  # transformers raises errors of every class for a folder's faults
        raise UserError(
            f"the tokenizer of {place} does not load: {line_of(error)}; give the folder its own "
            "tokenizer.json and tokenizer_config.json"
        ) from None
    rows = folder.config.get("vocab_size")
    if rows is not None and len(tokenizer) > rows:
        raise UserError(
            f"the tokenizer of {place} has {len(tokenizer):,} tokens and the model {rows:,}: it is "
            "another model's; give the folder its own"
        )
    if tokenizer.chat_template is None and folder.policy is not None:
        tokenizer.chat_template = chat_template(
            folder.policy, folder.countries, special_tokens(tokenizer)
        )
    return tokenizer


def tokenizer_place(folder: Folder) -> Path:
    """The folder whose tokenizer is a model's; an adapter's may be that of its base."""
    return folder.folder if _has_tokenizer(folder.folder) else folder.base


def load_model(folder: Folder, dtype: str, device: Any, merge: bool = True) -> Any:
    """The model in eval mode. dtype: of torch by name, as `float32`. merge: of an adapter."""
    import torch

    model = whole_model(folder.base, getattr(torch, dtype), str(folder.base))
    if folder.is_adapter:
        model = adapted(model, folder.folder, str(folder.folder), "tune", merge)
    return model.to(device).eval()


def whole_model(folder: Path, dtype: Any, where: str) -> Any:
    """The causal language model of a folder, with every weight as its files have it.

    dtype: of torch. where: the folder, for messages. transformers would fill with random numbers
    what the files lack. Raises `UserError` for that, for weights of other shapes than the config
    has, and for some that are not finite.
    """
    offline()
    import torch
    from transformers import AutoModelForCausalLM

    try:
        model, found = AutoModelForCausalLM.from_pretrained(
            folder, dtype=dtype, local_files_only=True, trust_remote_code=False,
            use_safetensors=True, output_loading_info=True, ignore_mismatched_sizes=True,
        )  # fmt: skip
    except Exception as error:  # transformers raises errors of every class for a folder's faults
        raise UserError(f"{where} does not load: {line_of(error)}") from None
    again = "fetch or export the model anew"
    if missing := sorted(found["missing_keys"]):
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise UserError(f"{where} lacks the weights {missing[0]}{more}: {again}")
    if other := sorted(found["mismatched_keys"], key=str):
        name, there, wanted = other[0]
        raise UserError(
            f"{where}: weights {name} are {list(there)}, and its config.json makes them "
            f"{list(wanted)}: {again}"
        )
    if unused := sorted(found["unexpected_keys"]):
        more = f" and {len(unused) - 1} more" if len(unused) > 1 else ""
        LOG.warning("%s: weights %s%s are in its files, and no part of the model that its "
                    "config.json describes", where, unused[0], more)  # fmt: skip
    for name, weights in model.named_parameters():
        if not torch.isfinite(weights).all():
            raise UserError(f"{where}: weights {name} are not finite in {dtype}: {again}")
    return model


def _base_of(folder: Path, base: str | None, mend: str) -> Path:
    record = read_json(folder / ADAPTER, "give a whole adapter")
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise UserError(
            f"{folder} lacks {ADAPTER_WEIGHTS}: tune or fetch the adapter anew; pickled weights "
            "(*.bin), which may run code, are not read"
        )
    named = base or record.get("base_model_name_or_path")
    if not isinstance(named, str | None):
        named = json.dumps(named)[:80]
    for place in (Path(named), folder / named) if named else ():
        if (place / "config.json").is_file():
            return place
    raise UserError(
        f"{folder} is an adapter of {named or 'no named model'}, which is no model's folder here: "
        f"{mend}"
    )


def _check_architecture(folder: Path, config: dict[str, Any]) -> None:
    offline()
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UserError(
            f"{folder}/config.json: model_type is {kind!r}, which transformers does not know as a "
            "language model: give another folder, or a newer transformers"
        )
    for name in _SIZES:
        size = config.get(name, 1)
        if isinstance(size, int) and size < 1:
            raise UserError(f"{folder}/config.json: {name} is {size}: fetch or export it anew")
    try:
        AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # as of a tokenizer
        raise UserError(
            f"{folder}/config.json is no config of a {kind}: {line_of(error)}; fetch or export it "
            "anew"
        ) from None


def _check_weights(folder: Path) -> None:
    """Raise `UserError` where files of weights are missing, or are pickled."""
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        again = "fetch or export the model anew"
        with understood(index, again):
            placed = {str(name) for name in read_json(index, again)["weight_map"].values()}
        if not placed:
            raise UserError(f"{index} names no file of weights; {again}")
        if missing := sorted(name for name in placed if not (folder / name).is_file()):
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise UserError(f"{folder} lacks {missing[0]}{more}: {again}")
    elif not any(folder.glob("*.safetensors")):
        raise UserError(
            f"{folder} has no *.safetensors: give a whole model's folder; pickled weights "
            "(*.bin), which may run code, are not read"
        )


def _told(folder: Path, base: Path) -> tuple[MetadataPolicy | None, tuple[str, ...]]:
    place = folder if (folder / EXPORTED).is_file() else base
    policy = policy_of_folder(place)
    if (place / TUNED).is_file():
        tuned = read_json(place / TUNED, "tune it anew")
        if policy is None and tuned.get("policy"):
            policy = validate(str(place / TUNED), MetadataPolicy, tuned["policy"])
    if policy is None or not (place / EXPORTED).is_file():
        return policy, ()
    again = "export the model anew"
    record = read_json(place / EXPORTED, again)
    with understood(place / EXPORTED, again):
        return policy, tuple(sorted(countries_of(record.get("ledger", {}))))


def _has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer.model"))

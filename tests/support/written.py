"""What a store and a run give, as hashes and figures, so that two versions can be compared.

`tests/fixtures/3ff4b84/make.py` ran this at commit 3ff4b84; tests run it now, over the same files.
It uses nothing that 3ff4b84 did not have.
"""

import hashlib
import json
from pathlib import Path

import numpy as np

from geo_nemo.config import Data, MetadataPolicy, Model, Run, Stage, Train
from geo_nemo.data.dataset import StageDataset
from geo_nemo.store import TokenStore

SEQ_LENGTH = 96
STEPS, SAVED = 4, 2
POLICIES = {
    "default": MetadataPolicy(),
    "none": MetadataPolicy(fields=()),
    "url": MetadataPolicy(fields=("url",)),
    "country": MetadataPolicy(fields=("country",)),
    "continent first": MetadataPolicy(fields=("continent", "url")),
    "path": MetadataPolicy(fields=("country", "url"), url_form="path"),
    "full": MetadataPolicy(url_form="full"),
    "dropout": MetadataPolicy(dropout=0.3, field_dropout={"url": 0.5, "country": 0.2}),
    "append": MetadataPolicy(position="append", mask_loss=False, field_dropout={"url": 0.5}),
    "trained": MetadataPolicy(mask_loss=False),
}
PACKINGS = {
    "best fit": {},
    "best fit, bare": {"prefix_fragments": False},
    "concat": {"packing": "concat"},
    "concat, bare": {"packing": "concat", "prefix_fragments": False},
}


def tiny_settings(store: str, output: str) -> Run:
    """The run of the fixture: a stage with metadata and one without, four steps."""
    return Run(
        name="written",
        output_dir=output,
        seed=5,
        device="cpu",
        deterministic=True,
        model=Model(
            num_layers=1,
            hidden_size=8,
            num_attention_heads=2,
            num_query_groups=1,
            ffn_hidden_size=16,
            init_method_std=0.05,
        ),
        data=Data(store=store, seq_length=SEQ_LENGTH, packing_window=16),
        stages={
            "condition": Stage(fraction=0.75, metadata=POLICIES["dropout"]),
            "cooldown": Stage(fraction=0.25, metadata=POLICIES["none"]),
        },
        train=Train(
            steps=STEPS, global_batch_size=4, micro_batch_size=2, lr=1e-2, min_lr=1e-3,
            warmup_steps=1,
        ),
        precision={"dtype": "fp32"},
        checkpoint={"every_steps": SAVED},
        logging={"every_steps": 1, "batch_digest": True},
    )  # fmt: skip


def observe_store(root: Path) -> dict:
    """Identity of a store, and a hash of all rows of two epochs for each policy and packing."""
    store = TokenStore.open(root, check_hashes=True)
    split = store.split("train")
    rows = {
        f"{name}, {packing}": _rows(store, policy, packing)
        for name, policy in POLICIES.items()
        for packing in (PACKINGS if name in ("default", "dropout", "append") else ["best fit"])
    }
    return {
        "store": store.hash,
        "tokenizer": store.tokenizer().sha256,
        "policies": {name: policy.hash() for name, policy in POLICIES.items()},
        "columns": {
            name: _hash([np.asarray(getattr(split, name)).astype(np.int64)])
            for name in ("country", "continent", "host", "source", "year", "quality")
        },
        "records": hashlib.sha256(
            json.dumps([
                [getattr(split.record(i), name) for name in
                 ("host", "country", "continent", "path", "scheme")]
                for i in range(len(split))
            ]).encode()
        ).hexdigest(),
        "rows": rows,
    }  # fmt: skip


def observe_batches(metrics: Path) -> list[dict]:
    """Step, digest of the batch and loss of each line of `metrics.jsonl`."""
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    return [{name: line[name] for name in ("step", "batch_digest", "loss")} for line in lines]


def observe_scores(run: Path, store: Path, output: Path) -> dict:
    """Nats of each test document, told the truth and told nothing, and the tokens scored."""
    from eval.config import EvalConfig
    from eval.runner import evaluate
    from geo_nemo.export.scorer import load_scorer

    config = EvalConfig(
        runs={"written": str(run)}, store=str(store), output=str(output),
        conditions=("with", "without"), bootstrap_samples=100, device="cpu",
    )  # fmt: skip
    evaluate(config, lambda model: load_scorer(model.folder, device="cpu"))
    with np.load(output / "documents.npz") as found:
        return {
            "index": found["index"].tolist(),
            "token_hash": [str(value) for value in found["token_hash"]],
            "keys": found["keys"].tolist(),
            "title": found["title"].tolist(),
            "body": found["body"].tolist(),
        }


def _rows(store: TokenStore, policy: MetadataPolicy, packing: str) -> dict:
    split = store.split("train")
    data = Data(store="unused", seq_length=SEQ_LENGTH, packing_window=16, **PACKINGS[packing])

    def dataset(samples: int | None) -> StageDataset:
        documents = np.arange(split.num_documents)
        return StageDataset(split, data, policy, store.tokenizer(), documents, 3, samples)

    rows = dataset(2 * len(dataset(None)))
    return {
        "rows": len(rows),
        "arrays": _hash([array for row in rows for array in vars(row).values()]),
        "ledger": rows.ledger(len(rows)),
        "fingerprint": rows.fingerprint(),
    }


def _hash(arrays: list) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array)
        digest.update(f"{array.dtype.str} {array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    return digest.hexdigest()[:32]

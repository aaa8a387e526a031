"""The packed sequences as a dataset that Megatron-Core's own builders and blends can use.

config = PackedDatasetConfig(
    random_seed=1, sequence_length=2048, blend_per_split=[([store], None), None, None],
    policy=MetadataPolicy(),
)
train, _, _ = BlendedMegatronDatasetBuilder(
    PackedDataset, [num_samples, 0, 0], lambda: True, config
).build()
"""

from dataclasses import dataclass, field

import numpy as np
from megatron.core.datasets.blended_megatron_dataset_config import BlendedMegatronDatasetConfig
from megatron.core.datasets.megatron_dataset import MegatronDataset
from megatron.core.datasets.utils import Split as MegatronSplit

from geo_nemo.config import Data, MetadataPolicy, UserError
from geo_nemo.data.dataset import StageDataset
from geo_nemo.store import TokenStore
from geo_nemo.store.fields import check_fields

_SPLIT_NAMES = {
    MegatronSplit.train: "train",
    MegatronSplit.valid: "validation",
    MegatronSplit.test: "test",
}


@dataclass
class PackedDatasetConfig(BlendedMegatronDatasetConfig):
    """Megatron-Core's dataset config with what the sequences depend on.

    policy: metadata policy of the stage. stage: its name, part of the seed.
    packing, prefix_fragments, packing_window: as in `geo_nemo.config.Data`. Which documents are
    train, validation and test is the store's to say, so stores are named in `blend_per_split`.
    """

    policy: MetadataPolicy = field(default_factory=MetadataPolicy)
    stage: str = ""
    packing: str = "best_fit"
    prefix_fragments: bool = True
    packing_window: int = 16_384

    def __post_init__(self) -> None:
        if self.blend_per_split is None:
            raise UserError(
                "a token store has splits of its own, which `blend` with `split` would divide "
                "anew: name the stores in blend_per_split=[train, validation, test]"
            )
        super().__post_init__()

    @property
    def policy_hash(self) -> str:
        """The policy in the key of every index that Megatron-Core caches."""
        return self.policy.hash()


class PackedDataset(MegatronDataset):
    """Sequences of `StageDataset` as dictionaries of arrays; the path is that of a token store.

    Keys are those of a batch (`tokens, labels, loss_mask, position_ids, group_ids, ...`, each
    [s]), `cu_seqlens` and `max_seqlen`. `cu_seqlens` differs in length from sequence to sequence,
    so a collating loader needs `geo_nemo.data.batches.stack_sequences`.
    """

    def __init__(
        self,
        dataset: TokenStore,
        dataset_path: str | None,
        indices: np.ndarray,
        num_samples: int | None,
        index_split: MegatronSplit,
        config: PackedDatasetConfig,
    ):
        super().__init__(dataset, dataset_path, indices, num_samples, index_split, config)
        split = dataset.split(_SPLIT_NAMES[index_split])
        check_fields(config.policy, split, "policy")
        self.sequences = StageDataset(
            split,
            Data(
                store=dataset_path or "",
                seq_length=config.sequence_length,
                packing=config.packing,
                prefix_fragments=config.prefix_fragments,
                packing_window=config.packing_window,
            ),
            config.policy,
            dataset.tokenizer(),
            # `indices` is all of what `numel_low_level_dataset` counts, which knows no split.
            np.arange(split.num_documents),
            config.random_seed,
            num_samples,
            stage=config.stage,
        )

    @staticmethod
    def build_low_level_dataset(
        dataset_path: str, config: BlendedMegatronDatasetConfig
    ) -> TokenStore:
        """The token store at `dataset_path`."""
        return TokenStore.open(dataset_path)

    @staticmethod
    def numel_low_level_dataset(low_level_dataset: TokenStore) -> int:
        """Documents of all splits; Megatron-Core asks before it names one."""
        return sum(split.documents for split in low_level_dataset.manifest.splits.values())

    @staticmethod
    def _key_config_attributes() -> list[str]:
        packing = ["packing", "prefix_fragments", "packing_window"]
        return ["random_seed", "sequence_length", "policy_hash", "stage", *packing]

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, idx: int) -> dict[str, np.ndarray | int]:
        sequence = self.sequences[idx]
        return {name: getattr(sequence, name) for name in sequence.__dataclass_fields__}

"""What metadata tell of a corpus before anything is trained on it: hosts, slugs, who made it.

In memory: a host and country each of the documents that are looked at.
"""

from itertools import islice
from pathlib import Path

from data_prep.card.data import HostFacts, Signals
from data_prep.config import Prep
from data_prep.corpus_out.read import read_corpus
from data_prep.corpus_out.stage import FOLDER as CORPUS_FOLDER
from data_prep.corpus_out.summary import SUMMARY_NAME
from geo_nemo.common.addresses import is_remote
from geo_nemo.metadata.geography import UNKNOWN
from geo_nemo.metadata.host_signal import host_signal
from geo_nemo.metadata.slug import overlap
from geo_nemo.store.manifest import SPLITS

MOST_DOCUMENTS = 20_000
# What `geo-nemo synth` leaves beside the texts that it makes up.
SYNTHETIC = "synth.json"
LEAKING = 0.5


def signals(config: Prep) -> Signals | None:
    """Of the first documents of the corpus; None where it was not kept."""
    folder = Path(config.output) / CORPUS_FOLDER
    if not (folder / SUMMARY_NAME).is_file():
        return None
    hosts: dict[str, str] = {}
    axes: set[str] = set()
    documents = titled = spelled = 0
    for document in islice(read_corpus(folder, SPLITS[0]), MOST_DOCUMENTS):
        documents += 1
        country = document["country"]
        hosts.setdefault(document["host"], "" if country == UNKNOWN else country)
        axes.update(name for name in AXES if document.get(name) not in (None, "", 0, UNKNOWN))
        if document["title"] and document["path"]:
            titled += 1
            spelled += overlap(document["title"], document["path"]) >= LEAKING
    found = host_signal(list(hosts), list(hosts.values()))
    return Signals(
        documents=documents, titled=titled, spelled=spelled, synthetic=is_synthetic(config),
        axes=tuple(name for name in AXES if name in axes),
        hosts=None if found is None else HostFacts(
            hosts=found.hosts, countries=found.countries, national=found.national,
            agreeing=found.agreeing,
            tested=0 if found.whole is None else found.whole.tested,
            majority=None if found.whole is None else found.whole.majority,
            whole=None if found.whole is None else found.whole.accuracy,
            stem=None if found.stem is None else found.stem.accuracy,
        ),
    )  # fmt: skip


# Along which documents may differ, by their columns in the corpus.
AXES = ("host", "country", "continent", "path", "year", "date", "language", "source")


def is_synthetic(config: Prep) -> bool:
    """Whether an input stands in a folder that `geo-nemo synth` has made."""
    here = [Path(source.path) for source in config.input if not is_remote(source.path)]
    return any((folder / SYNTHETIC).is_file() for path in here for folder in (path, path.parent))

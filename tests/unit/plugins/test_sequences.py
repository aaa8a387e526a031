"""Packings and samplers from outside: the sequences they make, and what goes wrong in them."""

import dataclasses

import numpy as np
import pytest

from geo_nemo.common.errors import RunError, UserError
from geo_nemo.config import Data, MetadataPolicy, Sampling
from geo_nemo.config.load import validate
from geo_nemo.data.brought_packing import Brought, packing_identity, wrong_with
from geo_nemo.data.concat import Concat
from geo_nemo.data.dataset import StageDataset
from geo_nemo.data.draws import Drawn
from geo_nemo.data.mixing import Pool
from geo_nemo.data.packing import BestFit, DocumentLengths
from geo_nemo.data.sampling import sampling_identity, stage_draws
from tests.unit.data.fakes import Document, MemorySplit, WordTokenizer, random_documents
from tests.unit.plugins.outside import PLUGIN

SEQ_LENGTH = 48


@pytest.fixture
def package(monkeypatch):
    """The example package is installed."""
    monkeypatch.syspath_prepend(PLUGIN)


def dataset(documents, draws=None, **data):
    split = MemorySplit(documents)
    settings = Data(store="memory", seq_length=SEQ_LENGTH, **data)
    draws = np.arange(len(documents)) if draws is None else draws(split)
    return StageDataset(split, settings, MetadataPolicy(), WordTokenizer(), draws, 1)


def test_a_packing_makes_the_sequences(package):
    made = dataset(random_documents(1, 60), packing="next_fit")
    usual = dataset(random_documents(1, 60))
    assert made.statistics().documents == usual.statistics().documents == 60
    assert made.statistics().fill < usual.statistics().fill
    tokens = sum(int(made[i].loss_mask.sum()) for i in range(len(made)))
    assert tokens == sum(int(usual[i].loss_mask.sum()) for i in range(len(usual)))
    assert made.fingerprint()["packing"] == "next_fit geo_nemo_example.packings:NextFit 1 {}"
    assert usual.fingerprint()["packing"] == "best_fit"


def test_a_sampler_decides_which_documents_come_first(package):
    documents = [Document([], [1, 2, 3], year=year) for year in (2003, 2001, 2002, 0)]

    def draws(split, **options):
        sampling = Sampling(sampler="oldest_first", options=options)
        return stage_draws(Pool(split, np.arange(4), sampling, 1, 2, 100, "s"))

    found = draws(MemorySplit(documents))
    assert [found.window(n).documents.tolist() for n in range(3)] == [[3, 1], [2, 0], [3, 1]]
    assert [found.window(n).epochs.tolist() for n in (0, 2)] == [[0, 0], [1, 1]]
    assert found.epochs(np.array([2, 0]), 8.0).tolist() == [2.0, 0.0]
    # A worker makes it anew over what lies in a file.
    again = found.over(np.arange(0)).over(np.arange(4), MemorySplit(documents))
    assert again.window(1).documents.tolist() == [2, 0]
    late = draws(MemorySplit(documents), since=2002)
    assert late.window(0).documents.tolist() == [2, 0]
    assert dataset(documents, draws).statistics().documents == 4


LENGTHS = DocumentLengths(
    head=np.array([5, 5, 5]),
    title_label=np.array([2, 0, 2]),
    title=np.array([3, 0, 4]),
    body=np.array([10, 60, 0]),
    tail=np.array([1, 1, 1]),
)


@pytest.mark.parametrize("packing", [BestFit, Concat])
@pytest.mark.parametrize("prefix_fragments", [True, False])
def test_nothing_is_wrong_with_ours(packing, prefix_fragments):
    made = packing(SEQ_LENGTH, prefix_fragments)
    assert wrong_with(LENGTHS, *made.pack(LENGTHS), SEQ_LENGTH) == ""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        lengths = DocumentLengths(
            head=rng.integers(1, 9, 40),
            title_label=np.zeros(40, int),
            title=np.zeros(40, int),
            body=rng.integers(0, 200, 40),
            tail=np.ones(40, int),
        )
        assert wrong_with(lengths, *made.pack(lengths), SEQ_LENGTH) == ""


def changed(**columns):
    """What `BestFit` makes, with some columns changed by functions."""
    cut, sequence_of, sequences = BestFit(SEQ_LENGTH, True).pack(LENGTHS)
    columns = {name: change(getattr(cut, name)) for name, change in columns.items()}
    return dataclasses.replace(cut, **columns), sequence_of, sequences


def shorter(number):
    cut, sequence_of, _ = BestFit(SEQ_LENGTH, True).pack(LENGTHS)
    kept = np.delete(np.arange(len(sequence_of)), number)
    columns = {name: column[kept] for name, column in vars(cut).items()}
    _, sequence_of = np.unique(sequence_of[kept], return_inverse=True)
    return type(cut)(**columns), sequence_of, int(sequence_of.max()) + 1


def doubled():
    cut, sequence_of, sequences = BestFit(SEQ_LENGTH, True).pack(LENGTHS)
    columns = {name: np.append(column, column[0]) for name, column in vars(cut).items()}
    return type(cut)(**columns), np.append(sequence_of, sequences), sequences + 1


def at(place, value):
    def change(column):
        column = column.copy()
        column[place] = value
        return column

    return change


@pytest.mark.parametrize(
    ("packed", "line"),
    [
        (lambda: shorter(0), "loses document 0 of 3"),
        (lambda: shorter(1), "doubles or loses tokens of document 1"),
        (lambda: shorter(2), "doubles or loses tokens at the end of document 1"),
        (doubled, "doubles or loses tokens of document 0"),
        (lambda: changed(document=at(0, 3)), "gives a fragment of document 3 of 3"),
        (lambda: changed(stop=at(0, 9)), "doubles or loses tokens at the end of document 0"),
        (lambda: changed(final=at(0, False)), "ends other than at its last fragment of document 0"),
        (lambda: changed(title=at(0, 4)), "shows a title that is not there of document 0"),
        (lambda: changed(bare=at(1, True)), "mixes bare and headed fragments of document 1"),
        (
            lambda: changed(positions=at(0, 19)),
            "says that a fragment of document 0 takes 19 positions, and it takes 20",
        ),
        (
            lambda: (changed()[0], np.zeros(4, int), 1),
            "puts 100 positions into sequence 0, and data",
        ),
        (lambda: (*changed()[:2], 9), "leaves 6 of 9 sequences empty"),
        (lambda: (changed()[0], np.full(4, 7), 1), "puts a fragment into sequence 7 of 1"),
        (lambda: (changed()[0], np.zeros(3, int), 1), "gives columns of [3, 4] elements"),
        (lambda: (changed()[0], np.zeros(4), 1), "fails (TypeError: Cannot cast array data"),
        (lambda: None, "fails (TypeError: cannot unpack non-iterable NoneType object)"),
        (lambda: 1 / 0, "fails (ZeroDivisionError: division by zero)"),
    ],
)
def test_a_packing_that_fails_or_loses_something_is_named(packed, line):
    class Lies:
        def pack(self, lengths):
            return packed()

    with pytest.raises(RunError) as caught:
        Brought("own", Lies(), SEQ_LENGTH).pack(LENGTHS)
    message = str(caught.value)
    assert message.startswith(f"the packing own {line}") and "\n" not in message


class Draws:
    """A sampler that answers what it is told to."""

    def __init__(self, pool, documents=(0,), epochs=None):
        self.answer = (documents, epochs)

    def window(self, number):
        documents, epochs = self.answer
        if documents == "none":
            return None
        return Drawn(
            np.array(documents), np.zeros(len(documents), int) if epochs is None else epochs
        )


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"documents": [9]}, "draws document 9, which the stage has not"),
        ({"documents": [-1]}, "draws document -1, which the stage has not"),
        ({"documents": []}, "draws nothing"),
        ({"documents": [0] * 5}, "draws 5 documents, and data.packing_window is 4"),
        ({"epochs": [0, 0]}, "draws 1 documents, and epochs of 2"),
        ({"epochs": [-2]}, "gives an epoch of -2"),
        ({"documents": [0.5]}, "fails (TypeError: Cannot cast array data"),
        ({"documents": "none"}, "fails (AttributeError: 'NoneType' object has no attribute"),
    ],
)
def test_a_sampler_that_fails_or_draws_what_is_not_there_is_named(options, line):
    sampling = Sampling(sampler=f"{__name__}:Draws", options=options)
    pool = Pool(MemorySplit([Document([], [1])] * 5), np.arange(5), sampling, 1, 4, 100, "s")
    with pytest.raises(RunError) as caught:
        stage_draws(pool)
    message = str(caught.value)
    assert message.startswith(f"the sampler {__name__}:Draws, at window 0, {line}")
    assert message.endswith("mend it or take it out of stages.s.sampling.sampler")


@pytest.mark.parametrize(
    ("attribute", "line"),
    [
        ({"windows_per_epoch": 0}, "has windows_per_epoch=0, not a whole number from 1, or None"),
        ({"windows_per_epoch": 1.5}, "has windows_per_epoch=1.5, not a whole number from 1"),
        ({"epochs": lambda self, *of: float("nan")}, "fails (ValueError: epochs that are no num"),
        ({"epochs": lambda self, *of: [-1]}, "fails (ValueError: epochs that are no numbers fro"),
        ({"epochs": lambda self, *of: [1, 2]}, "fails (ValueError: operands could not be broad"),
    ],
)
def test_a_sampler_that_lies_of_its_epochs_is_named(monkeypatch, attribute, line):
    for name, value in attribute.items():
        monkeypatch.setattr(Draws, name, value, raising=False)
    sampling = Sampling(sampler=f"{__name__}:Draws")
    pool = Pool(MemorySplit([Document([], [1])] * 5), np.arange(5), sampling, 1, 4, 100, "s")
    draws = stage_draws(pool)
    with pytest.raises(RunError) as caught:
        draws.epochs(np.arange(3), 1.0)
        draws.windows_per_epoch  # noqa: B018
    assert str(caught.value).startswith(f"the sampler {__name__}:Draws {line}")


def test_wrong_options_and_settings_are_one_line():
    sampling = Sampling(sampler=f"{__name__}:Draws", options={"docs": [0]})
    pool = Pool(MemorySplit([Document([], [1])]), np.arange(1), sampling, 1, 4, 100, "s")
    with pytest.raises(UserError, match=r"^stages.s.sampling.sampler: .*Draws: TypeE.*'docs'"):
        stage_draws(pool)
    for settings, line in (
        ({"sampler": "a:B", "temperature": 2}, "temperature and sampler exclude each other"),
        ({"sampler": "weights"}, "sampler is for another package's: weights is a setting here"),
        ({"options": {"a": 1}}, "options are those of a sampler: give sampler, too"),
    ):
        with pytest.raises(ValueError, match=line):
            Sampling(**settings)
    with pytest.raises(ValueError, match="packing_options are for another package's: best_fit has"):
        Data(store="s", packing_options={"a": 1})


def test_a_name_is_looked_up_where_a_user_writes_it_and_not_where_a_run_kept_it():
    data = {"store": "s", "packing": "bestfit"}
    assert Data(**data).packing == "bestfit"
    with pytest.raises(UserError, match=r"bestfit is not a packing; there is best_fit, "):
        validate("train", Data, data)
    with pytest.raises(UserError, match=r"sampler: oldest is not a sampler; there is as_they_are"):
        validate("train", Sampling, {"sampler": "oldest"})


def test_version_and_options_are_part_of_what_a_run_is(package, monkeypatch):
    def identities(**options):
        data = Data(store="s", packing="next_fit", packing_options=options)
        return packing_identity(data), sampling_identity(
            Sampling(sampler="oldest_first", options=options), "s"
        )

    before = identities()
    assert before[1] == '{"sampler": "oldest_first"} geo_nemo_example.samplers:OldestFirst 1'
    assert all(a != b for a, b in zip(before, identities(since=2), strict=True))
    monkeypatch.setattr("geo_nemo_example.packings.NextFit.version", "2")
    monkeypatch.setattr("geo_nemo_example.samplers.OldestFirst.version", "2")
    assert all(a != b for a, b in zip(before, identities(), strict=True))
    assert packing_identity(Data(store="s")) == "best_fit"
    assert sampling_identity(Sampling(temperature=2), "s") == '{"temperature": 2.0}'

"""Which documents each stage has: the selected ones, shared out without overlap."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.tokenise.store_writer import StoreDocument, StoreWriter
from geo_nemo.config import MetadataPolicy, Select, Stage, UserError
from geo_nemo.data.selection import stage_documents
from geo_nemo.store import TokenStore
from geo_nemo.tokenizers.load import load_tokenizer
from tests.unit.data.fakes import CONTINENT_OF, Document, MemorySplit
from tests.unit.store.worlds import write_tokenizer

COUNTRIES = tuple(CONTINENT_OF)


def stage(fraction, **select) -> Stage:
    return Stage(fraction=fraction, metadata=MetadataPolicy(), select=Select(**select))


def world(seed, count) -> list[Document]:
    rng = np.random.default_rng(seed)
    return [
        Document(
            title=[],
            body=[1000],
            country=COUNTRIES[rng.integers(len(COUNTRIES))],
            source=("news", "web")[rng.integers(2)],
            year=int(rng.choice([0, 2019, 2020, 2021])),
            quality=int(rng.integers(0, 101)),
        )
        for _ in range(count)
    ]


def keeps(select: Select, document: Document) -> bool:
    """The filter in plain Python, one document at a time."""
    continent = CONTINENT_OF[document.country]
    return (
        (not select.countries or document.country in select.countries)
        and document.country not in select.exclude_countries
        and (not select.continents or continent in select.continents)
        and continent not in select.exclude_continents
        and (not select.sources or document.source in select.sources)
        and document.source not in select.exclude_sources
        and (not select.years or select.years[0] <= document.year <= select.years[1])
        and document.quality >= select.min_quality
        and all(told(document, field) in of for field, of in select.values.items() if of)
        and all(told(document, field) not in of for field, of in select.exclude_values.items())
    )


def told(document: Document, field: str) -> str:
    return {"year": str(document.year or "unknown"), "source": document.source}[field]


def some(names):
    return st.lists(st.sampled_from(names), unique=True, max_size=2)


@st.composite
def selections(draw):
    select = {}
    for field, names in (
        ("countries", COUNTRIES),
        ("continents", ("Africa", "America", "Asia", "Europe")),
        ("sources", ("news", "web")),
    ):
        kept = draw(some(names))
        left_out = [name for name in draw(some(names)) if name not in kept]
        select |= {field: kept, f"exclude_{field}": left_out}
    for field, names in (("year", ("2019", "2020", "unknown")), ("source", ("news", "web"))):
        kept = draw(some(names))
        left_out = [name for name in draw(some(names)) if name not in kept]
        for key, values in (("values", kept), ("exclude_values", left_out)):
            select.setdefault(key, {})[field] = values
    select["years"] = draw(st.sampled_from([None, (2020, 2020), (2000, 2020)]))
    select["min_quality"] = draw(st.sampled_from([0, 0, 50]))
    return select


@settings(max_examples=150)
@given(
    st.integers(0, 10**6),
    st.lists(st.tuples(st.floats(0.05, 1), selections()), min_size=1, max_size=4),
)
def test_stages_get_what_they_select_and_no_document_is_in_two(seed, drawn):
    documents = world(seed, 300)
    stages = {f"s{i}": stage(fraction, **select) for i, (fraction, select) in enumerate(drawn)}
    try:
        found = stage_documents(MemorySplit(documents), stages, seed)
    except UserError:
        return
    together = np.concatenate(list(found.values()))
    assert len(set(together.tolist())) == len(together)
    for name, chosen in found.items():
        assert all(keeps(stages[name].select, documents[i]) for i in chosen)
        assert chosen.tolist() == sorted(chosen.tolist())
    anyone = {
        i for i, d in enumerate(documents) if any(keeps(s.select, d) for s in stages.values())
    }
    assert set(together.tolist()) == anyone


@given(
    count=st.integers(10, 500),
    fractions=st.lists(st.floats(0.1, 1), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_one_country_is_shared_out_to_the_document(count, fractions, seed):
    split = MemorySplit([Document([], [1000])] * count)
    stages = {f"s{i}": stage(fraction) for i, fraction in enumerate(fractions)}
    try:
        found = stage_documents(split, stages, seed)
    except UserError as error:
        assert "has no documents" in str(error)
        return
    for name, chosen in found.items():
        assert abs(len(chosen) - stages[name].fraction / sum(fractions) * count) <= 1


def test_a_small_country_is_in_every_stage_in_its_proportion():
    documents = [Document([], [1000], country="gb")] * 9_900
    documents += [Document([], [1000], country="no")] * 100
    found = stage_documents(
        MemorySplit(documents), {"condition": stage(0.9), "cooldown": stage(0.1)}, seed=1
    )
    assert [int((chosen >= 9_900).sum()) for chosen in found.values()] == [90, 10]
    assert [len(chosen) for chosen in found.values()] == [9_000, 1_000]


def test_what_only_one_stage_selects_is_its_own():
    documents = [Document([], [1000], country=c) for c in ("gb", "ke") * 50]
    stages = {
        "condition": stage(0.9, exclude_continents=["Africa"]),
        "cooldown": stage(0.1, countries=["ke"]),
    }
    found = stage_documents(MemorySplit(documents), stages, seed=1)
    assert [len(chosen) for chosen in found.values()] == [50, 50]


def test_single_documents_go_to_stages_about_as_often_as_fractions_say():
    documents = [Document([], [1000], host=f"h{i}", country="gb") for i in range(1)]
    taken = []
    for seed in range(400):
        try:
            stage_documents(MemorySplit(documents), {"a": stage(0.9), "b": stage(0.1)}, seed)
        except UserError as error:
            taken.append(str(error).split()[1])
    # The stage that is named has none.
    assert set(taken) == {"a", "b"}
    assert taken.count("b") == pytest.approx(360, abs=4 * (400 * 0.09) ** 0.5)


def test_stages_follow_the_seed():
    split = MemorySplit(world(1, 2_000))
    stages = {"condition": stage(0.5), "cooldown": stage(0.5)}
    one, again, other = (stage_documents(split, stages, seed)["cooldown"] for seed in (1, 1, 2))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert one.dtype == np.uint32


@pytest.mark.parametrize(
    ("select", "message"),
    [
        ({"countries": ["nr"]}, "stages.s.select.countries: nr is not in the store, which has gb,"),
        ({"exclude_countries": ["fr"]}, "stages.s.select.exclude_countries: fr is not in"),
        ({"continents": ["Europ"]}, "continents: Europ is not in the store, which has Africa"),
        ({"continents": ["Europ"]}, "did you mean Europe?"),
        ({"sources": ["blogs"]}, "stages.s.select.sources: blogs is not in the store"),
        ({"values": {"year": ["2019"]}}, "select.values.year: 2019 is not in the store, which has"),
        ({"values": {"path": ["/a"]}}, "stages.s.select.values.path: path is no category"),
        (
            {"exclude_values": {"topic": ["a"]}},
            "select.values.topic: topic as plain needs",
        ),
        ({"min_quality": 100}, "stage s has no documents in split train"),
        ({"countries": ["gb", "ke"], "sources": ["web"]}, "countries lists ke, of which the stage"),
    ],
)
def test_mistakes_are_one_line(select, message):
    documents = [Document([], [1000], country=c, source="web") for c in ("gb", "no", "us")]
    documents.append(replace(documents[0], country="ke", source="news"))
    with pytest.raises(UserError) as caught:
        stage_documents(MemorySplit(documents), {"s": stage(1, **select)}, 1)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory):
    """A split of six documents: qualities 90 and 10 in English, French and no known language."""
    root = tmp_path_factory.mktemp("spoken")
    write_tokenizer(root / "spm.model")
    (root / "store").mkdir()
    writer = StoreWriter(
        root / "store", load_tokenizer(root / "spm.model"), root / "spm.model", ["gb"],
        {"gb": "Europe"}, shard_documents=4,
    )  # fmt: skip
    documents = [
        StoreDocument("a.co.uk", "gb", f"/{n}", n + 1, quality=(90, 10)[n % 2],
                      fields={"language": language} if language else {})
        for n, language in enumerate(("en", "en", "fr", "fr", "", ""))
    ]  # fmt: skip
    writer.add("train", documents, [[]] * 6, [[7]] * 6)
    writer.finish({}, [])
    return TokenStore.open(root / "store").split("train")


@pytest.mark.parametrize(
    ("languages", "kept"),
    [
        ([], [0, 2, 4]),
        (["en"], [0, 2, 3, 4, 5]),
        (["en", "unknown"], [0, 2, 3, 4]),
        (["unknown", "fr"], [0, 1, 2, 4]),
    ],
)
def test_quality_is_asked_of_the_languages_that_it_serves(spoken, languages, kept):
    select = {"min_quality": 50, "quality_languages": languages}
    found = stage_documents(spoken, {"s": stage(1, **select)}, 1)
    assert found["s"].tolist() == kept


def test_a_language_of_quality_that_is_not_there_is_one_line(spoken):
    select = {"min_quality": 50, "quality_languages": ["eng"]}
    with pytest.raises(UserError, match=r"^stages.s.select.quality_languages: eng is not in the"):
        stage_documents(spoken, {"s": stage(1, **select)}, 1)
    without = MemorySplit([Document([], [1000])])
    with pytest.raises(UserError, match=r"select.quality_languages: language") as raised:
        stage_documents(without, {"s": stage(1, **select)}, 1)
    assert "\n" not in str(raised.value)


def test_a_selection_without_it_is_the_one_that_it_was():
    assert Select(min_quality=50).canonical() == '{"min_quality": 50}'
    assert "quality_languages" not in Select(min_quality=50).deciding()


@pytest.mark.parametrize("name", ["uk", "GBR", "United Kingdom", "Britain"])
def test_a_country_is_selected_by_any_of_its_names(name):
    split = MemorySplit(world(1, 200))
    found = stage_documents(split, {"s": stage(1, countries=[name])}, 1)["s"]
    wanted = stage_documents(split, {"s": stage(1, countries=["gb"])}, 1)["s"]
    assert len(found) and found.tolist() == wanted.tolist()

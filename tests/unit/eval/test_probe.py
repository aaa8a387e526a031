"""Probes: hidden states and greedy texts beside plain transformers, figures beside closed forms."""

import csv
import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from scipy.stats import mannwhitneyu
from transformers import AutoModelForCausalLM

from eval.bootstrap import clustered_wilson, wilson_interval
from eval.config import EvalConfig
from eval.models import read_models
from eval.probe.config import ProbeConfig
from eval.probe.layers import explained, held_back_hosts, of_fields, of_regions
from eval.probe.membership import area, membership
from eval.probe.run import _extracted, plan_probe, run_probe
from eval.probe.write import _of_run
from eval.scorers.exported import export_of
from eval.scorers.load import load
from geo_nemo.cli.probe import command
from geo_nemo.config import RunError, UserError
from geo_nemo.train.run_record import write_record
from tests.support.runs import finished
from tests.unit.eval import hub
from tests.unit.eval.fakes import (
    load_ids,
    log_table,
    make_run,
    make_store,
    one_at_a_time,
    texts,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probe")
    store = make_store(folder / "data", texts(80), train=80)
    for name, save in (("llama", hub.save_llama), ("gpt2", hub.save_gpt2)):
        hub.save_byte_tokenizer(folder / name)
        save(folder / name, 259)
        # As an export says whose tokenizer it has, so that it is scored on the store.
        record = {"fingerprint": {"tokenizer": store.manifest.tokenizer.sha256}}
        (folder / name / "training.json").write_text(json.dumps(record))
    make_run(folder / "run", store, fields=("url", "country", "continent"))
    return folder, store


@pytest.fixture(scope="module", params=["llama", "gpt2"])
def model(world, request):
    folder = world[0] / request.param
    config = EvalConfig(runs={"m": str(folder)}, store="-", output="-", device="cpu")
    scorer = load(read_models({"m": str(folder)})["m"], config)
    return scorer, AutoModelForCausalLM.from_pretrained(folder)


def test_means_of_hidden_states_are_those_of_each_text_by_itself(model):
    scorer, plain = model
    rng = np.random.default_rng(0)
    ids = [rng.integers(259, size=n) for n in (40, 3, 17, 90, 2)]
    places = [np.sort(rng.choice(len(i), size=max(1, len(i) // 2), replace=False)) for i in ids]
    found = scorer.hidden_means(ids, places)
    assert found.shape == (3, 5, 32)
    for number, (text, at) in enumerate(zip(ids, places, strict=True)):
        with torch.no_grad():
            states = plain(torch.from_numpy(text)[None], output_hidden_states=True).hidden_states
        for layer, state in enumerate(states):
            expected = state[0, at].mean(0).numpy()
            np.testing.assert_allclose(found[layer, number], expected, rtol=1e-3, atol=1e-4)


def test_a_text_is_greedy_where_every_asked_token_is_the_likeliest(model):
    scorer, plain = model
    rng = np.random.default_rng(1)
    start = torch.from_numpy(rng.integers(259, size=7))[None]
    with torch.no_grad():
        for _ in range(6):
            best = plain(start).logits[:, -1:].argmax(-1)
            start = torch.cat([start, best], 1)
    whole = start[0].numpy()
    other = whole.copy()
    other[-1] = (other[-1] + 1) % 259
    asked = np.arange(6, 12)
    # Of the changed one, all but its last token are greedy.
    found = scorer.greedy([whole, other, other], [asked, asked, asked[:-1]])
    assert found.tolist() == [True, False, True]


def test_the_area_is_the_share_of_pairs_and_that_of_scipy():
    rng = np.random.default_rng(2)
    inside, outside = rng.integers(0, 9, 30) / 2, rng.integers(1, 11, 25) / 2
    pairs = np.mean([(a < b) + (a == b) / 2 for a in inside for b in outside])
    assert area(inside, outside) == pytest.approx(pairs)
    theirs = mannwhitneyu(outside, inside).statistic / (30 * 25)
    assert area(inside, outside) == pytest.approx(theirs)
    assert area(np.zeros(3), np.ones(4)) == 1.0 and area(np.ones(2), np.ones(2)) == 0.5


def test_membership_by_loss_and_by_what_telling_gains():
    rng = np.random.default_rng(3)
    base = rng.normal(3, 0.5, 200)
    inside = {"without": base[:100], "with": base[:100] - 0.4}
    outside = {"without": base[100:], "with": base[100:] - 0.1}
    found = {line["measure"]: line for line in membership(
        inside, outside, samples=200, confidence=0.95, rng=rng)}  # fmt: skip
    assert found["gain"]["area"] == 1.0 and found["gain"]["low"] == 1.0
    without = found["without"]
    assert without["low"] < 0.5 < without["high"] and without["inside"] == 100
    few = membership({"with": base[:3]}, {"with": base[:50]}, samples=100, confidence=0.95, rng=rng)
    assert few[0]["low"] is None


def test_intervals_of_the_area_cover_at_their_rate():
    """Two normals a standard deviation apart: the area is Phi(1 / sqrt 2) = 0.7602."""
    rng, held = np.random.default_rng(4), 0
    for _ in range(100):
        inside, outside = rng.normal(0, 1, 60), rng.normal(1, 1, 60)
        (line,) = membership({"with": inside}, {"with": outside}, samples=200, confidence=0.95,
                             rng=rng)  # fmt: skip
        held += line["low"] <= 0.7602 <= line["high"]
    assert held >= 86


def test_the_area_of_hosts_that_were_learnt_unlike_is_as_sure_as_hosts_are_many():
    """What training leaves of a host varies by host: 0.5 on the mean, with a deviation of 1.2."""
    rng, inside, alone = np.random.default_rng(5), 0, 0
    hosts = np.repeat(np.arange(20), 10)
    for _ in range(60):
        mine = rng.normal(0, 1, 200) - rng.normal(0.5, 1.2, 20)[hosts]
        others = {"with": rng.normal(0, 1, 200)}
        for of in ((hosts, hosts), None):
            (line,) = membership({"with": mine}, others, samples=100, confidence=0.9, rng=rng,
                                 hosts=of)  # fmt: skip
            holds = line["low"] <= 0.6063 <= line["high"]  # Phi(0.5 / sqrt(2 + 1.2^2))
            inside, alone = inside + (holds and of is not None), alone + (holds and of is None)
    assert inside / 60 > 0.78 and alone / 60 < 0.7  # 0.9, with a standard error of 0.04
    (line,) = membership({"with": mine}, others, samples=100, confidence=0.9, rng=rng,
                         hosts=(hosts % 9, hosts % 9))  # fmt: skip
    assert line["low"] is None


def test_explained_variance_is_that_of_the_analysis_of_variance():
    features = np.array([[1.0, 0], [3, 0], [5, 2], [7, 2]])
    labels = np.array(["a", "a", "b", "b"])
    # Means (2, 0), (6, 2), all (4, 1): between 4 * (4 + 1) = 20; within 4 * 1 = 4.
    assert explained(features, labels) == pytest.approx(20 / 24)
    assert explained(features, np.array(["a"] * 4)) == 0
    assert explained(np.ones((3, 2)), np.array(["a", "b", "b"])) == 0


def planted():
    """40 documents of four countries: layer 0 is noise, layer 1 has the country."""
    rng = np.random.default_rng(5)
    country = np.array(["gb", "ie", "ke", "ng"] * 30)
    continent = np.array(["Europe", "Europe", "Africa", "Africa"] * 30)
    centres = {"gb": [4, 0, 1], "ie": [4, 1, 0], "ke": [-4, 0, 1], "ng": [-4, 1, 0]}
    noise = rng.normal(size=(120, 3))
    states = np.stack([noise, np.array([centres[c] for c in country]) + noise * 0.1])
    hosts = [f"h{n // 4 % 10}.{c}" for n, c in enumerate(country)]
    return states, country, continent, hosts


def test_a_planted_country_is_found_in_its_layer_and_not_in_noise():
    states, country, continent, hosts = planted()
    country[0] = ""
    tested = held_back_hosts(hosts, 0.3, 1)
    assert len({h for h, t in zip(hosts, tested, strict=True) if t}
               & {h for h, t in zip(hosts, tested, strict=True) if not t}) == 0  # fmt: skip
    values = {"country": country, "continent": continent}
    lines = of_fields(states, values, np.array(hosts), tested, 1.0, 0.95)
    found = {(line["field"], line["layer"]): line for line in lines}
    assert found["country", 1]["accuracy"] == 1.0 and found["continent", 1]["accuracy"] == 1.0
    assert found["country", 0]["accuracy"] < 0.6
    # All of some twelve hosts are right: no surer than twelve documents of their own.
    number = len({h for h, t in zip(hosts, tested, strict=True) if t})
    assert found["continent", 1]["low"] == pytest.approx(wilson_interval(number, number, 0.95)[0])
    assert found["country", 1]["fitted"] + found["country", 1]["tested"] == 119


def test_a_left_out_continent_lies_nearest_to_what_it_is_planted_beside():
    states, country, continent, _ = planted()
    continent = np.where(country == "ng", "America", continent)  # where ke is: Africa
    lines = {(x["region"], x["layer"]): x for x in of_regions(states, country, continent)}
    assert lines["America", 1]["nearest"] == {"Africa": 1.0, "Europe": 0.0}
    assert lines["America", 1]["explained"] is None
    europe = lines["Europe", 1]
    assert europe["documents"] == 60 and europe["explained"] > 0.9
    assert lines["Europe", 0]["explained"] < 0.2


@pytest.mark.filterwarnings("error")
def test_where_no_country_has_documents_enough_there_is_no_line():
    few = np.array(["ke", "gb", "us"])
    assert of_regions(np.ones((2, 3, 4)), few, np.array(["Africa", "Europe", "America"])) == []


def test_a_run_is_exported_for_its_hidden_states_and_probed_as_its_export(
    tiny_store, single_process, tmp_path
):
    write_record(finished(tiny_store, tmp_path / "run").prepared, 1)

    def probed(place, output):
        few = ("bootstrap_samples=100", "num_documents=60", "prompt=4", "extracted=2")
        words = [f"runs.m={place}", f"store={tiny_store}", f"output={output}", "device=cpu", *few]
        done = CliRunner().invoke(command, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return json.loads((output / "probe.json").read_text())["runs"]["m"]

    of_run = probed(tmp_path / "run", tmp_path / "probe")
    (export,) = (tmp_path / "probe" / "exports").iterdir()
    written = {path.name: path.stat().st_mtime_ns for path in export.iterdir()}
    assert of_run["folder"] == str(tmp_path / "run") and export.name == f"m-{of_run['checkpoint']}"
    of_export = probed(export, tmp_path / "again")
    assert of_run["layers"] and of_run["extraction"]
    for part in ("layers", "regions", "membership", "extraction"):
        assert of_run[part] == of_export[part], part
    probed(tmp_path / "run", tmp_path / "probe")
    assert {path.name: path.stat().st_mtime_ns for path in export.iterdir()} == written
    # What stands in its way is named as the probe takes it, not as export does.
    (export / "training.json").unlink()
    with pytest.raises(UserError, match="is there already: remove it, or give another output="):
        probed(tmp_path / "run", tmp_path / "probe")
    model = read_models({"m": str(tmp_path / "run")})["m"]
    with pytest.raises(UserError, match="give one of the two as store="):
        export_of(model, tmp_path / "exports", str(tmp_path))


def arguments(world, output, *more):
    folder, store = world
    return [f"runs.m={folder / 'llama'}", f"store={store.root}", f"output={output}", "device=cpu",
            "bootstrap_samples=100", "prompt=4", "extracted=2", *more]  # fmt: skip


def test_the_command_does_every_part_and_writes_three_files(world, tmp_path):
    output = tmp_path / "probe"
    done = CliRunner().invoke(command, arguments(world, output), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    result = json.loads((output / "probe.json").read_text())
    of = result["runs"]["m"]
    assert {line["field"] for line in of["layers"]} <= {"country", "continent"}
    assert {line["layer"] for line in of["regions"]} == {0, 1, 2}
    assert [line["measure"] for line in of["membership"]] == ["with", "without", "min_k", "gain"]
    # The test's documents stand in training, too: nothing can tell them apart.
    assert all(line["area"] == pytest.approx(0.5, abs=0.01) for line in of["membership"])
    assert {(x["split"], x["condition"]) for x in of["extraction"]} == {
        (split, condition) for split in ("train", "test") for condition in ("with", "without")
    }
    assert result["hosts"]["hosts"] == 8 and "## Run m" in (output / "probe.md").read_text()
    with (output / "probe.csv").open() as lines:
        assert {row["part"] for row in csv.DictReader(lines)} >= {"layers", "membership"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["fields=[topic]"], "topic"),
        (["fields=[country,host]"], "fields=host: no value of hosts that are tested is one of"),
        (["only=[membership]", "split=train"], "give store=STORE with a split train"),
        (["only=[luck]"], "only"),
        (["runs.m=nowhere"], "runs.m=nowhere: no such folder"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_folder(world, tmp_path, more, words):
    done = CliRunner().invoke(command, [*arguments(world, tmp_path / "out"), *more])
    assert isinstance(done.exception, UserError), done.output
    assert words in str(done.exception) and "\n" not in str(done.exception)
    assert not (tmp_path / "out").exists()


def test_extracted_bodies_are_those_that_a_bigram_goes_on_with(tmp_path):
    """Its likeliest next letter is known, and so is each body that it continues by two of them."""
    table = log_table(None)
    hub.save_byte_tokenizer(tmp_path / "bigram")
    made = [body for *_, body in texts(80)]
    follows = {}  # the likeliest letter behind each letter is one that bodies have
    letters = load_ids("".join(sorted(set("".join(made)))))
    for letter in letters:
        follows[letter] = letters[letter % len(letters)]
        table[letter, follows[letter]] = 1.0
    hub.save_bigram(tmp_path / "bigram", table)
    corpus = hub.save_corpus(tmp_path / "corpus.parquet", texts(80))
    config = ProbeConfig(
        runs={"m": str(tmp_path / "bigram")}, corpus=str(corpus), output=str(tmp_path / "out"),
        device="cpu", prompt=4, extracted=2,
    )  # fmt: skip
    plan, _ = plan_probe(config)
    scorer = load(plan.models["m"], config.evaluation("test", ("without",)))
    right, hosts = [], []
    for _, host, _, body in texts(80):
        ids = load_ids(f" {body}")
        if len(ids) >= 6:
            right.append(all(follows[ids[n - 1]] == ids[n] for n in (4, 5)))
            hosts.append(host)
    expected = sum(right)
    for condition in ("with", "without"):
        found = _extracted(config, plan, "m", scorer, condition, "test")
        assert (found["extracted"], found["documents"]) == (
            expected,
            sum(len(b) >= 5 for b in made),
        )
        # What a host's documents have in common is learnt once.
        interval = clustered_wilson(np.array(right), np.array(hosts), 0.95)
        assert (found["low"], found["high"]) == pytest.approx(interval)
    assert 0 < expected < len(made) / 2


def test_there_is_never_more_than_one_model_in_memory(world, tmp_path):
    folder, store = world
    config = ProbeConfig(
        runs={name: str(folder / name) for name in ("llama", "gpt2")}, store=str(store.root),
        output=str(tmp_path / "out"), device="cpu", split="train", num_documents=20,
        only=("regions",),
    )  # fmt: skip
    settings = config.evaluation("train", ("without",))
    loading, given = one_at_a_time(lambda model: load(model, settings))
    run_probe(config, loading)
    assert len(given) == 2


def test_a_hidden_state_that_is_not_finite_names_its_document(world, tmp_path, monkeypatch):
    from eval.scorers.hugging_face import HuggingFaceScorer

    means = HuggingFaceScorer.hidden_means

    def third_is_nan(self, *arguments):
        found = means(self, *arguments)
        found[1, 2, 0] = np.nan
        return found

    monkeypatch.setattr(HuggingFaceScorer, "hidden_means", third_is_nan)
    output = tmp_path / "out"
    done = CliRunner().invoke(command, [*arguments(world, output), "only=[layers]"])
    assert isinstance(done.exception, RunError), done.output
    assert "run m, document 2: a hidden state is not finite" in str(done.exception)
    assert not output.exists()


def test_that_no_layer_could_be_probed_is_said():
    """Of texts whose hosts are all tested, or all fitted, as those without hosts."""
    assert "Layers were not probed: there are too few hosts" in " ".join(_of_run({"layers": []}))
    assert list(_of_run({})) == []

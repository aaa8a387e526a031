"""`geo-nemo store push` and `pull`, and stores on `s3://` given to other commands."""

import re
import sys

import pytest

from geo_nemo.cli import main as cli
from geo_nemo.store import TokenStore
from tests.support.buckets import KEY, SECRET
from tests.unit.store.worlds import write_store


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return write_store(tmp_path_factory.mktemp("store"), shard_documents=5)


@pytest.fixture
def run(monkeypatch, capsys, tmp_path, bucket):
    """Run a command: its exit code, what it printed, and to stderr. The cache is empty."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def call(*arguments) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["geo-nemo", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
        out, err = capsys.readouterr()
        assert KEY not in out + err and SECRET not in out + err
        return stopped.value.code, out, err

    return call


def test_push_verify_and_pull_say_what_there_is(run, store, tmp_path):
    content = TokenStore.open(store).hash
    status, out, err = run("store", "push", store, "s3://news/data/store/")
    assert status == 0
    assert out.startswith("s3://news/data/store: whole, 5 documents, ")
    assert out.endswith(f" bytes, hash {content}\n")
    assert "push store: " in err
    assert "was there already" in run("store", "push", store, "s3://news/data/store")[1]
    status, out, err = run("store", "verify", "s3://news/data/store")
    cached = tmp_path / "cache" / "geo-nemo" / "stores" / f"store-{content}"
    assert (status, out.split(":")[0]) == (0, str(cached))
    assert "fetch store: " in err
    assert "fetch store: " not in run("store", "inspect", "s3://news/data/store", 2)[2]
    assert run("store", "pull", "s3://news/data/store", tmp_path / "there")[0] == 0
    assert TokenStore.open(tmp_path / "there", check_hashes=True).hash == content


@pytest.mark.very_slow
def test_counts_and_plans_fetch_no_tokens_and_say_what_they_say_of_a_store_here(
    run, tiny_store, tmp_path
):
    address = "s3://news/data/tiny"
    run("store", "push", tiny_store, address)
    # Without labels the first word of a text is tokenised anew, so that lengths ask for it.
    settings = ["experiment=demo", "stages=labelled", "train.steps=20", "train.warmup_steps=2"]
    settings += ["data.index_workers=1", f"output_dir={tmp_path / 'out'}"]
    for command in (
        ["store", "stats", "STORE", "--json", tmp_path / "stats.json"],
        ["plan", *settings, "data.store=STORE"],
        ["train", "--dry-run", *settings, "data.store=STORE"],
        ["train", "--multirun", "--dry-run", *settings, "data.store=STORE", "seed=1,2"],
        ["index", *settings, f"data.index_dir={tmp_path}/PLACE", "data.store=STORE"],
    ):
        said = []
        for place in (tiny_store, address):
            words = [str(word).replace("STORE", str(place)) for word in command]
            status, out, _ = run(*(word.replace("PLACE", str(len(said))) for word in words))
            assert status == 0, out
            assert "was there" not in out
            said.append(numbers(out))
        assert said[0] == said[1] and len(said[0]) > 10
    assert not list((tmp_path / "cache").rglob("body.bin"))
    assert len(list((tmp_path / "cache").rglob("body_end.bin"))) == len(
        list(tiny_store.rglob("body_end.bin"))
    )


def numbers(printed: str) -> list[str]:
    """Of a table, whose columns are as wide as its paths."""
    return re.findall(r"\b\d[\d,.]*%?", re.sub(r"\S*/\S*", "", printed))


def test_a_damaged_copy_is_named_with_where_to_fetch_it_again(run, store, tmp_path):
    run("store", "push", store, "s3://news/data/store")
    run("store", "inspect", "s3://news/data/store")
    (body,) = (tmp_path / "cache").rglob("body.bin")
    body.write_bytes(bytes(body.stat().st_size))
    status, _, err = run("store", "verify", "s3://news/data/store")
    assert status == 1
    assert (
        f"remove the folder {body.parents[2]} and fetch it again from s3://news/data/store" in err
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "s3://news/none", "there"], "no whole token store at s3://news/none"),
        (["pull", "s3://nobody/none", "there"], "cannot read s3://nobody/none: no such bucket"),
        (["pull", "news/none", "there"], "S3_ADDRESS=news/none: give a bucket"),
        (["push", "STORE", "s3://nobody/x"], "s3://nobody/x: no such bucket"),
        (["push", "none", "s3://news/x"], "no token store at none"),
        (["push", "STORE", f"s3://{KEY}:{SECRET}@news/x"], "credentials belong in the env"),
        (["stats", f"s3://{KEY}:{SECRET}@news/x"], "STORE: credentials belong in the env"),
    ],
)
def test_a_mistake_is_one_line_and_code_two(run, store, arguments, message):
    arguments = [str(store) if each == "STORE" else each for each in arguments]
    status, out, err = run("store", *arguments)
    assert (status, out) == (2, "")
    assert err.count("\n") == 1 and err.startswith("geo-nemo: ")
    assert message in err


def test_a_server_that_is_not_there_is_one_line(run, monkeypatch):
    from geo_nemo.storage import folder

    monkeypatch.setattr(folder, "WAITS_S", ())
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    status, _, err = run("store", "verify", "s3://news/data/store")
    assert status == 2
    assert err == (
        "geo-nemo: cannot read s3://news/data/store/manifest.json: no connection to the server "
        "(AWS_ENDPOINT_URL, network)\n"
    )

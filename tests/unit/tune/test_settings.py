"""Settings of a tuning that no tuning can have, before anything is read."""

import pytest

from geo_nemo.config import MetadataPolicy, UserError
from geo_nemo.config.tune import load_tune
from geo_nemo.tune.run import Tuning, check_batch
from tests.support.exports import alpaca, write_export, write_jsonl


@pytest.mark.parametrize(
    "setting",
    ["lora.targets=[]", "lora.rank=99999999999", "epochs=1e30", "lora.rank=0"],
)
def test_what_no_tuning_can_have_is_one_line(setting):
    with pytest.raises(UserError, match=f"tune: {setting.partition('=')[0]}"):
        load_tune("tune", "m", ("data=a.jsonl", "output=o", setting))


@pytest.mark.parametrize(
    ("settings", "processes", "mend"),
    [
        (
            "global_batch_size=16 micro_batch_size=4",
            8,
            "micro_batch_size=2, or global_batch_size=32",
        ),
        (
            "global_batch_size=16 micro_batch_size=2",
            16,
            "micro_batch_size=1, or global_batch_size=32",
        ),
        ("global_batch_size=16 micro_batch_size=4", 3, "global_batch_size=12"),
    ],
)
def test_a_batch_that_its_processes_cannot_divide_is_refused_with_one_that_they_can(
    settings, processes, mend
):
    def config(words):
        return load_tune("tune", "m", ("data=a.jsonl", "output=o", *words))

    with pytest.raises(UserError, match=rf"is no multiple of .* process\(es\): give {mend}$"):
        check_batch(config(settings.split()), processes)
    for given in mend.split(", or "):
        check_batch(config([*settings.split(), given]), processes)


def tuning_of(folder, tmp_path, *settings):
    data = write_jsonl(tmp_path / "d.jsonl", alpaca(6))
    own = (f"data={data}", f"output={tmp_path / 'out'}", "device=cpu", *settings)
    return Tuning(load_tune("tune", str(folder), own))


def test_a_model_with_metadata_behind_its_texts_is_told_none_and_nobody_is_told_it_was(
    tiny_store, tmp_path
):
    policy = MetadataPolicy(position="append", mask_loss=False, cut="whole")
    folder = write_export(tmp_path / "model", tiny_store, policy)
    with pytest.raises(UserError, match=r"metadata behind its texts, .* give told.none=1 told.cou"):
        tuning_of(folder, tmp_path)
    made = tuning_of(folder, tmp_path, "told.none=1", "told.country=0").encoded
    assert {each.how for each in made.told} == {"none"}


def test_an_output_that_another_process_has_written_meanwhile_is_not_tuned_again(
    tiny_store, tmp_path
):
    tuning = tuning_of(write_export(tmp_path / "model", tiny_store), tmp_path)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "tune.json").write_text("{}")
    with pytest.raises(UserError, match="out was written by another process meanwhile: the same"):
        tuning.run()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d.jsonl", "model", "out"]

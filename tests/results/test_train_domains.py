"""``fau train domain-separation`` on pairs of small trees in the real layouts, and what it says when it cannot."""

from dataclasses import replace

import numpy as np
import pytest

from fau_utils import cli
from fau_utils.data import bp4d, disfa, emotionet
from fau_utils.data.layouts import bp4d as bp4d_layout
from fau_utils.data.layouts import disfa as disfa_layout
from fau_utils.data.layouts import emotionet as emotionet_layout
from fau_utils.data.prepare import prepare
from fau_utils.frames import Frames
from fau_utils.methods import DomainSeparation
from fau_utils.results import Run, job
from fau_utils.results.store import finished

QUICK = ["--set", "views=24", "--set", "batch_size=12", "--device", "cpu", "--choose", "last"]
SOURCE = ("F001", "F002", "F003", "F004", "M001", "M002")
OPTIONS = {"workers": 1, "crop": "none", "size": 32}


def noise(count):
    """Pictures of nothing: what is tested here is who learns what from whom."""
    return np.random.default_rng(count).integers(0, 256, (count, 64, 64, 3), dtype=np.uint8)


def film(shot):
    count = len(shot.index)
    points = np.random.default_rng(count).uniform(8, 56, (count, 68, 2)).astype("float32")
    return noise(count), points


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Prepared folders of all three datasets under their names."""
    out, trees = tmp_path_factory.mktemp("prepared"), tmp_path_factory.mktemp("trees")
    bp4d_layout.export(trees / "bp4d", subjects=SOURCE, tasks=2, frames=8, res=64, film=film)
    prepare(bp4d.read(trees / "bp4d", allow_missing=True), trees / "bp4d", out / "bp4d", **OPTIONS)
    people = ("SN001", "SN002", "SN004", "SN003", "SN005", "SN006")  # tested, to choose by, to learn from
    disfa_layout.export(trees / "disfa", subjects=people, frames=8, res=64, film=film)
    read = disfa.read(trees / "disfa", camera="left", allow_missing=True)
    prepare(read, trees / "disfa", out / "disfa", **OPTIONS)
    options = {"part": "lists", "images": 24, "rotten": 1}
    emotionet_layout.export(trees / "emotionet", **options, draw=lambda who, *_, **__: noise(len(who)))
    aus = emotionet.CHALLENGE[2017]
    read = emotionet.read(trees / "emotionet", part="lists", aus=aus, allow_missing=True)
    prepare(read, trees / "emotionet", out / "emotionet", **OPTIONS)
    return out


@pytest.fixture
def fau(data, capsys, monkeypatch):
    monkeypatch.setenv("FAU_PROGRESS", "0")
    monkeypatch.setenv("FAU_DATA", str(data))

    def run(*words):
        code = cli.main(["train", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out.strip(), said.err.strip()

    return run


def test_bp4d_to_disfa_learns_shared_aus_of_the_source_and_tests_people_of_the_target(fau, data, tmp_path):
    words = ["domain-separation", "--data", "bp4d-disfa", "--fold", "1", "--out", tmp_path, *QUICK]
    code, out, err = fau(*words)
    assert (code, err) == (0, "")
    run = Run.read(out)
    said = run.record["parameters"]["data"]
    assert run.id.startswith("domain-separation-bp4d-to-disfa")
    assert run.predictions().aus == (1, 2, 4, 6, 12)
    sides = {name: set(said[f"{name}_people"]) for name in ("train", "validation", "test")}
    assert set(run.predictions().subject) == sides["test"]
    assert all(person.startswith("disfa/") for person in sides["validation"] | sides["test"])
    assert {f"bp4d/{name}" for name in ("F001", "F002", "F003", "F004", "M001", "M002")} < sides[
        "train"
    ]  # nobody of the source is kept back
    assert not (sides["test"] | sides["validation"]) & sides["train"]
    assert run.history()[["au", "landmarks", "align 4"]].notna().all(axis=None)
    assert fau(*words)[1] == out  # finished, and found again
    by_folder = fau(*words[:2], f"{data / 'bp4d'},{data / 'disfa'}", *words[3:], "--seed", 1)
    assert by_folder[0] == 0
    again = Run.read(by_folder[1]).record["parameters"]["data"]
    assert {name: again[name] for name in ("name", "test_people")} == {
        name: said[name] for name in ("name", "test_people")
    }


def test_bp4d_to_emotionet_goes_without_a_landmark_in_the_target(fau, tmp_path, caplog):
    words = ["--data", "bp4d-emotionet", "--fold", "1", "--out", tmp_path, *QUICK]
    code, out, err = fau("domain-separation", *words, "--set", "recipe=dsr")
    assert (code, err) == (0, "")
    assert "no target face with landmarks" in caplog.text
    run = Run.read(out)
    assert run.record["parameters"]["recipe"] == "dsr"
    assert run.record["parameters"]["options"]["align_after"] == 300_000
    assert run.history()["landmarks"].notna().all()
    assert len(run.predictions().prob)


def test_recipes_count_epochs_of_the_source_in_threes_and_weigh_rare_aus(data, monkeypatch, tmp_path):
    monkeypatch.setenv("FAU_DATA", str(data))
    made = job.plan(job.Job("domain-separation", "bp4d-disfa", tmp_path, fold="1", settings=("recipe=dsr-v4",)))
    source = made.data.train.source
    assert made.budget.views == 10 * 3 * len(source)
    assert (made.budget.batch_size, made.budget.lr, made.options["alignment"]) == (48, 1e-4, "pixels")
    method = made.build(made.data.train)
    assert method.size == 32
    rare = int(source.labels.nanmean(0).argmin())
    assert int(method.weight.argmax()) == rare
    assert method.weight.mean() == pytest.approx(1)
    assert made.data.train.target.labels.isnan().all()
    assert made.data.train.guided


def test_rendered_domains_are_another_run_for_another_gap(monkeypatch, tmp_path):
    monkeypatch.setenv("FAU_CACHE", str(tmp_path / "cache"))
    small = "people=4,frames=2,guides=2,guide_frames=2,test_people=4,test_frames=2"
    plans = [job.plan(job.Job("dann", f"synth:gap={gap},{small}", tmp_path, settings=("ramp=9",))) for gap in (0, 1)]
    assert plans[0].id != plans[1].id
    assert [made.parameters["data"]["gap"]["strength"] for made in plans] == [0.0, 1.0]
    assert not set(plans[0].data.train.subjects) & set(plans[0].data.val.frames.subjects)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--data", "disfa"], "expected two domains: synth, synth:gap=1, one of bp4d-emotionet, bp4d-disfa, or two"),
        (["--data", "bp4d,bp4d"], "expected two domains"),
        (["--data", "bp4d-disfa"], "expected --fold with one of the folds"),
        (["--data", "bp4d,gft", "--fold", "1"], "no data 'gft' here"),
        (["--data", "synth:gap=2"], "expected a gap in [0, 1], found 2.0"),
        (["--data", "synth:guide=2"], "has no option guide; did you mean guides"),
        (["--data", "synth", "--fold", "1"], "leave --fold out"),
        (["--data", "disfa,bp4d", "--fold", "1", "--set", "recipe=dsr-v6"], "expected dsr or dsr-v4, found 'dsr-v6'"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_run(fau, tmp_path, words, said):
    code, out, err = fau("domain-separation", *words, "--out", tmp_path, *QUICK)
    assert (code, out) == (2, "")
    assert said in err
    assert "\n" not in err
    assert finished(tmp_path) == []


def _folder(path, faces, dataset):
    """A prepared folder with some faces under the name of a dataset."""
    path.mkdir()
    table = faces.frames.table
    table = table.assign(dataset=dataset, subject=table["subject"].str.replace("blobs/", f"{dataset}/"))
    Frames(table.assign(row=range(len(table)))).to_parquet(path / "manifest.parquet")
    np.save(path / "images.npy", faces.images.numpy())
    np.save(path / "landmarks.npy", faces.landmarks.numpy())
    return path


def test_domains_without_an_au_in_common_are_told_both_lists(fau, blobs, tmp_path):
    left = _folder(tmp_path / "left", blobs(6, 4, aus=(1, 4), size=32), "left")
    right = _folder(tmp_path / "right", blobs(6, 4, aus=(6, 12), size=32), "right")
    code, _, err = fau(
        "domain-separation", "--data", f"{left},{right}", "--fold", "1", "--out", tmp_path / "runs", *QUICK
    )
    assert code == 2
    assert "AUs in common, found (1, 4) and (6, 12)" in err


def test_a_target_with_nobody_to_learn_from_is_an_error_with_a_remedy(fau, data, tmp_path):
    table = Frames.read_parquet(data / "disfa" / "manifest.parquet")
    keep = table.table["subject"].isin({"disfa/SN001", "disfa/SN002", "disfa/SN004"}).to_numpy(bool)
    only = tmp_path / "only"
    only.mkdir()
    for name in ("images", "landmarks"):
        np.save(only / f"{name}.npy", np.load(data / "disfa" / f"{name}.npy")[keep])
    kept = table.select(keep)
    Frames(kept.table.assign(row=range(len(kept))), scale=kept.scale).to_parquet(only / "manifest.parquet")
    words = ["--data", f"{data / 'bp4d'},{only}", "--fold", "1", "--out", tmp_path / "runs", *QUICK]
    code, _, err = fau("domain-separation", *words)
    assert code == 2
    assert "nobody of the train side" in err
    assert "read all subjects first" in err


def test_an_adversary_that_diverges_ends_the_command_with_step_and_remedy(fau, tmp_path, monkeypatch):
    whole = DomainSeparation.adversarial
    monkeypatch.setattr(
        DomainSeparation, "adversarial", lambda *given: {n: p * 1e38 * 1e5 for n, p in whole(*given).items()}
    )
    code, _, err = fau("domain-separation", "--data", "bp4d-disfa", "--fold", "1", "--out", tmp_path, *QUICK)
    assert code == 2
    assert "at step 1" in err
    assert "lower the learning rate" in err
    assert finished(tmp_path) == []


def test_one_target_person_is_not_made_a_guide(blobs):
    from fau_utils.data.domains import TwoDomains
    from fau_utils.data.real_pairs import set_aside

    rest, apart = set_aside(blobs(1, 4, size=16), faces=2)
    assert (len(rest), len(apart)) == (4, 0)
    pair = TwoDomains.of(blobs(2, 4, size=16, first=5), replace(rest), guides=apart)
    assert not pair.guided

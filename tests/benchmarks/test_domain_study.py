"""Studies of two domains: what is pooled and declared, and every method from the laboratory to the wild."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from fau_utils.aus import RENDERED
from fau_utils.data.domains import Gap
from fau_utils.faces.draw import draw, renderer_for
from fau_utils.faces.plan import plan
from fau_utils.methods import CnnDetector, DomainSeparation
from fau_utils.results.study import contrast
from fau_utils.stress import lab_to_wild

FOLDER = Path(__file__).parents[2] / "benchmarks" / "experiments"
FEW = {"people": 4, "frames": 6, "guides": 3, "guide_frames": 2}


def _script(name):
    spec = importlib.util.spec_from_file_location(f"experiment_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def _row(arm, seed, auc, *, each=None, **more):
    each = [auc] * 8 if each is None else each
    return {"arm": arm, "gap": 0.67, "seed": seed, "auc": auc, "auc_draws": [auc, auc], "each_auc": each, **more}


def test_contrasts_across_parts_are_computed_on_the_pooled_rows():
    script = _script("domain_separation")
    moving = np.isin(Gap(0.67).aus, script.MOVING)
    main, baselines, prior = [], [], []
    for seed in range(3):
        main += [_row("S0", seed, 60.0), _row("D2", seed, 66.0, each=np.where(moving, 68.0, 61.0))]
        baselines += [_row(arm, seed, 66.0 - k) for k, arm in enumerate(("DANN", "DSN", "S1"))]
        prior += [_row("S0", seed, 58.0, prior=0.5), _row("D2", seed, 61.0, prior=0.5)]
    tables = {"main": pd.DataFrame(main), "baselines": pd.DataFrame(baselines), "prior": pd.DataFrame(prior)}
    found = script.verdicts("pooled", script.pooled(tables))
    assert [round(one.effect, 3) for one in found] == [0, 1, 2, -3, 7]  # the gain falls from 6 to 3; 8 less 1
    assert [one.verdict for one in found] == ["not supported", "supported", "supported", "not supported", "supported"]
    some = script.verdicts("pooled", script.pooled({"main": tables["main"]}))
    assert [one.verdict for one in some] == ["cannot tell"] * 4 + ["supported"]
    assert {one.verdict for one in script.verdicts("pooled", script.pooled({}))} == {"cannot tell"}


def test_the_renderer_says_which_aus_are_shown_by_texture():
    script = _script("domain_separation")
    world = Gap(0.0)
    rest = plan(replace(world.lab, seed=0), "test")[torch.zeros(9, dtype=torch.long)]
    intensity = torch.zeros_like(rest.intensity)
    for row, au in enumerate(world.aus):
        intensity[1 + row, RENDERED.index(au)] = 5.0
    alone = replace(rest, intensity=intensity, au=intensity[..., None].expand(*intensity.shape, 2))
    points = draw(world.lab, alone, renderer=renderer_for(world.lab)).landmarks
    far = (points[1:] - points[:1]).norm(dim=-1).topk(10, dim=1).values.mean(1)
    moving = {au for au, shift in zip(world.aus, far, strict=True) if shift >= script.LEAST_SHIFT}
    assert moving == set(script.MOVING)
    assert set(world.aus) - moving == set(script.TEXTURE)


@pytest.fixture
def every(tmp_path, monkeypatch):
    monkeypatch.setenv("FAU_CACHE", str(tmp_path))
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "occlusion_every", raising=False)
    import occlusion_every as recipes

    module = _script("domain_every")
    for name, value in {"PEOPLE": 4, "FRAMES": 6, "VIEWS": 48, "PRETRAINING": 56}.items():
        monkeypatch.setattr(module, name, value)
    for script in (module, recipes):
        monkeypatch.setattr(script, "Gap", lambda gap, **more: Gap(gap, **(FEW | more)))
    small = recipes.clips(0).with_split("unlabelled", subjects=9, frames=7)
    monkeypatch.setattr(recipes, "clips", lambda seed: small)
    return module


def test_every_method_falls_as_the_function_of_the_book_says(every):
    aus = Gap(0.67).aus
    for method in (CnnDetector(aus), DomainSeparation(aus)):  # the latter reads each domain in its own way
        with torch.no_grad():  # heads begin at zero, and would say one half of everything
            for weights in method.parameters():
                weights.copy_(torch.randn(weights.shape, generator=torch.Generator().manual_seed(0)) / 4)
        mine = pd.DataFrame(every.fallen(method, "cpu"))
        theirs = lab_to_wild({"one": method}, people=4, frames=6, resamples=10, device="cpu")
        for name in ("gap", "auc", "f1", "fall"):
            assert mine[name].to_numpy() == pytest.approx(theirs[name].to_numpy(), abs=1e-4), name
        assert all(len(draws) == 200 for draws in mine["fall_draws"])


@pytest.mark.parametrize("arm", ["CLP, fine-tuned", "domain separation"])
def test_a_method_is_taught_and_asked_at_every_gap(every, arm):
    rows = every.run({"arm": arm, "seed": 0}, "cpu")
    assert [row["gap"] for row in rows] == [0.0, 0.33, 0.67, 1.0]
    assert not np.isnan([row["auc"] for row in rows]).any()


def test_the_claims_of_every_method_find_their_rows(every):
    lost = {"CNN": 9.0, "domain separation": 4.0, "landmarks": 10.0}
    rows = [{"arm": a, "seed": s, "gap": g, "fall": f * g} for a, f in lost.items() for s in (0, 1) for g in (0.67, 1)]
    found = [contrast(pd.DataFrame(rows), **claim).verdict for claim in every.CLAIMS]
    assert found == ["supported", "supported", "not supported", "not supported"]
    assert set(every.ARMS.values()) <= set(sys.modules["occlusion_every"].ARMS)

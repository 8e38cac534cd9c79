import numpy as np
import pytest
import torch
from torch import nn

from fau_utils.data.folds import SubjectLeak
from fau_utils.methods import BaseRate, Learner, Losses, Method
from fau_utils.training import Budget, Checkpoints, fit
from fau_utils.training.choice import Best

BUDGET = Budget("tiny", views=96, batch_size=16, lr=0.1, eval_every=16, warmup=0.0)


class Scripted(Method):
    """Says what a script tells it to, look by look; its weight counts the steps."""

    def __init__(self, aus, *, right=()):
        super().__init__()
        self.aus, self.right, self.looks = tuple(aus), list(right), 0
        self.weight = nn.Parameter(torch.zeros(1))

    def loss(self, batch):
        return Losses(self.weight.sum())

    def predict(self, batch):
        share = self.right[self.looks] if self.looks < len(self.right) else 0.5
        self.looks += 1
        answer = torch.arange(3 * len(batch), device=batch.au.device).view(len(batch), 3) % 10 < 10 * share
        return torch.where(answer, self.truth, 1 - self.truth)

    def embed(self, batch):
        return batch.image.mean((2, 3))


class Pretraining(Learner):
    """Detects nothing; its loss is random."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def loss(self, batch):
        return Losses((self.weight * torch.rand(len(batch), device=batch.image.device).mean()).sum())

    def embed(self, batch):
        return batch.image.mean((2, 3))


def run(method, data, **options):
    return fit(method, data, **{"budget": BUDGET, "seed": 1, "device": "cpu", "progress": False, **options})


@pytest.fixture
def sides(blobs):
    return blobs(4, 10, size=8), blobs(3, 10, size=8, seed=1, first=50)


def scripted(sides, right):
    method = Scripted(sides[0].aus, right=right)
    method.truth = sides[1].labels
    return method


@pytest.mark.parametrize(
    ("right", "chosen"),
    [
        ((0.6, 0.9, 0.7, 0.8, 0.6, 0.6), 2),
        ((0.6, 0.7, 0.9, 0.8, 0.9, 0.6), 3),  # of equally good looks the earliest
        ((0.5, 0.6, 0.7, 0.8, 0.9, 1.0), 6),
        ((0.9, 0.6, 0.7, 0.8, 0.5, 0.6), 1),
    ],
    ids=["middle", "tie", "last", "first"],
)
@pytest.mark.parametrize("choose", ["val_f1", "val_auc"])
def test_the_weights_of_the_best_look_are_returned_and_its_row_is_marked(sides, right, chosen, choose):
    fitted = run(scripted(sides, right), sides[0], val=sides[1], choose=choose)
    assert fitted.chosen_step == chosen
    assert fitted.history.loc[fitted.history["chosen"], "step"].tolist() == [chosen]
    assert fitted.history[choose].idxmax() == chosen - 1
    after = run(scripted(sides, right), sides[0], budget=BUDGET.replace(views=96), val=sides[1])
    assert after.chosen_step == 6
    assert "chosen" not in after.history
    # the loss of a row is the weight before its step, so the next row has what was chosen
    weights = [*after.history["loss"], after.method.weight.item()]
    assert fitted.method.weight.item() == pytest.approx(weights[chosen])


def test_a_choice_survives_an_interruption(sides, tmp_path):
    class Stop:
        def start(self, parameters):
            pass

        def row(self, values):
            if values["step"] == 4:
                raise KeyboardInterrupt

        def end(self):
            pass

    right = (0.6, 0.9, 0.7, 0.8, 0.6, 0.6)
    options = {"val": sides[1], "choose": "val_auc", "checkpoints": Checkpoints(tmp_path, every=16)}
    whole = run(scripted(sides, right), sides[0], val=sides[1], choose="val_auc")
    with pytest.raises(KeyboardInterrupt):
        run(scripted(sides, right), sides[0], loggers=[Stop()], **options)
    resumed = scripted(sides, right)
    resumed.looks = 3
    resumed = run(resumed, sides[0], **options)
    assert resumed.chosen_step == whole.chosen_step == 2
    assert torch.equal(resumed.method.weight, whole.method.weight)
    assert resumed.history["chosen"].tolist() == whole.history["chosen"].tolist()


def test_undefined_scores_choose_nothing(sides):
    best = Best("val_auc")
    for step, score in enumerate([np.nan, 0.5, np.nan]):
        best.see(nn.Linear(1, 1), {"step": step + 1, "val_auc": score})
    assert best.step == 2
    never = Best("val_auc")
    never.see(nn.Linear(1, 1), {"step": 1, "val_auc": np.nan})
    assert never.step is None
    never.take(nn.Linear(1, 1))


def test_people_who_are_trained_on_cannot_validate_unless_that_is_allowed(blobs):
    data, half = blobs(4, 10, size=8), blobs(4, 10, size=8, first=3)  # one person of four
    method = Pretraining()
    with pytest.raises(SubjectLeak, match="1 people are in training and in validation: blobs/P003"):
        run(method, data, val=half)
    assert torch.equal(method.weight, torch.ones(1))  # before anything was trained
    assert "val_loss" in run(method, data, val=half, allow_leak=True).history


def test_a_learner_that_detects_nothing_is_chosen_by_its_loss_alone(sides):
    fitted = run(Pretraining(), sides[0], val=sides[1], choose="val_loss")
    assert {"val_loss", "chosen"} <= set(fitted.history)
    assert "val_f1" not in fitted.history
    assert fitted.history["val_loss"].idxmin() == fitted.history["chosen"].idxmax()
    with pytest.raises(ValueError, match="Pretraining detects no AUs; choose by val_loss, found 'val_f1'"):
        run(Pretraining(), sides[0], val=sides[1], choose="val_f1")


def test_looks_draw_the_same_numbers_each_time_and_none_of_the_runs(sides):
    still = BUDGET.replace(lr=0.0)
    looked = run(Pretraining(), sides[0], val=sides[1], budget=still).history
    assert looked["val_loss"].nunique() == 1
    without = run(Pretraining(), sides[0], budget=still.replace(eval_every=0)).history
    assert looked["loss"].tolist() == without["loss"].tolist()


def test_counting_has_no_loss_to_choose_by(sides):
    with pytest.raises(ValueError, match="BaseRate has no loss to choose by"):
        run(BaseRate(sides[0].aus, subjects=sides[0].subjects), sides[0], val=sides[1], choose="val_loss")

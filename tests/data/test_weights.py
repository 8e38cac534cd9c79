import numpy as np
import pytest
import torch

from fau_utils.data.expected import EXPECTED
from fau_utils.data.folds import partition
from fau_utils.data.weights import class_weights, negatives_per_positive, positive_rates

VECTORS = [(dataset, part) for dataset in ("bp4d", "disfa") for part in ("P1", "P2", "P3")]


@pytest.mark.parametrize(("dataset", "tested"), VECTORS)
def test_published_weights_follow_from_published_rates_of_the_training_people(dataset, tested):
    known = EXPECTED[dataset]
    aus = list(known.rates[tested])
    train = [part for part in ("P1", "P2", "P3") if part != tested]
    frames = np.array([known.rate_frames[part] for part in train])
    rates = np.array([[known.rates[part][au] for au in aus] for part in train])
    pooled = frames @ rates / frames.sum()
    published = np.array(known.weights[tested])
    # rates are printed with two decimals: half a unit of the last one may be missing from each, in a weight's
    # numerator and, averaged over the AUs, in its denominator
    rounding = 0.005 / pooled
    allowed = published * (rounding + rounding @ (1 / pooled) / (1 / pooled).sum()) + 1e-6
    assert (np.abs(class_weights(pooled) - published) <= allowed).all()
    assert allowed.max() < (2e-3 if dataset == "bp4d" else 1e-2)


@pytest.mark.parametrize(("dataset", "tested"), VECTORS)
def test_weights_of_the_test_people_would_be_noticed(dataset, tested):
    known = EXPECTED[dataset]
    wrong = class_weights(np.array(list(known.rates[tested].values())))
    assert np.abs(wrong - known.weights[tested]).max() > 0.05


def test_expected_counts_add_up():
    bp4d, disfa = EXPECTED["bp4d"], EXPECTED["disfa"]
    assert sum(bp4d.per_clip.values()) == 146_847
    assert sum(bp4d.rate_frames[part] for part in ("P1", "P2", "P3")) == 146_847
    assert sum(disfa.per_subject.values()) == 130_814
    assert sum(disfa.rate_frames[part] for part in ("P1", "P2", "P3")) == 130_814
    assert len(disfa.per_subject) == 27
    for part in partition("disfa-3"):
        assert sum(disfa.per_subject[subject] for subject in part.subjects) == part.frames


def test_labels_that_are_not_coded_do_not_lower_a_rate():
    labels = torch.tensor([[1.0, torch.nan], [torch.nan, torch.nan], [0.0, torch.nan]])
    assert positive_rates(labels)[0] == 0.5
    assert np.isnan(positive_rates(labels)[1])


def test_weights_average_one_and_a_rare_movement_weighs_more():
    weights = class_weights([0.1, 0.2, 0.4])
    assert weights.mean() == pytest.approx(1)
    assert weights[0] == pytest.approx(2 * weights[1])
    np.testing.assert_allclose(negatives_per_positive([0.1, 0.5]), [9, 1])


@pytest.mark.parametrize("rate", [0.0, np.nan])
def test_a_movement_without_positives_has_no_weight(rate):
    with pytest.raises(ValueError, match="column 1"):
        class_weights([0.3, rate])

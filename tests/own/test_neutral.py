import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from fau_utils.own import neutral, table
from fau_utils.own.neutral import Baseline, logit, rest_of, subtract

RNG = np.random.default_rng(0)


def _prob(shift, frames=400, active=0.2):
    """A detector's answers about somebody whose face is at `shift` when at rest."""
    moves = RNG.random((frames, 1)) < active
    return 1 / (1 + np.exp(-(shift + 3 * moves + RNG.normal(0, 0.3, (frames, 1))))), moves


def test_two_people_with_other_faces_are_alike_after_their_baselines():
    usual = np.array([-2.0])
    low, at_low = _prob(-4.0)
    high, at_high = _prob(-0.5)
    assert high[~at_high].mean() - low[~at_low].mean() > 0.3
    own = [subtract(p, rest_of(p), usual) for p in (low, high)]
    assert abs(own[1][~at_high].mean() - own[0][~at_low].mean()) < 0.03
    assert (own[0][at_low].min(), own[1][at_high].min()) > (own[0][~at_low].max(), own[1][~at_high].max())


def test_somebody_who_nearly_always_moves_is_wrongly_taken_for_resting():
    prob, moves = _prob(-2.0, active=0.95)
    own = subtract(prob, rest_of(prob), np.array([-2.0]))
    assert own[moves].mean() < 0.3 < prob[moves].mean()


@given(arrays("float64", (60, 2), elements=st.floats(0.001, 0.999)), st.integers(1, 59))
def test_counting_in_parts_is_counting_at_once_and_near_the_quantile(prob, cut):
    parts = Baseline(2)
    parts.see(prob[:cut])
    parts.see(prob[cut:])
    rest = rest_of(prob)
    assert np.array_equal(parts.rest(), rest)
    exact = np.quantile(logit(prob), neutral.QUANTILE, axis=0, method="inverted_cdf")
    assert np.abs(rest - exact).max() < 0.06


def test_few_frames_and_frames_without_answers_give_no_baseline():
    prob, _ = _prob(0.0, frames=neutral.FEWEST - 1)
    assert rest_of(np.concatenate([prob, np.full((50, 1), np.nan)])) is None
    assert subtract(prob, None, np.array([0.0])) is prob


def test_certain_answers_stay_finite():
    assert np.isfinite(logit(np.array([0.0, 1.0]))).all()
    assert np.array_equal(rest_of(np.zeros((30, 1))), rest_of(np.full((30, 1), 1e-9)))


@pytest.mark.parametrize(("whose", "known"), [("no", 0), ("face", 2), ("folder", 1)])
def test_whose_frames_count_is_a_choice(whose, known, model, tmp_path, blobs):
    from squares import film

    from fau_utils.own import predict

    path = film(tmp_path / "two.mp4", 40)
    done = predict.predict(predict.Wanted((path,), tmp_path / "o.csv", model, neutral=whose, answer_all=True))
    rows = table.read(done.out)
    assert ("AU12_own" in rows) == (whose != "no")
    header = done.out.read_text()
    assert ("no person's baseline" in header) if whose == "no" else (f"known for {known} of " in header)

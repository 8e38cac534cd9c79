from dataclasses import replace

import pytest
import torch

from fau_utils.methods import BaseRate, LandmarkMlp
from fau_utils.training import fit, predict


def rates(data, person):
    return data.labels[data.subject == person].nanmean(0)


def test_base_rate_is_each_persons_own_and_everybodys_for_strangers(blobs):
    train, strangers = blobs(5, 30, unknown=0.2), blobs(2, 3, seed=1, first=50)
    method = fit(BaseRate(train.aus, subjects=train.subjects), train, device="cpu", progress=False).method
    prob = torch.from_numpy(predict(method, train, device="cpu").prob)
    for person in range(5):
        torch.testing.assert_close(prob[train.subject == person][0], rates(train, person))
    assert (rates(train, 0) - rates(train, 1)).abs().max() > 0.05
    everybody = train.labels.nanmean(0).expand(6, -1)
    torch.testing.assert_close(torch.from_numpy(predict(method, strangers, device="cpu").prob), everybody)


def test_base_rate_knows_people_by_name_not_by_number(blobs):
    train = blobs(5, 30)
    method = fit(BaseRate(train.aus, subjects=train.subjects), train, device="cpu", progress=False).method
    last = train.subset(train.subject == 4)
    alone = replace(last.with_subjects(["blobs/P004"]))
    assert alone.subject.unique().tolist() == [0]
    assert (predict(method, alone, device="cpu").prob == predict(method, last, device="cpu").prob).all()


def test_base_rate_sees_no_face(blobs):
    train = blobs(3, 10)
    method = fit(BaseRate(train.aus, subjects=train.subjects), train, device="cpu", progress=False).method
    batch = train.batch(torch.arange(30))
    noise = replace(batch, image=torch.rand_like(batch.image), landmarks=None)
    assert torch.equal(method.predict(noise), method.predict(batch))
    assert not list(method.parameters())


def test_base_rate_counts_each_face_once_however_often_it_is_fitted(blobs):
    train = blobs(3, 10)
    method = BaseRate(train.aus, subjects=train.subjects)
    for _ in range(2):
        fitted = fit(method, train, device="cpu", progress=False)
    assert fitted.views == 30
    assert method.coded.sum() == 30 * 3


def test_base_rate_of_an_au_never_coded_is_one_half(blobs):
    train = blobs(3, 10)
    train.labels[:, 1] = torch.nan
    method = fit(BaseRate(train.aus, subjects=train.subjects), train, device="cpu", progress=False).method
    assert (predict(method, train, device="cpu").prob[:, 1] == 0.5).all()


def test_landmark_method_asks_for_landmarks(blobs):
    data = blobs(2, 4, with_landmarks=False)
    with pytest.raises(ValueError, match="reads pixels"):
        LandmarkMlp(data.aus).loss(data.batch(torch.arange(4)))


def test_landmark_method_sees_no_pixel(blobs):
    data = blobs(2, 4)
    method = LandmarkMlp(data.aus).eval()
    batch = data.batch(torch.arange(8))
    assert torch.equal(method.predict(batch.with_image(torch.zeros(1))), method.predict(batch))

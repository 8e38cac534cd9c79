import pytest
import torch

from fau_utils.data.domains import TwoDomains
from fau_utils.methods.domain_picture import MapPainter, paint_maps, swap_grid
from fau_utils.methods.domain_separation import DomainSeparation
from fau_utils.models.landmark_heads import attention


@pytest.fixture
def domains(blobs):
    return TwoDomains.of(blobs(4, 6, size=32), blobs(4, 6, size=32, first=9), guides=blobs(3, 4, size=32, first=20))


def test_a_painter_learns_faces_from_maps_of_a_method_that_stays_as_it_is(domains):
    method = DomainSeparation(domains.aus, size=32).train()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    batch = next(domains.batches(batch_size=12))
    painter = paint_maps(method, domains, views=480, batch_size=12)
    assert method.training
    assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())
    with torch.no_grad():
        maps = method.eval().encode(batch)
        errors = [(p(maps) - batch.image).abs().mean() for p in (painter, MapPainter(maps.shape[1]))]
    assert errors[0] < 0.7 * errors[1]


def test_a_row_of_the_grid_has_one_texture_and_a_column_one_movement(domains):
    method = DomainSeparation(domains.aus, size=32).eval()
    painter = MapPainter(method.widths.channels)
    moving, shown = domains.source.batch(torch.arange(3)), domains.target.batch(torch.arange(2))
    grid = swap_grid(method, painter, moving, shown)
    assert grid.shape == (2, 3, 3, 32, 32)
    with torch.no_grad():
        a = attention(method.landmarks(method.encode(moving)))[2:]
        one = painter(method.generator(a, method.texture(method.encode(shown))[1:]))
    torch.testing.assert_close(grid[1, 2], one[0])

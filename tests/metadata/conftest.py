from tests.catalog.conftest import world
from tests.client.support import bench

__all__ = ["bench", "world"]

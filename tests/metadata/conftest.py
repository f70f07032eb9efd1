from tests.catalog.conftest import world
from tests.client.proxy import proxy
from tests.client.support import bench

__all__ = ["bench", "proxy", "world"]

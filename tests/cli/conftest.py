from tests.client.support import bench, no_credentials

__all__ = ["bench", "no_credentials"]

from tests.transfer.rules.conftest import kept, ruled
from tests.transfer.work.conftest import idle, site

__all__ = ["idle", "kept", "ruled", "site"]

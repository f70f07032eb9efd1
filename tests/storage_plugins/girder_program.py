"""Girder 5 as released, over a database in memory: `girder_program.py PORT FOLDER [PLUGIN ...]`, by a Python that has
Girder (.servers/girder). Writes the API keys of its users to FOLDER/keys.json.

Girder needs MongoDB, which neither Debian nor PyPI has; mongomock stands in for it, with the shims below.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import bson.codec_options
import mongomock
import pymongo
import pymongo.cursor

pymongo.MongoClient = mongomock.MongoClient
pymongo.cursor.Cursor = mongomock.collection.Cursor  # Girder asks whether something is one
mongomock.collection.Cursor.count = lambda self, limited=False: len(self._compute_results(limited))

import girder.models.model_base  # noqa: E402  (after the shims)

girder.models.model_base.CodecOptions = lambda tz_aware=True, tzinfo=None: bson.codec_options.CodecOptions(
    tz_aware=tz_aware
)

import girder.plugin  # noqa: E402
import uvicorn  # noqa: E402
from girder.models.api_key import ApiKey  # noqa: E402
from girder.models.assetstore import Assetstore  # noqa: E402
from girder.models.collection import Collection  # noqa: E402
from girder.models.user import User  # noqa: E402
from girder_worker.app import app as worker  # noqa: E402

port, folder, plugins = int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
girder.plugin.allPlugins = lambda: plugins
worker.conf.task_always_eager = True  # folders are removed by a worker that gets its work from a broker, not here

Assetstore().createFilesystemAssetstore("store", str(folder / "store"))
admin = User().createUser("admin", "adminadmin", "Ad", "Min", "admin@example.org", admin=True)
alice = User().createUser("alice", "alicealice", "Al", "Ice", "alice@example.org")
for name, public in (("science", False), ("open", True)):
    Collection().setUserAccess(
        Collection().createCollection(name, creator=admin, public=public), alice, level=1, save=True
    )
keys = {
    name: ApiKey().createApiKey(user, name, scope=scope)["key"]
    for name, user, scope in (("admin", admin, None), ("alice", alice, None), ("reader", alice, ["core.data.read"]))
}
(folder / "keys.json").write_text(json.dumps(keys))
uvicorn.run("girder.asgi:app", host="127.0.0.1", port=port, log_level="warning")

"""One LFN a call from 16 connections, against the bare handler; and what a second server process adds."""

from __future__ import annotations

import asyncio
import random
import sys

from lading.model.api import Resolve
from storage_plugins.posix import PLUGIN  # noqa: F401  (fails early when the plug-in is broken)

from .client import blast, requests
from .host import ROOT, answers, end, serve
from .report import Figure, rate
from .timing import REPEATS, Cpu, Pair
from .world import PER_DIRECTORY, World, directory, name

CONNECTIONS = 16
CALLS = 12_000

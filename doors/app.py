"""The composition root: the one place where everything is put together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import structlog

from catalog.access.people import PeopleService
from catalog.access.service import AccessService
from catalog.db import Database
from catalog.elements.breaker import Breaker
from catalog.elements.secrets import SecretBox
from catalog.elements.service import ElementsService
from catalog.events.deliver import Deliverer
from catalog.events.service import EventsService
from catalog.namespace.attributes import Attributes
from catalog.namespace.listing import Listing
from catalog.namespace.provenance import Provenance
from catalog.namespace.service import NamespaceService
from catalog.namespace.trash import Trash
from catalog.namespace.tree import Tree
from catalog.replicas.changes import ReplicaChanges
from catalog.replicas.register import Registrar
from catalog.replicas.resolve import Resolver
from lading.model.errors import Unavailable
from metadata.datasets import Datasets
from metadata.facets import FacetService
from metadata.fields import Fields
from metadata.indexing import Indexer
from metadata.known import Known
from metadata.lists import Lists
from metadata.members import Sets
from metadata.prepare import Preparer
from metadata.search import SearchService
from metadata.set_files import SetFiles
from metadata.snapshots import Snapshots
from metadata.trees import OpenTrees
from metadata.values import Values
from migrations.schema import runner
from transfer.care.mender import Mender
from transfer.care.scrubber import Scrubber
from transfer.cleaner import Cleaner
from transfer.copy import Copier
from transfer.data import DataService
from transfer.direct import DirectUploads
from transfer.links import Links
from transfer.mirror import Mirror
from transfer.parts import Parts
from transfer.queue.limits import LimitsService
from transfer.queue.queue import Queue
from transfer.requests.accounting import Accounting
from transfer.requests.planner import Planner
from transfer.requests.service import Requests
from transfer.rules.keeper import Keeper
from transfer.rules.matching import Matching
from transfer.rules.service import Rules
from transfer.scan.adopt import Adopter
from transfer.scan.service import ScanService
from transfer.uploads import Uploads
from transfer.work.act import Act
from transfer.work.hand import Hand
from transfer.work.worker import Filters, Worker

from .config import secret_key
from .http import health, openapi
from .http.door import Door, application
from .rest import data, datasets, elements, events, metadata, names, people, replicas, requests, rules, scans, search

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from .config import Config
    from .http.routes import Route

_log = structlog.get_logger("lading.app")


@dataclass(slots=True)
class Services:
    """What handlers reach through `call.services`."""

    config: Config
    database: Database
    access: AccessService
    people: PeopleService
    names: NamespaceService
    listing: Listing
    tree: Tree
    trash: Trash
    attributes: Attributes
    provenance: Provenance
    elements: ElementsService
    changes: ReplicaChanges
    registrar: Registrar
    resolver: Resolver
    data: DataService
    direct: DirectUploads
    copier: Copier
    links: Links
    mirror: Mirror
    cleaner: Cleaner
    breaker: Breaker
    scans: ScanService
    adopter: Adopter
    known_fields: Known
    fields: Fields
    open_trees: OpenTrees
    values: Values
    indexer: Indexer
    search: SearchService
    facets: FacetService
    datasets: Datasets
    lists: Lists
    snapshots: Snapshots
    set_files: SetFiles
    queue: Queue
    limits: LimitsService
    accounting: Accounting
    planner: Planner
    requests: Requests
    keeper: Keeper
    rules: Rules
    hand: Hand
    mender: Mender
    scrubber: Scrubber
    events: EventsService
    deliverer: Deliverer
    worker: Worker | None = None
    schema_version: int = runner.files()[-1][0]
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def heard(self, notice: str | None) -> None:
        """Another process changed something that is remembered here; None: we may have missed such a word."""
        if self.worker is not None:
            self.worker.heard(notice)
        if notice in ("people", None):
            self.access.forget()
        if notice in ("elements", None):
            self.elements.forget()
        if notice in ("aliases", None):
            self.names.forget()
        if notice in ("fields", None):
            self.known_fields.forget()

    def pools(self) -> Mapping[str, tuple[int, int]]:
        """(connections, idle ones) of each database pool that is open."""
        return self.database.pools()

    async def close(self) -> None:
        """Let go of everything; may be called twice."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        self.tasks.clear()
        await self.indexer.aclose()
        await self.elements.aclose()
        await self.database.close()


def wire(config: Config) -> Services:
    """Every service, connected to the others. Nothing is opened yet."""
    database = Database(config.database_url, size=config.pool_size)
    access = AccessService(database)
    known = Known()
    names = NamespaceService(database, access, known)
    indexer = Indexer(database, known)
    tree = Tree(names)
    provenance = Provenance(database, names)
    box = SecretBox(lambda: secret_key(config.data))
    elements = ElementsService(database, box)
    changes = ReplicaChanges(database, names, elements)
    registrar = Registrar(database, names, elements, changes, provenance)
    resolver = Resolver(database, names, elements)
    searching = SearchService(database, Preparer(names, access, elements, known), seconds=config.search_seconds)
    sets = Sets(access.rights, searching.preparer)
    searching.preparer.members = sets
    lists = Lists(database, names, sets)
    fields = Fields(database, names, known, indexer)
    values = Values(database, names, known)
    uploads = Uploads(database, names, elements, registrar, changes)
    trash = Trash(database, names, tree, access)
    queue = Queue(database, access, elements)
    matching = Matching(access, names, elements, searching)
    changes.holds = matching
    planner = Planner(database, access, names, elements, changes, trash, searching, queue, matching)
    keeper = Keeper(database, names, changes, queue, planner, matching)
    return Services(
        config,
        database,
        access,
        PeopleService(database, access),
        names,
        Listing(database, names, access),
        tree,
        trash,
        Attributes(names, tree, access),
        provenance,
        elements,
        changes,
        registrar,
        resolver,
        DataService(resolver, elements, changes, uploads),
        DirectUploads(elements, uploads),
        Copier(resolver, elements, uploads),
        Links(elements),
        Mirror(database, resolver, elements, fields, values),
        Cleaner(database, elements),
        Breaker(database, elements),
        ScanService(database, elements, changes),
        Adopter(database, elements, registrar),
        known,
        fields,
        OpenTrees(database, names, known),
        values,
        indexer,
        searching,
        FacetService(searching),
        Datasets(database, names, access, elements, searching, sets, lists),
        lists,
        Snapshots(database, names, access, elements, searching, sets),
        SetFiles(database, searching, sets),
        queue,
        LimitsService(database, access, elements),
        Accounting(database, access, elements),
        planner,
        Requests(database, access, names, elements, planner),
        keeper,
        Rules(database, access, names, elements, searching, matching, keeper),
        Hand(database, elements, changes, queue, planner),
        Mender(database, access, elements, changes, queue),
        Scrubber(database, elements, queue),
        EventsService(database, access, box),
        Deliverer(database, box),
    )


def rest_routes() -> list[Route]:
    """The tables of `doors/rest`."""
    return [
        *names.ROUTES,
        *replicas.ROUTES,
        *data.ROUTES,
        *elements.ROUTES,
        *scans.ROUTES,
        *requests.ROUTES,
        *rules.ROUTES,
        *events.ROUTES,
        *metadata.ROUTES,
        *search.ROUTES,
        *datasets.ROUTES,
        *people.ROUTES,
    ]


async def start(services: Services) -> None:
    """Open what `wire` made. A database that is away is no reason to stop: requests answer 503 until it is back."""
    try:
        await services.database.open()
    except Unavailable as error:
        _log.warning("started without a database", error=error.message)
    services.tasks.append(asyncio.create_task(services.database.listen("lading", services.heard)))
    services.tasks.append(asyncio.create_task(services.breaker.run()))


def worker(services: Services) -> Worker:
    """The worker of this process, as its settings say. Raises InvalidRequest."""
    config, s = services.config, services
    return Worker(
        *(s.database, s.elements, s.queue),
        [one.step for one in (s.planner, s.keeper, s.mender, s.scrubber)],
        *(s.hand, Act(s.elements, partial(Parts, s.database))),
        mine=Filters(s.elements, config.worker_elements, config.worker_links),
        concurrency=config.worker_concurrency,
        patience=config.worker_patience,
        drain=config.drain_seconds,
    )


async def work(services: Services) -> None:
    """What `lading-server worker` does, until cancelled."""
    services.worker = worker(services)
    services.tasks.append(asyncio.create_task(services.indexer.watch()))
    services.tasks.append(asyncio.create_task(services.cleaner.run()))
    services.tasks.append(asyncio.create_task(services.deliverer.run()))
    await services.worker.run()


def make(services: Services) -> tuple[Door, web.Application]:
    """The HTTP application over the services."""
    door = Door(services, services.config)
    routes = [*health.routes(door.metrics), *rest_routes()]
    routes += openapi.routes(routes, services.config)
    app = application(door, routes)

    async def on_startup(_: web.Application) -> None:
        await start(services)

    async def on_cleanup(_: web.Application) -> None:
        await services.close()

    app.on_startup.append(on_startup)
    app.on_cleanup.append(on_cleanup)
    return door, app

"""Files with their copies: register, resolve, change, copy."""

from __future__ import annotations

import msgspec

from doors.http.routes import Answer, Call, Route
from lading.model.api import MAX_COPIES, Copies, Register, Replicas, Resolve
from lading.model.file import Registered
from lading.model.outcome import Outcomes
from lading.model.replica import Resolved, Source


async def register_files(call: Call[Register]) -> Outcomes[Registered]:
    body = call.body
    return await call.services.registrar.register(call.caller, body.files, parents=body.parents, dry_run=body.dry_run)


async def resolve(call: Call[Resolve]) -> Answer:
    return Answer(msgspec.Raw(await call.services.resolver.resolve_json(call.caller, call.body)))


async def register(call: Call[Replicas]) -> Outcomes[None]:
    return await call.services.changes.register(call.caller, call.body.replicas, dry_run=call.body.dry_run)


async def set_state(call: Call[Replicas]) -> Outcomes[None]:
    return await call.services.changes.set_state(call.caller, call.body.replicas, dry_run=call.body.dry_run)


async def drop(call: Call[Replicas]) -> Outcomes[None]:
    body = call.body
    return await call.services.changes.drop(
        call.caller, body.replicas, keep_bytes=body.keep_bytes, force=body.force, dry_run=body.dry_run
    )


async def copy(call: Call[Copies]) -> Outcomes[Source]:
    return await call.services.copier.copy(call.caller, call.body.copies)


ROUTES = [
    Route("POST", "/v1/files/register", register_files, "user", "Register files with their replicas", body=Register, answer=Outcomes[Registered], tag="Files"),
    Route("POST", "/v1/replicas/resolve", resolve, "user", "Where can these files be read? Best source first", body=Resolve, answer=Outcomes[Resolved], changes=False, tag="Files"),
    Route("POST", "/v1/replicas/register", register, "user", "Register replicas of files", body=Replicas, answer=Outcomes[None], tag="Files"),
    Route("POST", "/v1/replicas/state", set_state, "user", "Set the state of replicas", body=Replicas, answer=Outcomes[None], tag="Files"),
    Route("POST", "/v1/replicas/drop", drop, "user", "Drop replicas, and delete their bytes", body=Replicas, answer=Outcomes[None], tag="Files"),
    Route("POST", "/v1/replicas/copy", copy, "user", "Make one more copy of files, verified, now", body=Copies, answer=Outcomes[Source], limit=MAX_COPIES, tag="Files"),
]  # fmt: skip

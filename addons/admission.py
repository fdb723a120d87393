"""The last look at a request before it leaves: is it what was judged, and its token redeemed."""

from functools import lru_cache, partial

from mitmproxy import connection, http

from addons.clearance import Clearance, Refused, check_unchanged, is_verified
from addons.client_certificate import require_fit
from addons.conversation import Conversation, Watch
from addons.door import Door
from addons.honeytokens import sound
from addons.mint import Minting
from addons.passage import Credentialed, Passage, stages_for
from addons.rpc import Upload
from broker import Secret, TokenScopeError, Wire, token_in
from interlock.governor import Governor
from interlock.model import Authority
from interlock.verdict import Capability, Verdict


def admit(
    door: Door, flow: http.HTTPFlow, clearance: Clearance | None, server: connection.Server
) -> Passage:
    """Give a request its passage on this connection; raises Refused or broker.BrokerError."""
    governor = door.governor
    if clearance is None:
        raise Refused("the request was not cleared, or was sent already")
    check_unchanged(flow.request, clearance)
    if governor is None:
        raise Refused("the governor is closed")
    require_fit(door, server, clearance)
    account = door.accounts[flow.id]
    verdict = clearance.verdict
    mask = governor.mask_at(clearance.authority)
    redeemed = [
        (each.recipe, _redeem(governor, flow.request, clearance, each, server))
        for each in verdict.capabilities
    ]
    for recipe, secret in redeemed:
        mask = mask.with_values(recipe.forms(secret))
    stages = stages_for(account, mask, door.limits, flow.request)
    talk = upload = None
    match verdict.call.request.protocol:
        case "websocket":
            talk = Conversation(account, mask, door.limits, _watch(governor, verdict))
        case "grpc":
            if server.alpn != b"h2":
                raise Refused("the upstream does not speak HTTP/2, which gRPC needs")
            upload = Upload(account, door.limits, _watch(governor, verdict))
    account.lasting = bool(talk or upload)
    passage = (
        Credentialed(account, stages, flow.request, redeemed, talk, upload)
        if redeemed
        else Passage(account, stages, talk, upload)
    )
    return Minting(door, flow.id, verdict, passage) if verdict.route else passage


def _watch(governor: Governor, verdict: Verdict) -> Watch:
    """What looks for planted keys in the messages of a call."""
    honeytokens = governor.installation.honeytokens
    return Watch(lambda: honeytokens.detector, partial(sound, governor, verdict))


def _redeem(
    governor: Governor,
    request: http.Request,
    clearance: Clearance,
    capability: Capability,
    server: connection.Server,
) -> Secret:
    """Exchange the token that the flow carries for the secret."""
    recipe = capability.recipe
    values = request.headers.get_all(recipe.slot)
    token = token_in(recipe.slot, values[0]) if len(values) == 1 else None
    if token is None:
        raise Refused(f"the token is missing from {recipe.slot}")
    wire = Wire(
        method=request.method,
        authority=_named(*server.address[:2]) if server.address else "",
        path=request.path,
        body_sha256=clearance.verdict.call.body_sha256,
        verified=is_verified(server, clearance.authority),
    )
    try:
        return governor.redeem(clearance.verdict, capability, token, wire)
    except TokenScopeError:
        if server.tls:
            raise
        raise Refused("no credential goes over plain http") from None


@lru_cache(1024)
def _named(host: str, port: int) -> str:
    """Where a connection leads, in the words of a token."""
    return str(Authority(host, port))

"""What the objects of a cluster tell of agents: pods become the workloads that they belong to."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from interlock.discovery.plain import hide, is_provider_key, plain_arguments
from interlock.discovery.pod_risk import signals_of
from interlock.discovery.sighting import Finding, Sighting
from interlock.discovery.signs import Look, Match, recognise
from interlock.discovery.words import clean, name_of

SOURCE = "kubernetes"
type Json = Mapping[str, Any]


def sightings_of(
    cluster: str,
    pods: Iterable[Json],
    services: Sequence[Json],
    deployments: Iterable[Json],
    threshold: float,
    *,
    generic: bool,
) -> Iterator[Sighting]:
    """Every workload with a container that looks like an agent; its pods are one sighting."""
    known = {_named(one): one for one in deployments}
    workloads: dict[tuple[str, str, str], list[Json]] = {}
    for pod in pods:
        if (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            workloads.setdefault(_workload(pod), []).append(pod)
    for (namespace, kind, name), members in sorted(workloads.items()):
        place = f"{SOURCE}:{clean(cluster)}/{namespace}/{kind}/{name}"
        match = max(
            (_match(members[0], c, generic) for c in _containers(members[0])),
            key=lambda one: one.score,
            default=None,
        )
        if match and match.score >= threshold:
            found = _sighting(place, namespace, name, members, services, match)
            yield _with(found, known.get((namespace, name)) if kind == "Deployment" else None)


def _named(found: Json) -> tuple[str, str]:
    meta = found.get("metadata") or {}
    return clean(meta.get("namespace") or "default", 63), clean(meta.get("name") or "", 253)


def _with(found: Sighting, deployment: Json | None) -> Sighting:
    """A sighting with what its deployment says beside its pods."""
    if deployment is None:
        return found
    meta, spec = deployment.get("metadata") or {}, deployment.get("spec") or {}
    noted = sorted({*found.facts["annotations"], *_annotations(meta)})
    said = {"replicas": spec.get("replicas"), "annotations": noted}
    return replace(found, labels=_labels(meta) | dict(found.labels), facts={**found.facts, **said})


def _labels(meta: Json) -> dict[str, str]:
    return {clean(k, 128): clean(v) for k, v in sorted((meta.get("labels") or {}).items())[:50]}


def _annotations(meta: Json) -> list[str]:
    """The names of annotations; their values may be whole configurations, with keys in them."""
    return sorted(clean(name, 128) for name in meta.get("annotations") or {})[:50]


def _workload(pod: Json) -> tuple[str, str, str]:
    """Namespace, kind and name of what a pod belongs to: a deployment, not its replica set."""
    meta = pod.get("metadata") or {}
    namespace = clean(meta.get("namespace") or "default", 63)
    owner = next((o for o in meta.get("ownerReferences") or () if o.get("controller")), None)
    if owner is None:
        return namespace, "Pod", clean(meta.get("name") or "", 253)
    kind, name = clean(owner.get("kind") or "", 63), clean(owner.get("name") or "", 253)
    template = str((meta.get("labels") or {}).get("pod-template-hash") or "")
    if kind == "ReplicaSet" and template and name.endswith(f"-{template}"):
        return namespace, "Deployment", name.removesuffix(f"-{template}")
    return namespace, kind, name


def _match(pod: Json, container: Json, generic: bool) -> Match:
    meta = pod.get("metadata") or {}
    labels = meta.get("labels") or {}
    words = [*(container.get("command") or ()), *(container.get("args") or ())]
    names = [
        meta.get("name"),
        container.get("name"),
        labels.get("app.kubernetes.io/name"),
        labels.get("app"),
    ]
    return recognise(
        Look(
            image=str(container.get("image") or "")[:500],
            command=" ".join(map(str, words))[:4000],
            variables=[str(one.get("name")) for one in container.get("env") or ()],
            names=[str(name)[:500] for name in names if name],
            generic=generic,
        )
    )


def _sighting(
    place: str,
    namespace: str,
    name: str,
    pods: Sequence[Json],
    services: Sequence[Json],
    found: Match,
) -> Sighting:
    pod = pods[0]
    spec, meta = pod.get("spec") or {}, pod.get("metadata") or {}
    containers = list(_containers(pod))
    words = [*(containers[0].get("command") or ()), *(containers[0].get("args") or ())]
    variables = {str(v.get("name")) for c in containers for v in c.get("env") or ()}
    return Sighting(
        source=SOURCE,
        place=place,
        kind=found.kind,
        name=name_of(f"{namespace}-{name}" if namespace != "default" else name),
        type="pod",
        framework=found.framework,
        confidence=found.score,
        evidence=tuple(clean(one) for one in found.evidence),
        signals=tuple(signals_of(spec)),
        findings=tuple(_findings(containers, f"{namespace}/{clean(name, 128)}")),
        marks=frozenset(mark for one in pods for mark in _marks(one)),
        endpoints=tuple(_endpoints(namespace, meta.get("labels") or {}, services)),
        command=clean(words[0] if words else ""),
        args=tuple(clean(word) for word in hide(map(str, words[1:33]))),
        env=tuple(sorted(clean(variable, 128) for variable in variables))[:200],
        labels=_labels(meta),
        facts=_facts(namespace, pods, containers),
    )


def _facts(namespace: str, pods: Sequence[Json], containers: Sequence[Json]) -> dict[str, Any]:
    spec, meta = pods[0].get("spec") or {}, pods[0].get("metadata") or {}
    return {
        "namespace": namespace,
        "pods": len(pods),
        "images": [clean(c.get("image") or "") for c in containers][:32],
        "service_account": clean(spec.get("serviceAccountName") or "default", 253),
        "token_mounted": spec.get("automountServiceAccountToken") is not False,
        "node": clean(spec.get("nodeName") or "", 253),
        "annotations": _annotations(meta),
    }


def _findings(containers: Iterable[Json], where: str) -> Iterator[Finding]:
    for container in containers:
        name = clean(container.get("name") or "", 63)
        for variable in container.get("env") or ():
            if is_provider_key(str(variable.get("name")), str(variable.get("value") or "")):
                yield Finding(
                    "raw_provider_key",
                    f"variable {clean(variable.get('name'), 128)} of container {name} in {where}",
                    "store it with `interlock secret set`, give the pod an agent key from a "
                    "Secret, and revoke this one: whoever may read pods has read it",
                )
        words = [*(container.get("command") or ()), *(container.get("args") or ())]
        if plain_arguments([str(word) for word in words]):
            yield Finding(
                "secret_in_arguments",
                f"command line of container {name} in {where}",
                "whoever may read pods has read it: pass it from a Secret, and revoke it",
            )


def _marks(pod: Json) -> Iterator[str]:
    status = pod.get("status") or {}
    for one in status.get("containerStatuses") or ():
        if id_ := str(one.get("containerID") or "").rpartition("://")[2]:
            yield f"container:{clean(id_, 128)}"
    if status.get("podIP") and not (pod.get("spec") or {}).get("hostNetwork"):
        yield f"address:{clean(status['podIP'], 64)}"


def _endpoints(namespace: str, labels: Json, services: Iterable[Json]) -> Iterator[str]:
    """The URLs of the services whose selector takes these pods."""
    for service in services:
        meta, spec = service.get("metadata") or {}, service.get("spec") or {}
        selector = spec.get("selector") or {}
        if meta.get("namespace", "default") != namespace or not selector:
            continue
        if selector.items() <= labels.items():
            for port in (spec.get("ports") or ())[:16]:
                yield clean(f"http://{meta.get('name')}.{namespace}.svc:{port.get('port')}")


def _containers(pod: Json) -> Iterator[Json]:
    yield from (pod.get("spec") or {}).get("containers") or ()

"""How a pod is confined, by the controls of the Kubernetes pod security standards.

https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from collections.abc import Iterator, Mapping
from typing import Any

from interlock.discovery.container_risk import capabilities

# What the baseline profile lets a container add.
_BASELINE = frozenset(
    {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"}
    | {"NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}
)
_CONFINED = ("RuntimeDefault", "Localhost")


def signals_of(spec: Mapping[str, Any]) -> Iterator[str]:
    """The risk signals of one pod spec, those of the baseline profile first."""
    if any(spec.get(name) for name in ("hostNetwork", "hostPID", "hostIPC")):
        yield "kubernetes_host_namespaces"
    if any("hostPath" in volume for volume in spec.get("volumes") or ()):
        yield "kubernetes_host_path"
    containers = [*(spec.get("containers") or ()), *(spec.get("initContainers") or ())]
    yield from sorted({signal for one in containers for signal in _of_container(spec, one)})


def _of_container(spec: Mapping[str, Any], container: Mapping[str, Any]) -> Iterator[str]:
    pod = spec.get("securityContext") or {}
    own = container.get("securityContext") or {}
    caps = own.get("capabilities") or {}
    if own.get("privileged"):
        yield "kubernetes_privileged"
    if set(capabilities(caps.get("add"))) - _BASELINE:
        yield "kubernetes_added_capabilities"
    if any(port.get("hostPort") for port in container.get("ports") or ()):
        yield "kubernetes_host_port"
    if own.get("allowPrivilegeEscalation") is not False:
        yield "kubernetes_privilege_escalation"
    if "ALL" not in capabilities(caps.get("drop")):
        yield "kubernetes_capabilities_kept"
    either = {**pod, **own}
    if either.get("runAsUser") == 0 or not (either.get("runAsNonRoot") or either.get("runAsUser")):
        yield "kubernetes_runs_as_root"
    if (either.get("seccompProfile") or {}).get("type") not in _CONFINED:
        yield "kubernetes_no_seccomp"

"""How a container is confined: what the engine says of it, and the six signals that it is not."""

from collections.abc import Iterator, Mapping
from typing import Any

from interlock.discovery.words import clean

# What leads out of a container, or into its neighbours (capabilities(7)).
DANGEROUS = frozenset(
    {"ALL", "SYS_ADMIN", "SYS_MODULE", "SYS_PTRACE", "SYS_RAWIO", "SYS_BOOT", "SYS_TIME"}
    | {"NET_ADMIN", "DAC_READ_SEARCH", "DAC_OVERRIDE", "MAC_ADMIN", "MAC_OVERRIDE", "BPF"}
    | {"PERFMON", "SYSLOG", "CHECKPOINT_RESTORE", "LINUX_IMMUTABLE", "BLOCK_SUSPEND"}
)
# A mount of one of these, or of anything below those that end in a slash, gives the host away.
_EXACT = frozenset({"/", "/home", "/var", "/var/run", "/run", "/usr", "/lib", "/mnt", "/opt"})
_BELOW: tuple[str, ...] = (
    "/etc/",
    "/root/",
    "/proc/",
    "/sys/",
    "/dev/",
    "/boot/",
    "/var/lib/docker/",
)
_BELOW += ("/var/lib/kubelet/", "/var/lib/containerd/", "/run/containerd/", "/run/secrets/")
_ENDS = ("docker.sock", "containerd.sock", "crio.sock", "podman.sock")
_PARTS = frozenset({".ssh", ".aws", ".azure", ".gcloud", ".kube", ".docker", ".gnupg"})


def capabilities(names: Any) -> list[str]:
    """Linux capabilities in upper case without their prefix, sorted."""
    return sorted({clean(name, 40).upper().removeprefix("CAP_") for name in names or ()})


def is_sensitive(path: str) -> bool:
    """True for a path of the host that a container must not have."""
    whole = f"{path.rstrip('/')}/"
    below = any(whole.startswith(prefix) for prefix in _BELOW)
    return (
        below
        or path.rstrip("/") in _EXACT | {""}
        or path.endswith(_ENDS)
        or bool(_PARTS & set(path.split("/")))
    )


def is_root(user: str) -> bool:
    """True when a user, as an engine writes it, has the id 0; none given means root."""
    return user.partition(":")[0].strip() in ("", "0", "root")


def security_of(container: Mapping[str, Any]) -> dict[str, Any]:
    """The facts about one container, from what `docker inspect` says."""
    host, config = container.get("HostConfig") or {}, container.get("Config") or {}
    state = container.get("State") or {}
    mounts = container.get("Mounts") or ()
    return {
        "privileged": bool(host.get("Privileged")),
        "capabilities_added": capabilities(host.get("CapAdd")),
        "capabilities_dropped": capabilities(host.get("CapDrop")),
        "user": clean(config.get("User") or "root", 64),
        "read_only_rootfs": bool(host.get("ReadonlyRootfs")),
        "mounts": [_mount(one) for one in mounts][:64],
        "network_mode": clean(host.get("NetworkMode") or "", 128),
        "pid_mode": clean(host.get("PidMode") or "", 128),
        "image_digest": clean(container.get("Image") or "", 128),
        "created_at": clean(container.get("Created") or "", 40),
        "started_at": clean(state.get("StartedAt") or "", 40),
        "status": clean(state.get("Status") or "", 20),
    }


def signals_of(container: Mapping[str, Any]) -> Iterator[str]:
    """The risk signals of one container."""
    facts = security_of(container)
    if facts["privileged"]:
        yield "docker_privileged_container"
    if facts["network_mode"] == "host":
        yield "docker_host_network"
    if is_root(str((container.get("Config") or {}).get("User") or "")):
        yield "docker_runs_as_root"
    if not facts["read_only_rootfs"]:
        yield "docker_writable_rootfs"
    if DANGEROUS & set(facts["capabilities_added"]):
        yield "docker_dangerous_caps"
    binds = (m for m in container.get("Mounts") or () if m.get("Type") == "bind")
    if any(is_sensitive(str(mount.get("Source") or "")) for mount in binds):
        yield "docker_sensitive_host_mount"


def _mount(mount: Mapping[str, Any]) -> str:
    mode = "rw" if mount.get("RW") else "ro"
    source = mount.get("Source") or mount.get("Name") or ""
    return clean(f"{mount.get('Type')} {source} at {mount.get('Destination')} {mode}")

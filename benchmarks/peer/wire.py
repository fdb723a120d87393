"""The peers that are proxies: the key takes the place of another word in what passes."""

import json
from pathlib import Path

import trustme

from benchmarks.bench import CHAT_PATH, HOST, Bench, Variant
from benchmarks.load import Target
from benchmarks.machine import listens
from benchmarks.peer.installed import NODE, node_package, python_package
from benchmarks.peer.running import Started, start
from benchmarks.upstream import KEY
from interlock.demo.ports import free_ports

DECIDER = Path(__file__).parent / "decider.mjs"
NAME = "OPENAI_API_KEY"
KOW, SPROXY, VARLOCK, RUNTIME = "1.1.1", "0.1.1", "1.20.0", "0.0.83"
# keys-on-the-wire wants this word in what is replaced, and no less than 24 characters.
PLACEHOLDER = "PLACEHOLDER-of-the-bench-0123456789"


def keys_on_the_wire(bench: Bench) -> Variant:
    """Its key from a file, bound to the host and the path, every decision in its audit log."""
    programs = python_package(f"keys-on-the-wire=={KOW}")
    folder = _folder(bench, "keys-on-the-wire")
    secrets = folder / "secrets.yaml"
    secrets.write_text(json.dumps({"secrets": {NAME: KEY}}))
    secrets.chmod(0o600)
    rule = {"host": HOST, "methods": ["POST"], "paths": [CHAT_PATH]}
    inject = {"type": "header", "header": "Authorization", "format": f"Bearer {{{NAME}}}"}
    config = {
        "secrets": {NAME: {"placeholder": PLACEHOLDER, "inject": inject, "bindings": [rule]}},
        "unmatched_destination_policy": "deny",
        "binding_source": "file",
        "audit": {"path": str(folder / "audit.jsonl")},
        "backend": {"type": "static", "config": {"path": str(secrets)}},
    }
    # Its YAML reader takes JSON, which YAML contains.
    (folder / "bindings.yaml").write_text(json.dumps(config))
    (port,) = free_ports(1)
    words = ["--set", f"kow_config={folder / 'bindings.yaml'}", "--set", f"confdir={folder}"]
    words += ["--set", f"ssl_verify_upstream_trusted_ca={bench.certificates.ca}"]
    words += ["--listen-port", str(port), "--set", "flow_detail=0"]
    started = start(bench.stack, folder, [str(programs / "keys-on-the-wire"), *words], {})
    started.wait(lambda: listens(port))
    ca = folder / "mitmproxy-ca-cert.pem"
    return _variant(bench, f"keys-on-the-wire {KOW}", started, port, ca, PLACEHOLDER)


def sproxy(bench: Bench) -> Variant:
    """Its key bound to the host, what leaves is searched for secrets, every call in its log."""
    programs = python_package(f"sproxy=={SPROXY}")
    folder = _folder(bench, "sproxy")
    (port,) = free_ports(1)
    (folder / "sproxy.toml").write_text(
        f'mode = "enforce"\nport = {port}\nconfdir = "ca"\naudit_log = "audit.jsonl"\n'
        f'[secrets.{NAME}]\nsource = "literal:{KEY}"\nallow_hosts = ["{HOST}"]\n'
    )
    (folder / "ca").mkdir()
    # mitmdump, which it starts, reads this.
    trusted = f"ssl_verify_upstream_trusted_ca: {bench.certificates.ca}\n"
    (folder / "ca" / "config.yaml").write_text(trusted)
    words = [str(programs / "sproxy"), "run", "--mitmdump", str(programs / "mitmdump")]
    started = start(bench.stack, folder, [*words, "--no-reload"], {})
    started.wait(lambda: listens(port))
    ca = folder / "ca" / "mitmproxy-ca-cert.pem"
    return _variant(bench, f"sproxy {SPROXY}", started, port, ca, f"{{{{{NAME}}}}}")


def varlock(bench: Bench) -> Variant:
    """`varlock proxy start`: its key bound to the host, what no rule names is refused."""
    package = node_package("varlock", VARLOCK)
    folder = _folder(bench, "varlock")
    (folder / ".env.schema").write_text(
        '# @proxyConfig={egress="strict"}\n# @defaultRequired=false\n# ---\n\n'
        f'# @sensitive @proxy(domain="{HOST}")\n{NAME}={KEY}\n'
    )
    (port,) = free_ports(1)
    (folder / "ca").mkdir()
    program = [str(NODE), str(package / "bin" / "cli.js"), "proxy"]
    words = ["start", "--port", str(port), "--cert-dir", str(folder / "ca")]
    environ = {"NODE_EXTRA_CA_CERTS": str(bench.certificates.ca)}
    environ |= {"VARLOCK_TELEMETRY_DISABLED": "1"}
    started = start(bench.stack, folder, [*program, *words], environ)
    started.wait(lambda: listens(port))
    asked = start(bench.stack, folder, [*program, "env", "--full", "--format", "json"], environ)
    asked.process.wait(30)
    placeholder = json.loads(asked.log[asked.log.index("{") :])[NAME]
    ca = folder / "ca" / "ca-cert.pem"
    return _variant(bench, f"varlock {VARLOCK}", started, port, ca, placeholder)


def sandbox_runtime(bench: Bench) -> Variant:
    """`srt proxy`, with the smallest decider that allows a call and hands over its key."""
    package = node_package("@anthropic-ai/sandbox-runtime", RUNTIME)
    folder = _folder(bench, "sandbox-runtime")
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    ca, pair = folder / "ca.pem", folder / "ca-with-key.pem"
    authority.cert_pem.write_to_path(ca)
    pair.touch(mode=0o600)
    pair.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    (port,) = free_ports(1)
    main = package / "dist" / "proxy-main.js"
    words = [str(main), str(port), HOST, str(bench.upstream.port), str(pair)]
    environ = {"NODE_EXTRA_CA_CERTS": str(bench.certificates.ca), "BENCH_KEY": KEY}
    started = start(bench.stack, folder, [str(NODE), str(DECIDER), *words], environ)
    started.wait(lambda: listens(port))
    name = f"@anthropic-ai/sandbox-runtime {RUNTIME}"
    return _variant(bench, name, started, port, ca, PLACEHOLDER)


def _folder(bench: Bench, name: str) -> Path:
    folder = bench.folder / name
    folder.mkdir()
    return folder


def _variant(
    bench: Bench, name: str, started: Started, port: int, ca: Path, placeholder: str
) -> Variant:
    request = bench.ask(CHAT_PATH, Authorization=f"Bearer {placeholder}")
    target = Target(HOST, bench.upstream.port, str(ca), request, port)
    return Variant(name, target, started.pids)

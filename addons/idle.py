"""Says which of mitmproxy's own addons have nothing to do for a call, as the options stand.

Governance requires most of these options to be off, and each addon would look at every call only
to find that out again.
"""

from typing import Any

from mitmproxy.options import Options

# The module of an addon, and the option without which none of its hooks for traffic does anything.
# By name, for `interlock proxy` loads few of them.
SERVES = {
    f"mitmproxy.addons.{module}": option
    for module, option in {
        "anticache": "anticache",
        "anticomp": "anticomp",
        "blocklist": "block_list",
        "dumper": "flow_detail",
        "maplocal": "map_local",
        "mapremote": "map_remote",
        "modifybody": "modify_body",
        "modifyheaders": "modify_headers",
        "onboarding": "onboarding",
        "proxyauth": "proxyauth",
        "save": "save_stream_file",
        "savehar": "hardump",
        "stickyauth": "stickyauth",
        "stickycookie": "stickycookie",
        "upstream_auth": "upstream_auth",
    }.items()
}
# What everybody hears of, whatever the options say.
HEARD_BY_ALL = ("running", "done")


def is_idle(addon: Any, hook: str, options: Options) -> bool:
    """True for a hook that does nothing until an option changes; a subclass is somebody else's."""
    option = SERVES.get(type(addon).__module__)
    return option is not None and hook not in HEARD_BY_ALL and not getattr(options, option)

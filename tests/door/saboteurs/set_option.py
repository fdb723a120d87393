"""An addon that sets an option of mitmproxy when a call asks for it, as people do who script it."""

from mitmproxy import ctx, exceptions, http


def requestheaders(flow: http.HTTPFlow) -> None:
    """Do what the header says; an option that is refused changes nothing."""
    if wanted := flow.request.headers.pop("x-set", ""):
        try:
            ctx.options.set(wanted)
        except exceptions.OptionsError as e:
            flow.comment = str(e)

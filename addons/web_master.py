"""The front door with mitmproxy's web page, which only `interlock web` takes the time to load."""

from mitmproxy import options
from mitmproxy.tools.web.master import WebMaster

from addons import governance
from addons.complaint import Complaint
from addons.dispatch import Dispatch


class GovernedWebMaster(WebMaster):
    """mitmweb under our dispatch, with governance in it."""

    def __init__(self, opts: options.Options) -> None:
        super().__init__(opts)
        Dispatch.take_over(self.addons)
        self.addons.remove(self.addons.get("errorcheck"))
        self.addons.add(*governance.addons, Complaint())

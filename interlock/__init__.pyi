from interlock.client import Client as Client
from interlock.client import declare as declare
from interlock.client import declared as declared

__version__: str

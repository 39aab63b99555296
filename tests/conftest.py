"""What all tests share: no test judges speed, so property tests have no deadline."""

from hypothesis import settings

settings.register_profile("amondawa", deadline=None)
settings.load_profile("amondawa")

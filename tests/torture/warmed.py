"""What the fork server of the toy imports: all that a launch would else read and compute anew."""

import toy

from bench.fingerprint import harness_code, method_code
from methods import registry

toy.dataset()
harness_code()
for name in registry.available():
    method_code(registry.describe(name).file)

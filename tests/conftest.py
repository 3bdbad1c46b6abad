"""Types are executed, and compiled programs are kept between runs."""

import gc
import os
from pathlib import Path

CACHE = Path(__file__).parent.parent / ".cache" / "jax"
# compiling is most of the suite's time; optimising what runs for milliseconds is not worth it
QUICK_TO_COMPILE = (
    "--xla_backend_optimization_level=0",
    "--xla_llvm_disable_expensive_passes=true",
    "--xla_cpu_use_fusion_emitters=false",  # the other emitters compile in a third of the time
    "--xla_cpu_parallel_codegen_split_count=1",
)
os.environ.setdefault("XLA_FLAGS", " ".join(QUICK_TO_COMPILE))
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
os.environ.setdefault("XDG_CACHE_HOME", str(CACHE.parent))

from hypothesis import HealthCheck, settings  # noqa: E402
from jaxtyping import install_import_hook  # noqa: E402

install_import_hook("rl_meta", "typecheck.checked")
# how long an example takes says more about what else runs on the machine than about the code
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")
# tracing makes many objects, most of which stay: looking through them again and again was a seventh of its time
gc.set_threshold(50_000, 20, 50)

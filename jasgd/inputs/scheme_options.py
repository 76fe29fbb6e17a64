"""The schemes and their options, known without importing one: a typing error is refused before JAX is loaded."""

#: of threads, as the classes in ``jasgd.schemes.SCHEMES`` have them
THREADED: dict[str, tuple[str, ...]] = {
    "sequential": (),
    "synchronous": ("native",),
    "locked": ("reading", "max_staleness", "native"),
    "hogwild": ("max_staleness", "native"),
    "leashed": ("persistence", "max_staleness", "native"),
}
#: that are simulated, as the classes in ``jasgd.cluster.generation.scheme_names.SIMULATED`` have them
SIMULATED: dict[str, tuple[str, ...]] = {
    "sequential": (),
    "synchronous": (),
    "locked": ("reading", "max_staleness"),
    "hogwild": ("max_staleness",),
    "leashed": ("persistence", "max_staleness"),
    "bounded_staleness": ("slack",),
    "k_of_n": ("k",),
}

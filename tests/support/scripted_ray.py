"""A stand-in for Ray whose actors do what a test says: what is asked of them is noted, and answered when it says so."""

import ray.exceptions


class Reference:
    """What a call gives.

    Args:
      actor: that was called.
      method: its method.
      arguments: of the call.
    """

    def __init__(self, actor, method, arguments):
        self.actor, self.method, self.arguments = actor, method, arguments
        self.is_done, self.value = False, None

    def answer(self, value=None):
        """Has the call come to a value, or to an exception."""
        self.is_done, self.value = True, value


class Method:
    def __init__(self, actor, name):
        self.actor, self.name = actor, name

    def remote(self, *arguments):
        reference = Reference(self.actor, self.name, arguments)
        self.actor.ray.calls.append(reference)
        self.actor.ray.on_call(reference)
        return reference


class Actor:
    def __init__(self, scripted, kind, options):
        self.ray, self.kind, self.options = scripted, kind, options

    def __getattr__(self, name):
        return Method(self, name)


class Maker:
    def __init__(self, scripted, kind, options=None):
        self.ray, self.kind, self.given = scripted, kind, options

    def options(self, **options):
        return Maker(self.ray, self.kind, options)

    def remote(self, *arguments):
        actor = Actor(self.ray, self.kind.__name__, self.given)
        self.ray.actors.append(actor)
        return actor


class ScriptedRay:
    """Has of the module ``ray`` what the driver uses.

    Args:
      on_call: called with each reference as it is made; it may answer it.
      on_wait: called at each wait, with how many there were before; it may answer references, and raise.
    """

    exceptions = ray.exceptions

    def __init__(self, on_call=lambda reference: None, on_wait=lambda count: None):
        self.on_call, self.on_wait = on_call, on_wait
        self.calls, self.actors, self.killed, self.waits = [], [], [], 0

    def put(self, value):
        return value

    def remote(self, kind):
        return Maker(self, kind)

    def kill(self, actor):
        self.killed.append(actor)

    def wait(self, references, *, num_returns=1, timeout=None):
        if num_returns != 1 or self.waits > 1000:
            raise AssertionError("the driver does not come to an end")
        self.waits += 1
        self.on_wait(self.waits - 1)
        done = [reference for reference in references if reference.is_done][:1]
        return done, [reference for reference in references if reference not in done]

    def get(self, reference):
        if isinstance(reference.value, BaseException):
            raise reference.value
        return reference.value

    def named(self, method):
        """The calls of a method, in their order."""
        return [reference for reference in self.calls if reference.method == method]

"""Hogwild! in PyTorch, the peer that jasgd is timed against: processes that share one model's memory.

The networks have the layers of ``jasgd.problems`` and take the same batches, drawn beforehand. Each process computes in
one thread, as one worker of jasgd does; plain SGD, no rule.
"""

import functools
import itertools
import time

import torch
from torch import nn

LEARNING_RATE = 1e-5


def network(model, shape, classes):
    """The PyTorch module of a model's name, for images of a shape (height, width, channels)."""
    height, width, channels = shape
    if model == "mlp":
        sizes = (height * width * channels, 128, 128, 128)
        hidden = [layer for pair in itertools.pairwise(sizes) for layer in (nn.Linear(*pair), nn.ReLU())]
        return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(128, classes))
    if model != "lenet":
        raise ValueError(f"model must be mlp or lenet, got {model!r}")
    flat = 16 * (((height - 4) // 2 - 4) // 2) * (((width - 4) // 2 - 4) // 2)
    return nn.Sequential(
        nn.Conv2d(channels, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(flat, 120), nn.ReLU(), nn.Linear(120, classes),
    )  # fmt: skip


def _work(module, batches, steps, ready, ends, worker):
    torch.set_num_threads(1)
    optimizer = torch.optim.SGD(module.parameters(), lr=LEARNING_RATE)
    loss_of = nn.CrossEntropyLoss()

    def step(ticket):
        images, labels = batches[ticket % len(batches)]
        optimizer.zero_grad()
        loss = loss_of(module(images), labels)
        loss.backward()
        optimizer.step()
        return loss

    for ticket in range(5):
        step(ticket)
    ready.wait()
    for ticket in range(worker, steps, ready.parties - 1):
        step(ticket)
    ends[worker] = time.monotonic()


def hogwild(model, shape, classes, batches, workers, steps):
    """Seconds for ``steps`` steps in all by ``workers`` processes.

    Args:
      model: mlp or lenet.
      shape: of an image: height, width, channels.
      classes: number of logits.
      batches: pairs of images, float32 [b, height, width, channels], and labels, int [b].
      workers: number of processes.
      steps: steps in all.

    Returns:
      Seconds from the common start to the last process's end.
    """
    context = torch.multiprocessing.get_context("spawn")  # JAX has started threads, so forking could deadlock
    module = network(model, shape, classes)
    module.share_memory()
    tensors = [(torch.tensor(x).permute(0, 3, 1, 2).contiguous(), torch.tensor(y).long()) for x, y in batches]
    ready, ends = context.Barrier(workers + 1), context.Array("d", workers)
    work = functools.partial(_work, module, tensors, steps, ready, ends)
    processes = [context.Process(target=work, args=(w,)) for w in range(workers)]
    for process in processes:
        process.start()
    ready.wait()
    started = time.monotonic()
    for process in processes:
        process.join()
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"PyTorch's processes ended with {[process.exitcode for process in processes]}")
    return max(ends) - started

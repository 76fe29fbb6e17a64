// Locked, Hogwild! and Leashed-SGD: what a round of theirs calls.
//
// A round is one compiled function: Read, the gradient, Begin, the transformation, End. What differs between the schemes
// is in these three. Begin tells the staleness and hands out what the update is computed on; End publishes. A round that
// was not committed, as another came first or held the lock, leaves its gradient with its worker, and a second compiled
// function, Recall, Begin, the transformation, End, tries again.

#ifndef JASGD_ASYNCHRONOUS_H_
#define JASGD_ASYNCHRONOUS_H_

#include "store.h"

namespace jasgd {
namespace {

// Component by component and without a lock, as the scheme is: others may read and add meanwhile. Gives the first leaf
// with a sum that is not finite, or -1.
template <typename T, typename Bits, int kExponentBit>
int64_t AddIn(char* to, const ffi::RemainingArgs& from, size_t first, size_t count) {
  T* sum = reinterpret_cast<T*>(to);
  int64_t nonfinite = -1;
  for (size_t i = 0; i < count; ++i) {
    const ffi::AnyBuffer leaf = Arg(from, first + i);
    const T* update = reinterpret_cast<const T*>(leaf.untyped_data());
    const size_t size = leaf.element_count();
    Bits any = 0;
    for (size_t j = 0; j < size; ++j) {
      const T now = sum[j] + update[j];
      sum[j] = now;
      Bits number;
      std::memcpy(&number, &now, sizeof(T));
      any |= Overflowing<Bits, kExponentBit>(number);
    }
    if (nonfinite < 0 && any >> (8 * sizeof(Bits) - 1) != 0) nonfinite = i;
    sum += size;
  }
  return nonfinite;
}

// (caller) -> (number, loss, gradient ..., parameters read ... where they are asked for)
ffi::Error Recall(ffi::AnyBuffer caller, ffi::RemainingRets rets) {
  const Caller me(caller);
  const size_t end = 2 + me.store->param_leaves;
  CopyOut(me.worker->kept.data(), rets, 1, end - 1);
  if (rets.size() > end) CopyOut(me.worker->view->bytes.data(), rets, end, me.store->param_leaves);
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = 0;
  return ffi::Error::Success();
}

Status Opened(Store* store, Worker* worker, bool check_finite) {
  Answer& answer = worker->answer;
  answer.staleness = 0;  // where it is not opened, which is no number to compute with
  if (check_finite && !std::isfinite(answer.loss)) return kNonfinite;
  if (check_finite) NoteGood(store, worker);
  if (store->scheme == kLocked && !worker->has_gate) {
    if (is_workers_own) {
      store->gate.Lock();  // until End: the step size depends on a staleness that must not change
    } else if (!store->gate.TryLock()) {
      return kBusy;
    }
    worker->has_gate = true;
  }
  std::unique_lock<std::mutex> held(store->mutex);
  if (store->pauses && !is_workers_own) return kBusy;
  store->goes_on.wait(held, [store] { return !store->pauses; });
  worker->base = store->current;
  answer.version = store->scheme == kHogwild ? store->claimed : worker->base.params->version;
  if (IsOver(store, answer.version)) return kClosed;
  answer.staleness = answer.version - answer.version_read;
  if (store->max_staleness >= 0 && answer.staleness > store->max_staleness) return kStale;
  if (store->scheme == kHogwild) worker->claimed = store->claimed++;
  return kOpen;
}

void LetGo(Store* store, Worker* worker) {
  worker->base = Snapshot();
  if (worker->has_gate) {
    worker->has_gate = false;
    store->gate.Unlock();
  }
}

// (caller, number, loss as float or double, loss, gradient ...) ->
//   (staleness, loss, gradient ..., state ..., parameters ... where they are asked for)
ffi::Error Begin(ffi::AnyBuffer caller, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const Caller me(caller);
  Store* store = me.store;
  Worker* worker = me.worker;
  const size_t grads = store->param_leaves + 1, state = grads + 1, params = state + store->state_leaves;
  if (worker->answer.computed_s == 0) worker->answer.computed_s = Now();  // not again where it tries again
  worker->answer.loss = Number(Arg(args, 1));
  worker->status = Opened(store, worker, me.check_finite);
  const Snapshot base = worker->status == kOpen ? worker->base : Current(store);
  if (worker->status != kOpen) LetGo(store, worker);
  for (size_t i = 0; i < grads; ++i) {  // the same memory, but where XLA would not have it so
    const ffi::AnyBuffer from = Arg(args, 2 + i), to = Ret(rets, 1 + i);
    if (from.untyped_data() != to.untyped_data()) std::memcpy(to.untyped_data(), from.untyped_data(), from.size_bytes());
  }
  CopyOut(base.state->bytes.data(), rets, state, store->state_leaves);
  if (store->gives_params) CopyOut(base.params->bytes.data(), rets, params, store->param_leaves);
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = static_cast<int32_t>(worker->answer.staleness);
  return ffi::Error::Success();
}

Status Published(Store* store, Worker* worker, const ffi::RemainingArgs& args, size_t state, size_t params) {
  const int64_t version = worker->answer.version;
  const Snapshot base = worker->base;
  Snapshot next{nullptr, store->states_pool.Take()};
  CopyIn(next.state->bytes.data(), args, state, store->state_leaves);
  next.state->version = base.state->version + 1;
  if (store->scheme == kHogwild) {
    {
      std::lock_guard<std::mutex> held(store->mutex);
      store->current.state.swap(next.state);
    }
    const auto add = store->is_double ? AddIn<double, uint64_t, 52> : AddIn<float, uint32_t, 23>;
    const int64_t nonfinite = add(base.params->bytes.data(), args, params, store->param_leaves);
    std::lock_guard<std::mutex> held(store->mutex);
    NoteFinite(store, worker, nonfinite, store->claimed - 1, worker->view);
    ++store->finished;
    worker->claimed = -1;
    return kDone;
  }
  next.params = store->params_pool.Take();
  const int64_t nonfinite = CopyInLooking(next.params->bytes.data(), args, params, store->param_leaves);
  next.params->version = version + 1;
  std::lock_guard<std::mutex> held(store->mutex);
  if (store->scheme == kLeashed) {  // with the gate no worker can have come between
    if (IsOver(store, store->current.params->version)) return kClosed;
    if (store->current.params != base.params) return kLost;
  }
  NoteFinite(store, worker, nonfinite, version, base.params);
  std::swap(store->current, next);
  return kDone;
}

// (caller, C, loss, gradient ..., state ..., new parameters ..., of Hogwild! the update) -> (status)
ffi::Error End(ffi::AnyBuffer caller, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const Caller me(caller);
  Store* store = me.store;
  Worker* worker = me.worker;
  const size_t state = store->param_leaves + 2;
  if (worker->status == kOpen) {
    ++worker->answer.tries;
    worker->answer.factor = Number(Arg(args, 0));
    worker->status = Published(store, worker, args, state, state + store->state_leaves);
    LetGo(store, worker);
  }
  if (worker->status == kLost || worker->status == kBusy) {
    size_t bytes = 0;
    for (size_t i = 1; i < state; ++i) bytes += Arg(args, i).size_bytes();
    worker->kept.resize(bytes);
    CopyIn(worker->kept.data(), args, 1, state - 1);
  }
  worker->answer.status = worker->status;
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = worker->status;
  ++worker->answer.attempts;  // after it Python may go on, and free all this
  return ffi::Error::Success();
}

}  // namespace
}  // namespace jasgd

#endif  // JASGD_ASYNCHRONOUS_H_

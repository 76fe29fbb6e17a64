// Synchronous SGD: what a round calls.
//
// A round is one compiled function: Read, the gradient, Meet, the transformation, Publish. In Meet every worker hands
// in its gradient and takes those of all, so each computes the same update, and none waits for another to have done so.
// The first to be done publishes it, and the others have the interpreter meanwhile. Where Meet must not wait, or not as
// long, the worker meets the others outside of XLA (Gather), and a second compiled function, Gathered, the
// transformation, Publish, goes on.

#ifndef JASGD_SYNCHRONOUS_H_
#define JASGD_SYNCHRONOUS_H_

#include <algorithm>
#include <thread>

#include "store.h"

namespace jasgd {
namespace {

constexpr std::chrono::milliseconds kPatience(50), kEver(0);

// Waits for what another worker does at any moment: looks again for a while before it sleeps, where its peers have
// processors of their own, since to be woken takes as long as a part of a gradient. Whether it has been done in time.
template <typename Done>
bool WaitFor(Store* store, std::chrono::milliseconds patience, Done done) {
  using std::chrono::microseconds;
  const auto began = std::chrono::steady_clock::now();
  while (store->looks_again) {
    if (done()) return true;
    const auto waited = std::chrono::steady_clock::now() - began;
    if (waited > microseconds(1000)) break;
    if (waited > microseconds(50)) std::this_thread::yield();  // a peer may be in need of this processor after all
  }
  std::unique_lock<std::mutex> held(store->mutex);
  if (patience != kEver) return store->meeting.changed.wait_for(held, patience, done);
  store->meeting.changed.wait(held, done);
  return true;
}

// Called with the store's mutex held.
void Decide(Store* store, Status outcome) {
  Meeting& meeting = store->meeting;
  meeting.arrived = 0;
  meeting.outcome = outcome;
  if (outcome == kOpen) {
    meeting.order.clear();
    for (const Worker& worker : store->workers) meeting.order.push_back(&worker);
    std::sort(meeting.order.begin(), meeting.order.end(),
              [](const Worker* a, const Worker* b) { return a->answer.ticket < b->answer.ticket; });
    meeting.until += store->workers.size();
  }
  ++meeting.rounds;
  meeting.changed.notify_all();
}

// Hands in the worker's gradient, waits for the others', and calls ``take`` while all are there, else gives kClosed:
// every worker of a round gets the same answer. None can come to the next one before all have taken. Gives kBusy where
// the worker takes its gradient back, as its patience ends before the others have come.
template <typename Take>
Status Met(Store* store, Worker* worker, std::chrono::milliseconds patience, Take take) {
  Meeting& meeting = store->meeting;
  int64_t round;
  {
    std::lock_guard<std::mutex> held(store->mutex);
    worker->base = store->current;  // before anybody can publish what comes of this round
    if (IsOver(store, worker->answer.version_read)) return kClosed;
    round = meeting.rounds;
    if (++meeting.arrived == static_cast<int64_t>(store->workers.size())) Decide(store, kOpen);
  }
  if (!WaitFor(store, patience, [&] { return meeting.rounds != round; })) {
    std::lock_guard<std::mutex> held(store->mutex);
    if (meeting.rounds == round) {
      --meeting.arrived;
      return kBusy;
    }
  }
  if (meeting.outcome != kOpen) return kClosed;
  const int64_t until = meeting.until;
  take();
  {
    std::lock_guard<std::mutex> held(store->mutex);
    if (++meeting.taken == until) meeting.changed.notify_all();
  }
  WaitFor(store, kEver, [&] { return meeting.taken >= until; });
  worker->answer.version = worker->answer.version_read;
  return kOpen;
}

// The worker whose gradient is the i-th of those that are averaged. They are added in the order of their tickets; of
// two the own one is first, since it lies there already, and the sum is the same.
const Worker* Source(const Store* store, const Worker* worker, size_t i) {
  const auto& order = store->meeting.order;
  if (order.size() == 1) return worker;  // a rehearsal, also of more
  if (order.size() == 2) return (order[0] == worker) == (i == 0) ? order[0] : order[1];
  return order[i];
}

// (caller, number, loss as float or double, loss, gradient ..., parameters ...) ->
//   (number, loss, gradient ... of each of ``slots`` workers, state ..., parameters ..., and once more where the
//   transformation asks for those that were read)
ffi::Error Meet(ffi::AnyBuffer caller, ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t slots) {
  const Caller me(caller);
  Store* store = me.store;
  Worker* worker = me.worker;
  const size_t parts = store->param_leaves + 1, state = 1 + slots * parts, params = state + store->state_leaves;
  worker->answer.computed_s = Now();
  worker->answer.loss = Number(Arg(args, 1));
  const auto copy = [&](size_t to, const void* from) {  // but what lies there, as XLA was asked for
    const ffi::AnyBuffer ret = Ret(rets, to);
    if (from != ret.untyped_data()) std::memcpy(ret.untyped_data(), from, ret.size_bytes());
  };
  if (me.check_finite && !std::isfinite(worker->answer.loss)) {
    worker->status = kNonfinite;
  } else {
    if (me.check_finite) NoteGood(store, worker);
    worker->given.resize(parts);
    for (size_t i = 0; i < parts; ++i) worker->given[i] = Arg(args, 2 + i).untyped_data();
    // Others may wait for this call to end before they begin theirs, where JAX compiles it: so with patience.
    worker->status = !is_workers_own ? kBusy : Met(store, worker, kPatience, [&] {
      for (int64_t slot = 0; slot < slots; ++slot) {
        const Worker* from = Source(store, worker, slot);
        for (size_t part = 0; part < parts; ++part) copy(1 + slot * parts + part, from->given[part]);
      }
    });
  }
  if (worker->status == kBusy) {
    size_t bytes = 0;
    for (size_t i = 0; i < parts; ++i) bytes += Arg(args, 2 + i).size_bytes();
    worker->kept.resize(bytes);
    CopyIn(worker->kept.data(), args, 2, parts);
  }
  if (worker->status != kOpen) {  // what follows is computed for nothing, but on numbers
    for (size_t i = 1; i < state; ++i) copy(i, Arg(args, 2 + (i - 1) % parts).untyped_data());
  }
  const Held held = worker->status == kOpen ? worker->base.state : Current(store).state;
  CopyOut(held->bytes.data(), rets, state, store->state_leaves);
  for (size_t i = params; i < rets.size(); ++i) {
    copy(i, Arg(args, 2 + parts + (i - params) % store->param_leaves).untyped_data());
  }
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = 0;
  return ffi::Error::Success();
}

// (caller) -> what Meet gives, after JasgdGather
ffi::Error Gathered(ffi::AnyBuffer caller, ffi::RemainingRets rets, int64_t slots) {
  const Caller me(caller);
  const size_t state = 1 + slots * (me.store->param_leaves + 1), params = state + me.store->state_leaves;
  CopyOut(me.worker->gathered.data(), rets, 1, state - 1);
  CopyOut(me.worker->base.state->bytes.data(), rets, state, me.store->state_leaves);
  for (size_t i = params; i < rets.size(); i += me.store->param_leaves) {
    CopyOut(me.worker->base.params->bytes.data(), rets, i, me.store->param_leaves);
  }
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = 0;
  return ffi::Error::Success();
}

// (caller, C, state ..., new parameters ...) -> (status)
ffi::Error Publish(ffi::AnyBuffer caller, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const Caller me(caller);
  Store* store = me.store;
  Worker* worker = me.worker;
  Meeting& meeting = store->meeting;
  if (worker->status == kOpen) {
    const int64_t version = worker->answer.version + 1;
    bool is_first;
    {
      std::lock_guard<std::mutex> held(store->mutex);
      is_first = meeting.claimed < version;
      meeting.claimed = version;
    }
    if (is_first) {
      Snapshot next{store->params_pool.Take(), store->states_pool.Take()};
      CopyIn(next.state->bytes.data(), args, 1, store->state_leaves);
      const int64_t nonfinite =
          CopyInLooking(next.params->bytes.data(), args, 1 + store->state_leaves, store->param_leaves);
      next.state->version = next.params->version = version;
      std::lock_guard<std::mutex> held(store->mutex);
      NoteFinite(store, worker, nonfinite, version - 1, store->current.params);
      std::swap(store->current, next);
      meeting.factor = Number(Arg(args, 0));
      meeting.published = version;
      meeting.changed.notify_all();
    }
    worker->base = Snapshot();
    worker->answer.tries = 1;
    worker->answer.factor = Number(Arg(args, 0));
    worker->status = kDone;
  }
  worker->answer.status = worker->status;
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = worker->status;
  ++worker->answer.attempts;  // after it Python may go on, and free all this
  return ffi::Error::Success();
}

}  // namespace
}  // namespace jasgd

#endif  // JASGD_SYNCHRONOUS_H_

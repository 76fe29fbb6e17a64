// Synchronous SGD: what a round calls.
//
// A round is one compiled function: Read, the gradient, HandIn, the transformation, Publish. Whoever hands in its gradient
// before others do leaves it with the store, and its round ends there: it has the interpreter while the others compute,
// and its next Read waits for the update. The last one takes the gradients of all, and goes on to Publish. So nobody
// waits for the interpreter behind a worker that comes from the same update. Where Read must not wait, or not as long,
// the round ends as busy, its worker waits outside of XLA (Await), and begins anew.

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

bool IsPublished(const Store* store, const Worker* worker) { return store->meeting.published >= worker->awaits; }

// (caller) -> (number, parameters ...), once the update that has the worker's last gradient is published. Others may
// wait for this call to end before they begin theirs, where JAX compiles it: so with patience.
ffi::Error ReadRound(ffi::AnyBuffer caller, ffi::RemainingRets rets) {
  const Caller me(caller);
  Store* store = me.store;
  Worker* worker = me.worker;
  const auto done = [&] { return IsPublished(store, worker) || store->closed; };
  const double came_s = done() ? 0 : Now();
  const bool ready = is_workers_own ? WaitFor(store, kPatience, done) : done();
  worker->answer.waited_s = came_s == 0 ? 0 : Now() - came_s;
  if (ready && IsPublished(store, worker)) {
    worker->status = kOpen;
    worker->in_flight = Current(store).params->version;
    {
      std::lock_guard<std::mutex> held(store->mutex);
      worker->begun.store(worker->in_flight);
      store->meeting.changed.notify_all();
    }
    return Read(caller, rets);
  }
  worker->status = ready ? kClosed : kBusy;
  const Held params = Current(store).params;  // what follows is computed for nothing, but on numbers
  CopyOut(params->bytes.data(), rets, 1, store->param_leaves);
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = 0;
  return ffi::Error::Success();
}

// Called with the store's mutex held, by the worker that hands in the last gradient of a round.
void Decide(Store* store) {
  Meeting& meeting = store->meeting;
  meeting.arrived = 0;
  meeting.order.clear();
  for (const Worker& worker : store->workers) meeting.order.push_back(&worker);
  std::sort(meeting.order.begin(), meeting.order.end(),
            [](const Worker* a, const Worker* b) { return a->member.ticket < b->member.ticket; });
  for (size_t i = 0; i < meeting.order.size(); ++i) meeting.members[i] = meeting.order[i]->member;
}

// Hands in the worker's gradient, which ``keep`` leaves with the worker, and ``keep`` is not called where all others are
// there: then the worker goes on with all of them, and gives kOpen. Else gives kHandedIn, or kClosed.
template <typename Keep>
Status HandedIn(Store* store, Worker* worker, Keep keep) {
  Meeting& meeting = store->meeting;
  const auto all = static_cast<int64_t>(store->workers.size());
  const auto is_last = [&] {  // with the mutex held
    if (++meeting.arrived < all) return false;
    Decide(store);
    worker->base = store->current;
    return true;
  };
  for (const bool is_kept : {false, true}) {
    {
      std::lock_guard<std::mutex> held(store->mutex);
      if (IsOver(store, worker->answer.version_read)) return kClosed;
      if (is_kept || meeting.arrived == all - 1) {
        worker->has_kept = is_kept;
        worker->answer.version = worker->answer.version_read;
        worker->awaits = worker->answer.version + 1;
        worker->member = {worker - store->workers.data(), worker->answer.ticket, worker->answer.loss};
        return is_last() ? kOpen : kHandedIn;
      }
    }
    keep();  // copied without the mutex, and before any other can take it
  }
  return kClosed;  // never reached
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
//   (status, loss, gradient ... of each of ``slots`` workers, state ..., parameters ..., and once more where the
//   transformation asks for those that were read); all but the status only where it is kOpen
ffi::Error HandIn(ffi::AnyBuffer caller, ffi::RemainingArgs args, ffi::RemainingRets rets, int64_t slots) {
  const Caller me(caller);
  Store* store = me.store;
  Worker* worker = me.worker;
  const size_t parts = store->param_leaves + 1, state = 1 + slots * parts, params = state + store->state_leaves;
  if (worker->status == kOpen) {
    worker->answer.computed_s = Now();
    worker->answer.loss = Number(Arg(args, 1));
    if (me.check_finite && !std::isfinite(worker->answer.loss)) {
      worker->status = kNonfinite;
    } else {
      if (me.check_finite) NoteGood(store, worker);
      worker->status = HandedIn(store, worker, [&] {
        size_t bytes = 0;
        for (size_t i = 0; i < parts; ++i) bytes += Arg(args, 2 + i).size_bytes();
        worker->kept.resize(bytes);
        CopyIn(worker->kept.data(), args, 2, parts);
      });
    }
  }
  const Status status = worker->status;
  if (status == kOpen) {
    const auto copy = [&](size_t to, const void* from) {  // but what lies there, as XLA was asked for
      const ffi::AnyBuffer ret = Ret(rets, to);
      if (from != ret.untyped_data()) std::memcpy(ret.untyped_data(), from, ret.size_bytes());
    };
    for (int64_t slot = 0; slot < slots; ++slot) {
      const Worker* from = Source(store, worker, slot);
      if (from->has_kept) {
        CopyOut(from->kept.data(), rets, 1 + slot * parts, parts);
      } else {
        for (size_t part = 0; part < parts; ++part) copy(1 + slot * parts + part, Arg(args, 2 + part).untyped_data());
      }
    }
    CopyOut(worker->base.state->bytes.data(), rets, state, store->state_leaves);
    for (size_t i = params; i < rets.size(); ++i) {
      copy(i, Arg(args, 2 + parts + (i - params) % store->param_leaves).untyped_data());
    }
  }
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = status;
  if (status != kOpen) {
    worker->answer.status = status;
    ++worker->answer.attempts;  // after it Python may go on, and free all this
  }
  return ffi::Error::Success();
}

// (caller) -> what HandIn gives, after JasgdHandIn has given kOpen
ffi::Error Gathered(ffi::AnyBuffer caller, ffi::RemainingRets rets, int64_t slots) {
  const Caller me(caller);
  Store* store = me.store;
  const size_t parts = store->param_leaves + 1, state = 1 + slots * parts, params = state + store->state_leaves;
  for (int64_t slot = 0; slot < slots; ++slot) {
    CopyOut(Source(store, me.worker, slot)->kept.data(), rets, 1 + slot * parts, parts);
  }
  const Snapshot& base = me.worker->base;
  CopyOut(base.state->bytes.data(), rets, state, store->state_leaves);
  for (size_t i = params; i < rets.size(); i += store->param_leaves) {
    CopyOut(base.params->bytes.data(), rets, i, store->param_leaves);
  }
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = kOpen;
  return ffi::Error::Success();
}

// (caller, C, state ..., new parameters ...) -> (status)
ffi::Error Publish(ffi::AnyBuffer caller, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const Caller me(caller);
  Store* store = me.store;
  Worker* worker = me.worker;
  Meeting& meeting = store->meeting;
  Snapshot next{store->params_pool.Take(), store->states_pool.Take()};
  CopyIn(next.state->bytes.data(), args, 1, store->state_leaves);
  const int64_t nonfinite = CopyInLooking(next.params->bytes.data(), args, 1 + store->state_leaves, store->param_leaves);
  const int64_t version = worker->answer.version + 1;
  next.state->version = next.params->version = version;
  worker->answer.tries = 1;
  worker->answer.factor = Number(Arg(args, 0));
  {
    std::lock_guard<std::mutex> held(store->mutex);
    NoteFinite(store, worker, nonfinite, version - 1, store->current.params);
    std::swap(store->current, next);
    meeting.factor = worker->answer.factor;
    for (Worker& member : store->workers) member.in_flight = -1;
    meeting.published = version;
    meeting.changed.notify_all();
  }
  worker->base = Snapshot();
  worker->answer.status = worker->status = kDone;
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = kDone;
  ++worker->answer.attempts;  // after it Python may go on, and free all this
  return ffi::Error::Success();
}

}  // namespace
}  // namespace jasgd

#endif  // JASGD_SYNCHRONOUS_H_

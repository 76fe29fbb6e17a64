// The shared parameters as XLA's foreign functions see them, for the experiment of foreign_loops.py.
//
// A worker's whole loop is one compiled function, in which nothing of Python runs. Each round calls ReadParameters and
// computes the gradient; BeginCommit then tells its staleness, the transformation is applied, and EndCommit publishes.
// The optimizer state goes through the store as well, since the law is learned from the staleness of all workers. Each
// function takes a number that the one before gave, which is what keeps XLA from reordering them.

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

enum class Scheme { kLocked = 0, kHogwild = 1, kLeashed = 2 };

struct Snapshot {
  std::vector<char> params, state;
  int64_t version = 0;
};
using Held = std::shared_ptr<Snapshot>;

struct Store {
  Scheme scheme;
  size_t param_leaves, state_leaves;
  size_t param_bytes, state_bytes;
  int64_t limit;                    // commits that are taken
  std::atomic<int64_t> tickets{0};
  std::atomic<int64_t> version{0};  // commits; under Hogwild! claims
  std::atomic<int64_t> tries{0};
  std::mutex mutex;                 // locked: of everything; leashed: of the references below, never of a copy
  Held current;                     // locked and Hogwild!: changed in place, never replaced
  std::vector<Held> retired;        // leashed: no longer current, used again once nobody reads them
  std::vector<Held> bases;          // leashed: by worker, what its attempt is computed on
  std::vector<int32_t> staleness;   // by version
};

Store* Of(int64_t address) { return reinterpret_cast<Store*>(address); }

int32_t& Number(ffi::RemainingRets& rets, size_t i) { return *(*rets.get<ffi::AnyBuffer>(i))->typed_data<int32_t>(); }
int32_t Number(const ffi::RemainingArgs& args, size_t i) { return *args.get<ffi::AnyBuffer>(i)->typed_data<int32_t>(); }

void CopyOut(const std::vector<char>& from, ffi::RemainingRets& to, size_t first, size_t count) {
  const char* at = from.data();
  for (size_t i = first; i < first + count; ++i) {
    auto leaf = *to.get<ffi::AnyBuffer>(i);
    std::memcpy(leaf->untyped_data(), at, leaf->size_bytes());
    at += leaf->size_bytes();
  }
}

void CopyIn(std::vector<char>& to, const ffi::RemainingArgs& from, size_t first, size_t count) {
  char* at = to.data();
  for (size_t i = first; i < first + count; ++i) {
    auto leaf = *from.get<ffi::AnyBuffer>(i);
    std::memcpy(at, leaf.untyped_data(), leaf.size_bytes());
    at += leaf.size_bytes();
  }
}

void AddIn(std::vector<char>& to, const ffi::RemainingArgs& from, size_t first, size_t count) {
  float* sum = reinterpret_cast<float*>(to.data());
  for (size_t i = first; i < first + count; ++i) {
    auto leaf = *from.get<ffi::AnyBuffer>(i);
    const float* update = leaf.typed_data<float>();
    const size_t size = leaf.element_count();
    for (size_t j = 0; j < size; ++j) sum[j] += update[j];
    sum += size;
  }
}

Held Current(Store* store) {
  std::lock_guard<std::mutex> held(store->mutex);
  return store->current;
}

Held Spare(Store* store) {
  std::lock_guard<std::mutex> held(store->mutex);
  for (auto& snapshot : store->retired) {
    if (snapshot.use_count() == 1) {  // the list's own: who does not hold it by now cannot come to
      Held spare = std::move(snapshot);
      snapshot = std::move(store->retired.back());
      store->retired.pop_back();
      return spare;
    }
  }
  auto fresh = std::make_shared<Snapshot>();
  fresh->params.resize(store->param_bytes);
  fresh->state.resize(store->state_bytes);
  return fresh;
}

// (any number) -> (ticket, version, parameters ...)
ffi::Error Read(int64_t address, ffi::RemainingArgs, ffi::RemainingRets rets) {
  Store* store = Of(address);
  Number(rets, 0) = static_cast<int32_t>(store->tickets.fetch_add(1));
  if (store->scheme == Scheme::kLeashed) {
    const Held base = Current(store);
    Number(rets, 1) = static_cast<int32_t>(base->version);
    CopyOut(base->params, rets, 2, store->param_leaves);
    return ffi::Error::Success();
  }
  std::unique_lock<std::mutex> held(store->mutex, std::defer_lock);
  if (store->scheme == Scheme::kLocked) held.lock();
  Number(rets, 1) = static_cast<int32_t>(store->version.load());
  CopyOut(store->current->params, rets, 2, store->param_leaves);
  return ffi::Error::Success();
}

// (version read, any number, loss, gradient ...) -> (version, staleness, state ..., under Leashed-SGD parameters ...)
ffi::Error Begin(int64_t address, int64_t worker, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  Store* store = Of(address);
  int64_t version;
  Held base;
  if (store->scheme == Scheme::kLeashed) {
    base = Current(store);
    version = base->version;
    CopyOut(base->params, rets, 2 + store->state_leaves, store->param_leaves);
  } else if (store->scheme == Scheme::kLocked) {
    store->mutex.lock();  // until EndCommit: the step size depends on a staleness that must not change
    version = store->version.load();
  } else {
    version = store->version.fetch_add(1);
  }
  CopyOut((base ? base : store->current)->state, rets, 2, store->state_leaves);
  store->bases[worker] = std::move(base);
  Number(rets, 0) = static_cast<int32_t>(version);
  Number(rets, 1) = static_cast<int32_t>(version) - Number(args, 0);
  return ffi::Error::Success();
}

// (version, staleness, state ..., update ... or under Leashed-SGD new parameters ...) -> (whether done, commits)
ffi::Error End(int64_t address, int64_t worker, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  Store* store = Of(address);
  const int32_t version = Number(args, 0), tau = Number(args, 1);
  const bool open = version < store->limit;
  const size_t first = 2, params = first + store->state_leaves;
  store->tries.fetch_add(1);
  Number(rets, 0) = 1;
  if (store->scheme == Scheme::kLeashed) {
    Held next = Spare(store);
    CopyIn(next->state, args, first, store->state_leaves);
    CopyIn(next->params, args, params, store->param_leaves);
    next->version = version + 1;
    const Held base = std::move(store->bases[worker]);
    std::lock_guard<std::mutex> held(store->mutex);
    if (open && store->current == base) {
      store->staleness[version] = tau;
      std::swap(store->current, next);
      store->version.store(version + 1);
    } else {
      Number(rets, 0) = !open;
    }
    store->retired.push_back(std::move(next));
  } else {
    if (open) {
      store->staleness[version] = tau;
      AddIn(store->current->params, args, params, store->param_leaves);
      CopyIn(store->current->state, args, first, store->state_leaves);
    }
    if (store->scheme == Scheme::kLocked) {
      if (open) store->version.store(version + 1);
      store->mutex.unlock();
    }
  }
  Number(rets, 1) = static_cast<int32_t>(store->version.load());
  return ffi::Error::Success();
}

}  // namespace

#define WITH_STORE xla::ffi::Ffi::Bind().Attr<int64_t>("store")
XLA_FFI_DEFINE_HANDLER_SYMBOL(ReadParameters, Read, WITH_STORE.RemainingArgs().RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(BeginCommit, Begin, WITH_STORE.Attr<int64_t>("worker").RemainingArgs().RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(EndCommit, End, WITH_STORE.Attr<int64_t>("worker").RemainingArgs().RemainingRets());

extern "C" {

int64_t MakeStore(int scheme, int64_t workers, int64_t limit, int64_t param_leaves, const char* params,
                  int64_t param_bytes, int64_t state_leaves, const char* state, int64_t state_bytes) {
  auto* store = new Store;
  store->scheme = static_cast<Scheme>(scheme);
  store->param_leaves = param_leaves;
  store->state_leaves = state_leaves;
  store->param_bytes = param_bytes;
  store->state_bytes = state_bytes;
  store->limit = limit;
  store->bases.resize(workers);
  store->staleness.resize(limit);
  store->current = std::make_shared<Snapshot>();
  store->current->params.assign(params, params + param_bytes);
  store->current->state.assign(state, state + state_bytes);
  return reinterpret_cast<int64_t>(store);
}

// Back to version 0, with the parameters and the state as given; nobody may be at work.
void Restart(int64_t address, const char* params, const char* state) {
  Store* store = Of(address);
  store->tickets = store->version = store->tries = 0;
  store->current->version = 0;
  std::memcpy(store->current->params.data(), params, store->param_bytes);
  std::memcpy(store->current->state.data(), state, store->state_bytes);
  std::fill(store->staleness.begin(), store->staleness.end(), -1);
}

int64_t Tries(int64_t address) { return Of(address)->tries.load(); }
const int32_t* Staleness(int64_t address) { return Of(address)->staleness.data(); }
const char* Parameters(int64_t address) { return Of(address)->current->params.data(); }
}

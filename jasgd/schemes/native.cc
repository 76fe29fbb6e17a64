// The shared parameters as XLA sees them: reading and committing as functions that a compiled round calls itself.
//
// A round is one compiled function: JasgdRead, the gradient, JasgdBegin, the transformation, JasgdEnd. What differs
// between the schemes is in these three. Begin tells the staleness and hands out what the update is computed on; End
// publishes. A round that was not committed, as another came first or held the lock, leaves its gradient with its
// worker, and a second compiled function, JasgdRecall, Begin, the transformation, End, tries again.
//
// Parameters and states that are handed out never change: they are replaced, and their memory is used again once no
// worker holds it. Only Hogwild!'s parameters are changed in place. XLA may run a function in its pool, whose threads
// all workers share, so nothing here waits in a thread that is no worker's own.

#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace {

enum Scheme : int32_t { kLocked, kHogwild, kLeashed };
enum Status : int32_t { kDone, kLost, kBusy, kStale, kClosed, kNonfinite, kOpen };  // as in native.py

// What Python reads of a round; the layout is that of native.py.
struct Told {
  int64_t attempts = 0, status = 0;  // attempts that have ended, and how the last one did
  int64_t version_read = 0, version = 0, staleness = 0, tries = 0;
  double loss = 0, factor = 0, read_s = 0, computed_s = 0;
};

struct Block {
  std::vector<char> bytes;
  int64_t version = 0;  // of parameters; of a state the commits that are contained in it
};
using Held = std::shared_ptr<Block>;

struct Snapshot {
  Held params, state;
};

// Blocks of one size. Whoever holds none cannot come to hold one that only this object holds.
class Pool {
 public:
  explicit Pool(size_t bytes) : bytes_(bytes) {}

  Held Take() {
    std::lock_guard<std::mutex> held(mutex_);
    for (Held& block : all_) {
      if (block.use_count() == 1) {
        std::atomic_thread_fence(std::memory_order_acquire);  // behind the reads of whoever let go of it
        return block;
      }
    }
    all_.push_back(std::make_shared<Block>());
    all_.back()->bytes.resize(bytes_);
    return all_.back();
  }

  Held Copy(const char* from) {
    Held block = Take();
    if (bytes_ > 0) std::memcpy(block->bytes.data(), from, bytes_);
    return block;
  }

 private:
  size_t bytes_;
  std::mutex mutex_;
  std::vector<Held> all_;
};

// A mutex that another thread than the one that has locked it may unlock.
class Gate {
 public:
  bool TryLock() {
    std::lock_guard<std::mutex> held(mutex_);
    return !taken_ && (taken_ = true);
  }
  void Lock() {
    std::unique_lock<std::mutex> held(mutex_);
    free_.wait(held, [this] { return !taken_; });
    taken_ = true;
  }
  void Unlock() {
    {
      std::lock_guard<std::mutex> held(mutex_);
      taken_ = false;
    }
    free_.notify_one();
  }

 private:
  std::mutex mutex_;
  std::condition_variable free_;
  bool taken_ = false;
};

// What one worker is at; only the functions that its own rounds call touch it.
struct Worker {
  Told told;
  Status status = kClosed;
  Held view;                // what its gradient is computed on
  Snapshot base;            // what its update is computed on
  bool has_gate = false;
  std::atomic<int64_t> claimed{-1};  // Hogwild!: the version of an add that is under way
  std::vector<char> kept;   // loss and gradient of an attempt that was not committed
};

struct Store {
  Store(size_t param_bytes, size_t state_bytes, int64_t count)
      : params_pool(param_bytes), states_pool(state_bytes), workers(count) {}

  Scheme scheme;
  int64_t limit, max_staleness;  // -1 for none
  bool gives_params, is_double;  // whether Begin gives parameters; whether Hogwild!'s are double
  size_t param_leaves, state_leaves;
  Pool params_pool, states_pool;
  std::atomic<bool> closed{false};
  Gate gate;          // locked: from Begin to End
  std::mutex mutex;   // of the references and numbers below; nothing is copied or computed under it
  Snapshot current;   // Hogwild!: the state alone is replaced
  Held good;          // newest parameters that a finite loss was computed on
  int64_t claimed = 0, finished = 0, overlapped_reads = 0;  // Hogwild!'s
  std::vector<Worker> workers;
};

thread_local bool is_workers_own = false;

double Now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

// (address, worker, whether losses must be finite), in int32s
struct Who {
  explicit Who(const ffi::AnyBuffer& given) {
    const int32_t* numbers = reinterpret_cast<const int32_t*>(given.untyped_data());
    const uint64_t low = static_cast<uint32_t>(numbers[0]), high = static_cast<uint32_t>(numbers[1]);
    store = reinterpret_cast<Store*>(high << 32 | low);
    worker = &store->workers[numbers[2]];
    check_finite = numbers[3] != 0;
  }
  Store* store;
  Worker* worker;
  bool check_finite;
};

ffi::AnyBuffer Arg(const ffi::RemainingArgs& args, size_t i) { return *args.get<ffi::AnyBuffer>(i); }
ffi::AnyBuffer Ret(const ffi::RemainingRets& rets, size_t i) { return **rets.get<ffi::AnyBuffer>(i); }

double Number(const ffi::AnyBuffer& given) {
  return given.element_type() == ffi::DataType::F64 ? *reinterpret_cast<const double*>(given.untyped_data())
                                                    : *reinterpret_cast<const float*>(given.untyped_data());
}

// From memory to results first, first + 1, ..., first + count - 1; returns the end of what was read.
const char* CopyOut(const char* from, const ffi::RemainingRets& to, size_t first, size_t count) {
  for (size_t i = first; i < first + count; ++i) {
    const ffi::AnyBuffer leaf = Ret(to, i);
    if (leaf.size_bytes() > 0) std::memcpy(leaf.untyped_data(), from, leaf.size_bytes());
    from += leaf.size_bytes();
  }
  return from;
}

void CopyIn(char* to, const ffi::RemainingArgs& from, size_t first, size_t count) {
  for (size_t i = first; i < first + count; ++i) {
    const ffi::AnyBuffer leaf = Arg(from, i);
    if (leaf.size_bytes() > 0) std::memcpy(to, leaf.untyped_data(), leaf.size_bytes());
    to += leaf.size_bytes();
  }
}

// Component by component and without a lock, as the scheme is: others may read and add meanwhile.
template <typename T>
void AddIn(char* to, const ffi::RemainingArgs& from, size_t first, size_t count) {
  T* sum = reinterpret_cast<T*>(to);
  for (size_t i = first; i < first + count; ++i) {
    const ffi::AnyBuffer leaf = Arg(from, i);
    const T* update = reinterpret_cast<const T*>(leaf.untyped_data());
    const size_t size = leaf.element_count();
    for (size_t j = 0; j < size; ++j) sum[j] += update[j];
    sum += size;
  }
}

Snapshot Current(Store* store) {
  std::lock_guard<std::mutex> held(store->mutex);
  return store->current;
}

bool IsOver(const Store* store, int64_t version) {
  return store->closed.load() || (store->limit >= 0 && version >= store->limit);
}

Held View(Store* store, Worker* worker) {
  Told& told = worker->told;
  if (store->scheme == kHogwild) {
    int64_t version;
    bool adding;
    {
      std::lock_guard<std::mutex> held(store->mutex);
      version = store->claimed;
      adding = store->claimed != store->finished;
    }
    Held copy = store->params_pool.Copy(store->current.params->bytes.data());
    std::lock_guard<std::mutex> held(store->mutex);
    store->overlapped_reads += adding || store->claimed != version;
    copy->version = told.version_read = version;
    return copy;
  }
  const bool waits = store->scheme == kLocked && is_workers_own;  // else it reads what was there before
  if (waits) store->gate.Lock();
  Held params = Current(store).params;
  if (waits) store->gate.Unlock();
  told.version_read = params->version;
  return params;
}

// (who) -> (number, parameters ...)
ffi::Error Read(ffi::AnyBuffer who, ffi::RemainingRets rets) {
  const Who me(who);
  Worker* worker = me.worker;
  worker->view = View(me.store, worker);
  worker->told.tries = 0;
  worker->told.computed_s = 0;
  CopyOut(worker->view->bytes.data(), rets, 1, me.store->param_leaves);
  worker->told.read_s = Now();
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = 0;
  return ffi::Error::Success();
}

// (who) -> (number, loss, gradient ..., parameters read ... where they are asked for)
ffi::Error Recall(ffi::AnyBuffer who, ffi::RemainingRets rets) {
  const Who me(who);
  const size_t end = 2 + me.store->param_leaves;
  CopyOut(me.worker->kept.data(), rets, 1, end - 1);
  if (rets.size() > end) CopyOut(me.worker->view->bytes.data(), rets, end, me.store->param_leaves);
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = 0;
  return ffi::Error::Success();
}

Status Opened(Store* store, Worker* worker, bool check_finite) {
  Told& told = worker->told;
  told.staleness = 0;  // where it is not opened, which is no number to compute with
  if (check_finite && !std::isfinite(told.loss)) return kNonfinite;
  if (check_finite) {
    std::lock_guard<std::mutex> held(store->mutex);
    if (!store->good || worker->view->version > store->good->version) store->good = worker->view;
  }
  if (store->scheme == kLocked && !worker->has_gate) {
    if (is_workers_own) {
      store->gate.Lock();  // until End: the step size depends on a staleness that must not change
    } else if (!store->gate.TryLock()) {
      return kBusy;
    }
    worker->has_gate = true;
  }
  std::lock_guard<std::mutex> held(store->mutex);
  worker->base = store->current;
  told.version = store->scheme == kHogwild ? store->claimed : worker->base.params->version;
  if (IsOver(store, told.version)) return kClosed;
  told.staleness = told.version - told.version_read;
  if (store->max_staleness >= 0 && told.staleness > store->max_staleness) return kStale;
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

// (who, number, loss as float or double, loss, gradient ...) ->
//   (staleness, loss, gradient ..., state ..., parameters ... where they are asked for)
ffi::Error Begin(ffi::AnyBuffer who, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const Who me(who);
  Store* store = me.store;
  Worker* worker = me.worker;
  const size_t grads = store->param_leaves + 1, state = grads + 1, params = state + store->state_leaves;
  if (worker->told.computed_s == 0) worker->told.computed_s = Now();  // not again where it tries again
  worker->told.loss = Number(Arg(args, 1));
  worker->status = Opened(store, worker, me.check_finite);
  const Snapshot base = worker->status == kOpen ? worker->base : Current(store);
  if (worker->status != kOpen) LetGo(store, worker);
  for (size_t i = 0; i < grads; ++i) {  // the same memory, but where XLA would not have it so
    const ffi::AnyBuffer from = Arg(args, 2 + i), to = Ret(rets, 1 + i);
    if (from.untyped_data() != to.untyped_data()) std::memcpy(to.untyped_data(), from.untyped_data(), from.size_bytes());
  }
  CopyOut(base.state->bytes.data(), rets, state, store->state_leaves);
  if (store->gives_params) CopyOut(base.params->bytes.data(), rets, params, store->param_leaves);
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = static_cast<int32_t>(worker->told.staleness);
  return ffi::Error::Success();
}

Status Published(Store* store, Worker* worker, const ffi::RemainingArgs& args, size_t state, size_t params) {
  const int64_t version = worker->told.version;
  const Snapshot base = worker->base;
  Snapshot next{nullptr, store->states_pool.Take()};
  CopyIn(next.state->bytes.data(), args, state, store->state_leaves);
  next.state->version = base.state->version + 1;
  if (store->scheme == kHogwild) {
    {
      std::lock_guard<std::mutex> held(store->mutex);
      store->current.state.swap(next.state);
    }
    const auto add = store->is_double ? AddIn<double> : AddIn<float>;
    add(base.params->bytes.data(), args, params, store->param_leaves);
    std::lock_guard<std::mutex> held(store->mutex);
    ++store->finished;
    worker->claimed = -1;
    return kDone;
  }
  next.params = store->params_pool.Take();
  CopyIn(next.params->bytes.data(), args, params, store->param_leaves);
  next.params->version = version + 1;
  std::lock_guard<std::mutex> held(store->mutex);
  if (store->scheme == kLeashed) {  // with the gate nobody can have come between
    if (IsOver(store, store->current.params->version)) return kClosed;
    if (store->current.params != base.params) return kLost;
  }
  std::swap(store->current, next);
  return kDone;
}

// (who, C, loss, gradient ..., state ..., new parameters ..., of Hogwild! the update) -> (status)
ffi::Error End(ffi::AnyBuffer who, ffi::RemainingArgs args, ffi::RemainingRets rets) {
  const Who me(who);
  Store* store = me.store;
  Worker* worker = me.worker;
  const size_t state = store->param_leaves + 2;
  if (worker->status == kOpen) {
    ++worker->told.tries;
    worker->told.factor = Number(Arg(args, 0));
    worker->status = Published(store, worker, args, state, state + store->state_leaves);
    LetGo(store, worker);
  }
  if (worker->status == kLost || worker->status == kBusy) {
    size_t bytes = 0;
    for (size_t i = 1; i < state; ++i) bytes += Arg(args, i).size_bytes();
    worker->kept.resize(bytes);
    CopyIn(worker->kept.data(), args, 1, state - 1);
  }
  worker->told.status = worker->status;
  ++worker->told.attempts;
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = worker->status;
  return ffi::Error::Success();
}

}  // namespace

#define JASGD_WHO xla::ffi::Ffi::Bind().Arg<xla::ffi::AnyBuffer>()
XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdRead, Read, JASGD_WHO.RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdRecall, Recall, JASGD_WHO.RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdBegin, Begin, JASGD_WHO.RemainingArgs().RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdEnd, End, JASGD_WHO.RemainingArgs().RemainingRets());

// What Python calls. A worker's number is below that of workers; addresses are those of stores that were not freed.
extern "C" {

void* JasgdMake(int32_t scheme, int64_t workers, int64_t limit, int64_t max_staleness, int32_t gives_params,
                int32_t is_double, int64_t param_leaves, const char* params, int64_t param_bytes,
                int64_t state_leaves, const char* state, int64_t state_bytes) {
  auto* store = new Store(param_bytes, state_bytes, workers);
  store->scheme = static_cast<Scheme>(scheme);
  store->limit = limit;
  store->max_staleness = max_staleness;
  store->gives_params = gives_params != 0;
  store->is_double = is_double != 0;
  store->param_leaves = param_leaves;
  store->state_leaves = state_leaves;
  store->current = {store->params_pool.Copy(params), store->states_pool.Copy(state)};
  return store;
}

void JasgdFree(void* store) { delete static_cast<Store*>(store); }

void* JasgdTold(void* store, int64_t worker) { return &static_cast<Store*>(store)->workers[worker].told; }

double JasgdNow() { return Now(); }

void JasgdClose(void* store) { static_cast<Store*>(store)->closed = true; }

// Says that the calling thread is a worker's own, in which functions may wait for the gate.
void JasgdEnter() { is_workers_own = true; }

// Waits for the gate, which is the worker's until the end of its next attempt.
void JasgdWait(void* address, int64_t worker) {
  auto* store = static_cast<Store*>(address);
  store->gate.Lock();
  store->workers[worker].has_gate = true;
}

// Gives up what the worker has begun, where its round has raised: whoever waits for the gate goes on.
void JasgdAbandon(void* address, int64_t worker) {
  auto* store = static_cast<Store*>(address);
  LetGo(store, &store->workers[worker]);
}

// What one worker reads, and the version of it.
int64_t JasgdView(void* address, int64_t number, char* params) {
  auto* store = static_cast<Store*>(address);
  Worker* worker = &store->workers[number];
  worker->view = View(store, worker);
  worker->told.read_s = Now();
  std::memcpy(params, worker->view->bytes.data(), worker->view->bytes.size());
  return worker->told.version_read;
}

// A gradient that the worker has computed itself, for JasgdRecall: its loss and its leaves behind one another.
void JasgdOffer(void* address, int64_t number, int64_t version_read, const char* bytes, int64_t size) {
  Worker* worker = &static_cast<Store*>(address)->workers[number];
  worker->told.version_read = version_read;
  worker->told.tries = 0;
  worker->told.computed_s = 0;
  worker->kept.assign(bytes, bytes + size);
}

// Parameters and state now; the version of them.
int64_t JasgdSnapshot(void* address, char* params, char* state) {
  auto* store = static_cast<Store*>(address);
  Snapshot now;
  int64_t version;
  {
    std::lock_guard<std::mutex> held(store->mutex);
    now = store->current;
    version = store->scheme == kHogwild ? store->claimed : now.params->version;
  }
  std::memcpy(params, now.params->bytes.data(), now.params->bytes.size());
  if (!now.state->bytes.empty()) std::memcpy(state, now.state->bytes.data(), now.state->bytes.size());
  return version;
}

// The newest parameters that a finite loss was computed on, and their version; -1 where there are none.
int64_t JasgdGood(void* address, char* params) {
  auto* store = static_cast<Store*>(address);
  Held good;
  {
    std::lock_guard<std::mutex> held(store->mutex);
    good = store->good;
  }
  if (!good) return -1;
  std::memcpy(params, good->bytes.data(), good->bytes.size());
  return good->version;
}

int64_t JasgdVersion(void* address) { return Current(static_cast<Store*>(address)).params->version; }

// Hogwild!'s reads during which an add was under way, and updates of the state that were overwritten.
void JasgdCounters(void* address, int64_t* overlapped_reads, int64_t* lost_state_updates) {
  auto* store = static_cast<Store*>(address);
  std::lock_guard<std::mutex> held(store->mutex);
  *overlapped_reads = store->overlapped_reads;
  *lost_state_updates = store->finished - store->current.state->version;
}

// The version that a worker's add is under way at, -1 for none.
int64_t JasgdClaimed(void* address, int64_t worker) { return static_cast<Store*>(address)->workers[worker].claimed; }

}

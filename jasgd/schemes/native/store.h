// The shared parameters, and what the functions that XLA calls have in common.
//
// Parameters and states that are handed out never change: they are replaced, and their memory is used again once no
// worker holds it. Only Hogwild!'s parameters are changed in place. XLA may run a function in its pool, whose threads
// all workers share, so nothing that XLA calls waits in a thread that is no worker's own.

#ifndef JASGD_STORE_H_
#define JASGD_STORE_H_

#ifdef __APPLE__
#include <mach/mach_time.h>
#endif
#include <time.h>

#include <atomic>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "finite.h"
#include "xla/ffi/api/ffi.h"

namespace ffi = xla::ffi;

namespace jasgd {
namespace {

enum Scheme : int32_t { kLocked, kHogwild, kLeashed, kSynchronous };
enum Status : int32_t { kDone, kLost, kBusy, kStale, kClosed, kNonfinite, kOpen, kHandedIn };  // as in store.py

// What Python reads of a round; the layout is that of store.py.
struct Answer {
  std::atomic<int64_t> attempts{0};  // that have ended
  int64_t status = 0;                // how the last one did
  int64_t version_read = 0, version = 0, staleness = 0, tries = 0;
  double loss = 0, factor = 0, read_s = 0, computed_s = 0;
  int64_t ticket = 0;  // of the batch; Python writes it, where the order of the gradients matters
  int64_t nonfinite = -1;  // the first leaf that the commit made not finite, -1 for none
  double waited_s = 0;     // synchronous: how long the read waited for the update
};

struct Block {
  std::vector<char> bytes;
  int64_t version = 0;  // of parameters; of a state the commits that are contained in it
};
using Held = std::shared_ptr<Block>;

struct Snapshot {
  Held params, state;
};

// Blocks of one size. A thread that holds none cannot come to hold one that only this object holds.
class Pool {
 public:
  explicit Pool(size_t bytes) : bytes_(bytes) {}

  Held Take() {
    std::lock_guard<std::mutex> held(mutex_);
    for (Held& block : all_) {
      if (block.use_count() == 1) {
        std::atomic_thread_fence(std::memory_order_acquire);  // after the reads of the thread that let go of it
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

// A mutex that another thread than the one that has locked it may unlock. A thread that finds it locked looks again
// for a while before it sleeps, which is worth it where its holder has a processor: to be woken takes longer than an update.
class Gate {
 public:
  explicit Gate(bool looks_again) : looks_for_(looks_again ? 50 : 0) {}

  bool TryLock() { return !taken_ && !taken_.exchange(true); }

  void Lock() {
    for (const auto until = std::chrono::steady_clock::now() + looks_for_; !TryLock();) {
      if (std::chrono::steady_clock::now() < until) continue;
      std::unique_lock<std::mutex> held(mutex_);
      ++sleepers_;
      free_.wait(held, [this] { return TryLock(); });
      --sleepers_;
      return;
    }
  }

  void Unlock() {
    taken_ = false;
    if (sleepers_ == 0) return;
    { std::lock_guard<std::mutex> held(mutex_); }  // so that no thread is between finding it locked and going to sleep
    free_.notify_one();
  }

 private:
  const std::chrono::microseconds looks_for_;
  std::atomic<bool> taken_{false};
  std::atomic<int64_t> sleepers_{0};
  std::mutex mutex_;
  std::condition_variable free_;
};

// A gradient that was handed in, as synchronous.py reads it.
struct Member {
  int64_t worker, ticket;
  double loss;
};

// What one worker is at; only the functions that its own rounds call touch it.
struct Worker {
  Answer answer;
  Status status = kClosed;
  Held view;                // what its gradient is computed on
  Snapshot base;            // what its update is computed on
  bool has_gate = false;
  std::atomic<int64_t> claimed{-1};  // Hogwild!: the version of an add that is under way
  std::vector<char> kept;   // loss and gradient of an attempt that was not committed, or that waits for others
  Member member{};          // synchronous: what it has handed in, also while Python writes the next ticket
  bool has_kept = false;    // synchronous: whether they are those of the newest gradient
  std::atomic<int64_t> begun{-1};      // synchronous: the version of its newest round
  std::atomic<int64_t> awaits{0};      // synchronous: the version that comes of the gradient that it has handed in
  std::atomic<int64_t> in_flight{-1};  // synchronous: the version of a gradient that is in no commit, -1 for none
};


// Synchronous: where the workers of a round meet. The atomics change under the store's mutex; waiting looks at them.
struct Meeting {
  explicit Meeting(size_t workers) : members(workers) {}

  std::atomic<int64_t> published{0};  // version of what is current
  int64_t arrived = 0;                // workers that have handed in a gradient, and wait for others
  double factor = 0;                  // of what is current
  std::vector<const Worker*> order;   // the workers of the last round that met, by ticket
  std::vector<Member> members;        // their gradients, likewise
  std::condition_variable changed;
};

struct Store {
  Store(size_t param_bytes, size_t state_bytes, int64_t count, bool looks)
      : looks_again(looks), params_pool(param_bytes), states_pool(state_bytes), gate(looks), meeting(count),
        workers(count) {}

  Scheme scheme;
  const bool looks_again;        // whether a thread that waits does not sleep at once, as each worker has a processor
  int64_t limit, max_staleness;  // -1 for none
  bool gives_params, is_double;  // whether Begin gives parameters; whether Hogwild!'s are double
  bool copies_locked;            // locked: whether a read has the gate while it copies, or for the reference alone
  size_t param_leaves, state_leaves;
  Pool params_pool, states_pool;
  std::atomic<bool> closed{false};
  Gate gate;          // locked: from Begin to End
  Meeting meeting;    // synchronous
  std::mutex mutex;   // of the references and numbers below; nothing is copied or computed under it
  Snapshot current;   // Hogwild!: the state alone is replaced
  Held good;          // newest parameters that a finite loss was computed on, and no commit had made not finite
  int64_t first_nonfinite = INT64_MAX;  // the lowest version whose commit has made parameters not finite
  int64_t claimed = 0, finished = 0, overlapped_reads = 0;  // Hogwild!'s
  bool pauses = false;              // Hogwild!: whether commits wait before they claim a version
  std::condition_variable goes_on;  // when that ends
  std::vector<Worker> workers;
};

thread_local bool is_workers_own = false;

// The clock of Python's time.perf_counter, under the name that Python has for it, and in the same steps to seconds, so
// that times of both are in the order in which they were read.
#ifdef __APPLE__
constexpr char kClock[] = "mach_absolute_time()";

int64_t Nanoseconds() {
  static const mach_timebase_info_data_t base = [] {
    mach_timebase_info_data_t found;
    mach_timebase_info(&found);
    return found;
  }();
  const uint64_t ticks = mach_absolute_time();
  return static_cast<int64_t>(ticks / base.denom * base.numer + ticks % base.denom * base.numer / base.denom);
}
#else
constexpr char kClock[] = "clock_gettime(CLOCK_MONOTONIC)";

int64_t Nanoseconds() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}
#endif

double Now() {
  const int64_t now = Nanoseconds(), second = 1000000000;
  return now % second == 0 ? static_cast<double>(now / second) : static_cast<double>(now) / 1e9;
}

// (address, worker, whether losses must be finite), in int32s
struct Caller {
  explicit Caller(const ffi::AnyBuffer& given) {
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

// From memory to results first, first + 1, ..., first + count - 1.
void CopyOut(const char* from, const ffi::RemainingRets& to, size_t first, size_t count) {
  for (size_t i = first; i < first + count; ++i) {
    const ffi::AnyBuffer leaf = Ret(to, i);
    if (leaf.size_bytes() > 0) std::memcpy(leaf.untyped_data(), from, leaf.size_bytes());
    from += leaf.size_bytes();
  }
}

// Like CopyIn, and looks at the numbers on their way: the first leaf with one that is not finite, or -1.
int64_t CopyInLooking(char* to, const ffi::RemainingArgs& from, size_t first, size_t count) {
  int64_t nonfinite = -1;
  for (size_t i = 0; i < count; ++i) {
    const ffi::AnyBuffer leaf = Arg(from, first + i);
    const bool finite = CopyFinite(to, leaf.untyped_data(), leaf.element_count(), KindOf(leaf.element_type()));
    if (!finite && nonfinite < 0) nonfinite = i;
    to += leaf.size_bytes();
  }
  return nonfinite;
}

void CopyIn(char* to, const ffi::RemainingArgs& from, size_t first, size_t count) {
  for (size_t i = first; i < first + count; ++i) {
    const ffi::AnyBuffer leaf = Arg(from, i);
    if (leaf.size_bytes() > 0) std::memcpy(to, leaf.untyped_data(), leaf.size_bytes());
    to += leaf.size_bytes();
  }
}

Snapshot Current(Store* store) {
  std::lock_guard<std::mutex> held(store->mutex);
  return store->current;
}

bool IsOver(const Store* store, int64_t version) {
  return store->closed.load() || (store->limit >= 0 && version >= store->limit);
}

// What a worker reads, which lasts as long as it is held.
Held View(Store* store, Worker* worker) {
  Answer& answer = worker->answer;
  if (store->scheme != kHogwild) {
    Held params = Current(store).params;
    answer.version_read = params->version;
    return params;
  }
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
  copy->version = answer.version_read = version;
  return copy;
}

// Remembers what the worker has read, on which its loss is finite.
void NoteGood(Store* store, const Worker* worker) {
  std::lock_guard<std::mutex> held(store->mutex);
  if (worker->view->version > store->first_nonfinite) return;
  if (!store->good || worker->view->version > store->good->version) store->good = worker->view;
}

// Called with the store's mutex held, before what the worker's commit has made can be read: notes whether that is
// finite. ``version`` is that of the commit, or of a later one where others may have added to the same numbers meanwhile.
// ``before`` are parameters from before it, which are good enough where there are none with a finite loss.
void NoteFinite(Store* store, Worker* worker, int64_t nonfinite, int64_t version, const Held& before) {
  worker->answer.nonfinite = nonfinite;
  if (nonfinite < 0 || version >= store->first_nonfinite) return;
  store->first_nonfinite = version;
  if (!store->good || store->good->version > version) store->good = before;
}

// Reads under the lock of the scheme that has one; ``copy`` is called with what is read.
template <typename Copy>
void ReadWith(Store* store, Worker* worker, Copy copy) {
  // A thread of XLA's must not wait, and copies what is current while another thread makes its successor.
  const bool locks = store->scheme == kLocked && is_workers_own;
  if (locks) store->gate.Lock();
  worker->view = View(store, worker);
  if (locks && !store->copies_locked) store->gate.Unlock();
  copy(worker->view->bytes);
  if (locks && store->copies_locked) store->gate.Unlock();
  worker->answer.read_s = Now();
}

// (caller) -> (number, parameters ...)
ffi::Error Read(ffi::AnyBuffer caller, ffi::RemainingRets rets) {
  const Caller me(caller);
  Worker* worker = me.worker;
  worker->answer.tries = 0;
  worker->answer.computed_s = 0;
  worker->answer.nonfinite = -1;
  ReadWith(me.store, worker, [&](const std::vector<char>& bytes) {
    CopyOut(bytes.data(), rets, 1, me.store->param_leaves);
  });
  *reinterpret_cast<int32_t*>(Ret(rets, 0).untyped_data()) = 0;
  return ffi::Error::Success();
}

}  // namespace
}  // namespace jasgd

#endif  // JASGD_STORE_H_

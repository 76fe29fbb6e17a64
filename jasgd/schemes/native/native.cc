// The shared parameters as XLA sees them, reading and committing as functions that a compiled round calls itself; and
// what Python calls.

#include "asynchronous.h"
#include "rows.h"
#include "store.h"
#include "synchronous.h"

using namespace jasgd;

#define JASGD_CALLER xla::ffi::Ffi::Bind().Arg<xla::ffi::AnyBuffer>()
XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdRead, Read, JASGD_CALLER.RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdRecall, Recall, JASGD_CALLER.RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdBegin, Begin, JASGD_CALLER.RemainingArgs().RemainingRets());
XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdEnd, End, JASGD_CALLER.RemainingArgs().RemainingRets());

XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdRows, Gather, JASGD_CALLER.Arg<xla::ffi::AnyBuffer>().RemainingRets());

XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdMeet, Meet, JASGD_CALLER.RemainingArgs().RemainingRets().Attr<int64_t>("slots"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdGathered, Gathered, JASGD_CALLER.RemainingRets().Attr<int64_t>("slots"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(JasgdPublish, Publish, JASGD_CALLER.RemainingArgs().RemainingRets());

// What Python calls. A worker's number is below that of workers; addresses are those of stores that were not freed.
extern "C" {

void* JasgdMake(int32_t scheme, int64_t workers, int64_t limit, int64_t max_staleness, int64_t version,
                int32_t gives_params, int32_t is_double, int32_t looks_again, int32_t copies_locked,
                int64_t param_leaves, const char* params, int64_t param_bytes, int64_t state_leaves, const char* state,
                int64_t state_bytes) {
  auto* store = new Store(param_bytes, state_bytes, workers, looks_again != 0);
  store->scheme = static_cast<Scheme>(scheme);
  store->limit = limit;
  store->max_staleness = max_staleness;
  store->gives_params = gives_params != 0;
  store->is_double = is_double != 0;
  store->copies_locked = copies_locked != 0;
  store->param_leaves = param_leaves;
  store->state_leaves = state_leaves;
  store->current = {store->params_pool.Copy(params), store->states_pool.Copy(state)};
  store->current.params->version = store->current.state->version = version;
  store->claimed = store->finished = store->meeting.claimed = store->meeting.published = version;
  return store;
}

void JasgdFree(void* store) { delete static_cast<Store*>(store); }

void* JasgdAnswer(void* store, int64_t worker) { return &static_cast<Store*>(store)->workers[worker].answer; }

double JasgdNow() { return Now(); }

const char* JasgdClock() { return kClock; }

// The checksum of the sources that a prebuilt library was made of; "" where it was compiled at its place.
#ifndef JASGD_SOURCES
#define JASGD_SOURCES ""
#endif
const char* JasgdSources() { return JASGD_SOURCES; }

// Whether all numbers of so many arrays are finite; see Kind.
int32_t JasgdFinite(int64_t arrays, const void* const* numbers, const int64_t* counts, const int32_t* kinds) {
  for (int64_t i = 0; i < arrays; ++i) {
    if (!AllFinite(numbers[i], counts[i], static_cast<Kind>(kinds[i]))) return 0;
  }
  return 1;
}

// Refuses later commits; a worker that waits for the others of a round that is not decided gives it up.
void JasgdClose(void* address) {
  auto* store = static_cast<Store*>(address);
  std::lock_guard<std::mutex> held(store->mutex);
  store->closed = true;
  if (store->meeting.arrived > 0) Decide(store, kClosed);
  store->meeting.changed.notify_all();
}

// Says that the calling thread is a worker's own, in which functions may wait for the gate.
void JasgdEnter() { is_workers_own = true; }

// Waits for the gate, which is the worker's until the end of its next attempt; of Hogwild! for the end of a pause.
void JasgdWait(void* address, int64_t worker) {
  auto* store = static_cast<Store*>(address);
  if (store->scheme == kHogwild) {
    std::unique_lock<std::mutex> held(store->mutex);
    store->goes_on.wait(held, [store] { return !store->pauses; });
    return;
  }
  store->gate.Lock();
  store->workers[worker].has_gate = true;
}

// Hogwild!: whether commits wait before they claim a version, from now on.
void JasgdPause(void* address, int32_t pauses) {
  auto* store = static_cast<Store*>(address);
  std::lock_guard<std::mutex> held(store->mutex);
  store->pauses = pauses != 0;
  if (!store->pauses) store->goes_on.notify_all();
}

// Hogwild!: commits that have claimed a version, and whose adds are not done.
int64_t JasgdAdding(void* address) {
  auto* store = static_cast<Store*>(address);
  std::lock_guard<std::mutex> held(store->mutex);
  return store->claimed - store->finished;
}

// Waits until what the worker's last round has led to is current.
void JasgdAwait(void* address, int64_t number) {
  auto* store = static_cast<Store*>(address);
  const Worker* worker = &store->workers[number];
  const int64_t version = worker->status == kDone ? worker->answer.version + 1 : 0;
  WaitFor(store, kEver, [&] { return store->meeting.published >= version || store->closed; });
}

// Meets the other workers with the gradient that the worker has kept, for JasgdGathered, which gives ``slots`` of them;
// ``sizes`` are the bytes of a loss and of the leaves of a gradient. Gives the status.
int32_t JasgdGather(void* address, int64_t number, int64_t slots, int64_t parts, const int64_t* sizes,
                    int32_t check_finite) {
  auto* store = static_cast<Store*>(address);
  Worker* worker = &store->workers[number];
  if (check_finite != 0) NoteGood(store, worker);
  worker->given.clear();
  const char* part = worker->kept.data();
  for (int64_t i = 0; i < parts; part += sizes[i++]) worker->given.push_back(part);
  worker->gathered.resize(worker->kept.size() * slots);
  worker->status = Met(store, worker, kEver, [&] {
    char* to = worker->gathered.data();
    for (int64_t slot = 0; slot < slots; ++slot) {
      const Worker* from = Source(store, worker, slot);
      for (int64_t i = 0; i < parts; to += sizes[i++]) std::memcpy(to, from->given[i], sizes[i]);
    }
  });
  return worker->status;
}

// The factor of the update that has the gradient of a worker whose round did not end, if it was published; else NaN.
double JasgdPublished(void* address, int64_t number) {
  auto* store = static_cast<Store*>(address);
  const Worker* worker = &store->workers[number];
  std::lock_guard<std::mutex> held(store->mutex);
  const bool is_in_it = worker->status == kOpen && store->meeting.published == worker->answer.version + 1;
  return is_in_it ? store->meeting.factor : std::nan("");
}

// Workers that wait for the others of their round.
int64_t JasgdArrived(void* address) {
  auto* store = static_cast<Store*>(address);
  std::lock_guard<std::mutex> held(store->mutex);
  return store->meeting.arrived;
}

// Gives up what the worker has begun, where its round has raised: a worker that waits for the gate goes on.
void JasgdAbandon(void* address, int64_t worker) {
  auto* store = static_cast<Store*>(address);
  LetGo(store, &store->workers[worker]);
}

// What one worker reads, and the version of it.
int64_t JasgdView(void* address, int64_t number, char* params) {
  auto* store = static_cast<Store*>(address);
  Worker* worker = &store->workers[number];
  ReadWith(store, worker, [&](const std::vector<char>& bytes) { std::memcpy(params, bytes.data(), bytes.size()); });
  return worker->answer.version_read;
}

// A gradient that the worker has computed itself, for JasgdRecall: its loss and its leaves one after another, and the
// parameters that it was computed on, null where they are not asked for.
void JasgdOffer(void* address, int64_t number, int64_t version_read, double loss, const char* bytes, int64_t size,
                const char* params_read) {
  auto* store = static_cast<Store*>(address);
  Worker* worker = &store->workers[number];
  worker->answer.version_read = version_read;
  worker->answer.loss = loss;
  worker->answer.tries = 0;
  worker->answer.computed_s = 0;
  worker->answer.nonfinite = -1;
  worker->kept.assign(bytes, bytes + size);
  if (params_read != nullptr) {
    worker->view = store->params_pool.Copy(params_read);
    worker->view->version = version_read;
  }
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

// The newest parameters that a finite loss was computed on and no commit had made not finite, or some from before such
// a commit, and their version; -1 where there are none.
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

// The lowest version whose commit has made parameters not finite, of Hogwild! or one before it.
int64_t JasgdFirstNonfinite(void* address) {
  auto* store = static_cast<Store*>(address);
  std::lock_guard<std::mutex> held(store->mutex);
  return store->first_nonfinite;
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

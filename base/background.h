// A thread that does what it is given, in order, while the giver goes on.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

namespace assay {

// Thread-safe. What was posted by one thread is done in the order of posting, and everything that was done
// is visible to whoever returns from wait().
class Background {
 public:
  // post() waits while `most_waiting` pieces of work are waiting.
  explicit Background(size_t most_waiting = 65536);
  // Does what is waiting; a failure that nobody has asked for with wait() is lost.
  ~Background();
  Background(const Background&) = delete;
  Background& operator=(const Background&) = delete;

  // After a failure nothing more is done: what waits and what comes is forgotten.
  void post(std::function<void()> work);
  // Until everything is done. Throws what the work threw first, every time.
  void wait();
  bool failed() const;

 private:
  void run();

  const size_t most_waiting_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> waiting_;
  bool busy_ = false, ending_ = false;
  std::exception_ptr failure_;
  std::thread thread_;
};

}  // namespace assay

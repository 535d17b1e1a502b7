// libFuzzer target: everything the supervisor parses of what a sandboxed process wrote. The same
// properties as frames_test.cpp, over inputs that coverage finds. tests/sandbox/CMakeLists.txt
// builds it where the compiler is Clang: cmake --preset fuzz.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "sandbox/frames.h"

using namespace assay::sandbox;

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

// Frames that come out, joined; fed in pieces of `step` bytes.
std::string frames(std::string_view bytes, size_t step, size_t max_frame, size_t max_total) {
  FrameReader reader(max_frame, max_total);
  std::string all;
  for (size_t at = 0; at < bytes.size(); at += step) {
    reader.feed(bytes.substr(at, step));
    while (const auto frame = reader.next()) {
      require(frame->payload.size() <= max_frame);
      all += make_frame(frame->tag, frame->payload);
    }
  }
  require(all.size() <= bytes.size() && all.size() <= max_total);
  // Nothing but the beginning of what was sent.
  require(bytes.substr(0, all.size()) == all);
  return all;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  // A stream within its limit gives the same frames however it was cut.
  const std::string whole = frames(bytes, size + 1, 64, size);
  require(frames(bytes, 1, 64, size) == whole && frames(bytes, 7, 64, size) == whole);
  frames(bytes, 3, 16, 40);
  for (size_t count = 0; count < 5; ++count) {
    const auto fields = unpack_fields(bytes, count);
    if (!fields) continue;
    require(fields->size() == count);
    if (count == 2) require(pack_fields({(*fields)[0], (*fields)[1]}) == bytes);
    if (count == 4) {
      require(pack_fields({(*fields)[0], (*fields)[1], (*fields)[2], (*fields)[3]}) == bytes);
    }
  }
  return 0;
}

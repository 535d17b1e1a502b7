#include "datasets/pickle.h"

#include <openssl/evp.h>
#include <zlib.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "base/error.h"
#include "base/utf8.h"

namespace assay::datasets {

std::string decode_base64(std::string_view text, const std::string& where) {
  const std::unique_ptr<EVP_ENCODE_CTX, void (*)(EVP_ENCODE_CTX*)> context(EVP_ENCODE_CTX_new(),
                                                                           EVP_ENCODE_CTX_free);
  EVP_DecodeInit(context.get());
  std::vector<unsigned char> out(text.size() / 4 * 3 + 64);
  int body = 0, tail = 0;
  const int status = EVP_DecodeUpdate(context.get(), out.data(), &body,
                                      reinterpret_cast<const unsigned char*>(text.data()),
                                      static_cast<int>(text.size()));
  if (text.size() > INT32_MAX || status < 0 ||
      EVP_DecodeFinal(context.get(), out.data() + body, &tail) != 1) {
    throw_bad_input("not valid base64", where);
  }
  return {reinterpret_cast<const char*>(out.data()), static_cast<size_t>(body + tail)};
}

std::string inflate_zlib(std::string_view bytes, size_t limit, const std::string& where) {
  z_stream stream{};
  if (inflateInit(&stream) != Z_OK) throw_internal("zlib cannot start");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> guard(&stream, inflateEnd);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  std::string out;
  std::vector<char> buffer(1 << 16);
  int status = Z_OK;
  while (status == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    status = inflate(&stream, Z_NO_FLUSH);
    out.append(buffer.data(), buffer.size() - stream.avail_out);
    if (out.size() > limit) throw_bad_input("compressed data is larger than allowed", where);
  }
  if (status != Z_STREAM_END || stream.avail_in != 0) {
    throw_bad_input("zlib data is damaged or truncated", where);
  }
  return out;
}

namespace {

// Opcodes of Lib/pickletools.py that pickle.dumps(str) writes.
class StringPickle {
 public:
  StringPickle(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  std::string read() {
    while (true) {
      const size_t place = at_;
      const uint8_t op = static_cast<uint8_t>(take(1)[0]);
      switch (op) {
        case 0x80:  // PROTO
          if (take(1)[0] > 5) fail("unknown protocol", place);
          break;
        case 0x95:  // FRAME
          take(8);
          break;
        case 'V': {  // UNICODE (protocol 0): raw-unicode-escape up to a newline
          const size_t end = bytes_.find('\n', at_);
          if (end == std::string_view::npos) fail("truncated", place);
          push(raw_unicode_escape(take(end - at_), place), place);
          take(1);
          break;
        }
        case 'X':  // BINUNICODE
          push(take_text(4), place);
          break;
        case 0x8c:  // SHORT_BINUNICODE
          push(take_text(1), place);
          break;
        case 0x8d:  // BINUNICODE8
          push(take_text(8), place);
          break;
        case 0x94:  // MEMOIZE
          break;
        case 'q':  // BINPUT
          take(1);
          break;
        case 'r':  // LONG_BINPUT
          take(4);
          break;
        case 'p': {  // PUT
          const size_t end = bytes_.find('\n', at_);
          if (end == std::string_view::npos) fail("truncated", place);
          take(end - at_ + 1);
          break;
        }
        case '.':  // STOP
          if (!have_) fail("holds no string", place);
          if (at_ != bytes_.size()) fail("bytes after its end", at_);
          return value_;
        default: {
          static constexpr char kHex[] = "0123456789abcdef";
          fail(std::string("opcode 0x") + kHex[op >> 4] + kHex[op & 15] +
                   " is refused: only one pickled string is read",
               place);
        }
      }
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what, size_t place) {
    throw_bad_input("pickle: " + what + " (byte " + std::to_string(place) + ")", where_);
  }
  std::string_view take(size_t n) {
    if (n > bytes_.size() - at_) fail("truncated", at_);
    at_ += n;
    return bytes_.substr(at_ - n, n);
  }
  std::string take_text(size_t length_bytes) {
    uint64_t n = 0;
    const std::string_view bytes = take(length_bytes);
    for (size_t i = length_bytes; i-- > 0;) n = n << 8 | static_cast<uint8_t>(bytes[i]);
    return std::string(take(n));
  }
  void push(std::string text, size_t place) {
    if (have_) fail("holds more than one value", place);
    have_ = true;
    if (!utf8::is_valid(text)) fail("string is not UTF-8", place);
    value_ = std::move(text);
  }
  std::string raw_unicode_escape(std::string_view text, size_t place) {
    std::string out;
    for (size_t i = 0; i < text.size(); ++i) {
      const size_t digits = text[i] != '\\' || i + 1 >= text.size() ? 0
                            : text[i + 1] == 'u'                    ? 4
                            : text[i + 1] == 'U'                    ? 8
                                                                    : 0;
      if (digits == 0) {
        utf8::append(out, static_cast<uint8_t>(text[i]));  // Latin-1
        continue;
      }
      char32_t code = 0;
      if (i + 2 + digits > text.size()) fail("bad character escape", place);
      for (const char c : text.substr(i + 2, digits)) {
        const size_t nibble =
            std::string_view("0123456789abcdef").find(static_cast<char>(c | 0x20));
        if (nibble == std::string_view::npos) fail("bad character escape", place);
        code = code << 4 | static_cast<char32_t>(nibble);
      }
      utf8::append(out, code);
      i += 1 + digits;
    }
    return out;
  }

  std::string_view bytes_;
  const std::string& where_;
  size_t at_ = 0;
  bool have_ = false;
  std::string value_;
};

}  // namespace

std::string unpickle_string(std::string_view bytes, const std::string& where) {
  return StringPickle(bytes, where).read();
}

}  // namespace assay::datasets

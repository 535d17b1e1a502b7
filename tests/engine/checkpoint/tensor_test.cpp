// Element conversion against tables from elsewhere, and the scan for damaged values.
#include "engine/checkpoint/tensor.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/engine/reference_cases.h"

namespace assay::engine::test {
namespace {

TEST(E4m3, DecodesEveryByteAsTheTable) {
  ASSAY_NEED_SHARED("reference/units/e4m3.json");
  const auto document = json::Document::load(kReference / "units/e4m3.json");
  const json::Value decode = document.root().at("decode");
  ASSERT_EQ(decode.size(), 256u);
  for (size_t byte = 0; byte < 256; ++byte) {
    const float mine = e4m3_to_float(static_cast<uint8_t>(byte));
    if (decode[byte].is_null()) {
      EXPECT_TRUE(std::isnan(mine)) << byte;
    } else {
      EXPECT_EQ(static_cast<double>(mine), decode[byte].number()) << byte;
    }
  }
}

TEST(E4m3, EncodesAsTheTable) {
  ASSAY_NEED_SHARED("reference/units/e4m3.json");
  const auto document = json::Document::load(kReference / "units/e4m3.json");
  const json::Value encode = document.root().at("encode_saturating");
  const std::vector<double> x = numbers(encode.at("x"));
  const std::vector<TokenId> bytes = ids(encode.at("byte"));
  ASSERT_GT(x.size(), 600u);
  for (size_t i = 0; i < x.size(); ++i)
    EXPECT_EQ(float_to_e4m3(static_cast<float>(x[i])), bytes[i]) << x[i];
}

TEST(E4m3, EncodingInvertsDecoding) {
  for (int byte = 0; byte < 256; ++byte) {
    const float value = e4m3_to_float(static_cast<uint8_t>(byte));
    if (std::isnan(value)) continue;
    EXPECT_EQ(float_to_e4m3(value), byte);
  }
  EXPECT_EQ(float_to_e4m3(1e9f), 0x7e);
  EXPECT_EQ(float_to_e4m3(-std::numeric_limits<float>::infinity()), 0xfe);
  EXPECT_EQ(float_to_e4m3(std::numeric_limits<float>::quiet_NaN()) & 0x7f, 0x7f);
}

TEST(HalfFormats, KnownValues) {
  EXPECT_EQ(f16_to_float(0x3c00), 1.0f);
  EXPECT_EQ(f16_to_float(0xc000), -2.0f);
  EXPECT_EQ(f16_to_float(0x7bff), 65504.0f);
  EXPECT_EQ(f16_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(f16_to_float(0x0400), 0x1p-14f);
  EXPECT_TRUE(std::isinf(f16_to_float(0x7c00)));
  EXPECT_TRUE(std::isnan(f16_to_float(0x7e00)));
  EXPECT_EQ(bf16_to_float(0x3f80), 1.0f);
  EXPECT_EQ(bf16_to_float(0xc049), -3.140625f);
}

TEST(HalfFormats, Bf16RoundsToNearestEven) {
  for (uint32_t high = 0; high < 0x7f80; high += 7) {  // two neighbours and what lies between
    const float a = bf16_to_float(static_cast<uint16_t>(high));
    const float b = bf16_to_float(static_cast<uint16_t>(high + 1));
    if (std::isinf(b)) break;
    const float middle = static_cast<float>((static_cast<double>(a) + b) / 2);
    EXPECT_EQ(float_to_bf16(std::nextafter(middle, 0.0f)), high);
    EXPECT_EQ(float_to_bf16(std::nextafter(middle, 3.4e38f)), high + 1);
    EXPECT_EQ(float_to_bf16(middle), high % 2 == 0 ? high : high + 1);
  }
  EXPECT_TRUE(std::isnan(round_to_bf16(std::numeric_limits<float>::quiet_NaN())));
  EXPECT_TRUE(std::isnan(round_to_bf16(std::bit_cast<float>(0x7f800001u))));
}

// A 3 x 200 FP8 tensor: two column blocks, one row block, or with rows = 130 two.
struct Fp8 {
  std::vector<uint8_t> bytes;
  std::vector<float> scales;
  TensorView view;
  Fp8(int64_t rows, int64_t cols) : bytes(static_cast<size_t>(rows * cols), 0x38) {  // 0x38 is 1.0
    view.name = "w.weight";
    view.dtype = DType::f8_e4m3;
    view.rank = 2;
    view.shape = {rows, cols};
    view.data = reinterpret_cast<const std::byte*>(bytes.data());
    view.block = 128;
    view.scale_rows = (rows + 127) / 128;
    view.scale_cols = (cols + 127) / 128;
    for (int64_t i = 0; i < view.scale_rows * view.scale_cols; ++i)
      scales.push_back(static_cast<float>(i + 1));
    view.scale = scales.data();
  }
  std::string error(bool ue8m0 = false) const {
    try {
      check_finite(view, ue8m0, "model.safetensors");
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::bad_input);
      return e.what();
    }
    return "";
  }
};

TEST(Dequantize, PartialBlocksInRowsAndColumns) {
  const Fp8 w(130, 200);
  std::vector<float> out(130 * 200);
  dequantize(w.view, out.data());
  EXPECT_EQ(out[0], 1);                // block (0, 0)
  EXPECT_EQ(out[128], 2);              // (0, 1)
  EXPECT_EQ(out[128 * 200 + 127], 3);  // (1, 0)
  EXPECT_EQ(out[129 * 200 + 199], 4);  // (1, 1)
}

TEST(Dequantize, SliceAndItsTranspose) {
  const Fp8 w(130, 200);
  const DequantizedSlice rows = dequantize_slice(w.view, 127, 2, false);
  EXPECT_EQ(rows.view.shape, (std::array<int64_t, 2>{2, 200}));
  EXPECT_EQ(rows.view.dtype, DType::f32);
  EXPECT_EQ(rows.view.data, reinterpret_cast<const std::byte*>(rows.values.data()));
  EXPECT_EQ(rows.values[127], 1);  // row 127 ends the first row of blocks
  EXPECT_EQ(rows.values[200 + 127], 3);
  EXPECT_EQ(rows.values[200 + 128], 4);
  const DequantizedSlice columns = dequantize_slice(w.view, 127, 2, true);
  EXPECT_EQ(columns.view.shape, (std::array<int64_t, 2>{200, 2}));
  EXPECT_EQ(columns.values[2 * 127 + 1], 3);
  EXPECT_EQ(columns.values[2 * 128], 2);
  EXPECT_THROW((void)dequantize_slice(w.view, 129, 2, false), Error);
}

TEST(CheckFinite, NamesTensorAndPosition) {
  EXPECT_EQ(Fp8(130, 200).error(), "");
  Fp8 w(130, 200);
  w.bytes[129 * 200 + 150] = 0xff;
  EXPECT_NE(w.error().find("model.safetensors: tensor w.weight: NaN byte at [129, 150]"),
            std::string::npos)
      << w.error();
}

TEST(CheckFinite, ScalesMustBePositiveAndFinite) {
  const std::vector<std::pair<float, std::string>> cases = {
      {0.0f, "scale at [1, 0] is zero"},
      {-1.0f, "scale at [1, 0] is negative"},
      {std::numeric_limits<float>::quiet_NaN(), "scale at [1, 0] is not finite"},
      {std::numeric_limits<float>::infinity(), "scale at [1, 0] is not finite"},
      {1e37f, "scale at [1, 0] overflows"}};
  for (const auto& [value, message] : cases) {
    Fp8 w(130, 200);
    w.scales[2] = value;
    EXPECT_NE(w.error().find("w.weight_scale_inv: " + message), std::string::npos) << w.error();
  }
}

TEST(CheckFinite, Ue8m0ScalesArePowersOfTwo) {
  Fp8 w(130, 200);  // 1, 2, 3, 4
  EXPECT_EQ(w.error(false), "");
  EXPECT_NE(w.error(true).find("scale at [1, 0] is no power of two"), std::string::npos);
  w.scales[2] = 0x1p-9f;
  EXPECT_EQ(w.error(true), "");
}

TEST(CheckFinite, WideFormats) {
  const auto check = [](DType dtype, const void* data, int64_t n) {
    TensorView view;
    view.name = "v";
    view.dtype = dtype;
    view.rank = 1;
    view.shape = {n, 1};
    view.data = static_cast<const std::byte*>(data);
    try {
      check_finite(view, false, "f");
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  std::vector<float> f(5000, 1.0f);
  EXPECT_EQ(check(DType::f32, f.data(), 5000), "");
  f[4999] = -std::numeric_limits<float>::infinity();
  EXPECT_NE(check(DType::f32, f.data(), 5000).find("at [4999]"), std::string::npos);
  std::vector<uint16_t> h(10, 0x7bff);  // the largest F16; a large but finite BF16
  EXPECT_EQ(check(DType::f16, h.data(), 10), "");
  EXPECT_EQ(check(DType::bf16, h.data(), 10), "");
  h[3] = 0x7c00;
  EXPECT_NE(check(DType::f16, h.data(), 10).find("at [3]"), std::string::npos);
  EXPECT_EQ(check(DType::bf16, h.data(), 10), "");
  h[3] = 0x7fc1;
  EXPECT_NE(check(DType::bf16, h.data(), 10).find("at [3]"), std::string::npos);
}

}  // namespace
}  // namespace assay::engine::test

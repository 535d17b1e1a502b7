// The fp8 (w8a8) scheme against the reference's bytes, scales and linears.
#include <filesystem>
#include <fstream>
#include <map>

#include "base/file.h"
#include "base/json.h"
#include "engine/ops/cpu/rowwise.h"
#include "tests/engine/ops/emulated_avx512.h"
#include "tests/engine/ops/fixture.h"
#include "tests/support/paths.h"

namespace assay::engine::ops {
namespace {

const std::string kReference = test_paths::shared().string() + "/reference";

std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> out = {&portable_kernels(), &emulated_avx512_kernels()};
  for (const Kernels kernels : {Kernels::avx2, Kernels::avx512}) {
    if (kernels_available(kernels)) out.push_back(&kernel_table(kernels));
  }
  return out;
}

// One block as a kernel packs it: values (bytes decoded) and the scale.
struct Packed {
  std::vector<float> value;
  float scale = 0;
};
Packed pack(const KernelTable& table, const std::vector<float>& x, bool ue8m0) {
  std::vector<float> buffer(kBlock + 16, NAN);
  Packed out;
  table.pack_row(Operand::fp8, x.data(), static_cast<int>(x.size()), buffer.data(), ue8m0,
                 &out.scale);
  for (size_t i = 0; i < x.size(); ++i) {
    const auto* half = reinterpret_cast<const uint16_t*>(buffer.data());
    out.value.push_back(table.operand_bytes[static_cast<int>(Operand::fp8)] == 2
                            ? bf16_to_float(half[i])
                            : buffer[i]);
  }
  return out;
}

TEST(Fp8, ActivationsAsTheReference) {
  const std::string file = kReference + "/units/fp8-activation.json";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << "missing " << file;
  const auto document = json::Document::load(file);
  int cases = 0;
  document.root().at("cases").for_each_element([&](json::Value c) {
    std::vector<float> x;
    c.at("x").for_each_element([&](json::Value v) { x.push_back(static_cast<float>(v.number())); });
    for (const bool ue8m0 : {false, true}) {
      const json::Value want = c.at(ue8m0 ? "ue8m0" : "float");
      float amax = 0;
      for (const float v : x) amax = std::max(amax, std::fabs(v));
      const auto scale = static_cast<float>(want.at("scale").number());
      EXPECT_EQ(activation_scale(amax, ue8m0), scale) << cases;
      for (const KernelTable* table : tables()) {
        const Packed packed = pack(*table, x, ue8m0);
        EXPECT_EQ(packed.scale, scale) << table->name << " case " << cases;
        for (size_t i = 0; i < x.size(); ++i) {
          const auto byte = static_cast<uint8_t>(want.at("bytes")[i].integer());
          ASSERT_EQ(packed.value[i], e4m3_to_float(byte))
              << table->name << " " << cases << ", " << i;
        }
      }
    }
    ++cases;
  });
  EXPECT_GT(cases, 10);
}

// Rounding to e4m3 between, on and beside every pair of neighbours, by every kernel table. An
// element of 448 fixes the scale at one.
TEST(Fp8, RoundingIsExhaustive) {
  for (const KernelTable* table : tables()) {
    std::vector<float> x = {448.0f};
    const auto check = [&] {
      const Packed packed = pack(*table, x, false);
      ASSERT_EQ(packed.scale, 1.0f);
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(packed.value[i], e4m3_to_float(float_to_e4m3(x[i])))
            << table->name << " " << x[i];
      }
      x.resize(1);
    };
    for (int code = 0; code < 126; ++code) {
      const float a = e4m3_to_float(static_cast<uint8_t>(code));
      const float b = e4m3_to_float(static_cast<uint8_t>(code + 1));
      const float middle = (a + b) / 2;
      for (const float v : {a, b, middle, std::nextafter(middle, a), std::nextafter(middle, b)}) {
        x.push_back(v);
        x.push_back(-v);
      }
      if (x.size() > 100) check();
    }
    check();
  }
}

using LinearReferenceTest = OpsTest;

// Inputs, bytes, scales and outputs of single linears of the two FP8 checkpoints.
TEST_P(LinearReferenceTest, W8a8LinearsAsTheReference) {
  for (const std::string model : {"dsv3-fp8", "dsv3-fp8-ue8m0"}) {
    const std::string folder = kReference + "/expected/" + model;
    const std::string weights = kReference + "/models/" + model;
    if (!std::filesystem::exists(folder)) GTEST_SKIP() << "missing " << folder;
    const bool ue8m0 = model == "dsv3-fp8-ue8m0";
    const auto ops = backend(Numerics::fp8, ue8m0);
    const auto document = json::Document::load(folder + "/w8a8-linear.json");
    const std::string binary = read_file(folder + "/w8a8-linear.bin");

    // The safetensors files, read by hand: name -> (dtype, shape, bytes).
    struct Raw {
      std::vector<int64_t> shape;
      const std::byte* data;
    };
    std::map<std::string, Raw> raw;
    std::vector<MappedFile> files;
    for (const auto& entry : std::filesystem::directory_iterator(weights)) {
      if (entry.path().extension() == ".safetensors") files.emplace_back(entry.path());
    }
    for (const MappedFile& file : files) {
      uint64_t length = 0;
      std::memcpy(&length, file.bytes().data(), 8);
      const auto header = json::Document::parse(
          {reinterpret_cast<const char*>(file.bytes().data()) + 8, length}, file.path().string());
      header.root().for_each_member([&](std::string_view name, json::Value tensor) {
        if (name == "__metadata__") return;
        Raw r;
        tensor.at("shape").for_each_element([&](json::Value v) { r.shape.push_back(v.integer()); });
        r.data = file.bytes().data() + 8 + length + tensor.at("data_offsets")[0].integer();
        raw[std::string(name)] = r;
      });
    }

    document.root().at("cases").for_each_element([&](json::Value c) {
      const std::string name(c.at("weight").string());
      const Raw& w = raw.at(name);
      const Raw& s = raw.at(name + "_scale_inv");
      TensorView view;
      view.name = name;
      view.dtype = DType::f8_e4m3;
      view.rank = 2;
      view.shape = {w.shape[0], w.shape[1]};
      view.data = w.data;
      view.block = 128;
      view.scale_rows = s.shape[0];
      view.scale_cols = s.shape[1];
      std::vector<float> scale(static_cast<size_t>(s.shape[0] * s.shape[1]));
      std::memcpy(scale.data(), s.data, scale.size() * sizeof(float));
      view.scale = scale.data();

      const auto floats = [&](const char* key) {
        const json::Value part = c.at(key);
        std::vector<float> out(
            static_cast<size_t>(part.at("shape")[0].integer() * part.at("shape")[1].integer()));
        std::memcpy(out.data(), binary.data() + part.at("offset_bytes").integer(),
                    out.size() * sizeof(float));
        return out;
      };
      const int64_t rows = c.at("rows").integer(), in = c.at("in").integer(),
                    outputs = c.at("out").integer();
      const std::vector<float> x = floats("x"), xs = floats("xs"), y = floats("y");
      const char* xq = binary.data() + c.at("xq").at("offset_bytes").integer();
      for (const KernelTable* table : tables()) {
        for (int64_t i = 0; i < rows; ++i) {
          for (int64_t begin = 0, b = 0; begin < in; begin += 128, ++b) {
            const int64_t n = std::min<int64_t>(128, in - begin);
            const std::vector<float> part(x.begin() + i * in + begin,
                                          x.begin() + i * in + begin + n);
            const Packed packed = pack(*table, part, ue8m0);
            ASSERT_EQ(packed.scale, xs[i * ((in + 127) / 128) + b]) << name;
            for (int64_t k = 0; k < n; ++k) {
              ASSERT_EQ(packed.value[k],
                        e4m3_to_float(static_cast<uint8_t>(xq[i * in + begin + k])))
                  << name;
            }
          }
        }
      }
      const auto matrix = ops->prepare({&view, 1}, Stacking::rows, Role::linear);
      Dense out(rows, outputs);
      ops->linear(*matrix, ConstRows(x.data(), rows, in, in), nullptr, out.view());
      float largest = 0;
      for (const float v : y) largest = std::max(largest, std::fabs(v));
      for (int64_t i = 0; i < rows * outputs; ++i) {
        ASSERT_NEAR(out.value[i], y[i], 1e-5 * largest) << name << " element " << i;
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, LinearReferenceTest, testing::ValuesIn(backend_cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace assay::engine::ops

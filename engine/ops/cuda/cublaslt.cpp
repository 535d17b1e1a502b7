// cuBLASLt by its C interface, loaded at run time (cublaslt.h).
//
// Row-major out[rows, n] = x W^T is column-major D[n x rows] = A^T B with A = W [k x n], B = x [k x
// rows]: the TN form, the only one that FP8 has on Hopper. Block scaling (cuBLAS manual 3.1.4.5):
// A's mode BLK128x128, B's VEC128, compute and scale type fp32, no fast accumulation.
#include <cublasLt.h>
#include <cuda_runtime.h>
#include <dlfcn.h>

#include <algorithm>
#include <string>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "engine/ops/cuda/cublaslt.h"
#include "engine/ops/cuda/layout.h"

namespace assay::engine::ops {

namespace {

constexpr size_t kWorkspace = size_t{64} << 20;
constexpr int kMostAlgorithms = 32, kRepeats = 10;

// What is looked up, each with ASSAY_CUBLASLT as it is defined there.
#define ASSAY_CUBLASLT_SYMBOLS                    \
  ASSAY_CUBLASLT(cublasLtCreate)                  \
  ASSAY_CUBLASLT(cublasLtDestroy)                 \
  ASSAY_CUBLASLT(cublasLtMatmul)                  \
  ASSAY_CUBLASLT(cublasLtMatmulAlgoGetHeuristic)  \
  ASSAY_CUBLASLT(cublasLtMatmulDescCreate)        \
  ASSAY_CUBLASLT(cublasLtMatmulDescDestroy)       \
  ASSAY_CUBLASLT(cublasLtMatmulDescSetAttribute)  \
  ASSAY_CUBLASLT(cublasLtMatrixLayoutCreate)      \
  ASSAY_CUBLASLT(cublasLtMatrixLayoutDestroy)     \
  ASSAY_CUBLASLT(cublasLtMatmulPreferenceCreate)  \
  ASSAY_CUBLASLT(cublasLtMatmulPreferenceDestroy) \
  ASSAY_CUBLASLT(cublasLtMatmulPreferenceSetAttribute)

struct Library {
  void* handle = nullptr;
#define ASSAY_CUBLASLT(name) decltype(&::name) name = nullptr;
  ASSAY_CUBLASLT_SYMBOLS
#undef ASSAY_CUBLASLT

  // Empty, or what is missing.
  std::string load() {
    const std::string name = "libcublasLt.so." + std::to_string(CUDART_VERSION / 1000);
    handle = ::dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) return std::string(::dlerror());
    std::string missing;
    const auto find = [&](auto& function, const char* symbol) {
      function =
          reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(handle, symbol));
      if (function == nullptr) missing = name + " has no " + symbol;
    };
#define ASSAY_CUBLASLT(name) find(name, #name);
    ASSAY_CUBLASLT_SYMBOLS
#undef ASSAY_CUBLASLT
    return missing;
  }
};

void check(cudaError_t status) {
  if (status != cudaSuccess) throw_resource(cudaGetErrorString(status), "cuBLASLt");
}
void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw_resource(std::string(what) + ": status " + std::to_string(static_cast<int>(status)),
                   "cuBLASLt");
  }
}

// Zeroed device memory.
class Memory {
 public:
  explicit Memory(int64_t bytes) {
    check(cudaMalloc(&data_, static_cast<size_t>(bytes)));
    check(cudaMemset(data_, 0, static_cast<size_t>(bytes)));
  }
  ~Memory() { cudaFree(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  void* get() const { return data_; }

 private:
  void* data_ = nullptr;
};

class Loaded final : public CublasLt {
 public:
  Loaded(const Library& library, int device) : lt_(library), device_(device) {
    check(cudaSetDevice(device_));
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
    check(cudaEventCreate(&from_));
    check(cudaEventCreate(&to_));
    check(lt_.cublasLtCreate(&handle_), "starting");
  }
  ~Loaded() override {
    cudaSetDevice(device_);
    if (handle_ != nullptr) lt_.cublasLtDestroy(handle_);
    cudaEventDestroy(from_);
    cudaEventDestroy(to_);
    cudaStreamDestroy(stream_);
  }

  std::optional<double> fp8_seconds(int64_t rows, int64_t n, int64_t k) override {
    return best(rows, n, k, CUDA_R_8F_E4M3, 1);
  }
  std::optional<double> bf16_seconds(int64_t rows, int64_t n, int64_t k) override {
    return best(rows, n, k, CUDA_R_16BF, 2);
  }

 private:
  std::optional<double> best(int64_t rows, int64_t n, int64_t k, cudaDataType_t type,
                             int64_t bytes) {
    check(cudaSetDevice(device_));
    const bool fp8 = type == CUDA_R_8F_E4M3;
    const int64_t blocks = layout::divide_up(k, layout::kScaleBlock);
    const Memory weight(n * k * bytes), x(rows * k * bytes), out(n * rows * 2),
        workspace(kWorkspace);
    const Memory weight_scale(layout::cublaslt_weight_scale_stride(k) *
                              layout::divide_up(n, layout::kScaleBlock) * 4);
    const Memory x_scale(layout::activation_scale_stride(rows) * blocks * 4);

    cublasLtMatmulDesc_t product = nullptr;
    check(lt_.cublasLtMatmulDescCreate(&product, CUBLAS_COMPUTE_32F, CUDA_R_32F),
          "describing a product");
    const auto set = [&](cublasLtMatmulDescAttributes_t what, const auto& value) {
      check(lt_.cublasLtMatmulDescSetAttribute(product, what, &value, sizeof value),
            "describing a product");
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(CUBLASLT_MATMUL_DESC_TRANSB, CUBLAS_OP_N);
    if (fp8) {
#if CUBLAS_VERSION >= 120900
      set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_BLK128x128_32F});
      set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_VEC128_32F});
      const void *a = weight_scale.get(), *b = x_scale.get();
      set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, a);
      set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, b);
      set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{0});
#else
      lt_.cublasLtMatmulDescDestroy(product);
      return std::nullopt;  // no block scaling before 12.9
#endif
    }
    cublasLtMatrixLayout_t a = nullptr, b = nullptr, d = nullptr;
    const auto shape = [&](cublasLtMatrixLayout_t* to, cudaDataType_t t, int64_t down,
                           int64_t across) {
      check(lt_.cublasLtMatrixLayoutCreate(to, t, static_cast<uint64_t>(down),
                                           static_cast<uint64_t>(across), down),
            "describing a matrix");
    };
    shape(&a, type, k, n);
    shape(&b, type, k, rows);
    shape(&d, CUDA_R_16BF, n, rows);
    cublasLtMatmulPreference_t preference = nullptr;
    check(lt_.cublasLtMatmulPreferenceCreate(&preference), "asking for algorithms");
    const size_t space = kWorkspace;
    check(lt_.cublasLtMatmulPreferenceSetAttribute(
              preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &space, sizeof space),
          "asking for algorithms");
    std::vector<cublasLtMatmulHeuristicResult_t> found(kMostAlgorithms);
    int count = 0;
    const cublasStatus_t asked = lt_.cublasLtMatmulAlgoGetHeuristic(
        handle_, product, a, b, d, d, preference, kMostAlgorithms, found.data(), &count);
    std::optional<double> seconds;
    for (int i = 0; asked == CUBLAS_STATUS_SUCCESS && i < count; ++i) {
      if (found[static_cast<size_t>(i)].state != CUBLAS_STATUS_SUCCESS) continue;
      const float one = 1, zero = 0;
      const auto run = [&] {
        return lt_.cublasLtMatmul(handle_, product, &one, weight.get(), a, x.get(), b, &zero,
                                  out.get(), d, out.get(), d, &found[static_cast<size_t>(i)].algo,
                                  workspace.get(), space, stream_);
      };
      if (run() != CUBLAS_STATUS_SUCCESS) continue;  // and warm
      check(cudaEventRecord(from_, stream_));
      for (int r = 0; r < kRepeats; ++r) check(run(), "multiplying");
      check(cudaEventRecord(to_, stream_));
      check(cudaEventSynchronize(to_));
      float milliseconds = 0;
      check(cudaEventElapsedTime(&milliseconds, from_, to_));
      const double each = static_cast<double>(milliseconds) * 1e-3 / kRepeats;
      seconds = seconds ? std::min(*seconds, each) : each;
    }
    lt_.cublasLtMatmulPreferenceDestroy(preference);
    lt_.cublasLtMatrixLayoutDestroy(a);
    lt_.cublasLtMatrixLayoutDestroy(b);
    lt_.cublasLtMatrixLayoutDestroy(d);
    lt_.cublasLtMatmulDescDestroy(product);
    return seconds;
  }

  const Library lt_;
  const int device_;
  cublasLtHandle_t handle_ = nullptr;
  cudaStream_t stream_ = nullptr;
  cudaEvent_t from_ = nullptr, to_ = nullptr;
};

}  // namespace

std::unique_ptr<CublasLt> open_cublaslt(int device, std::string& why) {
  Library library;
  why = library.load();
  if (!why.empty()) return nullptr;
  return std::make_unique<Loaded>(library, device);
}

}  // namespace assay::engine::ops

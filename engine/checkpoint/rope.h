// Constants of rotary position embedding that follow from the configuration alone.
//
// Pure functions in double; every implementation of attention takes its constants from here.
#pragma once

#include <vector>

#include "engine/checkpoint/config.h"

namespace assay::engine {

// dim/2 angles per position: pair i turns by position * inv_freq[i] radians.
//   none:   f_i = theta^(-2i/dim)
//   yarn:   f_i/factor * g_i + f_i * (1 - g_i), g the ramp between beta_fast and beta_slow
//           (Peng et al. 2023; DeepSeek-V3 inference/model.py precompute_freqs_cis)
//   llama3: by wavelength against the original context (llama-models apply_scaling)
std::vector<double> rope_inverse_frequencies(const RopeConfig& rope);

// Multiplier of cos and sin: m(mscale) / m(mscale_all_dim), m(a) = 0.1 a ln(factor) + 1 (yarn),
// 1.0 for every released DeepSeek model and without yarn.
double rope_cos_sin_factor(const RopeConfig& rope);

// Multiplier of q.k before the softmax: head_dim^-0.5, for MLA under yarn times
// m(mscale_all_dim)^2. It multiplies the rotated and the unrotated part alike.
double attention_softmax_scale(const ModelConfig& config);

}  // namespace assay::engine

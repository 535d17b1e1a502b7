// Deterministic elementary functions, one polynomial for every lane of every instruction set.
//
// Written over a vector abstraction V (scalar.h, avx2/vector.h, ...): V::F is a pack of fp32 lanes.
// Only IEEE additions, multiplications and fused multiply-adds: no library function, whose bits
// would differ between C libraries. Bits differ between V with and without hardware FMA, not
// between lanes, builds or machines.
#pragma once

namespace assay::engine::ops {

// e^x. Cody-Waite reduction x = n ln2 + r, |r| <= ln2 / 2, then the Taylor-like minimax polynomial
// of degree 6 (Cephes expf) and an exact scaling by 2^n.
// |error| <= 2 units in the last place for x in [-87.3, 88]; 0 below -87.3 (-inf included), where
// the result would leave the normal range; clamped at x = 88. NaN gives NaN, so that an overflow
// (inf - inf in a softmax) is seen at the end.
template <class V>
inline typename V::F vector_exp(typename V::F x) {
  using F = typename V::F;
  const F low = V::set1(-87.3f);
  // V::max and V::min give their second operand where one is NaN.
  const F clamped = V::min(V::set1(88.0f), V::max(low, x));
  // Adding 1.5 * 2^23 rounds to the nearest integer and leaves it in the low bits.
  const F magic = V::set1(12582912.0f);
  const F shifted = V::fma(clamped, V::set1(1.44269504088896341f), magic);
  const F n = V::sub(shifted, magic);
  F r = V::fnma(n, V::set1(0.693359375f), clamped);
  r = V::fnma(n, V::set1(-2.12194440e-4f), r);
  F p = V::set1(1.9875691500e-4f);
  p = V::fma(p, r, V::set1(1.3981999507e-3f));
  p = V::fma(p, r, V::set1(8.3334519073e-3f));
  p = V::fma(p, r, V::set1(4.1665795894e-2f));
  p = V::fma(p, r, V::set1(1.6666665459e-1f));
  p = V::fma(p, r, V::set1(5.0000001201e-1f));
  p = V::add(V::fma(p, V::mul(r, r), r), V::set1(1.0f));
  return V::zero_where_less(x, low, V::mul(p, V::power_of_two(shifted)));
}

// 1 / (1 + e^-x).
template <class V>
inline typename V::F vector_sigmoid(typename V::F x) {
  const auto one = V::set1(1.0f);
  return V::div(one, V::add(one, vector_exp<V>(V::sub(V::zero(), x))));
}

// x * sigmoid(x).
template <class V>
inline typename V::F vector_silu(typename V::F x) {
  return V::div(x, V::add(V::set1(1.0f), vector_exp<V>(V::sub(V::zero(), x))));
}

}  // namespace assay::engine::ops
